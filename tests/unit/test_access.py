"""Access control lists and tags, from the command line to what YARN and MapReduce are told."""

import json

import pytest
from click.testing import CliRunner

from hdl.cli import hdl
from hdl.cli.access import take_access
from hdl.errors import SpecError
from hdl.runners import access
from hdl.runners.base import Job
from hdl.runners.hadoop import HadoopRunner
from hdl.spec import Spec
from hdl.yarn.settings import Settings, from_task_config, to_task_config

NONE = {"view_acl": None, "modify_acl": None, "tags": (), "bare_python": None}


@pytest.mark.parametrize("text", ["", "*", "ada", "ada,bob", "ada,bob analysts,ops", " analysts"])
def test_lists_stay_as_yarn_writes_them(text):
    assert access.acl(text) == text
    assert access.acl(f"{text} " if text else " ") == text


@pytest.mark.parametrize(
    "text", ["ada, bob", "ada bob eve", "ada,", ",ada", "ada  ops", "ada\nops", " a b", "ada ops,"]
)
def test_lists_that_yarn_would_read_as_others_are_refused(text):
    """To YARN 'ada, bob' is the user ada and the group bob."""
    with pytest.raises(SpecError, match="--view-acl: expected users, one blank, groups") as error:
        access.acl(text, "--view-acl")
    assert repr(text) in str(error.value)


def test_tags_are_written_small_and_once():
    assert access.tags(["Nightly", " digits ", "NIGHTLY"]) == ("nightly", "digits")


@pytest.mark.parametrize("given", [[""], ["a,b"], ["ä"], ["a\tb"], ["x" * 101], [str(k) for k in range(11)]])
def test_tags_that_yarn_would_refuse_are_refused(given):
    with pytest.raises(SpecError, match="--tag: expected at most"):
        access.tags(given, "--tag")


def test_flags_become_settings_of_the_yarn_runner_and_reach_its_master():
    values = {"view_acl": "bob analysts", "modify_acl": None, "tags": ("Nightly",), "other": 1}
    fields = take_access(values, "yarn")
    assert values == {"other": 1}
    made = Settings.make(workers=2, **fields)
    config = json.loads(json.dumps(to_task_config(Job("hdfs:///d", "hdfs:///t", Spec()), made)))
    assert from_task_config(config)[1] == made
    assert (made.view_acl, made.modify_acl, made.tags) == ("bob analysts", "", ("nightly",))


@pytest.mark.parametrize("runner", ["mapreduce", "streaming"])
def test_flags_become_properties_of_jobs(runner):
    fields = take_access({"view_acl": " ops", "modify_acl": "bob", "tags": ("a", "b")}, runner)
    assert fields == {
        "settings": {
            "mapreduce.job.acl-view-job": " ops", "mapreduce.job.acl-modify-job": "bob", "mapreduce.job.tags": "a,b",
        }
    }  # fmt: skip


def test_a_jobs_properties_have_them(monkeypatch):
    class Runner(HadoopRunner):
        name = "none"

        def _command(self, properties, out):
            return [], {}

        def _collect(self, out):
            return []

    runner = Runner(**take_access({**NONE, "view_acl": "bob"}, "mapreduce"))
    assert runner.settings["mapreduce.job.acl-view-job"] == "bob"
    assert runner.settings["mapreduce.job.reduces"] == 1  # the runner's own are still there


def test_a_python_of_the_nodes_is_named_once(monkeypatch):
    for name in "HDL_NODE_PYTHON", "HDL_NODE_ARCHIVE":
        monkeypatch.delenv(name, raising=False)
    named = {**NONE, "bare_python": "/opt/python3"}
    assert Settings.make(**take_access(dict(named), "yarn")).bare_python == "/opt/python3"
    assert take_access(dict(named), "streaming")["bare_python"] == "/opt/python3"
    monkeypatch.setenv("HDL_NODE_ARCHIVE", "hdfs:///env.tar.gz")
    with pytest.raises(SpecError, match=r"--python /opt/python3: HDL_NODE_ARCHIVE names .*hdfs:///env.tar.gz"):
        take_access(dict(named), "yarn")


def test_without_flags_nothing_is_asked_for():
    for runner in "yarn", "mapreduce", "local":
        assert take_access(dict(NONE), runner) == {}


@pytest.mark.parametrize(
    "flag", [["--view-acl", "bob"], ["--modify-acl", "bob"], ["--tag", "a"], ["--python", "python3"]]
)
def test_flags_of_a_cluster_are_refused_elsewhere(flag):
    result = CliRunner().invoke(hdl, ["train", "data", "--out", "table", *flag])
    assert isinstance(result.exception, SpecError)
    assert f"{flag[0]}: for --runner yarn or mapreduce or streaming (given --runner local)" in str(result.exception)


@pytest.mark.parametrize("fields", [{"view_acl": "a, b"}, {"modify_acl": "a b c"}, {"tags": ("ä",)}])
def test_settings_are_checked(fields):
    with pytest.raises(SpecError, match=next(iter(fields))):
        Settings.make(**fields)


def test_a_tag_is_for_the_list_alone(monkeypatch):
    result = CliRunner().invoke(hdl, ["status", "application_1_0001", "--tag", "a"])
    assert "--tag is for the list, without an APP." in (result.output + str(result.exception))
