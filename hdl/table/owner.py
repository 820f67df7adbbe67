"""Who owns a weight table: the run that made the last of the files `owner-00000001.json`, `owner-00000002.json`, ….

A run claims a table before it writes: it makes the file of the next epoch, which only one can, as the file system
lets a name be taken once. From that moment the table is the versions whose names have this owner's tag, and nothing
that an earlier owner does can change it: what that one writes or removes has other names. So a driver that slept
through another's claim does no harm when it wakes, at whatever step it had been; it stops as soon as it looks.
The numbers are Kafka's producer epochs and the exclusive names Delta Lake's log.

An owner makes the files that it inherits its own before it claims (`take`): they do not count until the claim, and
then all do at once. Files of older epochs are dead for good after a claim, as a claim of their epoch can come to pass
no more; so the owner removes them, and needs no clock to know that it may.
"""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import NoReturn

from hdl import fs
from hdl import metrics_log as metrics
from hdl.errors import DeadlineError, Fenced, HdlError, LoginError, TableError
from hdl.table import names

KEPT = 8  # owner files of the last epochs; the highest one alone counts


@dataclass(frozen=True)
class Owner:
    """A claim on a table.

    Parameters
    ----------
    epoch : int
        Its number, from 1.
    tag : str
        In the names of its files.
    run : str
        Id of the run, which a resumed one keeps; empty where a table was only emptied, or that is not known.
    writer : str
        A word that no other claim has.
    began : float
        When, in Unix time.
    host, pid : str, int
        The process, for messages.
    """

    epoch: int
    tag: str
    run: str
    writer: str
    began: float = 0.0
    host: str = ""
    pid: int = 0

    def told(self) -> str:
        """Say who it is."""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.began))
        return f"{f'run {self.run[:12]}' if self.run else 'another command'} ({self.host}, process {self.pid}, {when})"


def last(folder: str, listed: list[str] | None = None) -> Owner | None:
    """Read a table's owner; None if no run has claimed it.

    Parameters
    ----------
    folder : str
    listed : list of str, optional
        The names in it, if they are known.

    Raises
    ------
    TableError
        The owner file is damaged.
    """
    while epochs := names.owners(fs.list(folder) if listed is None else listed):
        path = fs.join(folder, names.owner(epochs[-1]))
        try:
            with fs.open(path) as file:
                return _owner(epochs[-1], json.loads(file.read()))
        except FileNotFoundError:  # several runs have claimed the table since it was listed
            listed = None
        except (LoginError, DeadlineError):
            raise
        except (PermissionError, ConnectionError, TimeoutError) as error:
            raise TableError(f"{path}: cannot be read: {error.strerror or error}") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise TableError(f"{path}: not what hdl wrote ({error}); see: hdl repair {folder}") from None
    return None


def _owner(epoch: int, fields: Mapping) -> Owner:
    """Make an owner of its file's fields."""
    own = Owner(*(fields[name] for name in ("epoch", "tag", "run", "writer", "began", "host", "pid")))
    texts = (own.tag, own.run, own.writer, own.host)
    if own.epoch != epoch or not all(isinstance(text, str) for text in texts) or not own.writer:
        raise ValueError(f"expected the owner of epoch {epoch}")
    if own.tag and names.parse(names.version(0, own.tag)) is None:
        raise ValueError(f"tag {own.tag[:40]!r}")
    return own


def epoch_of(folder: str) -> int:
    """Look up the epoch of a table's owner; 0 without one, or without a folder."""
    listed = fs.list(folder) if fs.isdir(folder) else []
    return max(names.owners(listed), default=0)


def take(
    folder: str, run: str, seen: int | None = None, inherited: Mapping[str, str] | None = None,
    rescued: Mapping[str, Callable[[], bytes]] | None = None,
) -> Owner:  # fmt: skip
    """Claim a table.

    Parameters
    ----------
    folder : str
        That is there.
    run : str
        Id of the run.
    seen : int, optional
        Epoch of the owner that the caller has looked at; None: whoever owns it now.
    inherited : dict of str to str
        Files that the table is to begin with: what each is called without a tag, and its name so far.
    rescued : dict of str to function
        Gives the content of such a file if it is gone by now, since the owner so far has removed it; another one that
        is gone is left out.

    Raises
    ------
    Fenced
        Another run has claimed the table since it had the owner `seen`; nothing was changed.
    TableError
        The folder cannot be written.
    """
    listed, rescued = fs.list(folder), rescued or {}
    before = max(names.owners(listed), default=0)
    if seen is not None and before != seen:
        _refused(folder)
    writer = uuid.uuid4().hex[:12]
    empty = not before and not any(name for name in map(names.parse, listed) if name and not name.temporary)
    tag = "" if empty else f"{before + 1}-{writer}"
    own = Owner(before + 1, tag, run, writer, time.time(), platform.node(), os.getpid())
    made = []
    try:
        for plain, name in (inherited or {}).items():
            target = fs.join(folder, names.tagged(plain, tag))
            try:
                fs.copy(fs.join(folder, name), target)
            except FileNotFoundError:
                if plain not in rescued:
                    continue
                fs.publish(target, rescued[plain]())
            made.append(target)
        fs.publish(fs.join(folder, names.owner(own.epoch)), json.dumps(asdict(own), indent=1).encode())
    except FileExistsError:  # only now is it certain that the claim has failed and its files are nobody's
        for path in made:
            with suppress(OSError, HdlError):
                fs.remove(path)
        _refused(folder)
    except HdlError:
        raise
    except OSError as error:
        if epoch_of(folder) != before:
            _refused(folder)
        raise TableError(f"{folder}: cannot be written: {error}") from None
    if epoch_of(folder) != own.epoch:  # another came after it; or the name was free again, as old ones are removed
        _refused(folder)
    return own


def claim(folder: str) -> Owner:
    """Claim the folder of several trainings, such as a grid's, whose tables are claimed one by one; it may be missing.

    Raises
    ------
    Fenced, TableError
    """
    fs.mkdir(folder)
    own = take(folder, uuid.uuid4().hex)
    sweep(folder, own)
    return own


def _refused(folder: str) -> NoReturn:
    other = last(folder)
    raise Fenced(f"{folder}: {other.told() if other else 'another run'} has taken the table over; nothing was changed")


def check(folder: str, own: Owner | None) -> None:
    """Refuse to go on where a table has another owner by now; None: had none.

    Raises
    ------
    Fenced
    """
    try:
        other = last(folder)
    except FileNotFoundError:
        other = None
    if other == own:
        return
    now = f"belongs to {other.told()}" if other else "was removed"
    raise Fenced(f"{folder}: the table {now}; this run, which wrote to it before, stops and has left it as it is")


def sweep(folder: str, own: Owner, all_rows: bool = False) -> None:
    """Remove what no owner's any more: files of older epochs, those half written too, and old owner files.

    Parameters
    ----------
    folder : str
    own : Owner
        The caller.
    all_rows : bool
        Of a table that was emptied: files of rows too, which versions share.
    """
    listed = fs.list(folder)
    if max(names.owners(listed), default=0) != own.epoch:  # another's, who sees to it
        return
    dead = [name for name in listed if (known := names.parse(name)) and is_dead(known.tag, own)]
    # What is half written without a tag is no file of ours: we have written none yet.
    dead += [name for name in listed if (epoch := names.half(name)) is not None and epoch <= own.epoch]
    dead += [names.owner(epoch) for epoch in names.owners(listed) if epoch <= own.epoch - KEPT]
    paths = [fs.join(folder, name) for name in dead] + (metrics.names(folder) if all_rows else [])
    for path in paths:
        with suppress(OSError, HdlError):  # what stays is nobody's, and is removed next time
            fs.remove(path)


def set_aside(folder: str, files: list[str], own: Owner) -> str:
    """Move files of a table's folder into a folder in it; gives that folder's path.

    Parameters
    ----------
    folder : str
    files : list of str
        Their names.
    own : Owner
        Who does it.
    """
    place = fs.join(folder, f"aside-{own.epoch:08d}-{uuid.uuid4().hex[:6]}")
    fs.mkdir(place)
    for name in files:
        with suppress(FileNotFoundError):
            fs.rename(fs.join(folder, name), fs.join(place, name))
    return place


def take_back(folder: str, files: list[str], tag: str) -> None:
    """Remove files that a run wrote as its claim had ended, if they cannot count any more.

    Parameters
    ----------
    folder : str
    files : list of str
        Their names.
    tag : str
        In them. An owner with the same one may have files of these names, so they stay.
    """
    own = last(folder)
    for name in files if own and is_dead(tag, own) else []:
        with suppress(OSError, HdlError):  # the owner has removed it, or will
            fs.remove(fs.join(folder, name))


def is_dead(tag: str, own: Owner) -> bool:
    """Tell whether files of a tag can never count again, as `own` has claimed the table."""
    return tag != own.tag and names.epoch(tag) <= own.epoch
