"""Other programs: run to their end, or an error that says what went wrong."""

import sys

import pytest

from hdl import programs
from hdl.errors import DeadlineError, HdlError, Unavailable

SPEAKS = [sys.executable, "-c", "import sys; print('out'); print('why', file=sys.stderr); sys.exit(int(sys.argv[1]))"]
WAITS = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_program_that_succeeds_gives_its_output():
    assert programs.check([*SPEAKS, "0"], 60.0) == "out\n"


def test_any_status_comes_back_from_run():
    done = programs.run([*SPEAKS, "3"], 60.0)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "why\n")


@pytest.mark.parametrize(("failed", "begins"), [("no luck", "no luck:\n"), (None, f"failed: {sys.executable} -c ")])
def test_a_program_that_fails_is_named_with_the_end_of_its_output(failed, begins):
    with pytest.raises(HdlError) as error:
        programs.check([*SPEAKS, "3"], 60.0, failed)
    assert str(error.value).startswith(begins)
    assert str(error.value).endswith("\nout\nwhy\n")


@pytest.mark.parametrize(("late", "message"), [("too late", "^too late$"), (None, r"took more than 0\.2 s: ")])
def test_a_program_that_hangs_is_ended(late, message):
    with pytest.raises(DeadlineError, match=message):
        programs.run(WAITS, 0.2, late)


def test_hadoop_is_looked_for_in_its_home_or_on_the_path(tmp_path, monkeypatch):
    command = tmp_path / "bin/yarn"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setenv("HADOOP_HOME", str(tmp_path))
    assert programs.hadoop("yarn") == str(command)
    with pytest.raises(Unavailable, match="no hadoop: set HADOOP_HOME"):
        programs.hadoop()
    monkeypatch.delenv("HADOOP_HOME")
    monkeypatch.setenv("PATH", str(command.parent))
    assert programs.hadoop("yarn") == str(command)
