"""Codes: what the hidden units of a network say of data, in memory, as files, and by the tasks of a job."""

import io

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from hdl import cli, data, models, ops, versions
from hdl import table as tables
from hdl.data import Options
from hdl.errors import SpecError
from hdl.models import codes
from hdl.ops import Layout, Samples
from hdl.ops.reference.activations import ACTIVATIONS
from hdl.predict import Model
from hdl.runners.task import Task
from hdl.runners.task_config import TaskConfig
from hdl.spec import Spec

pytest.importorskip("hdl._cpu")
RNG = np.random.default_rng(5)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def weights(size):
    return RNG.normal(0, 0.5, size).astype(np.float32)


X = RNG.uniform(0, 1, (50, 6)).astype(np.float32)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("layer", [1, 2])
def test_hidden_layers_of_any_network(activation, layer):
    spec = Spec(net="6-5-4-3", activation=activation, loss="softmax", leak=0.2)
    w = weights(Layout(spec.net).size)
    expected = X.astype(np.float64)
    for a, b in Layout(spec.net).split(w)[:layer]:
        expected = ACTIVATIONS[activation][0](expected @ a + b, 0.2)
    encoder = codes.Encoder(spec, w, ops.make, layer)
    assert encoder.width == (5, 4)[layer - 1]
    np.testing.assert_allclose(encoder(Samples(X)), expected, rtol=2e-5, atol=2e-6)


def test_autoencoders_rbms_and_layers_above_others():
    autoencoder = Spec(model="autoencoder", net="6-4-6", loss="squared", layer=1)
    rbm = Spec(model="rbm", net="4-3", loss="squared", layer=2)
    w1, w2 = weights(6 * 4 + 4 + 4 * 6 + 6), weights(4 * 3 + 3 + 4)
    first = sigmoid(X @ w1[:24].reshape(6, 4) + w1[24:28])
    second = sigmoid(first @ w2[:12].reshape(4, 3) + w2[12:15])
    np.testing.assert_allclose(codes.Encoder(autoencoder, w1, ops.make)(Samples(X)), first, rtol=1e-5)
    both = codes.Encoder(rbm, w2, ops.make, None, [(autoencoder, w1)])
    np.testing.assert_allclose(both(Samples(X)), second, rtol=1e-5)
    assert both.layer == 2
    np.testing.assert_allclose(codes.Encoder(rbm, w2, ops.make, 1, [(autoencoder, w1)])(Samples(X)), first, rtol=1e-5)


def test_which_layer_is_meant_and_which_there_are():
    size = Layout((6, 5, 4, 5, 6)).size
    unrolled = Spec(net="6-5-4-5-6", loss="sigmoid", finetune="reconstruct")
    assert codes.Encoder(unrolled, weights(size), ops.make).width == 4
    coding = Spec(net="6-5-4", loss="sigmoid", finetune="none", activation="sigmoid")
    assert codes.Encoder(coding, weights(size), ops.make).width == 4
    assert codes.Encoder(Spec(net="6-5-4", loss="softmax"), weights(size), ops.make).width == 5
    with pytest.raises(SpecError, match=r"layer 2: the network has layer 1"):
        codes.Encoder(Spec(net="6-5-4", loss="softmax"), weights(size), ops.make, 2)
    with pytest.raises(SpecError, match=r"layer 3: the network has layers 1 to 2"):
        codes.Encoder(coding, weights(size), ops.make, 3)
    with pytest.raises(SpecError, match="the network has no hidden layer"):
        codes.Encoder(Spec(net="6-4", loss="softmax"), weights(size), ops.make)


@pytest.fixture
def table(tmp_path):
    """A network's table with the labelled data that it is of, and its codes as they should be."""
    y = np.array(["cat", "dog"])[(X[:, 0] > 0.5).astype(int)]
    lines = [",".join([*(f"{value:.6f}" for value in row), label]) for row, label in zip(X, y, strict=True)]
    (tmp_path / "data.csv").write_text("a,b,c,d,e,f,label\n" + "\n".join(lines) + "\n")
    path = str(tmp_path / "data.csv")
    source = data.open_source(path)
    splits = source.splits(1)
    summary = data.summarise(source, splits[0])
    spec, schema, version = versions.first(path, Options(), Spec(net="6-5-0"), summary, splits, "", "cpu")
    tables.Table(str(tmp_path / "model")).publish(version)
    (a, b), _ = Layout(spec.net).split(version.weights.w)
    scaled = np.round(X.astype(np.float64), 6) * schema.scale + schema.shift
    return tmp_path, y, np.maximum(scaled @ a + b, 0)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_files_of_codes(table, suffix, capfd):
    folder, y, expected = table
    out = folder / f"codes{suffix}"
    command = ["encode", str(folder / "model"), str(folder / "data.csv"), str(out)]
    assert cli.run(command) == 0
    assert "50 samples as 5 codes of layer 1" in capfd.readouterr().err
    if suffix == ".npy":
        found = np.load(out)
        assert found.dtype == np.float32
    else:
        frame = (pyarrow.csv.read_csv if suffix == ".csv" else pyarrow.parquet.read_table)(str(out))
        assert frame.column_names == ["label", *(f"code:{j}" for j in range(5))]
        assert frame["label"].to_pylist() == y.tolist()
        found = np.stack([frame[f"code:{j}"].to_numpy() for j in range(5)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert cli.run(command) == 2
    assert "exists already" in capfd.readouterr().err
    assert cli.run([*command, "--overwrite"]) == 0


def test_codes_of_data_without_labels_and_a_network_trained_on_codes(table):
    folder, _, expected = table
    lines = (folder / "data.csv").read_text().splitlines()
    (folder / "bare.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    assert cli.run(["encode", str(folder / "model"), str(folder / "bare.csv"), str(folder / "bare.parquet")]) == 0
    frame = pyarrow.parquet.read_table(str(folder / "bare.parquet"))
    assert frame.column_names[0] == "code:0"
    np.testing.assert_allclose(frame["code:0"].to_numpy(), expected[:, 0], rtol=1e-4, atol=1e-5)
    assert cli.run(["encode", str(folder / "model"), str(folder / "data.csv"), str(folder / "codes.parquet")]) == 0
    source = data.open_source(str(folder / "codes.parquet"))
    summary = data.summarise(source, source.splits(1)[0])
    assert summary.features == 5
    assert summary.labels.values == ("cat", "dog")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.txt"], "out.txt: expected a name that ends in .csv, .parquet, .npy"),
        (["nowhere/out.csv"], "there is no folder"),
        (["out.csv", "--layer", "2"], "layer 2: the network has layer 1"),
        (["out.csv", "--layer", "0"], "0 is not in the range"),
        (["out.csv", "--runner", "mapreduce"], "expected a new folder on HDFS"),
    ],
)
def test_wrong_calls(table, arguments, message, capfd, monkeypatch):
    folder, *_ = table
    if "mapreduce" in arguments:
        pytest.importorskip("pydoop")
    monkeypatch.chdir(folder)
    assert cli.run(["encode", "model", "data.csv", *arguments]) == 2
    assert message in capfd.readouterr().err
    assert not (folder / "out.csv").exists()


def test_a_task_of_a_job_writes_the_codes_of_its_part(table):
    folder, y, expected = table
    path = str(folder / "data.csv")
    source = data.open_source(path)
    splits = dict(enumerate(source.splits(2)))
    properties = {"hdl.stage": "predict", "hdl.table": str(folder / "model"), "hdl.version": "0",
                  "hdl.codes": "True", "hdl.layer": "1", "hdl.suffix": ".parquet"}  # fmt: skip
    task = Task(TaskConfig.of(properties), path, splits)
    parts = [pyarrow.parquet.read_table(io.BytesIO(task.predict(number, lambda *_: None)[0])) for number in splits]
    assert all(0 < len(part) < 50 for part in parts)
    assert [label for part in parts for label in part["label"].to_pylist()] == y.tolist()
    found = np.concatenate([part["code:2"].to_numpy() for part in parts])
    np.testing.assert_allclose(found, expected[:, 2], rtol=1e-4, atol=1e-5)


def test_models_above_others_know_the_layers_below(tmp_path):
    """As the driver writes the tables of a stack."""
    first = Spec(model="autoencoder", net="6-4-6", loss="squared", layer=1, batch=10)
    second = first.with_(net=(4, 3, 4), layer=2)
    w = [models.initial(first), models.initial(second)]
    np.savez(tmp_path / "d.npz", x=X)
    source = data.open_source(str(tmp_path / "d.npz"), {"labelled": False})
    schema = data.fit(data.summarise(source, source.splits(1)[0]), first)
    table = tables.Table(str(tmp_path / "model" / "layer2"))
    table.publish_common({"layers": [first.model_dump(mode="json")]}, {"w0": w[0]})
    splits = source.splits(1)
    table.publish(versions.zero("", Options(), second, schema, splits, "", "cpu", w[1]))
    model = Model(table.path)
    (found,) = model.encode(source)
    codes1 = sigmoid(X @ w[0][:24].reshape(6, 4) + w[0][24:28])
    np.testing.assert_allclose(found.codes, sigmoid(codes1 @ w[1][:12].reshape(4, 3) + w[1][12:15]), rtol=1e-5)
    (found,) = model.encode(source, 1)
    np.testing.assert_allclose(found.codes, codes1, rtol=1e-5)
