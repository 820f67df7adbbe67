"""`shuffle_window` 0: every epoch takes a shard's samples in their own order, with any number of workers."""

import numpy as np
import pytest

from hdl import driver, rng
from hdl import spec as specs
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.table import Table

pytest.importorskip("hdl._cpu")


def test_the_order_is_that_of_the_samples():
    np.testing.assert_array_equal(rng.order(7, 3, 1, 10, 0), np.arange(10))
    assert not np.array_equal(rng.order(7, 3, 1, 10, 1), np.arange(10))


def test_the_number_of_workers_does_not_matter(tmp_path):
    x = np.random.default_rng(0).normal(size=(90, 3)).round(3)
    rows = [",".join(map(str, [*row, int(row[0] > 0)])) for row in x.tolist()]
    (tmp_path / "a.csv").write_text("a,b,c,label\n" + "\n".join(rows) + "\n")

    def trained(name, workers, window):
        spec = specs.parse({"net": "3-4-2", "epochs": 2, "batch": 8, "shards": 3, "shuffle_window": window})
        driver.train(Job(str(tmp_path / "a.csv"), str(tmp_path / name), spec), LocalRunner(workers))
        return Table(str(tmp_path / name)).with_zero("last")[1].weights.w

    own = trained("one", 1, 0)
    np.testing.assert_array_equal(trained("two", 2, 0), own)
    assert not np.array_equal(trained("shuffled", 1, 65536), own)
