"""Which classes are taken for which: a matrix of few, pairs of many, and the same numbers by either."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import cli
from hdl.metrics import confusion as confusions
from hdl.metrics.confusion import MOST_CLASSES, MOST_MISTAKES, Confusion


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 12))
def test_pairs_tell_the_mistakes_of_the_matrix(seed, blocks, classes):
    rng = np.random.default_rng(seed)
    dense, sparse = Confusion(classes), Confusion(MOST_CLASSES + 1)
    for _ in range(blocks):
        true, predicted = rng.integers(0, classes, (2, rng.integers(0, 60)))
        dense.add(true, predicted)
        sparse.add(true, predicted)
    off = dense.matrix - np.diag(np.diag(dense.matrix))
    found = sparse.mistakes()
    assert dense.correct == sparse.correct == np.trace(dense.matrix)
    assert sparse.matrix is None
    assert [count for *_, count in found] == sorted(off[off > 0].tolist(), reverse=True)[:MOST_MISTAKES]
    assert all(off[true, guess] == count for true, guess, count in found)


@pytest.mark.parametrize("classes", [MOST_CLASSES, 1500])
def test_many_classes_make_no_matrix_in_json_nor_in_the_report(classes, tmp_path, capfd):
    rng = np.random.default_rng(0)
    rows = [f"{rng.random():.3f},{rng.random():.3f},c{k % classes}" for k in range(3 * classes)]
    (tmp_path / "d.csv").write_text("\n".join(["a,b,label", *rows, ""]))
    assert cli.run(["train", str(tmp_path / "d.csv"), "--out", str(tmp_path / "t"), "--epochs", "1", "-q"]) == 0
    kept = (tmp_path / "t" / "measured.json").read_text()
    capfd.readouterr()
    assert cli.run(["evaluate", str(tmp_path / "t"), str(tmp_path / "d.csv"), "--json"]) == 0
    text = capfd.readouterr().out
    score = json.loads(text)
    page = (tmp_path / "t" / "report.html").read_text()
    if classes <= confusions.MOST_CLASSES:
        assert np.sum(score["confusion"]) == 3 * classes
        assert "mistakes" not in score
        assert "Confusion matrix" in page
        return
    assert score["confusion"] is None
    assert len(text) + len(kept) + len(page) < 200_000
    true, guess, count = score["mistakes"][0]
    assert {true, guess} <= set(score["classes"])
    assert 1 <= count <= 3
    assert f"Of {classes:,} classes" in page
    assert cli.run(["evaluate", str(tmp_path / "t"), str(tmp_path / "d.csv")]) == 0
    assert f"{true} taken for {guess} ({count}×)" in capfd.readouterr().out
