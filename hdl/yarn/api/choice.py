"""Chooses the client of YARN: the one without Java where it can serve a cluster, and Hadoop's own elsewhere.

The choice is made once a process, by configuration and trial, and HDL_YARN (``native`` or ``java``) forces one. Single
steps that the one without Java cannot do, Hadoop's does.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hdl import hadoop_conf, hdfs_choice, libhdfs
from hdl.errors import HdlError, SpecError, Unavailable
from hdl.yarn.api.interface import Offer, Report, Submission, Unable
from hdl.yarn.api.java_client import Java
from hdl.yarn.api.native import CONF, Native, unfit
from hdl.yarn.resource_manager import java

if TYPE_CHECKING:
    from hdl.data import FileSplit

VARIABLE = "HDL_YARN"
NATIVE, JAVA = "native", "java"

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
        if self.why and forced() == NATIVE:
            raise Unavailable(f"YARN cannot be asked without Java ({self.why}); unset {VARIABLE}")
        if self.native:  # whatever of HDFS needs Java after all must find the machine that YARN's client could use
            libhdfs.before_java.append(_start_java)

    def begin(self) -> None:
        """Start Java, which must be there before HDFS is read, unless it may not be needed."""
        if not self.native:
            java.start()

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
        if self.native:
            try:
                connected = self._connected()
            except Unable as error:
                self.why, self.native = str(error), False
            else:
                try:
                    return step(connected)
                except Unable as error:
                    self.why = str(error)
        return step(self.java)

    def _connected(self) -> Native:
        with self._trying:
            self._tried = self._tried or Native(self._settings)
            return self._tried


def _start_java() -> None:
    with suppress(Unavailable):  # libhdfs then starts one of its own
        java.start()
