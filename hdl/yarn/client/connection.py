"""Chooses the client that speaks to YARN: one without Java where the cluster asks for no proof, else Hadoop's own.

The choice is made once a process, by trial, and HDL_YARN (``native`` or ``java``) forces one; a step that the client
without Java cannot do, Hadoop's does, and all that follow. It needs little of hdl, so that `hdl.__main__` may begin
before the command line is there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hdl import hadoop_conf, identity, timeline
from hdl.errors import HdlError, Unavailable
from hdl.yarn.client import configured, java_client
from hdl.yarn.client.interface import Offer, Report, Submission, Unable, Yarn
from hdl.yarn.resource_manager import java

if TYPE_CHECKING:
    from hdl.data import FileSplit

VARIABLE = "HDL_YARN"
NATIVE, JAVA = "native", "java"
COMMANDS = ("train", "evaluate")  # that have `--runner`
# Words after which a connection must wait: for who logs in, or because it is not needed.
WAIT = ("--principal", "--keytab", "--proxy-user", "--dry-run", "--help", "-h")
# Who we are, and to whom, is decided by these: with another value of one, the choice is another one.
IDENTITY = (VARIABLE, "HDL_HDFS", "HADOOP_CONF_DIR", "HADOOP_HOME", "HADOOP_USER_NAME", "HADOOP_PROXY_USER")

_connecting = threading.Lock()  # JPype's start and the class path are one thread's
_choosing = threading.Lock()
_chosen: dict[tuple, Chosen] = {}
_asked: Future[Offer] | None = None  # by `warm`, and not needed yet


def asked_for(words: Sequence[str]) -> bool:
    """Tell whether a command line runs on YARN for sure, so that it may be spoken to before the line is read.

    Examples
    --------
    >>> asked_for(["train", "hdfs:///digits", "--runner", "yarn"]), asked_for(["train", "x.csv", "--out", "yarn"])
    (True, False)
    """
    names = [word.partition("=")[0] for word in words]
    if not words or words[0] not in COMMANDS or any(name in WAIT for name in names):
        return False
    return "--runner=yarn" in words or ("--runner", "yarn") in pairwise(words)


def warm() -> None:
    """Begin to connect in the background, as a program's first step, and ask for the application that will be needed.

    Errors are raised later, by the functions that need the connection.
    """
    global _asked
    if _asked is not None:
        return
    if not _without_java():
        java.load_bridge()
    _asked = Future()
    threading.Thread(target=_warm, args=(_asked,), name=java.THREAD, daemon=True).start()


def _without_java() -> bool:
    """Tell whether the client without Java will be tried, as far as a look at the configuration tells."""
    settings = hadoop_conf.read(hadoop_conf.folder(), configured.FILES)
    return os.environ.get(VARIABLE) != JAVA and not configured.unfit(settings)


def _warm(asked: Future[Offer]) -> None:
    try:
        asked.set_result(client().offer())
    except Exception as error:
        asked.set_exception(error)
        return
    client().preload()


def new_application() -> Offer:
    """Ask YARN for a new application, or wait for the answer where `warm` has asked: that one is given out once.

    Raises
    ------
    HdlError
        YARN cannot be reached, or refuses.
    """
    global _asked
    asked, _asked = _asked, None
    return asked.result() if asked else client().offer()


def prepare() -> None:
    """Choose the client, and start Java where it is Hadoop's: before anything reads HDFS, which must find Java there.

    Raises
    ------
    SpecError, Unavailable
    """
    if not client().native:
        java.start()


def client() -> Chosen:
    """Return the client that speaks to YARN.

    Raises
    ------
    SpecError
        HDL_YARN is set to something else.
    Unavailable, DeadlineError
        The client that is forced is not there, or no ResourceManager answers.
    """
    key = (os.getpid(), *map(os.environ.get, IDENTITY))
    with _choosing:
        if key not in _chosen:
            _chosen[key] = Chosen()
        return _chosen[key]


def shown() -> tuple[str, str]:
    """Name the client that speaks to YARN, and say why it is Hadoop's own; for `hdl doctor`.

    Returns
    -------
    name, why : str
        ``why`` is empty where no Java is needed.
    """
    try:
        chosen = client()
    except (HdlError, OSError) as error:
        return "", str(error)
    return ("Hadoop's RPC (no Java)", "") if chosen.native else ("YarnClient (Hadoop's own, in Java)", chosen.why)


def connect() -> tuple[Any, Any]:
    """Connect by Hadoop's client: see `java_client.connect`."""
    with _connecting:
        return java_client.connect()


class Chosen:
    """Speaks to YARN by the client without Java or by Hadoop's; the methods are those of `interface.Yarn`.

    Attributes
    ----------
    why : str
        Why it is Hadoop's.
    """

    def __init__(self) -> None:
        from hdl import hdfs_choice  # late: the choice is made before most of hdl is there

        self._java, self.why = java_client.Java(lambda: connect()), ""
        self._native: Yarn | None = None
        given = hdfs_choice.forced(VARIABLE, (NATIVE, JAVA))
        try:
            self._native = _tried(given)
        except Unable as error:
            self.why = str(error)
            identity.claim(None)
            if given == NATIVE:
                raise Unavailable(f"YARN cannot be spoken to without Java ({error}); unset {VARIABLE}") from error

    @property
    def native(self) -> bool:
        """Tell whether no Java is needed."""
        return self._native is not None

    def offer(self) -> Offer:
        return self._do(lambda yarn: yarn.offer())

    def has_queue(self, name: str) -> bool:
        return self._do(lambda yarn: yarn.has_queue(name))

    def queues(self) -> list[str]:
        return self._do(lambda yarn: yarn.queues())

    def labels(self) -> list[str]:
        return self._do(lambda yarn: yarn.labels())

    def submit(self, submission: Submission) -> None:
        self._do(lambda yarn: yarn.submit(submission))

    def report(self, application: str) -> Report:
        return self._do(lambda yarn: yarn.report(application))

    def applications(self) -> list[Report]:
        return self._do(lambda yarn: yarn.applications())

    def kill(self, application: str) -> None:
        self._do(lambda yarn: yarn.kill(application))

    def tokens(self, roots: list[str]) -> Any:
        return self._do(lambda yarn: yarn.tokens(roots))

    def cluster(self) -> str:
        return self._do(lambda yarn: yarn.cluster())

    def reach(self, folder: str) -> None:
        self._do(lambda yarn: yarn.reach(folder))

    def make_folder(self, folder: str) -> None:
        self._do(lambda yarn: yarn.make_folder(folder))

    def put(self, path: str, content: bytes) -> None:
        self._do(lambda yarn: yarn.put(path, content))

    def located(self, path: str) -> dict[str, Any]:
        return self._do(lambda yarn: yarn.located(path))

    def changed(self, folder: str) -> dict[str, float]:
        return self._do(lambda yarn: yarn.changed(folder))

    def remove(self, folder: str) -> None:
        self._do(lambda yarn: yarn.remove(folder))

    def hosts(self, splits: list[FileSplit]) -> list[str]:
        return self._do(lambda yarn: yarn.hosts(splits))

    def preload(self) -> None:
        """Load what is needed next, beside other work."""
        if not self.native:
            self._java.preload()

    def _do(self, step: Callable[[Yarn], Any]) -> Any:
        if native := self._native:
            try:
                return step(native)
            except Unable as error:
                self.why, self._native = str(error), None
        return step(self._java)


def _tried(given: str) -> Yarn:
    """Connect without Java.

    Raises
    ------
    Unable
        With the reason why that cannot be.
    DeadlineError
        No ResourceManager answers: none would answer Hadoop's client.
    """
    from hdl import hdfs_choice, libhdfs
    from hdl.yarn.client import native

    if given == JAVA:
        raise Unable(f"{VARIABLE}={JAVA} is set")
    if java.started():
        raise Unable("Java runs in this process")
    settings = hadoop_conf.read(hadoop_conf.folder(), configured.FILES)
    if reason := configured.unfit(settings):
        raise Unable(reason)
    made = native.Native(settings)
    with suppress(HdlError):  # whoever reads HDFS is told what is wrong
        chosen = hdfs_choice.client("hdfs:///")
        if not chosen.native:
            raise Unable(f"HDFS needs Java: {chosen.why}")
    identity.claim(settings)
    if java.start not in libhdfs.before_java:  # what still needs Java finds YARN's
        libhdfs.before_java.append(java.start)
    timeline.reached("client", "connected without Java")
    return made
