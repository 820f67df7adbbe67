"""The client's side of YARN without a YARN: commands, events, logs, what is shown; no JVM is started."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hdl.cli import apps, hdl
from hdl.errors import SpecError, Unavailable
from hdl.yarn.resource_manager import class_path, launch
from hdl.yarn.resource_manager.endings import ending
from hdl.yarn.settings import Settings
from tests.unit.yarn_reports import APP, report

text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters="\0\n\r"), max_size=30)


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
        (-101, "", "node"), (-105, "", "stopped"), (-12345, "", "exited"),
    ],
)  # fmt: skip
def test_kinds_of_end(status, said, kind):
    ended, reason = ending(status, said)
    assert ended == kind
    assert said in reason


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
    from hdl.cli.yarn_flags import Memory

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
        class_path.entries()


def test_the_class_path_is_asked_for_once(bare, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "conf").mkdir()
    command = tmp_path / "bin/hadoop"
    command.write_text(f'#!/bin/sh\necho asked >>{tmp_path}/asked\necho "{tmp_path}/conf:/nowhere:{tmp_path}/asked"\n')
    command.chmod(0o755)
    bare.setenv("HADOOP_HOME", str(tmp_path))
    for _ in range(2):
        assert class_path.entries() == [f"{tmp_path}/conf", f"{tmp_path}/asked"]
    assert (tmp_path / "asked").read_text() == "asked\n"
    bare.setenv("HADOOP_CONF_DIR", "/other")
    class_path.entries()
    (tmp_path / "conf").rmdir()
    class_path.entries()  # what is kept names a folder that is gone
    assert (tmp_path / "asked").read_text() == "asked\n" * 3
    command.write_text("#!/bin/sh\necho no such thing >&2\nexit 3\n")
    with pytest.raises(Unavailable, match="no such thing"):
        class_path.entries()


def test_without_jpype_the_hint_names_the_packages_themselves(bare):
    code = "import sys; sys.modules['jpype'] = None\nfrom hdl.yarn.resource_manager import java\njava.start()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install jpype1 pyzmq" in done.stderr
    assert "hdl[" not in done.stderr
