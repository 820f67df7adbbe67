"""Begins to connect to YARN as a program's first step, and asks for the application that will be needed.

It needs little of hdl, so that `hdl.__main__` may begin before the command line is there.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import pairwise
from typing import TYPE_CHECKING

from hdl.errors import HdlError
from hdl.yarn.api import choice
from hdl.yarn.resource_manager import java

if TYPE_CHECKING:
    from hdl.yarn.api.interface import Offer

_asked: Future[Offer] | None = None  # by `warm`, and not needed yet
COMMANDS = ("train", "evaluate")  # that have `--runner`
# Words after which connecting must wait: for who logs in, or because it is not needed.
WAIT = ("--principal", "--keytab", "--proxy-user", "--dry-run", "--help", "-h")


def asked_for(words: Sequence[str]) -> bool:
    """Tell whether a command line runs on YARN for sure, so that connecting may begin before it is read.

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
    try:
        if not choice.yarn().native:
            java.load_bridge()
    except HdlError:
        return
    _asked = Future()
    threading.Thread(target=_warm, args=(_asked,), name=java.THREAD, daemon=True).start()


def _warm(asked: Future[Offer]) -> None:
    try:
        asked.set_result(choice.yarn().offer())
    except Exception as error:
        asked.set_exception(error)
        return
    choice.yarn().preload()


def new_application() -> Offer:
    """Ask YARN for a new application, or wait for the answer where `warm` has asked: that one is given out once.

    Raises
    ------
    HdlError
        YARN cannot be reached, or refuses.
    """
    global _asked
    asked, _asked = _asked, None
    return asked.result() if asked else choice.yarn().offer()
