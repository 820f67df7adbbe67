"""The application's fault matrix on a real cluster: the bytes of a run without faults, in seconds, and nothing left.

`fault_rows` says what is done and promised. Each trial prints a line of JSON with what it cost.
"""

import json

import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from hdl import fs, identity
from tests.hadoop.fault_rows import ROWS
from tests.hadoop.fault_trial import Trial, expecting
from tests.hadoop.runners import put_csv

HOME = "hdfs:///tests/yarn-faults"
# On a node whose disk is full workers are lost and replaced too.
CHEAP = ("master-mid-round", "node-disk-full")
TIMES = 3


@pytest.fixture(scope="module")
def begin(cluster, tmp_path_factory):
    """`begin(name)`: a trial of a row, with a table of its own."""
    data, here = put_csv(f"{HOME}/data"), tmp_path_factory.mktemp("faults")
    expected, count = expecting(data, here), iter(range(1000))
    yield lambda name: Trial(
        name, cluster, data, f"{HOME}/{name}-{next(count)}", expected, f"{identity.home()}/.hdl", here
    )
    fs.remove(HOME)


@pytest.mark.parametrize("again", [1, *(pytest.param(time, marks=pytest.mark.full) for time in range(2, TIMES + 1))])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in CHEAP else pytest.mark.full) for name in ROWS]
)  # fmt: skip
def test_a_fault_costs_what_is_promised_and_changes_no_byte(begin, name, again):
    figures = begin(name).run(secrets=False)
    print(json.dumps(figures))
    assert not figures["broken"], figures.get("said")
