"""HDFS without a Java virtual machine, through hdfs-native, which is written in Rust.

What it cannot do is left to Hadoop's own client: see `hdl.hdfs_client.Unable` and `hdl.hdfs_choice`.
"""

from __future__ import annotations

import errno
import io
import os
import posixpath
import re
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from hdl import hadoop_conf, identity
from hdl.hdfs_answers import first_line, understood, within
from hdl.hdfs_client import Client, Info, Names, Unable
from hdl.hdfs_native_files import Reading, Writing

TRIAL_SECONDS = 5.0  # for the first answer
CALL_SECONDS = 60.0  # for one step: hdfs-native itself waits for ever
ABSENT_SECONDS = 10.0  # that a NameNode may be away, which restarts
FAILOVER_SECONDS = 60.0  # that of several NameNodes none may be active
# Names that hdl makes unique: what has such a name is our own, and may be begun again.
TEMPORARY = re.compile(r"/\.[^/]*\.[0-9a-f]{32}\.tmp(/|$)")

# With these it would ask a KMS for the keys of encryption zones, which has not been tried.
KEYS = ("hadoop.security.key.provider.path", "dfs.encryption.key.provider.uri")


class Native:
    """Reaches one HDFS through hdfs-native.

    The methods are those of `hdl.hdfs_client.Client`, and may raise Unable.

    Parameters
    ----------
    authority : str
        Address of the NameNode, or name of several, as in a path.
    settings : mapping
        As `hdl.hadoop_conf.read` returns them.
    other : Client
        Goes on reading a file where hdfs-native fails.
    """

    def __init__(self, authority: str, settings: Mapping[str, str], other: Client):
        import hdfs_native

        self._library, self.other = hdfs_native, other
        self._secure = settings.get("hadoop.security.authentication", "simple") != "simple"
        self._patience = FAILOVER_SECONDS if several(authority, settings) else ABSENT_SECONDS
        umask = _umask(settings)
        self._folder_mode = 0o777 & ~umask
        self._replication = _number(
            settings.get("dfs.replication", "3")
        )  # what is not set is as Hadoop's client has it
        self._written = {
            "permission": 0o666 & ~umask,
            "block_size": _number(settings.get("dfs.blocksize", "128m")),
            "replication": max(self._replication, 2),  # of an erasure-coded file one is told: see `create`
        }
        url, known = _target(authority, settings)
        try:
            own = {name: value for name, value in settings.items() if name not in KEYS}
            self._raw = hdfs_native.Client(url, {**own, **known}, os.devnull)  # no folder: it would read it otherwise
        except Exception as error:
            raise Unable(first_line(error)) from error
        self.failure = ""  # why it is not to be used any more

    def tried(self) -> Native:
        """Ask for the root, once and not for long; returns itself.

        Raises
        ------
        Unable
        """
        try:
            within(TRIAL_SECONDS, self._raw.get_file_info, "/")
        except Exception as error:
            raise Unable(first_line(understood("", error)[1])) from error
        return self

    def info(self, path: str) -> Info:
        status = self._call(path, self._raw.get_file_info, _name(path))
        changed = status.modification_time / 1000
        return Info(status.isdir, status.length, status.permission & 0o1777, status.owner, status.group, changed)

    def entries(self, path: str) -> Names:
        statuses = self._call(path, lambda name: [*self._raw.list_status(name)], _name(path))
        return [posixpath.basename(each.path.rstrip("/")) for each in statuses]

    def open(self, path: str, size: int) -> io.RawIOBase:
        return Reading(self, path, size)

    def opened(self, path: str) -> Any:
        """Open a file; returns hdfs-native's own object."""
        return self._call(path, self._raw.read, _name(path))

    def whole(self, path: str, size: int) -> bool:
        """Tell whether all blocks of a file that is still open are complete, and hold so many bytes together."""
        try:
            return self._raw.read(_name(path)).size == size > 0
        except Exception:  # it is asked again, or closed meanwhile
            return False

    def create(self, path: str) -> io.RawIOBase:
        name = _name(path)
        # Where the answer of a NameNode was lost, the file is there at the second try.
        overwrite = bool(TEMPORARY.search(name))
        options = self._library.WriteOptions(overwrite=overwrite, create_parent=False, **self._written)
        file = self._call(path, self._raw.create, name, options)
        if self._call(path, self._raw.get_file_info, name).replication == 1:
            # It would write the parity of a Reed-Solomon code whatever the folder's code is.
            self._call(path, self._raw.delete, name, False)
            raise Unable("hdfs-native does not write every erasure code")
        if self._replication == 1:
            self._call(path, self._raw.set_replication, name, 1)
        return Writing(self, path, file)

    def rename(self, source: str, target: str) -> None:
        try:
            self._call(target, self._raw.rename, _name(source), _name(target), False)
        except FileNotFoundError as error:  # or it was done, and the answer was lost: `Hdfs` looks
            raise OSError(errno.EIO, "is not there to be renamed", source) from error

    def delete(self, path: str) -> None:
        self._call(path, self._raw.delete, _name(path), True)

    def mkdirs(self, path: str) -> None:
        self._call(path, self._raw.mkdirs, _name(path), self._folder_mode, True)

    def hosts(self, path: str, start: int, length: int) -> list[Names] | None:
        raise Unable("hdfs-native does not tell where a file's blocks are")

    def chmod(self, path: str, mode: int) -> None:
        self._call(path, self._raw.set_permission, _name(path), mode)

    def user(self, path: str) -> str:
        if self._secure:
            raise Unable("hdfs-native does not tell the user whom a principal stands for")
        return identity.unproved()

    def _call(self, path: str, step: Callable, *arguments: Any) -> Any:
        """Do one step, again and again for a while where no NameNode answers or none is active."""
        deadline, pause = time.monotonic() + self._patience, 0.1
        while True:
            try:
                return within(CALL_SECONDS, step, *arguments)
            except Exception as error:
                passing, failure = understood(path, error)
                if not passing or time.monotonic() + pause > deadline:
                    raise failure from error
            time.sleep(pause)
            pause = min(2 * pause, 2.0)


def several(authority: str, settings: Mapping[str, str]) -> bool:
    """Tell whether an authority is a name of several NameNodes, of which one is active."""
    return hadoop_conf.PROVIDER + authority in settings


def _target(authority: str, settings: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Name the NameNodes as hdfs-native finds them, and by that name the tokens for them: the address that Hadoop uses.

    Raises
    ------
    Unable
    """
    addresses = hadoop_conf.name_nodes("hdfs", authority, settings)
    if several(authority, settings) and addresses:
        names = [f"nn{number}" for number in range(len(addresses))]
        known = {
            f"dfs.namenode.rpc-address.{authority}.{name}": str(one) for name, one in zip(names, addresses, strict=True)
        }
        return f"hdfs://{authority}", {f"dfs.ha.namenodes.{authority}": ",".join(names), **known}
    if len(addresses) != 1:
        raise Unable(f"the configuration does not say where hdfs://{authority} is")
    address = addresses[0]
    if settings.get("hadoop.security.token.service.use_ip", "true") != "false":
        try:
            resolved = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Unable(f"{address.host}: {error}") from error
        first = min(resolved, key=lambda each: each[0] != socket.AF_INET)  # as Java has it
        address = hadoop_conf.Address(str(first[4][0]), address.port)
    return f"hdfs://{address}", {}


def _name(path: str) -> str:
    """Return a path as a NameNode takes it: without scheme and address, and with one slash where there are more."""
    address = urlsplit(path.replace("?", "%3F").replace("#", "%23"))
    name = path[len(f"{address.scheme}://{address.netloc}") :]
    return posixpath.normpath(f"/{name.lstrip('/')}")


def _umask(settings: Mapping[str, str]) -> int:
    given = settings.get("fs.permissions.umask-mode", "022")
    if not re.fullmatch("[0-7]{1,4}", given):
        raise Unable(f"fs.permissions.umask-mode is {given}, which only Hadoop's client reads")
    return int(given, 8)


def _number(text: str) -> int:
    """Read a number with Hadoop's suffixes of powers of two: ``128m``."""
    match = re.fullmatch(r"(\d+)([kmgtpe]?)", text.strip().lower())
    if not match:
        raise Unable(f"{text!r} is no number that hdl reads in Hadoop's configuration")
    return int(match[1]) << 10 * " kmgtpe".index(match[2] or " ")
