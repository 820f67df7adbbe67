"""Removes what ended applications have left, by what YARN says of them: no age and no clock of a client ends one.

An application's folder on HDFS stays until somebody is told its end; here those go that nobody has asked for in
`KEPT_SECONDS`. Times are the cluster's own: HDFS stamps the folder that was just made, YARN the application's end.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from hdl import fs
from hdl.errors import HdlError, SpecError
from hdl.yarn.client import renewal
from hdl.yarn.client.interface import Yarn
from hdl.yarn.settings import TASK_CONFIG

KEPT_SECONDS = 30 * 24 * 3600.0  # after its end, for those who ask for its outcome
CLUSTER = "cluster"  # in the task config: whose ResourceManager has the application


class Report(Protocol):
    """Is what this module reads of `client.Report`."""

    @property
    def over(self) -> bool: ...

    @property
    def finished(self) -> float: ...


@dataclass(frozen=True)
class Folder:
    """Describes an application's folder.

    Parameters
    ----------
    application : str
        Its id, which is the folder's name.
    changed : float
        Unix time of its last change, by HDFS's clock.
    """

    application: str
    changed: float


def ended(
    folders: Iterable[Folder], now: float, report: Callable[[str], Report | None], cluster: Callable[[str], str],
    here: str,
) -> list[str]:  # fmt: skip
    """List the applications among folders whose end nobody has asked for in `KEPT_SECONDS`.

    Parameters
    ----------
    folders : iterable of Folder
    now : float
        Unix time by HDFS's clock.
    report : function of str
        YARN's report of an application; None: YARN does not know it.
    cluster : function of str
        The cluster that an application was submitted to; empty: its folder does not say.
    here : str
        This cluster: only its ResourceManager can have forgotten an application of it.

    Returns
    -------
    list of str
        Never one that runs or waits, nor one of another cluster, however old.
    """
    found = []
    for folder in folders:
        if now - folder.changed <= KEPT_SECONDS:  # it need not be asked for yet
            continue
        known = report(folder.application)
        if known is None:
            over = bool(here) and cluster(folder.application) == here
        else:
            over = known.over and now - known.finished > KEPT_SECONDS
        if over:
            found.append(folder.application)
    return found


def remove_ended(yarn: Yarn, folder: str) -> None:
    """Remove what ended applications have left beside this application's folder, and of its client's files.

    Whatever cannot be looked at stays; nothing of it hinders a submission.
    """

    def known(application: str) -> Report | None:
        with suppress(SpecError):  # YARN has no such application
            return yarn.report(application)
        return None

    def cluster(application: str) -> str:
        path = fs.join(os.path.dirname(folder), application, TASK_CONFIG)
        with suppress(OSError, HdlError, ValueError, AttributeError), fs.open(path) as file:
            return str(json.loads(file.read()).get(CLUSTER, ""))
        return ""

    with suppress(HdlError, OSError):
        parent, own = os.path.split(folder)
        listed = [Folder(name, changed) for name, changed in yarn.changed(parent).items()]
        now = next(each.changed for each in listed if each.application == own)
        folders = [each for each in listed if re.fullmatch(r"application_\d+_\d+", each.application)]
        for application in ended(folders, now, known, cluster, yarn.cluster()):
            yarn.remove(f"{parent}/{application}")
        there = {each.application for each in listed}
        for application in renewal.kept(os.path.dirname(folder)):
            one = known(application)
            if one.over if one else application not in there:
                renewal.forget(application)
