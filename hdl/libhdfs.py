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
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from hdl import hadoop_conf, java_errors, kerberos, libhdfs_functions
from hdl.errors import DeadlineError, HdlError, Unavailable
from hdl.libhdfs_functions import kept_exceptions, last_exception

CONNECT_SECONDS = 10.0
BUFFER = 1 << 20  # bytes that are read or written at once
INTERNAL = 255  # libhdfs: a Java exception it has no errno for


def resolve(path: str) -> tuple[Any, str]:
    """Return the connection that serves a path, and the path as that file system names it.

    Raises
    ------
    ValueError
        The path is not one of Hadoop's file systems.
    Unavailable, DeadlineError
        There is no connection: see `_connect`.
    """
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)(/.*)?", path, re.DOTALL)
    if not match:
        raise ValueError(f"{path!r}: expected scheme://address/path, as hdfs://host:port/path or hdfs:///path")
    scheme, authority, name = match[1], match[2], match[3] or "/"
    archive = re.match(r".*?\.har(?=/|$)", name) if scheme == "har" else None  # each is a file system of its own
    with _connecting:  # two threads that import pydoop at once see halves of it
        return _connect(scheme, authority, archive[0] if archive else "/"), name


_connecting = threading.Lock()
before_java: list[
    Callable[[], object]
] = []  # called before libhdfs starts a Java virtual machine: it takes one that runs


def home(path: str) -> str:
    """Return the user's home folder on the file system that serves a path, as Hadoop names it, with its scheme."""
    return call(path, resolve(path)[0].get_working_directory)  # nobody changes it


def default() -> str:
    """Return the root of the default file system, ``fs.defaultFS``: ``hdfs:///`` for any HDFS.

    Raises
    ------
    Unavailable
        Nothing is configured: the default file system would be this machine's.
    """
    pydoop = _pydoop()
    given = hadoop_conf.default(_settings(pydoop.hadoop_conf()))
    scheme, separator, authority = given.partition("://")
    if not separator or scheme == "file":
        raise Unavailable(
            f"fs.defaultFS in {pydoop.hadoop_conf()} is {given!r}; does HADOOP_CONF_DIR name the cluster's?"
        )
    return "hdfs:///" if scheme == "hdfs" else f"{scheme}://{authority.partition('/')[0]}/"


@cache
def _connect(scheme: str, authority: str, root: str = "/") -> Any:
    """Connect to a file system, or to the default one for an empty authority; returns libhdfs's handle.

    Parameters
    ----------
    scheme : str
        Any that Hadoop's class path and configuration have a file system for.
    authority : str
        As the path has it: a name of several NameNodes is a key of the configuration, in upper or lower case.
    root : str
        Path that the file system is made for: of an archive (``har``) its own.

    Raises
    ------
    Unavailable
        If pydoop, Hadoop, or a file system for the scheme is missing, or the default file system is another one.
    DeadlineError
        If no NameNode answers.
    """
    pydoop = _pydoop(scheme)
    settings, where = _settings(pydoop.hadoop_conf()), f"{scheme}://{authority}"
    asked = authority
    if not authority and scheme == "hdfs":
        given = hadoop_conf.default(settings)
        if not given.startswith("hdfs://"):
            raise Unavailable(
                f"hdfs:///… needs a default file system that is HDFS, but fs.defaultFS in {pydoop.hadoop_conf()} is "
                f"{given!r}; set HADOOP_CONF_DIR, or give the address, as {_example(given)}"
            )
        asked = given.removeprefix("hdfs://").partition("/")[0]
    if wrong := hadoop_conf.wrong_name(scheme, asked, settings):
        raise Unavailable(f"{where}: {wrong}")
    knock(where, hadoop_conf.name_nodes(scheme, asked, settings))
    try:
        if module := pydoop.hdfs.core.init():
            libhdfs_functions.open_to_close_soon(str(module.__file__), where + root, settings)
        system = pydoop.hdfs.core.core_hdfs_fs(where + root, 0, "")
        opened = urlsplit(system.get_working_directory()).scheme
    except (OSError, RuntimeError) as error:
        raise _refused(where if authority else f"{where}/", scheme, error) from error
    if opened != scheme:  # without a configuration on the class path libhdfs opens the local file system instead
        raise Unavailable(f"{where} opened {opened or 'file'}://; does HADOOP_CONF_DIR hold core-site.xml?")
    return system


def _example(default: str) -> str:
    return "hdfs://host:port/…" if default.startswith("file:") else f"{default.rstrip('/')}/…"


@cache
def _settings(folder: str) -> dict[str, str]:
    return hadoop_conf.read(folder)


def _refused(where: str, scheme: str, error: Exception) -> HdlError:
    """Make the error of a file system that Hadoop's client did not open."""
    if text := last_exception():
        return java_errors.error(where, text)
    if scheme in hadoop_conf.PORTS:
        return DeadlineError(f"no connection to {where}: {error}")
    return Unavailable(
        f"{where}: Hadoop opened no file system for {scheme}://; expected hdfs://, or one whose jar is on "
        "`hadoop classpath` and whose settings are in core-site.xml"
    )


def _pydoop(scheme: str = "hdfs") -> Any:
    """Import pydoop, so that its Java virtual machine is small, quiet and leaves the signals to Python."""
    if not shutil.which("hadoop"):  # pydoop asks it for the class path
        home = os.environ.get("HADOOP_HOME")
        if not home or not shutil.which("hadoop", path=f"{home}/bin"):
            raise Unavailable(f"{scheme}:// needs a Hadoop: set HADOOP_HOME, or try `hdl cluster start`")
        os.environ["PATH"] = f"{home}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # The first compiler tier connects in half of the time that all tiers take, and reads no slower.
    flags = ("-Xmx256m", "-Xrs", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dhadoop.root.logger=ERROR,console")
    os.environ["LIBHDFS_OPTS"] = " ".join(
        [*flags, *kerberos.java_flags(), os.environ.get("LIBHDFS_OPTS", "")]
    ).strip()  # the user's win
    for prepare in before_java:
        prepare()
    try:
        import pydoop
        import pydoop.hdfs.core
    except ImportError as error:
        raise Unavailable(f"{scheme}:// needs pydoop ({error}); `./build.sh hadoop` builds it") from error
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"{scheme}:// needs a Hadoop: {error}") from error
    return pydoop


def knock(where: str, addresses: list[hadoop_conf.Address]) -> None:
    """Fail in seconds, not minutes, if nobody listens: of several NameNodes one is enough, as Hadoop finds the active.

    Raises
    ------
    DeadlineError
    """

    def silent(address: hadoop_conf.Address) -> str:
        try:
            socket.create_connection(address, timeout=CONNECT_SECONDS).close()
        except OSError as error:
            return f"{address} does not answer ({error})"
        return ""

    if not addresses:
        return
    pool = ThreadPoolExecutor(len(addresses))  # a machine that is off must not hold up the others
    try:
        failures = []
        for answer in as_completed(pool.submit(silent, address) for address in addresses):
            if not answer.result():
                return
            failures.append(answer.result())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if len(failures) == 1:
        raise DeadlineError(f"{where}: the NameNode {failures[0]}")
    raise DeadlineError(f"{where}: none of its NameNodes answers: {'; '.join(sorted(failures))}")


@contextmanager
def named(path: str, final: str | None = None) -> Iterator[None]:
    """Word libhdfs's errors by what Java said, with the path; for a temporary file the `final` one.

    Raises
    ------
    LoginError
        Hadoop does not let the user in.
    DeadlineError
        A daemon does not answer.
    OSError
        Anything else, with libhdfs's errno.
    """
    if kept := kept_exceptions():
        kept[1]()
    try:
        yield
    except OSError as error:
        if error.filename == path and final:
            error.filename = final
        if error.filename is not None or isinstance(error, HdlError):
            raise
        raise worded(error.errno or errno.EIO, path, last_exception()) from error


def worded(number: int, path: str, text: str) -> Exception:
    """Make the error of a failed call, from libhdfs's errno and what Java said."""
    said: Any = java_errors.error(path, text) if text else None
    if isinstance(said, OSError | ImportError):  # nobody is let in, nobody answers, or nothing is there that could
        return said
    if number == errno.ECONNREFUSED:
        return DeadlineError(f"{path}: the NameNode does not answer (connection refused)")
    words = {
        errno.EROFS: "the NameNode is in safe mode and changes nothing (`hdfs dfsadmin -safemode get`)",
        errno.EDQUOT: "a quota on a folder above is exceeded (`hadoop fs -count -q -v FOLDER` shows it)",
        errno.EACCES: "permission denied by HDFS",
        INTERNAL: "HDFS failed, and libhdfs does not say why",
    }
    plain = (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)  # as of a local file
    sentence = java_errors.explain(text) if text and number not in plain else None
    error = OSError(number, sentence or words.get(number) or os.strerror(number), path)
    if text:
        error.add_note(text)  # what `--traceback` shows
    return error


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
