"""Chooses the client of YARN: the one without Java where it can serve a cluster, and Hadoop's own elsewhere.

The choice is made once a process, by configuration and trial, and HDL_YARN (``native`` or ``java``) forces one. Single
steps that the one without Java cannot do, Hadoop's does.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hdl import hadoop_conf, hdfs_choice, identity, kerberos, libhdfs
from hdl.errors import HdlError, SpecError, Unavailable
from hdl.yarn.api.interface import Offer, Report, Submission, Unable
from hdl.yarn.api.java_client import Java
from hdl.yarn.resource_manager import java, listening

if TYPE_CHECKING:
    from hdl.data import FileSplit
    from hdl.yarn.api.native import Native

VARIABLE = "HDL_YARN"
NATIVE, JAVA = "native", "java"
CONF = (*hadoop_conf.FILES, "yarn-site.xml", "resource-types.xml")
HOST = "yarn.resourcemanager.hostname"
# Settings that only Hadoop's client heeds.
FOREIGN = ("hadoop.socks.server", "hadoop.rpc.socket.factory.class.default", "yarn.client.failover-proxy-provider")
# Settings of clusters whose ResourceManager is found, or spoken to, in another way.
OTHERWISE = ("yarn.resourcemanager.ha.enabled", "yarn.federation.enabled")

_lock = threading.Lock()
_chosen: dict[tuple, Chosen] = {}


def forced() -> str:
    """Return the client that HDL_YARN forces, empty for none.

    Raises
    ------
    SpecError
    """
    given = os.environ.get(VARIABLE, "")
    if given not in ("", NATIVE, JAVA):
        raise SpecError(f"{VARIABLE}={given}: expected {NATIVE} or {JAVA}, or unset")
    return given


def yarn() -> Chosen:
    """Return this process's client of the cluster that the environment names.

    Raises
    ------
    SpecError
        HDL_YARN is set to something else.
    Unavailable
        The one without Java is forced, and cannot serve this cluster.
    """
    key = (os.getpid(), os.environ.get(VARIABLE), *map(os.environ.get, hdfs_choice.IDENTITY))
    with _lock:
        if key not in _chosen:
            _chosen[key] = Chosen()
        return _chosen[key]


def unfit(settings: Mapping[str, str]) -> str:
    """Say what asks for Hadoop's own client; empty where nothing in the configuration or the environment does."""
    for name in ("HADOOP_PROXY_USER", "HADOOP_TOKEN_FILE_LOCATION"):
        if os.environ.get(name):
            return f"{name} is set"
    if settings.get("hadoop.security.authentication", "simple").strip().lower() != "simple" or kerberos.given():
        return "the cluster is secured, and who calls is proved by Hadoop's client"
    if (protection := settings.get("hadoop.rpc.protection", "authentication")) != "authentication":
        return f"hadoop.rpc.protection is {protection}"
    if not hadoop_conf.default(settings).startswith("hdfs://"):
        return f"fs.defaultFS is {hadoop_conf.default(settings)}"
    if address_of(settings) is None:
        return f"yarn-site.xml in {hadoop_conf.folder() or 'no folder'} does not say where the ResourceManager is"
    if name := next((name for name in FOREIGN if settings.get(name)), ""):
        return f"{name} is set"
    if name := next((name for name in OTHERWISE if settings.get(name, "").strip().lower() == "true"), ""):
        return f"{name} is true"
    if identity.unasked() is None:
        return "only Hadoop's client knows who we are"
    return ""


def address_of(settings: Mapping[str, str]) -> tuple[str, int] | None:
    """Return where the ResourceManager listens; None where the configuration does not say."""
    text = settings.get(listening.ADDRESS) or settings.get(HOST) or ""
    match = re.fullmatch(r"([\w.-]+)(?::(\d{1,5}))?", text.strip(), re.ASCII)
    return (match[1], int(match[2] or listening.PORT)) if match else None


def shown() -> tuple[str, str]:
    """Name this process's client, after a trial, and say why it is not the one without Java; for `hdl doctor`.

    Returns
    -------
    name, why : str
        ``why`` is empty where Java is not needed; ``name`` where nobody answers.
    """
    try:
        chosen = yarn()
        if chosen.works():
            return "Hadoop RPC (no Java)", ""
    except HdlError as error:
        return "", str(error)
    return "Hadoop's own client, in Java", chosen.why


class Chosen:
    """Asks YARN without Java or by Hadoop's client, whichever can; the methods are those of `interface.Yarn`.

    Attributes
    ----------
    why : str
        Why it is Hadoop's client; of the last step that was, where single steps are.
    """

    def __init__(self) -> None:
        self.java = Java()
        self._settings = hadoop_conf.read(hadoop_conf.folder(), CONF)
        self._trying = threading.Lock()
        self._tried: Native | None = None
        self.why = f"{VARIABLE}={JAVA} is set" if forced() == JAVA else unfit(self._settings)
        self.native = not self.why
        self._insist()
        if self.native:  # whatever of HDFS needs Java after all must find the machine that YARN's client could use
            libhdfs.before_java.append(_start_java)

    def begin(self) -> None:
        """Start Java, which must be there before HDFS is read, unless it may not be needed."""
        if not self.native:
            java.start()

    def _insist(self) -> None:
        if self.why and forced() == NATIVE:
            raise Unavailable(f"YARN cannot be asked without Java ({self.why}); unset {VARIABLE}")

    def works(self) -> bool:
        """Tell whether the client without Java serves this cluster, by a trial where there was none yet.

        Raises
        ------
        DeadlineError
            Nobody answers, whichever client asks.
        """
        with self._trying:
            if self.native and self._tried is None:
                from hdl.yarn.api.native import Native  # here: the choice is made before most of hdl is there

                try:
                    self._tried = Native(self._settings, address_of(self._settings) or ("", 0))
                except Unable as error:
                    self.why, self.native = str(error), False
                    self._insist()
            return self.native

    def preload(self) -> None:
        """Load what HDFS's client needs."""
        if not self.native:
            self.java.preload()
            return
        with suppress(HdlError, OSError):
            from hdl import fs

            fs.exists("hdfs:///")

    def offer(self) -> Offer:
        return self._do(lambda client: client.offer())

    def has_queue(self, name: str) -> bool:
        return self._do(lambda client: client.has_queue(name))

    def queues(self) -> list[str]:
        return self._do(lambda client: client.queues())

    def labels(self) -> list[str]:
        return self._do(lambda client: client.labels())

    def submit(self, submission: Submission) -> None:
        self._do(lambda client: client.submit(submission))

    def report(self, application: str) -> Report:
        return self._do(lambda client: client.report(application))

    def applications(self) -> list[Report]:
        return self._do(lambda client: client.applications())

    def kill(self, application: str) -> None:
        self._do(lambda client: client.kill(application))

    def tokens(self, roots: list[str]) -> Any:
        return self._do(lambda client: client.tokens(roots))

    def cluster(self) -> str:
        return self._do(lambda client: client.cluster())

    def reach(self, folder: str) -> None:
        self._do(lambda client: client.reach(folder))

    def make_folder(self, folder: str) -> None:
        self._do(lambda client: client.make_folder(folder))

    def put(self, path: str, content: bytes) -> None:
        self._do(lambda client: client.put(path, content))

    def located(self, path: str) -> dict[str, Any]:
        return self._do(lambda client: client.located(path))

    def changed(self, folder: str) -> dict[str, float]:
        return self._do(lambda client: client.changed(folder))

    def remove(self, folder: str) -> None:
        self._do(lambda client: client.remove(folder))

    def hosts(self, splits: list[FileSplit]) -> list[str]:
        return self._do(lambda client: client.hosts(splits))

    def _do(self, step: Callable[[Any], Any]) -> Any:
        if self.works():
            try:
                return step(self._tried)
            except Unable as error:
                self.why = str(error)
        return step(self.java)


def _start_java() -> None:
    with suppress(Unavailable):  # libhdfs then starts one of its own
        java.start()
