"""The connection to HDFS: finds and starts pydoop's libhdfs, words its errors, adapts its files.

Only `hdl.hdfs` and its client `hdl.hdfs_java` use this module.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from hdl.errors import DeadlineError, HdlError, Unavailable

CONNECT_SECONDS = 10.0
BUFFER = 1 << 20  # bytes that are read or written at once
INTERNAL = 255  # libhdfs: a Java exception it has no errno for


def resolve(path: str) -> tuple[Any, str]:
    """Return the connection that serves a path, and the path as that file system names it.

    Raises
    ------
    ValueError
        The path is not one of HDFS.
    Unavailable, DeadlineError
        There is no connection: see `_connect`.
    """
    match = re.fullmatch(r"hdfs://([^/]*)(/.*)?", path)
    if not match:
        raise ValueError(f"{path!r}: expected hdfs://host:port/path or hdfs:///path")
    with _connecting:  # two threads that import pydoop at once see halves of it
        return _connect(match[1]), match[2] or "/"


_connecting = threading.Lock()
before_java: list[Callable[[], object]] = []  # called before libhdfs starts a Java virtual machine: it takes one that runs


@cache
def _connect(authority: str) -> Any:
    """Connect to one NameNode, or to the default one for an empty authority; returns libhdfs's handle.

    Raises
    ------
    Unavailable
        If pydoop or Hadoop is missing, or the default file system is not HDFS.
    DeadlineError
        If the NameNode does not answer.
    """
    pydoop = _pydoop()
    host, port = "default", 0
    if authority:
        address = urlsplit(f"hdfs://{authority}")
        host, port = address.hostname or "", address.port or 0
    else:
        default = urlsplit(pydoop.hadoop_params().get("fs.defaultFS", "file:///"))
        if default.scheme != "hdfs":
            raise Unavailable(
                f"hdfs:///… needs a default file system, but fs.defaultFS in {pydoop.hadoop_conf()} is "
                f"{default.geturl()!r}; set HADOOP_CONF_DIR or give hdfs://host:port/…"
            )
        address = default
    _knock(address.hostname or "", address.port, pydoop.hadoop_params())
    try:
        system = pydoop.hdfs.core.core_hdfs_fs(host, port, "")
        scheme = urlsplit(system.get_working_directory()).scheme
    except (OSError, RuntimeError) as error:
        raise DeadlineError(f"no connection to hdfs://{authority}: {error}") from error
    if scheme != "hdfs":  # without a configuration on the class path libhdfs opens the local file system instead
        raise Unavailable(f"hdfs://{authority} opened {scheme or 'file'}://; does HADOOP_CONF_DIR hold core-site.xml?")
    return system


def _pydoop() -> Any:
    """Import pydoop, so that its Java virtual machine is small, quiet and leaves the signals to Python."""
    if not shutil.which("hadoop"):  # pydoop asks it for the class path
        home = os.environ.get("HADOOP_HOME")
        if not home or not shutil.which("hadoop", path=f"{home}/bin"):
            raise Unavailable("hdfs:// needs a Hadoop: set HADOOP_HOME, or try `hdl cluster start`")
        os.environ["PATH"] = f"{home}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # The first compiler tier connects in half of the time that all tiers take, and reads no slower.
    flags = ("-Xmx256m", "-Xrs", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dhadoop.root.logger=ERROR,console")
    os.environ["LIBHDFS_OPTS"] = " ".join([*flags, os.environ.get("LIBHDFS_OPTS", "")]).strip()  # the user's win
    for prepare in before_java:
        prepare()
    try:
        import pydoop
        import pydoop.hdfs.core
    except ImportError as error:
        raise Unavailable(f"hdfs:// needs pydoop ({error}); `./build.sh hadoop` builds it") from error
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"hdfs:// needs a Hadoop: {error}") from error
    return pydoop


def _knock(host: str, port: int | None, settings: dict[str, str]) -> None:
    """Fail in seconds, not minutes, if nobody listens; the names of several NameNodes are left to Hadoop's client."""
    if host in settings.get("dfs.nameservices", "").split(","):
        return
    where = (host, port or 8020)
    try:
        socket.create_connection(where, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise DeadlineError(f"the NameNode hdfs://{host}:{where[1]} does not answer: {error}") from error


@contextmanager
def named(path: str, final: str | None = None) -> Iterator[None]:
    """Give libhdfs's errors a message that says what failed and of which path; for a temporary file the `final` one."""
    try:
        yield
    except OSError as error:
        if error.filename == path and final:
            error.filename = final
        if error.filename is not None or isinstance(error, HdlError):
            raise
        number = error.errno or errno.EIO
        if number == errno.ECONNREFUSED:
            raise DeadlineError(f"{path}: the NameNode does not answer (connection refused)") from error
        text = {
            errno.EROFS: "the NameNode is in safe mode and changes nothing (`hdfs dfsadmin -safemode get`)",
            errno.EDQUOT: "a quota on a folder above is exceeded (`hadoop fs -count -q -v FOLDER` shows it)",
            errno.EACCES: "permission denied by HDFS",
            INTERNAL: "HDFS failed; the Java exception is on standard error",
        }.get(number, os.strerror(number))
        raise OSError(number, text, path) from error


def call(path: str, function: Callable, *arguments: Any) -> Any:
    """Call a function of libhdfs; its errors get a message with the path in it."""
    with named(path):
        return function(*arguments)


class Reading(io.RawIOBase):
    """Adapts libhdfs's file to Python's buffered reader; pydoop's own object lacks ``read()`` to the end."""

    def __init__(self, path: str, file: Any, size: int):
        self.name, self._file, self._size = path, file, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return call(self.name, self._file.read_chunk, buffer)

    def readall(self) -> bytes:
        chunks = []
        while chunk := self.read(BUFFER):
            chunks.append(chunk)
        return b"".join(chunks)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        # Past the end is an error to HDFS and an empty read to the builtin.
        call(self.name, self._file.seek, min(base + offset, self._size), os.SEEK_SET)
        return self.tell()

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            super().close()
            call(self.name, self._file.close)


class Writing(io.RawIOBase):
    """Adapts libhdfs's file to Python's buffered writer; as a context its own would swallow exceptions."""

    def __init__(self, file: Any):
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        return self._file.write(content)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()
