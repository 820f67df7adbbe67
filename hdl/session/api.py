"""`hdl.Session`: a session as a context manager, for Python and notebooks."""

from __future__ import annotations

import html
import os
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from typing import TYPE_CHECKING, Any, Self

from hdl import errors, fs
from hdl.errors import HdlError, Interrupted, WorkerError
from hdl.session import client

if TYPE_CHECKING:
    from hdl.predict import Model

SHOW_SECONDS = 0.2  # between two changes of a notebook's display
LINES = 12  # that it shows


class Session:
    """Workers that stay, and take one training after the other: `hdl session` for Python.

    Parameters
    ----------
    runner : {'local', 'yarn'}
    workers : int or str
        As `--workers` has it.
    name : str, optional
        By which commands use it too (`--session NAME`); None: one of its own.
    **flags
        Of `hdl session start`, such as ``idle="2h"`` or ``worker_memory="2g"``.

    Raises
    ------
    SpecError, WorkerError, DeadlineError
        As of `hdl session start`.

    Examples
    --------
    >>> with Session("local", workers=2) as session:  # doctest: +SKIP
    ...     model = session.train("digits.csv", out="digits", epochs=20)
    """

    def __init__(self, runner: str = "local", workers: int | str = 1, name: str | None = None, **flags: Any):
        self.name = name or f"python-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._own = True
        self._start(["--runner", runner, "--workers", str(workers), "--name", self.name, *words(flags)])

    @classmethod
    def attach(cls, name: str) -> Session:
        """Use a session that runs; the end of the context leaves it."""
        client.ask(name, "state")
        session = cls.__new__(cls)
        session.name, session._own = name, False
        return session

    def _start(self, flags: Sequence[str]) -> None:
        from hdl import cli

        with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as said:
            status = cli.run(["session", "start", *flags])
        if status:
            raise error_of(status, said.getvalue())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session, if it was started here; safe to call twice."""
        if self._own:
            self._own = False
            with suppress(HdlError):
                client.ask(self.name, "stop")
                client.wait_end(self.name)

    def train(self, data: str, out: str | None = None, **flags: Any) -> Model:
        """Train a network, as `hdl train` does.

        Parameters
        ----------
        data : str
        out : str, optional
            Folder of the table; None: one of a new name, beside data on HDFS, else in the working folder.
        **flags
            Of `hdl train`, such as ``label="churned"``, ``epochs=20`` or ``resume=True``.

        Raises
        ------
        HdlError
            As the training raised it; Interrupted at Ctrl-C, which leaves the session.
        """
        from hdl.predict import Model

        out = out or _free(data)
        self.run(["train", os.fspath(data), "--out", os.fspath(out), *words(flags)])
        return Model(out)

    def run(self, args: Sequence[str]) -> str:
        """Carry out a command line, without `hdl` and `--session`; returns what it prints."""
        display = _display(args)
        out, err = _Pipe(lambda line: None), _Pipe(display.line)
        try:
            status = client.run(self.name, [*args, "--session", self.name], out.end, err.end)
        finally:
            out.close()
            err.close()
        display.done(status, out.text())
        if status:
            raise error_of(status, err.text())
        return out.text()

    @property
    def state(self) -> dict[str, Any]:
        """What `hdl session list --json` says of it."""
        return client.ask(self.name, "state")

    def __repr__(self) -> str:
        return f"<Session {self.name}>"

    def _repr_html_(self) -> str:
        try:
            state = self.state
        except HdlError as error:
            return f"<p>{html.escape(str(error))}</p>"
        running = "; ".join(f"hdl {' '.join(args)}" for args in state["running"]) or "idle"
        facts = {"session": self.name, "runner": state["runner"], "workers": state["settings"]["workers"],
                 "runs": running, "waiting": len(state["waiting"]), "done": state["done"],
                 **{f"decoded: {one['data']}": f"{one['bytes'] / 2**20:.1f} MiB" for one in state["kept"]}}  # fmt: skip
        return _table({name: str(value) for name, value in facts.items()})


def words(flags: dict[str, Any]) -> list[str]:
    """Write flags as a command line has them.

    Examples
    --------
    >>> words({"label": "y", "no_report": True, "epochs": 3, "resume": False, "ignore": ["a", "b"]})
    ['--label', 'y', '--no-report', '--epochs', '3', '--ignore', 'a', '--ignore', 'b']
    """
    found = []
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            found.append(flag)
        elif value is not False and value is not None:
            each = value if isinstance(value, (list, tuple)) else [value]
            found += [word for one in each for word in (flag, str(one))]
    return found


def _free(data: str) -> str:
    """Name a table that is not there yet."""
    stem = re.sub(r"\W+", "-", os.path.basename(data.split(",")[0].rstrip("/")).split(".")[0]).strip("-") or "model"
    folder = os.path.dirname(data.split(",")[0].rstrip("/")) if fs.is_remote(data) else "."
    number = 1
    while fs.exists(path := fs.join(folder, f"{stem}-model-{number}")):
        number += 1
    return path


def error_of(status: int, said: str) -> HdlError:
    """Make the error that a command ended with of what it said."""
    _, found, text = said.rpartition("hdl: error: ")
    text = text.strip() if found else said.strip() or f"the command ended with status {status}"
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HdlError)]
    if status == Interrupted.exit_code:
        return Interrupted(text)
    return next((kind for kind in kinds if kind.exit_code == status), WorkerError)(text)


class _Pipe:
    """A pipe whose lines are told as they come."""

    def __init__(self, tell: Callable[[str], Any]):
        start, self.end = os.pipe()
        self._file, self._lines = os.fdopen(start, errors="replace"), list[str]()
        self._tell = tell
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._file:
            self._lines.append(line)
            self._tell(line.rstrip("\n"))

    def text(self) -> str:
        """Return all that came."""
        return "".join(self._lines)

    def close(self) -> None:
        """Wait for the end of what comes."""
        os.close(self.end)
        self._thread.join(10.0)
        if not self._thread.is_alive():
            self._file.close()


class _Plain:
    """Shows a command's lines on standard error, and what it prints on standard output."""

    def line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def done(self, status: int, out: str) -> None:
        print(out, end="", flush=True)


class _Rich(_Plain):
    """Shows a command as one display of a notebook: a bar, its last lines, and in the end its results."""

    def __init__(self, args: Sequence[str], show: Callable[[str], Any]):
        self._title, self._show, self._lines, self._at = f"hdl {' '.join(args)}", show, list[str](), 0.0
        self._share = 0.0

    def line(self, text: str) -> None:
        self._lines.append(text)
        if match := re.match(r"round (\d+)/(\d+)", text):
            self._share = int(match[1]) / max(1, int(match[2]))
        if time.monotonic() - self._at > SHOW_SECONDS:
            self._at = time.monotonic()
            self._show(self._html())

    def done(self, status: int, out: str) -> None:
        self._share = self._share if status else 1.0
        rows = [line.split(None, 1) for line in out.splitlines() if line.strip()]
        pairs = [re.split(r"\s{2,}", line, maxsplit=1) for line in out.splitlines() if line.strip()]
        known = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
        self._show(self._html() + (_table(known) if known and len(known) == len(rows) else f"<pre>{_safe(out)}</pre>"))

    def _html(self) -> str:
        last = "\n".join(self._lines[-LINES:])
        bar = f"<progress max='1' value='{self._share:.3f}' style='width:30em'></progress>"
        return f"<div><code>{_safe(self._title)}</code><br>{bar}<pre>{_safe(last)}</pre></div>"


def _display(args: Sequence[str]) -> _Plain:
    """Choose how a command is shown: in a notebook as one display."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "kernel"):
        return _Plain()
    display = __import__("IPython.display", fromlist=["display"])
    handle = display.display(display.HTML(""), display_id=True)
    return _Rich(args, lambda text: handle.update(display.HTML(text)))


def _safe(text: str) -> str:
    return html.escape(text)


def _table(facts: dict[str, str]) -> str:
    """Make an HTML table of names and values."""
    rows = "".join(f"<tr><th style='text-align:left'>{_safe(a)}</th><td>{_safe(b)}</td></tr>" for a, b in facts.items())
    return f"<table>{rows}</table>"
