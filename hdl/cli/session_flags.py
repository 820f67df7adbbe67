"""The flag `--session` of commands that a session can carry out, and what goes with it."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from hdl import session
from hdl.cli.common import Option
from hdl.errors import SpecError

OWN = ("runner", "workers", "threads", "device", "detach")  # a session has these of its own


def session_option(section: str) -> Option:
    """Make the flag."""
    return Option(["--session"], metavar="NAME", section=section, expose_value=True,
                  help="Use the workers of this session, which stay with their decoded data (hdl session start). It "
                       "stands for the --runner and --workers that it was started with.")  # fmt: skip


def with_session(command: click.Command) -> click.Command:
    """Add the flag to a command, whose own part is then carried out in the session's process."""
    command.params.append(session_option("Options"))
    return command


def take_session(name: str | None, run: dict[str, Any], settings: dict[str, Any]) -> None:
    """Put the session's runner and workers into a command's flags, in the session's own process.

    Parameters
    ----------
    name : str or None
        As `--session` gave it.
    run : dict
        Flags by name: `runner`, `workers`, `threads`, `device`.
    settings : dict
        Flags of the runner on YARN by name.

    Raises
    ------
    SpecError
        A flag is given that the session has of its own.
    """
    if name is None:
        return
    own = session.current
    if own is None:
        raise SpecError("--session: is for the command line; from Python: hdl.Session")
    context = click.get_current_context()
    given = [flag for flag in (*OWN, *settings) if context.get_parameter_source(flag) is ParameterSource.COMMANDLINE]
    if given:
        flags = ", ".join("--" + flag.replace("_", "-") for flag in given)
        raise SpecError(f"{flags}: session {name!r} has its own, as it was started with; leave it out, or --session")
    run |= {"runner": own.name, "workers": own.workers, "threads": own.threads, "device": own.device}
    if fewest := getattr(own, "fewest", 0):  # for what is said of them
        settings["fewest_workers"] = fewest
