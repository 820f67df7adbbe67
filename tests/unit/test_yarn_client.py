"""The client's side of YARN without a YARN: commands, events, logs, what is shown; no JVM is started."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hdl import driver
from hdl.cli import apps, hdl
from hdl.driver import Round, Stage, Started
from hdl.errors import SpecError, Unavailable
from hdl.runners import logs
from hdl.runners.base import Job, Log, Progress, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import Spec, parse
from hdl.table import Table
from hdl.yarn.client import events, web
from hdl.yarn.client.client import Report
from hdl.yarn.client.web import NoPage
from hdl.yarn.resource_manager import java, launch
from hdl.yarn.resource_manager.hadoop import ending
from hdl.yarn.settings import Settings

APP = "application_1700000000000_0001"
URL = "http://rm:8088/proxy/app"
text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters="\0\n\r"), max_size=30)


def report(**fields):
    base = dict.fromkeys(("name", "user", "queue", "url", "host", "diagnostics"), "")
    base |= {"application": APP, "state": "RUNNING", "final": "UNDEFINED", "progress": 0.5}
    return Report(**{**base, "started": 0.0, "finished": 0.0, "attempt": 1, **fields})


@given(text)
def test_a_word_arrives_through_both_shells_as_it_was(word):
    try:
        quoted = launch.quoted(word)
    except SpecError:
        assert any(mark in word for mark in launch.REPLACED)
        return
    script = f'exec /bin/bash -c "printf %s {quoted}"'  # as YARN writes it
    assert subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout == word.encode()


@pytest.mark.parametrize("word", ["{{PATH}}", "a}}", "<LOG_DIR>", "<CPS>", "a\nb", "a\0b"])
def test_what_yarn_would_replace_is_refused(word):
    with pytest.raises(SpecError, match="YARN gives a meaning"):
        launch.command("python3", "hdl.yarn.worker", [word])


def test_a_command_holds_nothing_but_its_words_and_its_logs():
    command = launch.command("python3", "hdl.yarn.worker", ["hdfs:///user/a b"])
    assert command == "exec python3 -P -m hdl.yarn.worker 'hdfs:///user/a b' 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr"


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (0, "", "exited"), (3, "", "exited"), (137, "Killed by external signal", "exited"),
        (137, "Container killed by OOM", "memory"), (-104, "running beyond physical memory limits", "memory"),
        (-103, "", "memory"), (-102, "", "preempted"), (-100, "released on a *lost* node", "lost"),
        (-101, "", "lost"), (-105, "", "stopped"), (-12345, "", "exited"),
    ],
)  # fmt: skip
def test_kinds_of_end(status, said, kind):
    ended, reason = ending(status, said)
    assert ended == kind
    assert said in reason


EVENTS = [
    Stage("train"), Started(Spec(), 10, 3, 0), Progress("round", 1.0, 4.0), Replaced(1, (2, 3), "killed"),
    Round({"version": 1, "round": 0}), Log(1.5, "a worker was replaced"),
]  # fmt: skip


def test_events_come_back_from_the_pages_json():
    from hdl.yarn.dashboard.state import plain

    for event in EVENTS:
        fields = json.loads(json.dumps({"kind": type(event).__name__, **plain(event)}))
        assert events.event_from(fields) == event


@pytest.mark.parametrize("fields", [{}, {"kind": "New"}, {"kind": "Stage"}, {"kind": "Stage", "name": "a", "b": 1},
                                    {"kind": "Started", "spec": {"net": 3}, "samples": 1, "rounds": 1, "version": 0},
                                    {"kind": []}])  # fmt: skip
def test_events_that_nobody_knows_are_let_pass(fields):
    assert events.event_from(fields) is None


@pytest.fixture
def page(monkeypatch):
    """`page[path] = answer`: what the page of `URL` answers; of other paths that there is none."""
    answers = {}

    def read_json(url, seconds=0.0):
        answer = answers.get(url.removeprefix(URL), NoPage("404"))
        if isinstance(answer, NoPage):
            raise answer
        return answer

    monkeypatch.setattr(web, "read_json", read_json)
    return answers


def test_events_are_asked_for_from_the_next_one_on(page):
    page["/events.json?since=0"] = {"next": 7, "events": [{"kind": "Stage", "name": "train"}, 5, {"kind": "?"}]}
    assert events.events_of(f"{URL}/", 0) == (7, [Stage("train")])
    with pytest.raises(NoPage, match="404"):
        events.events_of(URL, 7)


@pytest.mark.parametrize("answer", [[1], {"next": "x"}, {"events": []}, "x", None])
def test_a_page_that_is_no_masters_has_no_events(page, answer):
    page["/events.json?since=3"] = answer
    with pytest.raises(NoPage, match="not the page of a master"):
        events.events_of(URL, 3)


@pytest.mark.parametrize("url", ["", "N/A", "file:///etc/passwd"])
def test_there_may_be_no_page(url):
    with pytest.raises(NoPage, match="expected the address of a page"):
        events.page(url, "status.json")


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until a test sets it on."""
    now = [1000.0]
    monkeypatch.setattr(events, "time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: 0.0))
    return now


def trained(folder):
    """Train a small network in a folder; returns the events."""
    data = folder / "samples.csv"
    data.write_text("a,b,class\n" + "".join(f"{n % 5},{n % 7},{n % 2}\n" for n in range(40)))
    told = []
    spec = parse({"net": "0-3-0", "epochs": 3, "batch": 8})
    driver.train(Job(str(data), str(folder / "table"), spec), LocalRunner(1, 1), told.append)
    return [event for event in told if isinstance(event, (Started, Round))]


def test_where_the_page_refuses_it_is_said_why_and_rounds_come_from_the_table(page, clock, tmp_path):
    page["/events.json?since=0"] = NoPage("it asks for Kerberos, and there is no ticket: kinit", lasting=True)
    told, table = [], tmp_path / "table"
    source = events.Source(events.Listener(told.append, lambda: str(table)))
    for share in 0.0, 0.02, 0.06, 0.08, 0.5:
        source.poll(report(url=URL, progress=share, diagnostics=""))
        clock[0] += events.TABLE_SECONDS
    said = [event.text for event in told]
    assert said[0].startswith("no live progress: it asks for Kerberos, and there is no ticket: kinit. ")
    assert said[1:] == ["YARN: running, 6 % done", "YARN: running, 50 % done"]
    del told[:]
    expected = trained(tmp_path)
    for _ in range(3):
        source.poll(report(url=URL, progress=0.5))
        clock[0] += events.TABLE_SECONDS
    assert told == expected
    del told[:]
    page["/events.json?since=0"] = {"next": 2, "events": [{"kind": "Stage", "name": "train"}]}  # after kinit
    clock[0] += events.AGAIN_SECONDS
    source.poll(report(url=URL, progress=0.5))
    assert [getattr(event, "text", event) for event in told] == [
        "the application's page is there again",
        Stage("train"),
    ]


def test_a_page_that_is_silent_for_long_is_told_once_and_one_that_starts_is_not(page, clock):
    told = []
    source = events.Source(events.Listener(told.append, lambda: "/nowhere"))
    for _ in range(4):
        source.poll(report(url=URL, progress=0.0))
        clock[0] += 1.0
    assert told == []
    for _ in range(40):
        clock[0] += 1.0
        source.poll(report(url=URL, progress=0.0))
    assert [event.text.partition(". ")[0] for event in told] == ["no live progress: 404"]


def test_each_round_is_told_once():
    told = []
    heard = events.Listener(told.append)
    for event in (EVENTS[1], Round({"version": 1}), Round({"version": 2}), EVENTS[1], Round({"version": 2}),
                  Round({"version": 3})):  # fmt: skip
        heard.tell(event)
    heard.wait(events.Waiting("ACCEPTED", ""))
    heard.wait(events.Waiting("ACCEPTED", ""))
    assert told == [EVENTS[1], *(Round({"version": v}) for v in (1, 2, 3)), events.Waiting("ACCEPTED", "")]


def test_the_layers_of_a_stack_are_told_apart():
    told = []
    heard = events.Listener(told.append)
    one, two, whole = (Started(Spec(layer=layer), 10, 2, 0) for layer in (1, 2, 0))
    rounds = [Round({"version": version}) for version in (1, 2)]
    for event in (one, *rounds, two, rounds[0]):
        heard.tell(event)
    for event in (replace(one, version=2), replace(two, version=1), rounds[1], whole, *rounds):  # of another master
        heard.tell(event)
    assert told == [one, *rounds, two, *rounds, whole, *rounds]


def test_what_was_not_told_of_layers_is_told_at_the_end(tmp_path):
    data = tmp_path / "samples.csv"
    data.write_text("a,b,class\n" + "".join(f"{n % 5},{n % 7},{n % 2}\n" for n in range(40)))
    spec = parse({"model": "dbn", "net": "0-3-2-0", "epochs": 2, "pretrain": {"epochs": 2}, "batch": 8})
    seen, told = [], []
    outcome = driver.train(Job(str(data), str(tmp_path / "table"), spec), LocalRunner(1, 1), seen.append)
    seen = [event for event in seen if isinstance(event, (Started, Round))]
    heard = events.Listener(told.append)
    for event in seen[:2]:
        heard.tell(event)
    for name in ("table/layer1", "table/layer2", "table"):
        table = Table(str(tmp_path / name))
        heard.rest(table, table.rows())
    assert told == seen
    assert len(outcome.rows) == 2


def test_what_yarn_waits_for_is_said_without_its_figures():
    said = "[Sat Nov 21 15:23:01 +0000 2026] waiting for resources.  Details : AM Partition = <DEFAULT_PARTITION> ; …"
    assert events.waits_for(said) == "waiting for resources."
    assert events.waits_for("") == ""


def test_logs_are_the_files_that_hold_something():
    one = (
        "Container: container_1_1_01_000001 on a_1\nLogAggregationType: AGGREGATED\n====\nLogType:stderr\nLogLength:0\n"
    )
    one += "LogContents:\n\nEnd of LogType:stderr\n****\n\n"
    two = one.replace("stderr", "stdout").replace("LogContents:\n\n", "LogContents:\n\n\nhello\n  world\n\n")
    assert [*logs._with_headings(logs._contents((one + two).splitlines()))] == [
        "==== container_1_1_01_000001 on a_1, stdout", "hello", "  world", "",
    ]  # fmt: skip


def test_the_page_is_shown_as_it_is():
    row = {"round": 4, "cost": 0.5, "accuracy": 0.75, "val_cost": None, "val_accuracy": None, "seconds": {"round": 0.2}}
    workers = [
        {"worker": 0, "host": "[red]a\x1b[31m", "shards": [0, 1], "state": "busy", "seconds": 1.0, "staleness": None},
        {"worker": 1, "host": "b", "shards": [2], "state": "busy", "seconds": 3.0, "staleness": 2},
        {"worker": 2, "host": "c", "shards": [3], "state": "busy", "seconds": None, "staleness": 0},
    ]
    page = {"application": APP, "state": "running", "stage": "train", "rounds": 9, "round": 5, "rows": [row],
            "workers": workers, "messages": [{"time": 0, "text": "[bold]a fault"}]}  # fmt: skip
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(apps._view(report(), page))
    shown = console.export_text()
    assert "round 5 of 9" in shown
    assert "75.00 %" in shown
    assert "[red]a" in shown
    assert "\x1b" not in shown
    assert "[bold]a fault" in shown
    assert [line.split()[0] for line in shown.splitlines() if "straggler" in line] == ["1"]


@pytest.mark.parametrize(("size", "mib"), [("2g", 2048), ("1536m", 1536), ("1.5 GiB", 1536), ("512MB", 512)])
def test_memory(size, mib):
    from hdl.cli.train import Memory

    assert Memory().convert(size, None, None) == mib


@pytest.mark.parametrize("flag", [["--queue", "q"], ["--worker-gpus", "1"], ["--detach"], ["--master-memory", "2g"]])
def test_flags_of_yarn_are_refused_elsewhere(flag):
    result = CliRunner().invoke(hdl, ["train", "data", "--out", "table", *flag])
    assert isinstance(result.exception, SpecError)
    assert f"{flag[0]}: for --runner yarn only (given --runner local)" in str(result.exception)


@pytest.mark.parametrize("fields", [{"memory": 1}, {"gather_seconds": 0}, {"silence_seconds": float("inf")}])
def test_settings_are_checked(fields):
    with pytest.raises(SpecError, match=next(iter(fields))):
        Settings.make(**fields)


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """No Hadoop of this machine's, and a home of the test's own."""
    for name in [*os.environ]:
        if name.startswith(("HADOOP_", "YARN_")) or name in ("CONTAINER_ID", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def test_no_hadoop_is_told_with_how_to_get_one(bare):
    with pytest.raises(Unavailable, match="hdl cluster start"):
        java.class_path()


def test_the_class_path_is_asked_for_once(bare, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "conf").mkdir()
    command = tmp_path / "bin/hadoop"
    command.write_text(f'#!/bin/sh\necho asked >>{tmp_path}/asked\necho "{tmp_path}/conf:/nowhere:{tmp_path}/asked"\n')
    command.chmod(0o755)
    bare.setenv("HADOOP_HOME", str(tmp_path))
    for _ in range(2):
        assert java.class_path() == [f"{tmp_path}/conf", f"{tmp_path}/asked"]
    assert (tmp_path / "asked").read_text() == "asked\n"
    bare.setenv("HADOOP_CONF_DIR", "/other")
    java.class_path()
    (tmp_path / "conf").rmdir()
    java.class_path()  # what is kept names a folder that is gone
    assert (tmp_path / "asked").read_text() == "asked\n" * 3
    command.write_text("#!/bin/sh\necho no such thing >&2\nexit 3\n")
    with pytest.raises(Unavailable, match="no such thing"):
        java.class_path()


def test_without_jpype_the_hint_names_the_packages_themselves(bare):
    code = "import sys; sys.modules['jpype'] = None\nfrom hdl.yarn.resource_manager import java\njava.start()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install jpype1 pyzmq" in done.stderr
    assert "hdl[" not in done.stderr


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
