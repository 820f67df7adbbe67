"""Logs of an application: what `yarn logs` prints, and why there may be none."""

import time
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from hdl.cli import hdl
from hdl.runners import logs
from hdl.yarn.resource_manager import launch
from tests.unit.yarn_reports import APP, report


def test_logs_are_the_files_that_hold_something():
    one = (
        "Container: container_1_1_01_000001 on a_1\nLogAggregationType: AGGREGATED\n====\nLogType:stderr\nLogLength:0\n"
    )
    one += "LogContents:\n\nEnd of LogType:stderr\n****\n\n"
    two = one.replace("stderr", "stdout").replace("LogContents:\n\n", "LogContents:\n\n\nhello\n  world\n\n")
    assert [*logs._with_headings(logs._contents((one + two).splitlines()))] == [
        "==== container_1_1_01_000001 on a_1, stdout", "hello", "  world", "",
    ]  # fmt: skip


@pytest.fixture
def yarn_logs(monkeypatch, tmp_path):
    """`yarn_logs(script)`: makes `yarn` a shell script, and a configuration folder that a test fills."""
    monkeypatch.setenv("HADOOP_HOME", str(tmp_path))
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/yarn"

    def make(script, collected):
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        site = f"<property><name>yarn.log-aggregation-enable</name><value>{collected}</value></property>"
        (tmp_path / "yarn-site.xml").write_text(f"<configuration>{site}</configuration>")

    return make


@pytest.mark.parametrize(
    ("state", "script", "collected", "said"),
    [
        ("RUNNING", "echo log4j:WARN x >&2; echo Can not get it. >&2; exit 1", True, "`yarn logs` says: Can not get"),
        ("RUNNING", "echo Unable to ask the node >&2", False, "says: Unable to ask the node; try again, or:"),
        ("FINISHED", "echo 12:54:19 INFO X: hello >&2", True, "nothing was said, or the nodes have not handed it over"),
        ("FINISHED", "exit 1", False, "is over, and the full log is on the nodes, in yarn.nodemanager.log-dirs: "),
    ],
)  # fmt: skip
def test_why_there_is_no_log_is_one_sentence(yarn_logs, monkeypatch, state, script, collected, said):
    from hdl.yarn.client import client

    yarn_logs(script, str(collected).lower())
    monkeypatch.setattr(client, "report", lambda application: report(state=state))
    result = CliRunner().invoke(hdl, ["logs", APP])
    assert said in str(result.exception)
    assert result.output == ""


def test_nodes_that_may_show_logs_to_nobody_are_told_as_such(yarn_logs, tmp_path):
    yarn_logs("", "true")
    assert logs.hidden() == ""
    site = tmp_path / "yarn-site.xml"
    lists = "<property><name>yarn.acl.enable</name><value>true</value></property></configuration>"
    site.write_text(site.read_text().replace("</configuration>", lists))
    assert "ask nobody who they are" in logs.hidden()
    spnego = "org.apache.hadoop.security.AuthenticationFilterInitializer"
    one = f"<property><name>{logs.FILTERS}</name><value>{spnego}</value></property>"
    (tmp_path / "core-site.xml").write_text(f"<configuration>{one}</configuration>")
    assert logs.hidden() == ""


def test_nobody_waits_for_logs_that_are_never_collected(yarn_logs, monkeypatch):
    yarn_logs("exit 1", "false")
    waits = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: pytest.fail("it waits"))
    monkeypatch.setattr(logs, "time", waits)
    assert logs.log_tail(APP) == ""
    assert "this cluster does not collect logs" in logs.where(APP)
    yarn_logs("exit 1", "true")
    assert logs.where(APP) == f"the full log: yarn logs -applicationId {APP}"


def test_an_application_that_yarn_hides_is_told_as_its_owners(monkeypatch):
    from hdl.yarn.client import client

    monkeypatch.setattr(client, "report", lambda application: report(user="ada", attempt=-1))
    monkeypatch.setattr(launch, "user", lambda: "bob")
    for command in "status", "logs", "attach":
        result = CliRunner().invoke(hdl, [command, APP])
        assert str(result.exception) == (
            f"{APP} (running) is ada's, and bob may not look at it: its owner lets you by `hdl train --view-acl bob`"
        )
