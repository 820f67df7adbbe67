"""Held-out samples by Hadoop's engines, to the byte of the local runner's: data of its own, a column, a share.

Data of its own is held out by test_every_column too, which is always run.
"""

import numpy as np
import pytest

from hdl import fs
from tests.hadoop.runners import QUIET, RUNNERS, local, signatures, train

KINDS = {
    "share": {"validation": 0.2, "holdout": {"stratified": True}},
    "column": {"holdout": {"column": "late"}},
    "path": {"holdout": {"path": ""}},
}


def put(path, n, seed):
    """A CSV file on HDFS with three features, a column that says what is held out, and a class."""
    rng = np.random.default_rng(seed)
    lines = [
        ",".join(f"{v:.4f}" for v in rng.normal(size=3) + i % 2) + f",{int(i >= n - 20)},{i % 2}" for i in range(n)
    ]
    fs.publish(path, ("a,b,c,late,class\n" + "\n".join(lines) + "\n").encode())
    return path


pytestmark = pytest.mark.full


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("runner", RUNNERS)
def test_held_out_samples_are_the_local_runners(folder, runner, kind):
    fs.mkdir(folder)
    data, own = put(f"{folder}/d.csv", 90, 0), put(f"{folder}/v.csv", 40, 1)
    fields = {key: {"path": own} if value == {"path": ""} else value for key, value in KINDS[kind].items()}
    fields |= {"shards": 2, "epochs": 1}
    expected = local(data, f"{folder}/local", **fields)
    found = train(data, f"{folder}/{runner}", RUNNERS[runner](settings=QUIET), **fields)
    assert signatures(f"{folder}/{runner}") == signatures(f"{folder}/local")
    names = ("val_samples", "val_cost", "val_accuracy", "samples")
    assert [[row.get(name) for name in names] for row in found.rows] == [
        [row.get(name) for name in names] for row in expected.rows
    ]
