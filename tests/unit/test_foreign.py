"""Networks of other libraries: their files are read as plain numbers, and trainings start from them."""

import re

import numpy as np
import pytest
from safetensors.numpy import save

from hdl import cli, foreign
from hdl.errors import DataError, SpecError
from hdl.foreign import living
from hdl.predict import Model
from hdl.table import Table
from tests.unit.foreign_files import (
    WIDTHS,
    B,
    W,
    X,
    answers,
    csv_file,
    foreign_source,
    functional,
    keras_file,
    keras_weights,
    older_keras_file,
    onnx_file,
    started,
    torch_file,
    train,
)


@pytest.mark.parametrize("write", [
    lambda p: keras_file(p / "a.keras"), lambda p: older_keras_file(p / "a.h5"), lambda p: onnx_file(p / "a.onnx"),
    lambda p: keras_file(p / "b.keras", {"class_name": "Functional", "config": {"layers": functional()}}),
])  # fmt: skip
def test_files_that_say_all(tmp_path, write):
    net = foreign.read(write(tmp_path))
    assert (net.widths, net.activation, net.output) == (WIDTHS, "relu", "softmax")
    np.testing.assert_allclose(net(X), answers(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("write", [
    lambda p: torch_file(p / "a.safetensors"), lambda p: torch_file(p / "a.safetensors", ("one", "two", "last")),
    lambda p: str(keras_weights(p / "a.weights.h5")),
])  # fmt: skip
def test_files_that_hold_numbers_alone(tmp_path, write):
    net = foreign.read(write(tmp_path))
    assert (net.widths, net.activation, net.output) == (WIDTHS, None, None)
    assert all(np.array_equal(*pair) for pair in zip((*net.weights, *net.biases), (*W, *B), strict=True))


def test_layers_that_may_stand_in_two_orders_are_refused(tmp_path):
    square = np.eye(3, dtype="f4")
    (tmp_path / "a.safetensors").write_bytes(save({"a.weight": square, "b.weight": 2 * square}))
    with pytest.raises(DataError, match="the layers a, b may stand in several orders, as their shapes say: number"):
        foreign.read(str(tmp_path / "a.safetensors"))
    (tmp_path / "a.safetensors").write_bytes(save({"h10.weight": square, "h9.weight": 2 * square}))
    assert foreign.read(str(tmp_path / "a.safetensors")).names == ["h9", "h10"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return csv_file(tmp_path_factory.mktemp("foreign") / "data.csv")


def test_a_training_starts_from_another_librarys_network(tmp_path, table):
    model, found = started(table, keras_file(tmp_path / "a.keras"), tmp_path / "m")
    np.testing.assert_allclose(found, answers(), rtol=1e-4, atol=1e-6)
    assert model.schema.scale is None  # features as the network is used to them
    assert model.about["start"]["path"] == str(tmp_path / "a.keras")
    assert Table(str(tmp_path / "m")).latest() >= 1


def test_what_a_file_does_not_say_is_asked_for(tmp_path, table, capsys):
    file = torch_file(tmp_path / "a.safetensors")
    assert train(table, "--init-from", file, "--out", tmp_path / "m") != 0
    assert "does not say which activation its hidden layers have; --activation names it" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
    _, found = started(table, file, tmp_path / "m", "--activation", "relu")
    np.testing.assert_allclose(found, answers(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("flags", "said"), [
    (["--activation", "tanh"], "activation: .* has relu, given tanh"),
    (["--net", "0-9-0"], "net 0-9-0: .* has hidden widths 7-5"),
    (["--loss", "sigmoid"], "loss: .* has softmax, given sigmoid"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path, table, capsys, flags, said):

    assert train(table, "--init-from", keras_file(tmp_path / "a.keras"), "--out", tmp_path / "m", *flags) != 0
    assert re.search(said, capsys.readouterr().err)


def test_features_of_another_number_are_refused(tmp_path, table, capsys):
    short = tmp_path / "short.csv"
    short.write_text("\n".join(line.partition(",")[2] for line in table.read_text().splitlines()))
    assert train(short, "--init-from", keras_file(tmp_path / "a.keras"), "--out", tmp_path / "m") != 0
    assert "net 3-7-5-3" in (said := capsys.readouterr().err)
    assert "has 4-7-5-3, and its weights do not fit" in said
    assert not (tmp_path / "m" / "v00000000.hdl").exists()


def test_what_is_no_chain_of_layers_is_not_made(tmp_path, table):
    assert train(table, "--out", tmp_path / "m", "--epochs", "1", "--members", "2", "--net", "0-3-0") == 0
    with pytest.raises(SpecError, match="it is an ensemble of 2 nets, and no chain of dense layers; `hdl export`"):
        living.plain(Model(str(tmp_path / "m")))


def test_hdls_own_exports_come_back(tmp_path, table):
    pytest.importorskip("onnx")
    assert train(table, "--out", tmp_path / "m", "--epochs", "3", "--activation", "lecun_tanh", "--net", "0-6-0") == 0
    assert cli.run(["export", str(tmp_path / "m"), str(tmp_path / "m.onnx")]) == 0
    model = Model(str(tmp_path / "m"))
    wanted = np.concatenate([part.out for part in model.predict(foreign_source(model, table))])
    net = foreign.read(str(tmp_path / "m.onnx"))
    assert net.classes == ("ash", "elm", "oak")
    np.testing.assert_allclose(net(X), wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(living.plain(model)(X), wanted, rtol=1e-4, atol=1e-6)
