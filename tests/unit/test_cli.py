"""The command line as a whole: one-line errors, statuses, quick help."""

import subprocess
import sys

import click
import pytest

import hdl
from hdl import cli, errors


@pytest.fixture
def fails(monkeypatch):
    """Make `hdl doctor` raise a given error."""

    def raising(error):
        def body(**_):
            raise error

        monkeypatch.setattr(cli.hdl, "get_command", lambda ctx, name: click.Command("doctor", callback=body))

    return raising


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.SpecError("x"), 2),
        (errors.DataError("x"), 3),
        (errors.TableError("x"), 4),
        (errors.NonFinite("x"), 5),
        (errors.WorkerError("x"), 6),
        (errors.DeadlineError("x"), 7),
        (errors.Unavailable("x"), 8),
        (errors.Interrupted("x"), 130),
    ],
)
def test_each_error_has_its_status_and_one_line(error, status, fails, capsys):
    fails(error)
    assert cli.run(["doctor"]) == status
    assert capsys.readouterr() == ("", "hdl: error: x\n")


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (KeyboardInterrupt(), "interrupted", 130),
        (PermissionError(13, "Permission denied", "/a b"), "/a b: Permission denied", 1),
        (MemoryError(), "not enough memory", 1),
        (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0 (unexpected; --traceback shows where)", 1),
    ],
)
def test_other_errors_are_one_line_too(error, line, status, fails, capsys):
    fails(error)
    assert cli.run(["doctor"]) == status
    assert capsys.readouterr().err.strip() == f"hdl: error: {line}"


def test_traceback_on_demand(fails, capsys, monkeypatch):
    fails(errors.SpecError("x"))
    monkeypatch.setenv("HDL_TRACEBACK", "1")
    assert cli.run(["doctor"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["trian"], "did you mean 'train'?"),
        (["frobnicate"], "expected one of train"),
        (["train", "--epohcs", "3"], "--epoch"),
        (["train", "data"], "--out"),
        (["train", "--out", "t"], "DATA"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_words_say_what_was_expected(args, said, capsys):
    assert cli.run(args) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert told.err.startswith("hdl: error: ")
    assert told.err.count("\n") == 1


def test_version(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"hdl {hdl.__version__}\n"


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_help(name, capsys):
    assert cli.run([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: hdl {name} ")
    assert "spec_" not in told


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from hdl import cli; cli.run(['--help']);"
        "heavy = {'numpy', 'pyarrow', 'pydantic', 'rich', 'matplotlib'} & set(sys.modules); sys.exit(str(heavy or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    for name in cli.COMMANDS:
        assert f"  {name} " in done.stdout
    assert "130 interrupted" in done.stdout


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m hdl doctor | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
