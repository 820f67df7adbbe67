"""A driver's working folder on HDFS: its user's alone, and removed when it ends, or after it by the next driver.

What a driver that was killed leaves is found by the next one of the same user. Whose driver lives is told by a *lease*
in each folder, a file that names the driver's process and that the driver renews:

- On the driver's own machine its process is looked for. While it is there, even if it is stopped, the folder stays;
  once it is gone, the folder goes.
- From elsewhere nobody can see that process: the folder goes once its lease has not been renewed for `LEASE_SECONDS`,
  a day, which differences between the machines' clocks are small against. A driver that did not run for so long, as on
  a laptop that was closed, and then wakes, ends and says so.

A folder without a lease, whose driver died at its very beginning, gets one of nobody's, which runs out likewise.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from hdl import fs, temporary
from hdl.errors import HdlError, WorkerError

LEASE_SECONDS = 24 * 3600.0
RENEW_SECONDS = 600.0
LEASE = "lease"  # its name goes on with the unix time at which it was made: a new one replaces it
_NAME = re.compile(rf"{LEASE}\.(\d+)")


class Holder(NamedTuple):
    """Names one process among all there have been.

    Attributes
    ----------
    machine : str
        Boot of the kernel, namespace of process ids and user: where all are the same, process ids mean the same.
    pid : int
    started : str
        In ticks of the kernel's clock since boot; process ids are used again.
    host : str
        For those who read the lease.
    """

    machine: str
    pid: int
    started: str
    host: str


class WorkingFolder:
    """Makes a folder of this driver's own in `parent`, keeps its lease, and removes what dead drivers left there.

    Parameters
    ----------
    parent : str
        A folder on HDFS, made if it is missing.

    Attributes
    ----------
    path : str
    """

    def __init__(self, parent: str):
        self.path = fs.join(parent, uuid.uuid4().hex)
        fs.mkdir(self.path, private=True)
        self._lease = ""
        self._renewing = threading.Lock()
        self._end = threading.Event()
        self.renew()
        threading.Thread(target=self._keep, name="hdl-lease", daemon=True).start()
        remove_dead(parent)

    def renew(self) -> None:
        """Renew the lease.

        Raises
        ------
        OSError, DeadlineError
            It cannot be written; FileNotFoundError: the folder is gone.
        """
        with self._renewing:
            before, self._lease = self._lease, _put_lease(self.path, this_process())
            if before and before != self._lease:
                fs.remove(before)

    @contextmanager
    def there(self) -> Iterator[None]:
        """Give the reason, where work in this folder fails because another driver has removed it.

        Raises
        ------
        WorkerError
        """
        try:
            yield
        except (OSError, HdlError):
            gone = False
            with suppress(OSError, HdlError):
                gone = not fs.exists(self.path)
            if not gone:
                raise
            raise WorkerError(
                f"{self.path}: this driver's working folder was removed by another one, since its lease had not been "
                f"renewed for {LEASE_SECONDS / 3600:g} h (was this process stopped, or its machine asleep?); "
                "train again with --resume"
            ) from None

    def close(self) -> None:
        """Remove the folder."""
        self._end.set()
        with self._renewing, suppress(OSError, HdlError):
            fs.remove(self.path)

    def _keep(self) -> None:
        while not self._end.wait(RENEW_SECONDS):
            with suppress(OSError, HdlError):  # a NameNode that is away for a while costs nothing: leases are long
                if not self._end.is_set():
                    self.renew()


def remove_dead(parent: str) -> list[str]:
    """Remove the working folders of drivers that live no more; return their paths.

    What cannot be read or removed stays for the next time: another driver may be at it.
    """
    removed = []
    for name in fs.list(parent):
        path = fs.join(parent, name)
        with suppress(OSError, HdlError):
            if _is_dead(path):
                fs.remove(path)
                removed.append(path)
    return removed


def this_process() -> Holder:
    """Name the process that we are."""
    return Holder(temporary.machine(), os.getpid(), temporary.started(os.getpid()) or "", socket.gethostname())


def _is_dead(path: str) -> bool:
    """Tell whether a working folder's driver lives no more, as the module says; a folder without a lease gets one."""
    times = {int(found[1]): name for name in fs.list(path) if (found := _NAME.fullmatch(name))}
    if not times:
        _put_lease(path, None)
        return False
    renewed = max(times)
    with fs.open(fs.join(path, times[renewed])) as file:
        lease: dict[str, Any] = json.loads(file.read())
    if lease["machine"] == temporary.machine():
        return temporary.started(lease["pid"]) != lease["started"]
    return time.time() - renewed > LEASE_SECONDS


def _put_lease(folder: str, holder: Holder | None) -> str:
    """Write a lease that begins now; return its path."""
    path = fs.join(folder, f"{LEASE}.{int(time.time())}")
    fields = holder._asdict() if holder else Holder("", 0, "", "")._asdict()
    with suppress(FileExistsError):  # of this same second
        fs.publish(path, json.dumps(fields).encode(), private=True)
    return path
