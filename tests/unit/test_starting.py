"""Trainings that start from a network: which weights, classes and scaling they have, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from hdl import cli, driver
from hdl.data import Schema
from hdl.errors import DataError, SpecError, TableError
from hdl.ops import layout
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.starting import network, read, staged
from hdl.table import Table


def write(path, classes, n=120, seed=0, shift=0.0, header="a,b,c,label"):
    """A CSV file of three features, and classes that these tell."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, len(classes), n)
    x = rng.normal(size=(n, 3)) + codes[:, None] * [1.0, -1.0, 0.5] + shift
    lines = [f"{a:.4f},{b:.4f},{c:.4f},{classes[k]}" for (a, b, c), k in zip(x, codes, strict=True)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The table of a network that knows the classes b and d."""
    folder = tmp_path_factory.mktemp("old")
    spec = parse({"net": "0-6-5-0", "activation": "tanh", "epochs": 5, "batch": 16, "seed": 7})
    return driver.train(Job(write(folder / "old.csv", "db"), str(folder / "t"), spec), LocalRunner(1, 1)).table


def train(old, data, out, runner=None, resume=False, epochs=3, **fields):
    base = network(read(old), fields.get("tuning", {}).get("head", "keep"))
    spec = parse({**base, "epochs": epochs, "batch": 16, "seed": 1, **fields})
    job = Job(data, str(out), None if resume else spec, init_from="" if resume else old, resume=resume)
    return driver.train(job, runner or LocalRunner(1, 1))


def layers(table, number=None):
    version = Table(table).read(number)
    return layout.of(parse(version.spec)).split(version.weights.w)


def schema(table):
    zero = Table(table).read(0)
    return Schema.from_parts(zero.about["schema"], zero.schema)


def test_it_goes_on_where_the_network_was(old, tmp_path):
    new = train(old, write(tmp_path / "new.csv", "bd", seed=5, shift=3.0), tmp_path / "t").table
    np.testing.assert_array_equal(Table(new).read(0).weights.w, read(old).w)
    assert schema(new).classes == schema(old).classes == ("b", "d")
    np.testing.assert_array_equal(schema(new).scale, schema(old).scale)
    np.testing.assert_array_equal(schema(new).shift, schema(old).shift)
    told = Table(new).read(0).about["start"]
    assert told["path"] == old
    assert told["net"] == [3, 6, 5, 2]


def test_classes_are_added_behind_those_that_it_has(old, tmp_path):
    data = write(tmp_path / "new.csv", "acbe", seed=5)  # no sample of d, and a is before b
    tuning = {"add_classes": True, "freeze": "all but last", "l2_sp": 0.1}
    new = train(old, data, tmp_path / "t", tuning=tuning).table
    assert schema(new).classes == ("b", "d", "a", "c", "e")
    (*below, (head, bias)), (*old_below, (old_head, old_bias)) = layers(new, 0), layers(old)
    np.testing.assert_array_equal(head[:, :2], old_head)
    np.testing.assert_array_equal(bias[:2], old_bias)
    assert np.abs(head[:, 2:]).min() > 0
    anchor = layout.of(parse(Table(new).read(0).spec)).split(Table(new).read().weights.state["start"])
    np.testing.assert_array_equal(anchor[-1][0], np.c_[old_head, np.zeros((5, 3))])
    for (a, b), (c, d), (e, f) in zip(layers(new), below, old_below, strict=False):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
        np.testing.assert_array_equal(c, e)
        np.testing.assert_array_equal(d, f)
    assert not np.array_equal(layers(new)[-1][0], head)


def test_a_new_head_is_of_the_datas_own_classes(old, tmp_path):
    data = write(tmp_path / "new.csv", ["x", "y", "z"], seed=5)
    new = train(old, data, tmp_path / "t", tuning={"head": "new", "freeze": "1", "l2_sp": 0.5}).table
    assert schema(new).classes == ("x", "y", "z")
    np.testing.assert_array_equal(layers(new, 0)[1][0], layers(old)[1][0])
    assert layers(new)[-1][0].shape == (5, 3)
    np.testing.assert_array_equal(layers(new)[0][0], layers(old)[0][0])
    assert not layout.of(parse(Table(new).read(0).spec)).split(Table(new).read(0).weights.state["start"])[-1][0].any()


def test_a_new_head_of_a_regression(old, tmp_path):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 3))
    rows = [f"{a:.3f},{b:.3f},{c:.3f},{1000 * a:.2f}" for a, b, c in x]
    (tmp_path / "r.csv").write_text("\n".join(["a,b,c,price", *rows]))
    new = train(old, str(tmp_path / "r.csv"), tmp_path / "t", tuning={"head": "new"}).table
    assert parse(Table(new).read(0).spec).loss == "squared"
    again = train(new, str(tmp_path / "r.csv"), tmp_path / "u").table
    assert schema(again).target_deviation == schema(new).target_deviation


def test_resumed_it_does_not_look_for_the_network_again(old, tmp_path):
    data, tuning = write(tmp_path / "new.csv", "abd", seed=5), {"add_classes": True, "l2_sp": 0.1}
    whole = train(old, data, tmp_path / "whole", tuning=tuning, epochs=4).table
    part = train(old, data, tmp_path / "part", tuning=tuning, epochs=2).table
    spec = parse({**Table(part).read(0).spec, "epochs": 4})
    driver.train(Job(data, part, spec, resume=True), LocalRunner(2, 1))
    a, b = Table(whole).read().weights, Table(part).read().weights
    assert a.w.tobytes() == b.w.tobytes()
    assert {name: each.tobytes() for name, each in a.state.items()} == {n: e.tobytes() for n, e in b.state.items()}


def test_a_copy_beside_the_table_is_the_network(old, tmp_path):
    """What a master on another machine reads: the same weights and classes, and no damaged ones."""
    job = staged(Job("data", str(tmp_path / "t"), init_from=old))
    assert job.init_from != old
    copy, start = read(job.init_from), read(old)
    np.testing.assert_array_equal(copy.w, start.w)
    assert (copy.spec, copy.path, copy.schema.classes) == (start.spec, start.path, start.schema.classes)
    np.testing.assert_array_equal(copy.schema.scale, start.schema.scale)
    assert staged(Job("data", str(tmp_path / "t"), init_from=old)).init_from == job.init_from
    file = Path(job.init_from)
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(TableError, match="not the bytes that were written there"):
        read(job.init_from)


REFUSED = [
    ("bdx", {}, DataError, r"label 'x' is not one of the 2 classes of .*: 'b', 'd'; --add-classes adds it"),
    ("bd", {"net": "0-9-0"}, SpecError, r"net 0-9-0: .* has hidden widths 6-5"),
    ("bd", {"activation": "relu"}, SpecError, r"activation: .* has tanh, given relu"),
    ("bd", {"loss": "sigmoid"}, SpecError, r"loss: .* has softmax, given sigmoid"),
    (
        "bd",
        {"model": "autoencoder", "net": None, "activation": "sigmoid", "loss": None},
        SpecError,
        r"is of model mlp; given autoe",
    ),
]


@pytest.mark.parametrize(("classes", "fields", "error", "message"), REFUSED)
def test_what_does_not_fit_is_refused(old, tmp_path, classes, fields, error, message):
    with pytest.raises(error, match=message):
        train(old, write(tmp_path / "new.csv", classes), tmp_path / "t", **fields)
    assert Table(str(tmp_path / "t")).latest() is None


def test_other_columns_are_refused(old, tmp_path):
    with pytest.raises(DataError, match=r"feature 1 is 'c'; that of .* is 'b'"):
        train(old, write(tmp_path / "new.csv", "bd", header="a,c,b,label"), tmp_path / "t")


def test_without_a_network_there_is_no_head_to_keep(tmp_path):
    data = write(tmp_path / "new.csv", "bd")
    for tuning, name in ({"head": "new"}, "head new"), ({"add_classes": True}, "add_classes"):
        with pytest.raises(SpecError, match=f"tuning.{name}: there is no network to start from; --init-from names one"):
            driver.train(Job(data, str(tmp_path / "t"), parse({"tuning": tuning})), LocalRunner(1, 1))


def test_the_command_line(old, tmp_path, capsys):
    data, out = write(tmp_path / "new.csv", "abd", seed=5), str(tmp_path / "t")
    flags = ["--init-from", old, "--add-classes", "--freeze", "1", "--lr-layer", "head=10", "--l2-sp", "0.1",
             "--layer-decay", "0.5", "--epochs", "2", "--no-report", "--quiet"]  # fmt: skip
    assert cli.run(["train", data, "--out", out, *flags]) == 0
    spec = parse(Table(out).read(0).spec)
    assert spec.net == (3, 6, 5, 3)
    assert spec.activation == "tanh"
    assert spec.tuning.freeze == ("1",)
    assert spec.tuning.lr == {"head": 10.0}
    assert (spec.tuning.l2_sp, spec.tuning.layer_decay, spec.tuning.add_classes) == (0.1, 0.5, True)
    capsys.readouterr()
    assert cli.run(["evaluate", out, data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0
    assert cli.run(["train", data, "--out", out, "--resume", "--init-from", old]) != 0
    assert "is not for --resume" in capsys.readouterr().err
    assert cli.run(["train", data, "--out", str(tmp_path / "u"), "--init-from", str(tmp_path)]) != 0
    assert "expected the folder of a weight table" in capsys.readouterr().err
