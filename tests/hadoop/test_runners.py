"""The product's signature on a real cluster: the same bytes from the local, MapReduce, Streaming and YARN runners."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

from hdl import fs
from hdl.data import write_shards
from hdl.data.find import open_source
from hdl.errors import DataError, NonFinite, SpecError, WorkerError
from hdl.runners.base import Job, Progress
from hdl.runners.local import LocalRunner
from hdl.runners.uber import UBER
from hdl.spec import parse
from hdl.table import Table
from tests.hadoop.runners import MODES, QUIET, RUNNERS, local, put_csv, signatures, train
from tests.hadoop.yarn_jobs import YarnThere

ALL = {**RUNNERS, **({"yarn": YarnThere} if find_spec("jpype") and find_spec("zmq") else {})}


@pytest.fixture(scope="module")
def data(cluster):
    path = put_csv("hdfs:///tests/runners/data")
    yield path
    fs.remove("hdfs:///tests/runners")


@pytest.fixture(scope="module")
def trained(data, archive):
    """`trained(mode)`: signatures and metrics of 3 rounds by runner, made when they are first asked for.

    Jobs wait most of the time, so they run side by side.
    """

    @cache
    def trained(mode):
        def one(name):
            table = f"hdfs:///tests/runners/{name}-{mode}"
            runner = LocalRunner(1) if name == "local" else ALL[name](archive=archive, settings=QUIET)
            outcome = train(data, table, runner, **MODES[mode])
            rows = [{k: v for k, v in row.items() if k not in ("seconds", "time")} for row in outcome.rows]
            return name, (signatures(table), rows)

        with ThreadPoolExecutor(4) as pool:
            return dict(pool.map(one, ("local", *ALL)))

    return trained


@pytest.mark.full  # test_every_column.py has a round of each runner, test_by_hand.py one of samples that are text
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ALL)
def test_three_rounds_give_the_local_runners_bytes(trained, name, mode):
    expected, rows = trained(mode)["local"]
    actual, same_rows = trained(mode)[name]
    assert actual == expected
    assert same_rows == rows
    assert len(expected) >= 4
    assert len(set(expected.values())) > 1


@pytest.mark.full  # test_yarn.py has it, and tests/runner/test_streaming_pipe.py of a mapper
@pytest.mark.parametrize("name", ["mapreduce", "streaming"])
def test_a_bad_sample_is_told_with_its_place_and_the_job(cluster, folder, archive, name):
    data = put_csv(f"{folder}/bad", bad=50)
    table = f"{folder}/model"
    place = r"part-00002\.csv:6: column 2 \('b'\): 'x' is not a number"
    with pytest.raises(DataError, match=rf"(?s){place}.*application_\d+_\d+; the full log: yarn logs -app") as error:
        train(data, table, RUNNERS[name](archive=archive, settings=QUIET))
    assert error.value.line == 6
    assert not Table(table).numbers()
    assert fs.list(f"hdfs:///user/{os.environ['HADOOP_USER_NAME']}/.hdl/jobs") == []


def test_data_on_this_machine_is_refused_with_the_way_to_hdfs(cluster, csv_here):
    with pytest.raises(SpecError, match="reads HDFS; `hdl import`"):
        train(csv_here, "hdfs:///tests/nowhere", RUNNERS["mapreduce"]())


@pytest.fixture
def csv_here(tmp_path):
    path = tmp_path / "here.csv"
    path.write_text("a,class\n1,0\n2,1\n")
    return str(path)


@pytest.mark.full
@pytest.mark.parametrize("name", RUNNERS)
def test_without_the_combiner_and_outside_of_the_master_the_bytes_are_the_same(data, archive, folder, name):
    def both(mode):
        fields = MODES[mode] | {"epochs": 1}  # a job outside of the master takes half a minute; every round is alike
        local(data, f"{folder}/{mode}-local", **fields)
        runner = RUNNERS[name](archive=archive, combiner=False, uber=False, settings=QUIET)
        train(data, f"{folder}/{mode}", runner, **fields)
        return signatures(f"{folder}/{mode}"), signatures(f"{folder}/{mode}-local")

    with ThreadPoolExecutor(2) as pool:
        for actual, expected in pool.map(both, ["average", "genetic"]):
            assert actual == expected
            assert len(actual) >= 2


@pytest.mark.full
def test_two_reducers_take_whole_subtrees(data, archive, folder):
    fields = MODES["average"] | {"epochs": 1}
    local(data, f"{folder}/local", **fields)
    settings = QUIET | {"mapreduce.job.reduces": 2}
    runner = RUNNERS["mapreduce"](archive=archive, settings=settings)
    train(data, f"{folder}/model", runner, **fields)
    assert runner.counters["Job Counters"]["Launched reduce tasks"] == 2
    assert signatures(f"{folder}/model") == signatures(f"{folder}/local")


@pytest.mark.full
def test_uint8_travels_to_streaming_as_typed_bytes(cluster, archive, folder, datasets):
    write_shards(open_source(str(datasets("mnist")) + ":test"), f"{folder}/digits", shards=3)
    fields = {"net": "0-10-0", "shards": 3, "epochs": 1, "batch": 100, "optimizer": "sgd"}
    local(f"{folder}/digits", f"{folder}/one", **fields)
    train(f"{folder}/digits", f"{folder}/two", RUNNERS["streaming"](archive=archive, settings=QUIET), **fields)
    assert signatures(f"{folder}/one") == signatures(f"{folder}/two")


@pytest.mark.full
@pytest.mark.parametrize("form", ["text", "imported"])
def test_seconds_and_prices_give_the_same_bytes(cluster, archive, folder, form):
    """A column that float32 cannot hold, one that never changes, and targets far from 0: centred before they travel."""
    rng = np.random.default_rng(0)
    fs.mkdir(f"{folder}/text")
    for number in range(4):
        rows = [f"{1.7e9 + 60 * rng.random():.2f},{b:.4f},7,{250_000 + 9e4 * b:.2f}" for b in rng.normal(size=30)]
        text = "\n".join(([] if number else ["a,b,c,price"]) + rows) + "\n"
        fs.publish(f"{folder}/text/part-{number:05d}.csv", text.encode())
    if form == "imported":
        write_shards(open_source(f"{folder}/text"), f"{folder}/imported", shards=4)
    fields = {"shards": 4, "epochs": 1}
    local(f"{folder}/{form}", f"{folder}/local", **fields)
    assert {"center", "constants", "target_mean"} <= set(Table(f"{folder}/local").read(0).schema)

    def one(name):
        train(f"{folder}/{form}", f"{folder}/{name}", ALL[name](archive=archive, settings=QUIET), **fields)
        return signatures(f"{folder}/{name}")

    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(one, ALL):
            assert found == signatures(f"{folder}/local")


@pytest.mark.full
def test_a_cost_that_is_not_finite_is_told_and_nothing_is_published(cluster, data, archive, folder):
    fields = {"optimizer": {"name": "sgd", "lr": 1e30}, "loss": "squared", "activation": "linear", "epochs": 5}
    with pytest.raises(NonFinite, match="application_"):
        train(data, f"{folder}/model", RUNNERS["mapreduce"](archive=archive, settings=QUIET), **fields)
    assert Table(f"{folder}/model").read().number >= 0


@pytest.mark.full
def test_a_node_without_our_python_is_told_with_what_it_said(cluster, data, folder):
    with pytest.raises(WorkerError, match=r"(?s)application_\d+_\d+ failed.*no-such-python.*yarn logs"):
        train(data, f"{folder}/model", RUNNERS["mapreduce"](python="/no-such-python", uber=False, settings=QUIET))


@pytest.mark.full
def test_tasks_run_beside_their_blocks(cluster, run, archive, folder):
    """Four files of one replica each on two DataNodes: every task runs on the node that has its file."""
    data = put_csv(f"{folder}/data")
    run("hadoop", "fs", "-setrep", "-w", 1, data)
    events = []
    runner = RUNNERS["mapreduce"](archive=archive, uber=False, settings=QUIET)
    with runner:
        spec = parse({"shards": 4})
        runner.open(Job(data, f"{folder}/model", spec), open_source(data).splits(4), events.append)
        assert runner.summarise().samples == 90
    assert runner.counters["Job Counters"]["Data-local map tasks"] == 4
    assert runner.counters["hdl"]["samples"] == 90
    assert any(isinstance(event, Progress) and event.done for event in events)


def test_uber_takes_a_master_that_holds_a_task():
    assert UBER["yarn.app.mapreduce.am.resource.mb"] >= 1024
