"""Unix sockets between containers of one application on one host, in a folder that is their user's alone.

YARN gives all containers of an application on a node the same folder (LOCAL_DIRS), and removes it with the
application. A listener has a socket there beside its port, under its address. Who connects is proved as on TCP, by
mutual TLS with the application's key; then each side tells the other, still encrypted, which process it is, and holds
that against what the kernel says of the connection's other end. So nobody stands between the two, and as bytes of a
Unix socket do not leave the kernel, they go on without encryption.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hdl.yarn.comm.channel import tune

VARIABLE = "LOCAL_DIRS"  # YARN's, for its containers: the application's folders on this node, by comma
NAME = "hdl-sockets"
_CREDENTIALS = struct.Struct("3i")  # process, user, group: socket(7), SO_PEERCRED
_told: set[str] = set()

Address = tuple[str, int]


class LocalError(OSError):
    """Says why a Unix socket is not used; the connection goes over TCP."""


def listen(address: Address) -> socket.socket | None:
    """Listen on a Unix socket that stands for an address of this host; None: there is no folder for it."""
    try:
        with _folder(make=True) as folder:
            if folder is None:
                return None
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            path = _path(folder, address)
            try:
                with suppress(FileNotFoundError):
                    os.unlink(path)  # of a process that was killed: the port is ours now
                made.bind(path)
                made.listen(256)
            except BaseException:
                made.close()
                raise
            return made
    except OSError as error:
        tell(f"no Unix socket for the other containers of this host: {error}")
        return None


def forget(address: Address) -> None:
    """Remove the socket that stands for an address."""
    with suppress(OSError), _folder() as folder:
        if folder is not None:
            os.unlink(_path(folder, address))


def connect(address: Address, seconds: float) -> socket.socket | None:
    """Connect to the Unix socket that stands for an address; None: it is not of a container of this host.

    Raises
    ------
    OSError
        The folder or what listens there is not to be trusted.
    """
    with _folder() as folder:
        if folder is None:
            return None
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            channel.settimeout(seconds)
            channel.connect(_path(folder, address))
            tune(channel)
            return channel
        except (FileNotFoundError, ConnectionRefusedError):  # another host's, or it has ended
            channel.close()
            return None
        except BaseException:
            channel.close()
            raise


def myself() -> dict[str, int]:
    """Tell which process this is: its number, and in which space numbers are given."""
    return {"process": os.getpid(), "space": os.stat("/proc/self/ns/pid").st_ino}


def check_user(channel: socket.socket) -> None:
    """Check that the other end is of this process's user.

    Raises
    ------
    LocalError
    """
    user = _other_end(channel)[1]
    if user != os.geteuid():
        raise LocalError(f"the other end is of user {user}; expected {os.geteuid()}")


def check_process(channel: socket.socket, told: Any) -> None:
    """Check that the other end is the process that it told to be, so that nobody stands between.

    Raises
    ------
    LocalError
        It is another one, or counts processes in another space.
    """
    process, own = _other_end(channel)[0], myself()
    if not isinstance(told, dict) or told != {"process": process, "space": own["space"]} or process <= 0:
        raise LocalError(f"the other end is process {process} by the kernel, and told to be {str(told)[:100]}")


def tell(text: str) -> None:
    """Tell something in this process's log, once."""
    if text not in _told:
        _told.add(text)
        print(f"hdl: {text}; TCP is used", file=sys.stderr)


def _other_end(channel: socket.socket) -> tuple[int, int]:
    """Ask the kernel which process and user connected or listened."""
    content = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _ = _CREDENTIALS.unpack(content)
    return process, user


@contextmanager
def _folder(make: bool = False) -> Iterator[int | None]:
    """Open the folder of this node's containers of the application; None if there is none.

    Raises
    ------
    OSError
        It cannot be made, or is not this user's alone.
    """
    first = os.environ.get(VARIABLE, "").split(",")[0]
    if not first or not hasattr(socket, "SO_PEERCRED"):
        yield None
        return
    path = os.path.join(first, NAME)
    try:
        if make:
            with suppress(FileExistsError):
                os.mkdir(path, 0o700)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        if make:
            raise
        yield None
        return
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise LocalError(f"{path} is of user {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o}; expected 700")
        yield descriptor
    finally:
        os.close(descriptor)


def _path(folder: int, address: Address) -> str:
    """Name the socket of an address. A container's folder has a long name, and a Unix socket's may have 107 bytes."""
    return f"/proc/self/fd/{folder}/{address[0].replace('/', '_')}:{address[1]}"
