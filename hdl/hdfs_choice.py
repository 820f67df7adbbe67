"""Chooses the client that serves an HDFS: hdfs-native where it can, which starts no Java, and Hadoop's own elsewhere.

The choice is made once for each process and address, by trial, and HDL_HDFS (``native`` or ``libhdfs``) forces one.
Single steps that hdfs-native cannot do, Hadoop's client does.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hdl import hadoop_conf, java_errors
from hdl.errors import HdlError, SpecError, Unavailable
from hdl.hdfs_client import Client, Info, Names, Unable
from hdl.hdfs_java import Java
from hdl.hdfs_native import Native
from hdl.libhdfs import knock

VARIABLE = "HDL_HDFS"
NATIVE, LIBHDFS = "native", "libhdfs"
# Who we are, and to whom, is decided by these: with another value of one, a client is another one.
IDENTITY = (VARIABLE, "HADOOP_CONF_DIR", "HADOOP_HOME", "HADOOP_USER_NAME", "HADOOP_PROXY_USER", "KRB5CCNAME",
            "HADOOP_TOKEN_FILE_LOCATION")  # fmt: skip
# Settings that only Hadoop's client heeds.
FOREIGN = ("hadoop.socks.server", "hadoop.rpc.socket.factory.class.default")

_lock = threading.Lock()
_chosen: dict[tuple, Chosen] = {}


def client(path: str) -> Chosen:
    """Return the client that serves a path.

    Raises
    ------
    SpecError
        HDL_HDFS is set to something else.
    Unavailable, DeadlineError
        The client that is forced is not there, or no NameNode answers.
    """
    scheme, _, rest = path.partition("://")
    authority = rest.partition("/")[0]
    key = (scheme, authority, os.getpid(), *map(os.environ.get, IDENTITY))
    with _lock:
        if key not in _chosen:
            _chosen[key] = Chosen(scheme, authority)
        return _chosen[key]


def forced(variable: str = VARIABLE, clients: Sequence[str] = (NATIVE, LIBHDFS)) -> str:
    """Return the client that an environment variable forces, empty for none.

    Raises
    ------
    SpecError
    """
    given = os.environ.get(variable, "")
    if given not in ("", *clients):
        raise SpecError(f"{variable}={given}: expected {' or '.join(clients)}, or unset")
    return given


def shown(path: str = "hdfs:///") -> tuple[str, str]:
    """Name the client that serves a path, with its version, and say why it is not hdfs-native; for `hdl doctor`.

    Returns
    -------
    name, why : str
        ``why`` is empty where hdfs-native is used.
    """
    try:
        chosen = client(path)
    except (HdlError, OSError) as error:
        return "", str(error)
    if chosen.native:
        return f"hdfs-native {importlib.metadata.version('hdfs-native')} (no Java)", ""
    return "libhdfs (Hadoop's own client, in Java)", chosen.why


class Chosen:
    """Serves one HDFS by hdfs-native or by Hadoop's client, whichever can; the methods are those of `Client`.

    Attributes
    ----------
    why : str
        Why it is not hdfs-native; of the last step that was not, where single steps are not.
    """

    def __init__(self, scheme: str, authority: str):
        self._java: Client = Java()
        self._native: Native | None = None
        self.why = f"{VARIABLE}={LIBHDFS} is set" if forced() == LIBHDFS else ""
        if self.why:
            return
        try:
            self._native = _tried(scheme, authority, self._java)
        except Unable as error:
            self.why = str(error)
            if forced() == NATIVE:
                if java_errors.explain(self.why):  # GSSAPI's words are nearly Java's
                    raise java_errors.error(f"{scheme}://{authority or '/'}", self.why) from error
                raise Unavailable(f"{scheme}://{authority}: hdfs-native cannot serve it ({error}); unset {VARIABLE}"
                                  ) from error  # fmt: skip

    @property
    def native(self) -> bool:
        """Tell whether hdfs-native serves it."""
        return self._now() is not None

    def info(self, path: str) -> Info:
        return self._do(lambda client: client.info(path))

    def entries(self, path: str) -> Names:
        return self._do(lambda client: client.entries(path))

    def open(self, path: str, size: int) -> io.RawIOBase:
        return self._do(lambda client: client.open(path, size))

    def create(self, path: str) -> io.RawIOBase:
        return self._do(lambda client: client.create(path))

    def rename(self, source: str, target: str) -> None:
        self._do(lambda client: client.rename(source, target))

    def delete(self, path: str) -> None:
        self._do(lambda client: client.delete(path))

    def mkdirs(self, path: str) -> None:
        self._do(lambda client: client.mkdirs(path))

    def hosts(self, path: str, start: int, length: int) -> list[Names] | None:
        return self._do(lambda client: client.hosts(path, start, length))

    def chmod(self, path: str, mode: int) -> None:
        self._do(lambda client: client.chmod(path, mode))

    def user(self, path: str) -> str:
        return self._do(lambda client: client.user(path))

    def _now(self) -> Native | None:
        if self._native and self._native.failure:  # in the middle of a file: from now on the other one is used
            self.why, self._native = self._native.failure, None
        return self._native

    def _do(self, step: Callable[[Client], Any]) -> Any:
        if native := self._now():
            try:
                return step(native)
            except Unable as error:
                self.why = str(error)
        return step(self._java)


def _tried(scheme: str, authority: str, java: Client) -> Native:
    """Connect by hdfs-native and ask for the root.

    Raises
    ------
    Unable
        With the reason why it cannot serve it.
    DeadlineError
        No NameNode answers: none would answer Hadoop's client.
    """
    if scheme != "hdfs":
        raise Unable(f"hdfs-native is for hdfs:// alone, not for {scheme}://")
    if not importlib.util.find_spec("hdfs_native"):
        raise Unable("hdfs-native is not installed: pip install hdfs-native")
    folder = hadoop_conf.folder()
    if not folder and shutil.which("hadoop"):
        raise Unable("HADOOP_CONF_DIR and HADOOP_HOME are not set: which configuration `hadoop` finds, only it knows")
    settings = hadoop_conf.read(folder)
    if not authority:
        given = hadoop_conf.default(settings)
        if not given.startswith("hdfs://"):
            raise Unable(f"fs.defaultFS is {given}")
        authority = given.removeprefix("hdfs://").partition("/")[0]
    if reason := _unfit(settings) or ("" if forced() else _unwanted(settings)):
        raise Unable(reason)
    if wrong := hadoop_conf.wrong_name(scheme, authority, settings):
        raise Unable(wrong)
    knock(f"hdfs://{authority}", hadoop_conf.name_nodes(scheme, authority, settings))
    return Native(authority, settings, java).tried()


def _unfit(settings: Mapping[str, str]) -> str:
    """Say what Hadoop's client heeds and hdfs-native does not; empty where there is nothing."""
    if not _secure(settings) and os.environ.get("HADOOP_PROXY_USER"):
        return "HADOOP_PROXY_USER is set, which hdfs-native heeds with Kerberos alone"
    return next((f"{name} is set, which hdfs-native does not heed" for name in FOREIGN if settings.get(name)), "")


def _unwanted(settings: Mapping[str, str]) -> str:
    """Say why hdfs-native is not used although it can be; empty where nothing speaks against it."""
    if _secure(settings):
        # Seen with 0.14.7: a server that offers SIMPLE gets what is asked for, in clear; Hadoop's client refuses.
        return ("the cluster is secured, and hdfs-native does not insist that a NameNode proves who it is; "
                f"{VARIABLE}={NATIVE} takes it on a network that is trusted")  # fmt: skip
    return ""


def _secure(settings: Mapping[str, str]) -> bool:
    return settings.get("hadoop.security.authentication", "simple") != "simple"
