"""A task of a Hadoop job: before it begins, and its statistics."""

import os

import pytest

from hdl import wire
from hdl.runners import task_messages
from hdl.runners.task import act_for_submitter
from hdl.runners.task_stats import TaskStats, phases


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"CONTAINER_ID": "container_1", "USER": "ada"}, "ada"),
        ({"CONTAINER_ID": "container_1", "USER": "ada", "HADOOP_USER_NAME": "bob"}, "bob"),
        ({"USER": "ada"}, None),
        ({"CONTAINER_ID": "container_1"}, None),
    ],
    ids=["in a container", "another name was given", "on no cluster", "no user"],
)
def test_hdfs_knows_a_task_by_its_submitter(monkeypatch, given, expected):
    for name in ("CONTAINER_ID", "USER", "HADOOP_USER_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    act_for_submitter()
    assert os.environ.get("HADOOP_USER_NAME") == expected


SPAN = {"kind", "began", "ended", "host"}
WORK = {"shards", "samples", "batches", "bad", "read", "compute"}


def map_stats(**fields):
    return TaskStats("map", 10.0, shards=[2, 3], samples=7, read=1.5, compute=2.5, **fields)


@pytest.mark.parametrize(
    ("stats", "names"),
    [
        (TaskStats("reduce", 10.0), SPAN),
        (map_stats(), SPAN | WORK),
        (map_stats(capabilities={"isa": "avx2", "gpu": "", "code": "sm_90"}), SPAN | WORK | {"isa", "gpu", "code"}),
    ],
    ids=["reduce", "map of a round", "map that summarises"],
)
def test_statistics_come_back_from_a_message_with_fields_of_one_level(stats, names):
    message = stats.end()
    kind, fields, tensors = wire.unpack(message)
    assert (kind, set(fields), tensors) == ("note", names, {})
    results, received = task_messages.separate([message, b"".join(wire.parts("update", {}))])
    assert received == [stats]
    assert len(results) == 1


def test_a_jobs_seconds_are_split_on_its_longest_way():
    early, late, reduced = map_stats(), map_stats(), TaskStats("reduce", 15.0)
    early.ended, late.ended, reduced.ended = 14.0, 15.0, 18.0
    assert phases([early, late, reduced], 8.0, 20.0) == {
        "start": 2.0, "read": 1.5, "compute": 2.5, "shuffle": 3.0, "finish": 2.0,
    }  # fmt: skip
    assert phases([reduced], 8.0, 20.0) == {}
