"""Where a user's sessions are found: a folder of mode 700 for each, with its record, its socket and its log.

Only the standard library is imported: a command that goes to a session begins its first round a moment later.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hdl
from hdl.errors import SpecError, WorkerError

RECORD, SOCKET, LOG, LOCK = "session.json", "socket", "log", "lock"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MESSAGE_BYTES = 1 << 17  # of one message at most
_PEER = struct.Struct("3i")  # process, user, group: socket(7), SO_PEERCRED


def folder() -> Path:
    """Return the folder of this user's sessions."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "hdl/sessions"


def version() -> str:
    """Return the version of hdl: a session takes commands of its own alone."""
    return hdl.__version__


def place(name: str) -> Path:
    """Return a session's folder.

    Raises
    ------
    SpecError
        The text is no name of a session.
    """
    if not NAME.fullmatch(name):
        raise SpecError(f"a session's name: expected up to 64 letters, digits, '.', '_', '-' (given {name!r})")
    return folder() / name


def names() -> list[str]:
    """List the names of this user's sessions, those too whose process has died."""
    if not folder().is_dir():
        return []
    return sorted(each.name for each in folder().iterdir() if NAME.fullmatch(each.name) and (each / RECORD).exists())


def write_record(own: Path, record: dict[str, Any]) -> None:
    """Write what a session is, as JSON."""
    fresh = own / f"{RECORD}.{os.getpid()}"
    with open(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        json.dump(record, file)
    fresh.replace(own / RECORD)


def read_record(own: Path) -> dict[str, Any]:
    """Read what a session is; empty if there is none."""
    try:
        text = (own / RECORD).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    check_private(own)
    return json.loads(text)


def check_private(own: Path) -> None:
    """Refuse a folder that another user could have made, or can look into.

    Raises
    ------
    SpecError
    """
    status = os.stat(own)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        rights = f"uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):o}"
        raise SpecError(f"{own}: expected a folder of ours (uid {os.geteuid()}) with mode 700 (it is of {rights})")


def lock(own: Path, new: bool = True) -> int | None:
    """Take a session's lock, which its process holds while it lives; None if another process has it.

    Parameters
    ----------
    own : Path
    new : bool
        Make it where there is none. False: the session is there, or may go at any moment.

    Raises
    ------
    FileNotFoundError
        The session has gone with its folder, where no lock is to be made.
    """
    held = os.open(own / LOCK, (os.O_CREAT if new else 0) | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held


def remove(own: Path) -> None:
    """Remove a session's folder."""
    import shutil

    shutil.rmtree(own, ignore_errors=True)


def listen(own: Path) -> socket.socket:
    """Listen on a session's socket."""
    check_private(own)
    (own / SOCKET).unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with _address(own) as address:
        made.bind(address)
    os.chmod(own / SOCKET, 0o600)
    made.listen(64)
    return made


def connect(name: str, seconds: float = 10.0) -> socket.socket:
    """Connect to a session's process.

    Raises
    ------
    SpecError
        There is no such session, or its process has ended.
    WorkerError
        It does not take connections.
    """
    own = place(name)
    record = read_record(own)
    if not record:
        known = ", ".join(names())
        has = f"there is: {known}" if known else "there is none"
        raise SpecError(f"no session {name!r}; {has}. Start it with: hdl session start --name {name}")
    if record["host"] != socket.gethostname():
        raise SpecError(f"session {name!r} runs on {record['host']}; this is {socket.gethostname()}")
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.settimeout(seconds)
    try:
        with _address(own) as address:
            channel.connect(address)
    except (ConnectionRefusedError, FileNotFoundError):
        channel.close()
        raise SpecError(died(name, record)) from None
    except TimeoutError:
        channel.close()
        raise WorkerError(
            f"session {name!r} (process {record.get('pid')}) takes no command for {seconds:g} s"
        ) from None
    if (user := peer(channel)) != os.geteuid():
        channel.close()
        raise SpecError(f"{own / SOCKET}: who listens there is uid {user}; expected ourselves, uid {os.geteuid()}")
    return channel


def died(name: str, record: dict[str, Any]) -> str:
    """Say of a session whose process is gone how to go on."""
    ended = record.get("ended")
    what = f"session {name!r} has ended: {ended}" if ended else f"the process of session {name!r} has died"
    application = (
        ""
        if ended or not record.get("application")
        else (f" Its application {record['application']} ends by itself, or by: hdl kill {record['application']}.")
    )
    return (
        f"{what}; what was trained is in its table up to the last version.{application} "
        f"Start it again with: {record.get('command', 'hdl session start')}; then --resume goes on"
    )


def peer(channel: socket.socket) -> int:
    """Return the user at the other end of a connection, as the kernel knows it."""
    return _PEER.unpack(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]


def send(channel: socket.socket, message: dict[str, Any], files: list[int] | None = None) -> None:
    """Send a message, and with it open files."""
    content = json.dumps(message).encode()
    if len(content) > MESSAGE_BYTES:
        raise SpecError(f"a command of {len(content)} bytes; a session takes up to {MESSAGE_BYTES}")
    if files:
        socket.send_fds(channel, [content], files)
    else:
        channel.sendall(content)


def receive(channel: socket.socket, files: int = 0) -> tuple[dict[str, Any], list[int]]:
    """Receive a message, and up to so many open files; EOFError at the end of the connection."""
    if files:
        content, held, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, files)
    else:
        content, held = channel.recv(MESSAGE_BYTES), []
    if not content:
        raise EOFError
    return json.loads(content), list(held)


def gone(channel: socket.socket) -> bool:
    """Tell whether the other end of a connection is closed."""
    poll = select.poll()  # a socket with a timeout would wait for it, whatever the flags
    poll.register(channel, select.POLLIN)
    if not poll.poll(0):
        return False
    try:
        return not channel.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


@contextmanager
def _address(own: Path) -> Iterator[str]:
    """Name a session's socket: the folder's path may be longer than a socket's may be, its descriptor is not."""
    held = os.open(own, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{held}/{SOCKET}"
    finally:
        os.close(held)
