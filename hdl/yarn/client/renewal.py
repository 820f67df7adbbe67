"""The client's part in fresh tokens: what it must keep of an application, and the master's supply while it follows.

Where the master has no keytab, only a user with a ticket can take fresh tokens. The client that submitted an
application made its keys, so it can speak to the master on the control channel; it keeps the pair that is its own (it
opens nothing else) in a file that its user alone can read, so that `hdl attach` can do the same.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hdl import fs, kerberos, scratch
from hdl.errors import HdlError
from hdl.yarn.comm.control import Client
from hdl.yarn.comm.credentials import CLIENT, Credentials, WorkerCredentials
from hdl.yarn.names import MASTER_ADDRESS
from hdl.yarn.protocol import FreshTokens, TokensTaken, read_tokens_taken
from hdl.yarn.resource_manager import java, tokens
from hdl.yarn.resource_manager.lifetimes import Lifetime, Renewer, limit

ANSWER_SECONDS = 20.0


@dataclass(frozen=True)
class Application:
    """Holds what the client keeps of an application on a cluster with Kerberos.

    Parameters
    ----------
    name : str
        Its id.
    staging : str
        Its folder.
    file_systems : list of str
    lifetime : Lifetime
        Of the newest tokens that the master was given from here.
    every : float
        See `Settings.renew_seconds`.
    keytab : bool
        The master has a keytab, and needs nobody.
    keys : dict of str to str
        The client's own, of the control channel.
    """

    name: str
    staging: str
    file_systems: list[str]
    lifetime: Lifetime
    every: float
    keytab: bool
    keys: dict[str, str]

    def __repr__(self) -> str:
        return f"<Application {self.name}: keys not shown>"


_submitted: dict[str, Application] = {}  # by this process


def keep(
    name: str, staging: str, file_systems: list[str], lifetime: Lifetime, every: float, keytab: bool,
    credentials: Credentials,
) -> None:  # fmt: skip
    """Keep what is needed to hand an application's master fresh tokens; on disk, unless it has a keytab."""
    public, secret = credentials.curve(CLIENT)
    keys = {"public": public.decode(), "secret": secret.decode(), "master": credentials.curve("master")[0].decode()}
    known = _submitted[name] = Application(name, staging, file_systems, lifetime, every, keytab, keys)
    if keytab:
        return
    with suppress(OSError):  # without a home only this process can do it
        _write(known)


def forget(name: str) -> None:
    """Remove what was kept of an application that is over."""
    _submitted.pop(name, None)
    with suppress(OSError):
        _file(name).unlink()


def kept(parent: str) -> list[str]:
    """List the applications with a folder below `parent` of which something is kept here."""
    names = sorted(path.stem for path in _folder().glob("*.json"))
    return [name for name in names if (known := _read(name)) and os.path.dirname(known.staging) == parent]


def limit_of(name: str, followed: bool) -> str | None:
    """Say until when an application that this process has submitted can run, where that has an end."""
    known = _submitted.get(name)
    if known is None:
        return None
    ticket = None if known.keytab else kerberos.ticket()
    ends = (ticket.renewable_until or ticket.end) if ticket else None
    return limit(known.lifetime, known.keytab, followed, ends)


@contextmanager
def following(name: str) -> Iterator[Callable[[], list[str]]]:
    """Supply an application's master with fresh tokens within this context, if it needs that from here.

    Yields
    ------
    function
        Returns what people should know since it was called last.
    """
    known = _submitted.get(name) or _read(name)
    if known is None or known.keytab:
        yield lambda: []
        return
    said: deque[str] = deque()
    own = known

    def hand(content: bytes, lifetime: Lifetime) -> None:
        nonlocal own
        _send(own, content, lifetime)
        own = replace(own, lifetime=lifetime)
        with suppress(OSError):
            _write(own)

    renewer: Renewer[bytes] = Renewer(known.lifetime, lambda: _obtain(own), hand, said.append, known.every)
    renewer.start()
    try:
        yield lambda: [said.popleft() for _ in range(len(said))]
    finally:
        renewer.stop()


def _obtain(known: Application) -> tuple[bytes, Lifetime]:
    conf = java.configuration(java.IMPATIENT)
    return tokens.by_ticket(lambda: tokens.take_fresh(conf, known.file_systems))


def _send(known: Application, content: bytes, lifetime: Lifetime) -> None:
    """Hand fresh tokens to the master, on its encrypted control channel.

    Raises
    ------
    HdlError
        It is not there, or does not take them.
    """
    address = master_address(known.staging)
    keys = {name: value.encode() for name, value in known.keys.items()}
    connection = Client(WorkerCredentials(b"", b"", CLIENT, keys["public"], keys["secret"], keys["master"]), address)
    try:
        message = FreshTokens(base64.b64encode(content).decode(), lifetime.taken, lifetime.until)
        connection.send(message.to_dict())
        answer = _answer(connection, lifetime.taken)
    finally:
        connection.close()
    if answer is None:
        raise HdlError(f"the master at {address} has not answered within {ANSWER_SECONDS:g} s, to take fresh tokens")
    if answer.error:
        raise HdlError(answer.error)


def _answer(connection: Client, taken: float) -> TokensTaken | None:
    until = time.monotonic() + ANSWER_SECONDS
    while (received := connection.receive(max(0.0, until - time.monotonic()))) is not None:
        answer = read_tokens_taken(received)
        if answer.taken == taken:
            return answer
    return None


def master_address(staging: str) -> str:
    """Return the address of the latest attempt's master."""
    prefix = MASTER_ADDRESS.partition("{")[0]
    names = [name for name in fs.list(staging) if name.startswith(prefix)]
    if not names:
        raise HdlError("the application's master has not started yet")
    with fs.open(fs.join(staging, max(names))) as file:
        return str(json.loads(file.read())["control"])


# --- the file ---------------------------------------------------------------------------------------------------------


def _folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "hdl/applications"


def _file(name: str) -> Path:
    return _folder() / f"{name}.json"


def _write(known: Application) -> None:
    """Write the file for `hdl attach`: whole, and its user's alone."""
    path = _file(known.name)
    scratch.make_private(str(path.parent))
    scratch.replace(path, json.dumps(asdict(known)))


def _read(name: str) -> Application | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        if _file(name).stat().st_uid == os.getuid():
            fields: dict[str, Any] = json.loads(_file(name).read_text())
            return Application(**{**fields, "lifetime": Lifetime(**fields["lifetime"])})
    return None
