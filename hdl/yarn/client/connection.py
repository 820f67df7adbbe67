"""Connects to YARN: Java's virtual machine, the cluster's configuration, and a client of the ResourceManager.

It needs little of hdl, so that `hdl.__main__` may begin before the command line is there.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Any

from hdl import timeline
from hdl.yarn.resource_manager import java, listening

_CONNECTING = threading.Lock()
_asked: Future[Any] | None = None  # by `warm`, and not needed yet
COMMANDS = ("train", "evaluate")  # that have `--runner`
# Words after which Java must wait: for who logs in, or because it is not needed.
WAIT = ("--principal", "--keytab", "--proxy-user", "--dry-run", "--help", "-h")


def asked_for(words: Sequence[str]) -> bool:
    """Tell whether a command line runs on YARN for sure, so that Java may start before it is read.

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
    java.load_bridge()
    _asked = Future()
    threading.Thread(target=_warm, args=(_asked,), name=java.THREAD, daemon=True).start()


def _warm(asked: Future[Any]) -> None:
    try:
        asked.set_result(_new_application())
    except Exception as error:
        asked.set_exception(error)
        return
    with suppress(Exception):
        conf, _ = connect()
        java.load_class("org.apache.hadoop.fs.FileSystem").get(conf)  # a thousand classes and a configuration


def new_application() -> Any:
    """Ask YARN for a new application, or wait for the answer where `warm` has asked: that one is given out once.

    Raises
    ------
    HdlError
        YARN cannot be reached, or refuses.
    """
    global _asked
    asked, _asked = _asked, None
    return asked.result() if asked else _new_application()


def _new_application() -> Any:
    _, yarn = connect()
    with java.call("a new application"):
        return yarn.createApplication()


def connect() -> tuple[Any, Any]:
    """Connect to YARN: start Java, read the configuration, check that its ResourceManager listens, and make its client.

    Once a process: this one keeps both.

    Returns
    -------
    Java's Configuration, YarnClient

    Raises
    ------
    DeadlineError
        The ResourceManager does not answer.
    Unavailable
        JPype, Java, Hadoop or its configuration is missing.
    """
    with _CONNECTING:
        return _connected()


@cache
def _connected() -> tuple[Any, Any]:
    java.start()
    timeline.reached("client", "java")
    conf = java.configuration(java.IMPATIENT)
    timeline.reached("client", "configuration")
    listening.check_listening(conf)
    java.check_login()
    with java.call("YARN's client"):
        client = java.load_class("org.apache.hadoop.yarn.client.api.YarnClient").createYarnClient()
        client.init(conf)
        client.start()
    timeline.reached("client", "YARN's client")
    return conf, client
