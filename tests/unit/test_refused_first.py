"""Data that no training can use is refused before anything is written."""

import numpy as np
import pytest

from hdl import cli
from hdl.data.labels import Labels


def table(path, labels, weights=None):
    rng = np.random.default_rng(0)
    weights = np.ones(len(labels)) if weights is None else weights
    rows = [f"{x:.3f},{w:g},{y}" for x, w, y in zip(rng.normal(size=len(labels)), weights, labels, strict=True)]
    path.write_text("\n".join(["a,w,y", *rows]) + "\n")
    return str(path)


def train(data, out, *flags):
    return cli.run(["train", data, "--out", str(out), "--label", "y", "--epochs", "1", "--quiet", "--no-report",
                    "--recipe", "plain", "--workers", "1", *flags])  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "least", "told"),
    [("poisson", -1.5, "at least 0"), ("tweedie", -1, "at least 0"), ("gamma", 0, "a number above 0")],
)
@pytest.mark.parametrize("shards", ["1", "3"])
def test_targets_that_the_loss_does_not_take(tmp_path, capsys, loss, least, told, shards):
    labels = np.arange(60) / 7 + 0.5
    labels[41] = least
    data, out = table(tmp_path / "t.csv", labels), tmp_path / "model"
    assert train(data, out, "--loss", loss, "--shards", shards, "--ignore", "w") != 0
    said = capsys.readouterr().err
    assert f"t.csv:43: label '{float(least)}'; the loss {loss} takes {told}" in said
    assert not out.exists()
    assert train(data, out, "--loss", loss, "--shards", shards, "--ignore", "w", "--max-bad-records", "1") == 0
    assert train(data, tmp_path / "other", "--loss", "squared", "--ignore", "w") == 0


def test_weights_that_are_all_zero(tmp_path, capsys):
    weights = np.zeros(40)
    data, out = table(tmp_path / "t.csv", np.arange(40) / 3, weights), tmp_path / "model"
    assert train(data, out, "--weights", "w", "--shards", "2") != 0
    assert "the weight of all 40 rows is 0 (--weights); expected one above 0" in capsys.readouterr().err
    assert not out.exists()
    weights[39] = 1
    assert train(table(tmp_path / "u.csv", np.arange(40) / 3, weights), out, "--weights", "w", "--shards", "2") == 0


def test_the_least_targets_join():
    parts = [np.array([[3.0, -1.0], [2.0, 5.0]]), np.array([[7.0, -4.0]]), np.zeros((0, 2))]
    whole = Labels.of(parts[0]).join(Labels.of(parts[1])).join(Labels.of(parts[2]))
    assert whole.low == (2.0, -4.0)
    assert Labels.of(np.array(["3", "-2"], object)).low == (-2.0,)
    assert Labels.of(np.array(["a", "b"], object)).low is None
