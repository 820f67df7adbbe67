"""Sends a command line to a session and waits for its end: the session writes to this process's own terminal.

As `chg` does for Mercurial, the standard output and error travel with the command, so that all looks as without a
session; what travels is the command line as JSON, and nothing is unpickled. Ctrl-C is sent on, and ends the command
and not the session. If this process dies, what runs goes on, and what waits is dropped.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from hdl.errors import DeadlineError, WorkerError
from hdl.session import places

# What decides how text is shown; all else of the environment is the session's own.
SHOWN = ("COLUMNS", "LINES", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "HDL_TRACEBACK")


def named(args: Sequence[str]) -> str | None:
    """Return the session that a command line names; None where it names none.

    Examples
    --------
    >>> named(["train", "data", "--session", "mine"]), named(["train", "--session=mine"]), named(["train", "data"])
    ('mine', 'mine', None)
    """
    for place, word in enumerate(args):
        if word == "--":
            break
        if word == "--session":
            return args[place + 1] if place + 1 < len(args) else None
        if word.startswith("--session="):
            return word.partition("=")[2]
    return None


def run(
    name: str, args: Sequence[str], out: int = 1, err: int = 2, waiting: Callable[[int], Any] | None = None,
    passed_on: Callable[[], Any] = lambda: None, sent: Callable[[Any], Any] = lambda channel: None,
) -> int:  # fmt: skip
    """Have a session carry out a command line; returns its exit status.

    Parameters
    ----------
    name : str
    args : sequence of str
        After the program's name.
    out, err : int
        Descriptors that it writes to.
    waiting : function of int, optional
        Told how many commands come before this one, where there are any.
    passed_on : function
        Called each time that a Ctrl-C was sent on.
    sent : function of a channel
        Called when the command has been sent: another thread may `interrupt` it.

    Raises
    ------
    SpecError, WorkerError
        There is no such session, or its process dies.
    """
    channel = places.connect(name)
    mask = os.umask(0o077)
    os.umask(mask)
    shown = {key: os.environ[key] for key in SHOWN if key in os.environ}
    with channel, _stopping(channel):
        command = {"do": "run", "args": [*args], "folder": os.getcwd(), "umask": mask, "shown": shown,
                   "version": places.version()}  # fmt: skip
        places.send(channel, command, [out, err])
        sent(channel)
        channel.settimeout(None)  # the session says how the command ends, or its process ends and the channel with it
        while True:
            try:
                message, _ = places.receive(channel)
            except KeyboardInterrupt:
                interrupt(channel)
                passed_on()
                continue
            except (EOFError, ConnectionError):
                raise WorkerError(places.died(name, places.read_record(places.place(name)))) from None
            if "status" in message:
                return int(message["status"])
            if waiting and message.get("before"):
                waiting(message["before"])


def interrupt(channel: Any) -> None:
    """Send a Ctrl-C on to the command that went through a channel."""
    places.send(channel, {"do": "interrupt"})


class _stopping:
    """Takes a request to terminate like Ctrl-C, as a training without a session does."""

    def __init__(self, channel: Any):
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> None:
        if self._main:
            self._before = signal.signal(signal.SIGTERM, _interrupted)

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGTERM, self._before)


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def ask(name: str, what: str, **fields: Any) -> dict[str, Any]:
    """Ask a session for one thing, `state`, `stop` or `forget`; returns its answer.

    Raises
    ------
    SpecError, WorkerError
        There is no such session, or it does not answer.
    """
    with places.connect(name) as channel:
        places.send(channel, {"do": what, **fields})
        try:
            return places.receive(channel)[0]
        except (EOFError, ConnectionError, TimeoutError):
            raise WorkerError(f"session {name!r} does not answer") from None


def wait_end(name: str, seconds: float = 60.0) -> None:
    """Wait until a session's process has ended.

    Raises
    ------
    DeadlineError
    """
    until, own = time.monotonic() + seconds, places.place(name)
    while own.is_dir():
        try:
            held = places.lock(own, new=False)
        except FileNotFoundError:  # it goes with its process
            return
        if held is not None:
            os.close(held)
            return
        if time.monotonic() > until:
            raise DeadlineError(f"session {name!r} has not ended within {seconds:g} s; its log: {own / places.LOG}")
        time.sleep(0.02)


def tell_waiting(before: int) -> None:
    """Say on standard error that others come first."""
    print(f"the session is busy: {before} command{'s' * (before > 1)} before this one", file=sys.stderr, flush=True)
