"""The command line: `hdl COMMAND …`, also `python -m hdl COMMAND …`.

Results go to standard output, progress and messages to standard error. Commands are imported when
they are called, so that `hdl --help` answers at once; what they import (numpy, pyarrow, matplotlib)
they import inside their functions.
"""

from __future__ import annotations

import atexit
import errno
import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence

import click

from hdl import quick
from hdl.errors import HdlError, WorkerError

# name: (module, what it does), in the order in which a user meets them
COMMANDS = {
    "train": ("hdl.cli.train", "Train a network on DATA and keep its versions in a table."),
    "session": ("hdl.cli.session", "Keep workers and decoded data from one command to the next."),
    "search": ("hdl.cli.search", "Try hyper-parameters on DATA, and keep the best network."),
    "evaluate": ("hdl.cli.evaluate", "Measure a table's network on DATA."),
    "predict": ("hdl.cli.predict", "Write the network's answers for DATA, in input order."),
    "encode": ("hdl.cli.predict", "Write what the hidden units say of DATA, as new features."),
    "sample": ("hdl.cli.sample", "Draw from what an RBM or a deep belief network has learned."),
    "inspect": ("hdl.cli.inspect", "Show what a table, or one version of it, holds."),
    "repair": ("hdl.cli.repair", "Show whose the versions of a table are, and keep one run's."),
    "report": ("hdl.cli.inspect", "Make the HTML report of a table."),
    "status": ("hdl.cli.apps", "Show what the applications on YARN are doing."),
    "logs": ("hdl.cli.apps", "Print what an application's processes said."),
    "attach": ("hdl.cli.apps", "Follow an application that was submitted with --detach."),
    "kill": ("hdl.cli.apps", "End an application on YARN."),
    "export": ("hdl.cli.export", "Write the network as an ONNX file."),
    "import": ("hdl.cli.convert", "Convert any supported data to Parquet shards."),
    "doctor": ("hdl.cli.inspect", "Show what this machine offers, and how to get what is missing."),
    "cluster": ("hdl.cluster.cli", "Start, stop and look at a Hadoop on this machine, to try hdl on."),
    "env": ("hdl.cli.env", "Pack the Python environment for a cluster's nodes."),
}

EPILOG = """\b
Exit codes: 0 success; 1 anything not listed; 2 a flag or the spec is wrong; 3 the data is wrong;
4 the table is missing, damaged or already there; 5 weights or cost became NaN or infinite;
6 a worker failed; 7 a deadline passed; 8 something optional is not there; 9 a GPU failed;
10 Hadoop does not let you in (Kerberos); 130 interrupted.
HDL_TRACEBACK=1 or --traceback shows where an error came from."""


class _Stopped(Exception):
    """Carries a KeyboardInterrupt past click, which would print an empty line of its own."""


class Hdl(click.Group):
    """The group of all commands; imports a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return getattr(importlib.import_module(COMMANDS[name][0]), f"{name}_") if name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Stopped from error

    def resolve_command(self, ctx: click.Context, args: list[str]):
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from hdl.cli.common import version

        click.echo(f"hdl {version()}")
        ctx.exit()


@click.group(
    cls=Hdl,
    epilog=EPILOG,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.option("--traceback", is_flag=True, expose_value=False, help="Show a traceback on errors.")
def hdl() -> None:
    """hdl trains neural networks where the data already is.

    Begin with:  hdl train DATA --out TABLE
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status.

    Parameters
    ----------
    args : sequence of str, optional
        Arguments after the program's name; `sys.argv[1:]` if not given.
    """
    args = list(sys.argv[1:] if args is None else args)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files that are no text go out as they came in
            unicode = stream.encoding.lower().startswith("utf")
            stream.reconfigure(errors="surrogateescape" if unicode else "backslashreplace")
    status = run(args)
    if kerberos := sys.modules.get("hdl.kerberos"):
        kerberos.end()  # here, since os._exit below calls nobody
    # A thread of Java that calls Python, as JPype's own that clears references does, or returns to it, is ended by a
    # Python that is ending, and the C++ code between the two then aborts the process.
    if not {"jpype", "hdl.yarn.client.connection"} & sys.modules.keys():  # the latter's thread may be starting it
        if not quick.begun:  # a program that is not hdl's has more to do
            sys.exit(status)
        atexit._run_exitfuncs()
    quick.leave(status)  # Python would take down module after module for longer than a small command takes


def run(args: list[str]) -> int:
    """Run the command line and return its status; errors become one line on standard error."""
    traceback_wanted = "--traceback" in args or os.environ.get("HDL_TRACEBACK", "") not in ("", "0")
    if not traceback_wanted:  # what overflows ends as NonFinite, in one line
        warnings.filterwarnings("ignore", category=RuntimeWarning)
    try:
        status = hdl.main(args or ["--help"], prog_name="hdl", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BaseException as error:  # the one place where errors end
        if isinstance(error, (_Stopped, click.Abort)) and error.__cause__ is not None:
            error = error.__cause__
            if sys.stderr.isatty():
                click.echo(err=True)  # the terminal shows ^C on the line
        if isinstance(error, SystemExit):
            return error.code if isinstance(error.code, int) else 1
        if traceback_wanted:
            import traceback

            traceback.print_exception(error)
        message, status = explain(error)
        if not isinstance(error, BrokenPipeError):  # `hdl inspect … | head`: the reader has seen enough
            click.echo(f"hdl: error: {message}", err=True)
        try:
            sys.stdout.flush()
        except OSError:  # what it has not taken goes nowhere: Python, when it ends, would fail at it again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status


def explain(error: BaseException) -> tuple[str, int]:
    """Put an error into the one line that a user is shown, and return that line with the exit status."""
    if isinstance(error, HdlError):
        text = str(error) or type(error).__name__
        if not isinstance(error, WorkerError):  # its message holds the worker's own standard error, line by line
            first, *listed = text.split("\n  ")  # each of several columns or records on a line of its own
            if listed:
                first += f"{'' if first.endswith(':') else ':'} {'; '.join(map(str.strip, listed))}"
            text = " ".join(first.split("\n"))
        return text, error.exit_code
    if isinstance(error, click.ClickException):
        command = getattr(getattr(error, "ctx", None), "command_path", "hdl")
        hint = f" (see {command} --help)" if isinstance(error, click.UsageError) else ""
        return error.format_message() + hint, 2
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return "interrupted", 130
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory", 1
    if isinstance(error, OSError) and error.strerror:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)  # of what was copied the target is
        place = (error.filename2 if full else None) or error.filename or ("standard output" if full else "")
        return f"{place}: {error.strerror}" if place else error.strerror, 1
    return f"{type(error).__name__}: {error} (unexpected; --traceback shows where)", 1
