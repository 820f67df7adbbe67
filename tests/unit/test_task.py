"""What a task of a Hadoop job does before it begins."""

import os

import pytest

from hdl.runners.task import act_for_submitter


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
