"""A federation of two NameNodes, and a view of both as the default file system: all runners, as an ordinary user."""

import json
import os

import pytest

from hdl.cluster import config, folders
from tests.hadoop import own_cluster

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

ROUNDS = 3
pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A federation; the user has a folder in each namespace."""
    with own_cluster.started(
        "HDL_TEST_FEDERATION", tmp_path_factory.mktemp("federation") / "cluster", federation=True
    ) as it:
        for k in (1, 2):
            folders.Folders(it.masters.address(f"namenode_web{k}"), it.superuser).own("/tests", own_cluster.USER)
        yield it


@pytest.fixture(scope="module")
def run(cluster):
    """`run(*words)`: standard output of Python with those words, as the user, on the cluster."""
    return lambda *words: own_cluster.python(cluster, words).stdout


@pytest.fixture(scope="module")
def places(cluster):
    """The two namespaces, by their NameNodes and by the view."""
    one, two = (f"hdfs://{config.LOOPBACK}:{cluster.ports[f'namenode{k}']}/tests" for k in (1, 2))
    return {"addresses": (one, two), "view": ("viewfs://HdlView/tests", "viewfs://HdlView/second")}


@pytest.fixture(scope="module")
def train(cluster, run, places):
    """`train(runner, data, table)`: signature and rows."""
    put = "from hdl import fs; from tests.hadoop.runners import put_csv as put\nfs.exists({0!r}) or put({0!r})"
    for place in places["addresses"]:
        run("-c", put.format(f"{place}/data"))

    def train(runner, data, table):
        words = ["-m", "tests.hadoop.trial_ha", str(cluster.root), "train", runner, "-", data, table, str(ROUNDS)]
        answer = json.loads(run(*words).splitlines()[-1])
        return answer["signature"], answer["rows"]

    return train


@pytest.fixture(scope="module")
def expected(train, places, tmp_path_factory):
    return train("local", places["addresses"][0] + "/data", str(tmp_path_factory.mktemp("local") / "model"))


@pytest.mark.parametrize("by", ["addresses", "view"])
@pytest.mark.parametrize("runner", ["yarn", "mapreduce", "streaming"])
def test_data_in_one_namespace_and_the_table_in_the_other(train, expected, places, run, runner, by):
    one, two = places[by]
    if runner == "streaming":  # and the other way round
        one, two = two, one
    name = f"{runner}-{by}-{os.getpid()}"
    table = f"{two}/{name}"
    assert train(runner, f"{one}/data", table) == expected
    look = "import sys; from hdl import fs; print(fs.list(sys.argv[1]))"
    k = places[by].index(two)  # it lies there, and nowhere else
    assert name in run("-c", look, places["addresses"][k])
    assert name not in run("-c", look, places["addresses"][1 - k])


def test_ones_folders_are_in_the_view(run):
    assert (
        run("-c", "from hdl import identity; print(identity.home())").strip()
        == f"viewfs://HdlView/user/{own_cluster.USER}"
    )
