"""The command line with models that learn without labels: trained, gone on with, replaced, used."""

import json

import numpy as np
import pytest

from hdl import cli
from hdl.driver import begun

pytest.importorskip("hdl._cpu")
STACK = [
    "--model",
    "stacked",
    "--net",
    "8-5-3",
    "--finetune",
    "none",
    "--pretrain-epochs",
    "2",
    "--no-report",
    "--no-labels",
]


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    x = (rng.random((60, 1)) * rng.random((1, 8))).astype(np.float32)
    lines = [",".join(f"{value:.5f}" for value in row) for row in x]
    (tmp_path / "d.csv").write_text(",".join("abcdefgh") + "\n" + "\n".join(lines) + "\n")
    return str(tmp_path / "d.csv")


def sha(table, capfd):
    capfd.readouterr()
    assert cli.run(["inspect", str(table), "--json"]) == 0
    return json.loads(capfd.readouterr().out)["sha256"]


def train(data, table, *flags):
    return cli.run(["train", data, "--out", str(table), *STACK, *flags])


def test_a_stack_tells_its_layers_and_makes_a_table_for_each(data, tmp_path, capfd):
    assert train(data, tmp_path / "t") == 0
    said = capfd.readouterr()
    assert "layer 1: 8-5-8, 60 samples" in said.err
    assert "layer 2: 5-3-5, 60 samples" in said.err
    assert "accuracy" not in said.out + said.err
    assert [(tmp_path / "t" / name).is_dir() for name in ("layer1", "layer2", "layer3")] == [True, True, False]
    assert cli.run(["evaluate", str(tmp_path / "t"), data]) == 2
    assert "they have no cost" in capfd.readouterr().err
    assert cli.run(["evaluate", str(tmp_path / "t" / "layer2"), data]) == 0
    assert "accuracy" not in capfd.readouterr().out


def test_overwrite_replaces_every_layer_and_nothing_else(data, tmp_path, capfd):
    table = tmp_path / "t"
    assert train(data, table) == 0
    first = sha(table, capfd), sha(table / "layer1", capfd)
    (table / "layer1" / "mine.txt").write_text("kept")
    (table / "features.png").write_text("old")
    (table / "photo.png").write_text("kept")
    assert train(data, table) == 4
    assert "a table is there already" in capfd.readouterr().err
    assert train(data, table, "--overwrite", "--seed", "2") == 0
    assert not (table / "features.png").exists()
    assert (table / "photo.png").exists()
    assert (table / "layer1" / "mine.txt").exists()
    assert train(data, table, "--overwrite") == 0
    assert (sha(table, capfd), sha(table / "layer1", capfd)) == first


def test_a_stack_whose_second_layer_was_cut_short_goes_on(data, tmp_path, capfd):
    table = tmp_path / "t"
    assert train(data, table) == 0
    whole = sha(table, capfd)
    for path in [*table.glob("v*"), *(table / "layer2").glob("v*2.safetensors")]:
        path.unlink()
    assert begun(str(table)).path.endswith("layer2")
    assert cli.run(["train", data, "--out", str(table), "--resume", "--no-report"]) == 0
    assert "layer 2: 5-3-5, 60 samples" in capfd.readouterr().err
    assert sha(table, capfd) == whole


def test_reconstructions_as_answers(data, tmp_path, capfd):
    assert train(data, tmp_path / "t", "--finetune", "reconstruct", "--epochs", "2") == 0
    capfd.readouterr()
    assert cli.run(["predict", str(tmp_path / "t"), data, "--out", "-"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 61
    assert lines[0].startswith('"value:0","value:1"')
    assert cli.run(["evaluate", str(tmp_path / "t"), data, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["cost"] > 0
    assert told["accuracy"] is None


def test_a_stack_and_each_of_its_layers_are_exported(data, tmp_path):
    onnx = pytest.importorskip("onnx")
    assert train(data, tmp_path / "t") == 0
    for number, table in enumerate([tmp_path / "t", tmp_path / "t" / "layer1"]):
        made = str(tmp_path / f"{number}.onnx")
        assert cli.run(["export", str(table), made]) == 0
        assert "codes" in {output.name for output in onnx.load(made).graph.output}
