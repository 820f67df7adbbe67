"""The connection to HDFS: pydoop's libhdfs, found, started, and its errors given words. Only `hdl.hdfs` uses it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from hdl.errors import DeadlineError, HdlError, Unavailable

CONNECT_SECONDS = 10.0
SAFE_MODE_SECONDS = 90.0  # the NameNode leaves it by itself after a restart
INTERNAL = 255  # libhdfs: a Java exception it has no errno for


def resolve(path: str) -> tuple[Any, str]:
    """The connection that serves a path, and the path as it is called there."""
    match = re.fullmatch(r"hdfs://([^/]*)(/.*)?", path)
    if not match:
        raise ValueError(f"{path!r}: expected hdfs://host:port/path or hdfs:///path")
    with _connecting:  # two threads that import pydoop at once see halves of it
        return _connect(match[1]), match[2] or "/"


_connecting = threading.Lock()


@cache
def _connect(authority: str) -> Any:
    """libhdfs's handle on one NameNode, or on the default one for an empty authority.

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
        parts = urlsplit(f"hdfs://{authority}")
        host, port = parts.hostname or "", parts.port or 0
    else:
        default = urlsplit(pydoop.hadoop_params().get("fs.defaultFS", "file:///"))
        if default.scheme != "hdfs":
            raise Unavailable(
                f"hdfs:///… needs a default file system, but fs.defaultFS in {pydoop.hadoop_conf()} is "
                f"{default.geturl()!r}; set HADOOP_CONF_DIR or give hdfs://host:port/…"
            )
        parts = default
    _knock(parts.hostname or "", parts.port, pydoop.hadoop_params())
    try:
        system = pydoop.hdfs.core.core_hdfs_fs(host, port, "")
        scheme = urlsplit(system.get_working_directory()).scheme
    except (OSError, RuntimeError) as error:
        raise DeadlineError(f"no connection to hdfs://{authority}: {error}") from error
    if scheme != "hdfs":  # without a configuration on the class path libhdfs opens the local file system instead
        raise Unavailable(f"hdfs://{authority} opened {scheme or 'file'}://; does HADOOP_CONF_DIR hold core-site.xml?")
    return system


def _pydoop() -> Any:
    """pydoop, with a Java virtual machine that is small, quiet and leaves the signals to Python."""
    if not shutil.which("hadoop"):  # pydoop asks it for the class path
        home = os.environ.get("HADOOP_HOME")
        if not home or not shutil.which("hadoop", path=f"{home}/bin"):
            raise Unavailable("hdfs:// needs a Hadoop: set HADOOP_HOME, or try `hdl cluster start`")
        os.environ["PATH"] = f"{home}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # The first compiler tier connects in half of the time that all tiers take, and reads no slower.
    flags = ("-Xmx256m", "-Xrs", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dhadoop.root.logger=ERROR,console")
    os.environ["LIBHDFS_OPTS"] = " ".join([*flags, os.environ.get("LIBHDFS_OPTS", "")]).strip()  # the user's win
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
    """Give libhdfs's errors a message that says what and where; of a temporary file say the `final` name."""
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
    with named(path):
        return function(*arguments)


def patiently(path: str, function: Callable, *arguments: Any) -> Any:
    """As `call`, but wait while the NameNode is in safe mode."""
    deadline = time.monotonic() + SAFE_MODE_SECONDS
    while True:
        try:
            return call(path, function, *arguments)
        except OSError as error:
            if error.errno != errno.EROFS or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
