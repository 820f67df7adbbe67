"""Tells from YARN's exit status and diagnostics whose doing a container's end was."""

from __future__ import annotations

import re
import signal

from hdl.envpack import refusal
from hdl.yarn.process import DISK_WORDS, NODE_STATUS

INVALID = -1000  # of a container whose files could not be fetched
# YARN's ContainerExitStatus: the name of how a container ended, and whose doing that was (see `Ended`).
STATUSES = {
    INVALID: ("INVALID: it was not started", "node"), -100: ("ABORTED", "lost"), -101: ("DISKS_FAILED", "node"),
    -102: ("PREEMPTED", "preempted"), -103: ("KILLED_EXCEEDED_VMEM", "memory"),
    -104: ("KILLED_EXCEEDED_PMEM", "memory"), -105: ("KILLED_BY_APPMASTER", "stopped"),
    -106: ("KILLED_BY_RESOURCEMANAGER", "lost"), -107: ("KILLED_AFTER_APP_COMPLETION", "stopped"),
    -108: ("KILLED_BY_CONTAINER_SCHEDULER", "preempted"), -109: ("KILLED_FOR_EXCESS_LOGS", "exited"),
    NODE_STATUS: (f"exit status {NODE_STATUS}", "node"),
    128 + signal.SIGBUS: (f"exit status {128 + signal.SIGBUS}", "node"),  # a page of a file could not be read
}  # fmt: skip
# A disk of the node, as its launch script, Java or Python say it.
DISK = re.compile(rf"{DISK_WORDS.pattern}|DiskErrorException|No space available in any of the local director")
# What a container cannot be started without, and no node will find.
NOWHERE = re.compile(r"File does not exist|FileNotFoundException|changed on src filesystem|AccessControlException")


def ending(status: int, diagnostics: str) -> tuple[str, str]:
    """Tell whose doing a container's end was, and the reason, from YARN's exit status and diagnostics.

    Examples
    --------
    >>> ending(3, "Exception from container-launch.")
    ('exited', 'exit status 3: Exception from container-launch.')
    >>> ending(1, "mkdir: cannot create directory: No space left on device")[0]
    'node'
    """
    text = refusal(diagnostics) or " ".join(diagnostics.split())[:500]
    name, kind = STATUSES.get(status, (f"exit status {status}", "exited"))
    if status == 137 and re.search(r"\boom\b|memory", text, re.IGNORECASE):  # cgroups kill by SIGKILL
        kind = "memory"
    elif 128 < status < 160:
        name += f" (signal {status - 128})"
    if kind == "exited" and DISK.search(diagnostics):
        kind = "node"
    elif status == INVALID and NOWHERE.search(diagnostics):
        kind = "exited"
    return kind, f"{name}: {text}" if text else name
