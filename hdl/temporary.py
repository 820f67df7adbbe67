"""Temporary names that say whose they are, and the sweep of those whose writer lives no more.

A file is written under a hidden name beside its own and renamed when it is whole; who is killed meanwhile leaves it
there. The 32 hexadecimal digits in ``.NAME.<digits>.tmp`` name the writer: the machine (boot of the kernel, namespace
of process ids, user), the process and when it started, and a number that this process gives once. So the next writer
in the same folder can ask:

- On the machine of the name, the process is looked for. While it is there, even if it is stopped, the file stays; once
  it is gone, the file goes.
- From elsewhere nobody sees that process: a file goes a day after it was last changed, a folder a week after. Both
  times are the file system's, not this machine's clock.

Another user's files stay whatever they are.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import NamedTuple

FILE_SECONDS, FOLDER_SECONDS = 24 * 3600.0, 7 * 24 * 3600.0  # since the last change, of writers that cannot be seen
SWEEP_SECONDS = 10.0  # for all that lies in one folder; the rest is left to the next writer
NAME = re.compile(r"\.(.+)\.([0-9a-f]{10})([0-9a-f]{6})([0-9a-f]{8})([0-9a-f]{8})\.tmp", re.DOTALL)
_MACHINE, _PID, _START, _COUNT = 10, 6, 8, 8  # digits
_swept: set[str] = set()
_asking = threading.Lock()
_count = itertools.count(int.from_bytes(os.urandom(2), "big"))


class Found(NamedTuple):
    """What a sweep is told of a temporary file or folder.

    Attributes
    ----------
    name : str
    owner : object
        Its user, as the file system names users.
    changed : float
        When it was last changed, in seconds, by the file system's clock.
    size : int
        In bytes, 0 of a folder.
    isdir : bool
    """

    name: str
    owner: object
    changed: float
    size: int
    isdir: bool


def token() -> str:
    """Return 32 hexadecimal digits that name this process, and that no process of any machine gives again."""
    start = int(started(os.getpid()) or 0)
    return (
        f"{_digits(machine())}{os.getpid() % 16**_PID:0{_PID}x}{start % 16**_START:0{_START}x}"
        f"{next(_count) % 16**_COUNT:0{_COUNT}x}"
    )


def name(of: str) -> str:
    """Return a new temporary name for a file or folder of the name `of`: hidden, so that readers skip it.

    Examples
    --------
    >>> bool(NAME.fullmatch(name("a.csv"))), is_dead(name("a.csv"))
    (True, False)
    """
    return f".{of}.{token()}.tmp"


def is_dead(name: str) -> bool | None:
    """Tell whether the writer of a temporary name lives no more; None where that cannot be seen from here."""
    found = NAME.fullmatch(name)
    if not found or found[2] != _digits(machine()):
        return None
    began = started(int(found[3], 16))
    return began is None or int(began) % 16**_START != int(found[4], 16)


def first(folder: str) -> bool:
    """Tell whether this process asks for a folder for the first time: only then it is swept."""
    with _asking:
        new = folder not in _swept
        _swept.add(folder)
        return new


def sweep(
    folder: str,
    names: Iterable[str],
    look: Callable[[str], Found],
    remove: Callable[[Found], object],
    own: Found,
) -> list[str]:
    """Remove what dead writers of this user left in a folder, and tell it in the log.

    Parameters
    ----------
    folder : str
    names : iterable of str
        In the folder.
    look : function of a name
        Tells what is there.
    remove : function of what was found
    own : Found
        A temporary file that we have just written: whose we are, and what time it is there.

    Returns
    -------
    list of str
        The names removed. What cannot be looked at or removed, and what there is no time for, stays for the next time.
    """
    until, removed, size = time.monotonic() + SWEEP_SECONDS, [], 0
    for each in names:
        if not NAME.fullmatch(each) or each == own.name or (dead := is_dead(each)) is False:
            continue
        if time.monotonic() > until:
            break
        try:
            found = look(each)
            age = own.changed - found.changed
            if found.owner != own.owner or (dead is None and age < (FOLDER_SECONDS if found.isdir else FILE_SECONDS)):
                continue
            remove(found)
        except Exception as error:  # another writer may be at it; ours is not to fail by what others left
            logging.getLogger("hdl").info("%s in %s stays: %s", each, folder, error)
            continue
        removed.append(each)
        size += found.size
    if removed:
        what = f"{removed[0]}{f' and {len(removed) - 1} more' if len(removed) > 1 else ''}, {size} bytes"
        logging.getLogger("hdl").warning("%s: removed what writers that died left there: %s", folder, what)
    return removed


def sweep_beside(own: str) -> None:
    """Remove what dead writers of ours left beside a temporary file or folder of this machine's, which we have just
    made; once a folder and process."""
    folder = os.path.dirname(own) or "."
    if not first(os.path.abspath(folder)):
        return

    def remove(found: Found) -> None:
        path = os.path.join(folder, found.name)
        if found.isdir:
            shutil.rmtree(path)
        else:
            os.unlink(path)

    with suppress(OSError):
        sweep(
            folder, os.listdir(folder), lambda name: _found(folder, name), remove, _found(folder, os.path.basename(own))
        )


def _found(folder: str, name: str) -> Found:
    """Look at what lies here; a folder is as large as what it holds, and was changed when that was."""
    path = os.path.join(folder, name)
    status = os.lstat(path)
    isdir = stat.S_ISDIR(status.st_mode)
    inside = [os.lstat(os.path.join(path, each)) for each in os.listdir(path)] if isdir else []
    size = sum(each.st_size for each in inside) if isdir else status.st_size
    return Found(name, status.st_uid, max(each.st_mtime for each in (status, *inside)), size, isdir)


@cache
def machine() -> str:
    """Name this boot of the kernel, this namespace of process ids, such as a container's, and the user.

    The processes of other users may be hidden.
    """
    with open("/proc/sys/kernel/random/boot_id") as file:
        return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')} {os.getuid()}"


def started(pid: int) -> str | None:
    """Tell when a process of this machine started, in ticks; None: there is none, or it has ended and is not reaped."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()  # after the command's name, which may hold anything
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[19] if fields[0] not in "ZX" else None


@cache
def _digits(machine: str) -> str:
    return hashlib.sha256(machine.encode()).hexdigest()[:_MACHINE]
