"""The averaging study, short: one split, 100 epochs of the study's own optimiser over 1 and 4 shards."""

import re

import numpy as np
import pytest

from hdl import study


@pytest.fixture(scope="module")
def digits(datasets):
    return study.load(str(datasets("ex4")))


def test_the_digits_are_read_whole(digits):
    x, y = digits
    assert x.shape == (5000, 400)
    assert np.bincount(y).tolist() == [500] * 10


def test_short_study_passes_the_published_accuracies(digits, tmp_path):
    cells = study.run(*digits, splits=1, shards=(1, 4), epochs=(100,), methods=("cg",))
    assert [(cell.shards, cell.epochs) for cell in cells] == [(1, 100), (4, 100)]
    for cell in cells:
        assert cell.accuracy[0] >= cell.goal
        assert cell.seconds[0] > 0
    study.picture(cells, tmp_path / "study.svg")
    assert "4 shards" in (tmp_path / "study.svg").read_text()


def test_measuring_versions_before_the_last_changes_nothing(digits):
    x, y = digits[0][::12], digits[1][::12]  # the file is sorted by digit
    shapes = {"splits": 1, "shards": (2,), "methods": ("cg",)}
    both = study.run(x, y, epochs=(100, 200), **shapes)
    alone = study.run(x, y, epochs=(100,), **shapes)
    assert both[0].accuracy == alone[0].accuracy
    assert both[1].seconds[0] > both[0].seconds[0]


def test_a_missed_cell_is_reported():
    met = study.Cell("cg", 1, 100, [81.0, 82.0], [1.0, 2.0])
    missed = study.Cell("cg", 2, 100, [84.0, 84.0], [1.0, 2.0])  # published: 84.06
    table = study.markdown([met, missed])
    assert re.search(r"\*\*81\.50\*\* ± 0\.71, 1\.5 s \| 84\.00 ± 0\.00", table)
    assert "1 of 2 cells" in table
