"""What lies in a table's folder and whose it is; and how a folder in which runs were mixed is mended.

A chain is the versions of one run under one tag. Without owners' files, as an older hdl wrote tables, two runs may have
written under the same names; each version's header says its run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hdl import fs, wire
from hdl.errors import Damaged, DeadlineError, LoginError, TableError
from hdl.table import Table, names, owner, zero
from hdl.table import version as version_file
from hdl.table.version import Version
from hdl.wire import WireError


@dataclass
class Chain:
    """The versions of one run under one tag.

    Parameters
    ----------
    run : str
        Its id; empty of files whose header cannot be read.
    tag : str
        In the files' names.
    files : dict of int to str
        Names of the versions' files by number.
    damaged : dict of int to str
        What is wrong with some of them.
    counts : bool
        They are of the table's owner.
    """

    run: str
    tag: str
    files: dict[int, str] = field(default_factory=dict)
    damaged: dict[int, str] = field(default_factory=dict)
    counts: bool = False

    @property
    def name(self) -> str:
        """By which a user calls it: the run's id, and the tag if there is one."""
        return f"{self.run[:12] or 'unknown'}{self.tag and ':' + self.tag}"

    @property
    def whole(self) -> list[int]:
        """The versions that are not damaged, ascending."""
        return sorted(self.files.keys() - self.damaged.keys())


def find(folder: str) -> list[Chain]:
    """Read all versions in a folder; gives them as chains, that of the owner first, then those of more versions.

    Raises
    ------
    TableError
        There is no version, or the folder cannot be read.
    """
    listed = fs.list(folder) if fs.isdir(folder) else []
    try:
        own = owner.last(folder, listed)
    except TableError:  # its file is damaged: nobody's versions count
        own = None
    found: dict[tuple[str, str], Chain] = {}
    for name in sorted(listed, key=lambda name: (name.startswith("v00000000-copy"), name)):
        known = names.parse(name)
        if known is None or known.kind == "common" or known.temporary:
            continue
        if known.kind == "copy" and any(0 in chain.whole for chain in found.values() if chain.tag == known.tag):
            continue
        run, wrong = _judge(fs.join(folder, name), known.number, folder)
        counts = own is not None and known.tag == own.tag and run in (own.run, "")
        chain = found.setdefault((run, known.tag), Chain(run, known.tag, counts=counts))
        chain.files[known.number] = name
        chain.damaged.pop(known.number, None)  # of version 0, whose copy this is
        if wrong:
            chain.damaged[known.number] = wrong
    if not found:
        inside = [each for each in listed if _is_table(fs.join(folder, each))]
        there = f"; tables are in {', '.join(inside[:3])}{', …' * (len(inside) > 3)}" if inside else ""
        raise TableError(f"{folder}: no version of a weight table here{there}")
    return sorted(found.values(), key=lambda chain: (not chain.counts, -len(chain.files), chain.name))


def _is_table(path: str) -> bool:
    """Tell whether there is a folder with versions, such as one of a grid's."""
    return fs.isdir(path) and any(known and known.kind == "version" for known in map(names.parse, fs.list(path)))


def _judge(path: str, number: int, folder: str) -> tuple[str, str]:
    """Read a version's file; gives its run, and what is wrong with it."""
    run = ""
    try:
        with fs.open(path) as file:
            content = file.read()
        kind, fields = wire.header(content, len(content))
        version_file.check_fields(number, kind, fields)
        run = fields["run"]
        version_file.decode(number, content, folder)
    except (LoginError, DeadlineError):
        raise
    except (OSError, WireError) as error:
        return run, str(error)
    return run, ""


def lost_zeros(folder: str, chain: Chain) -> list[str]:
    """Look which of the two files of a chain's version 0 are not whole while the other one is; gives what is wrong.

    An empty list where both are, or none, or where an older hdl wrote only one.
    """
    paths = [fs.join(folder, name) for name in (names.version(0, chain.tag), names.copy(chain.tag))]
    there = [fs.exists(path) for path in paths]
    if 0 not in chain.whole or there == [True, False]:
        return []
    wrong = [_judge(path, 0, folder)[1] if found else "is not there" for path, found in zip(paths, there, strict=True)]
    return [f"{path}: {said}" for path, said in zip(paths, wrong, strict=True) if said]


def choose(folder: str, chains: Sequence[Chain], run: str) -> Chain:
    """Find the chain that a user names by its run's id, or the beginning of it.

    Raises
    ------
    TableError
        None or several have such a name, or the chain cannot be a table.
    """
    if not run:
        raise TableError("--keep: expected the name of a run, or its beginning, and was given an empty one")
    fitting = [chain for chain in chains if chain.name == run] or [each for each in chains if each.name.startswith(run)]
    if len(fitting) != 1:
        there = ", ".join(chain.name for chain in chains)
        raise TableError(f"--keep {run}: expected the name of one of the runs in {folder}: {there}")
    (chain,) = fitting
    if not chain.run or 0 not in chain.whole:
        raise TableError(
            f"--keep {run}: its version 0, without which no version can be used, is not there or damaged; "
            "its other versions stay where they are"
        )
    return chain


def keep(folder: str, chain: Chain) -> tuple[Table, str]:
    """Make a chain the table, and move all other versions into a folder of their own; whoever writes there is stopped.

    Returns
    -------
    (Table, str)
        The table, and the path of the folder; empty where nothing was to be moved.
    """
    numbers = chain.whole
    files = {names.version(number): chain.files[number] for number in numbers}
    listed = fs.list(folder)
    if names.common(chain.tag) in listed:
        files[names.common()] = names.common(chain.tag)
    seen = max(names.owners(listed), default=0)
    table = Table(folder)
    table.owner = own = owner.take(folder, chain.run, seen, files)
    away = [name for name in fs.list(folder) if (known := names.parse(name)) and owner.is_dead(known.tag, own)]
    twice = {*files.values()}  # they are there under their new names
    if 0 not in chain.damaged and _judge(fs.join(folder, names.copy(chain.tag)), 0, folder) == (chain.run, ""):
        twice.add(names.copy(chain.tag))  # of which a new one is made
    away = [name for name in away if name not in twice]
    place = owner.set_aside(folder, away, own) if away else ""
    owner.sweep(folder, own)
    zero.mend(fs.join(folder, names.version(0, own.tag)))
    return table, place


def lost_common(table: Table) -> str:
    """Look whether what all rounds have in common is damaged; gives what is wrong, and what helps."""
    if not fs.exists(table.common_file):
        return ""
    try:
        table.common()
    except TableError as error:
        again = table.header(0)["spec"]["sync"]["mode"] == "genetic"  # drawn by the seed
        return f"{error}{'; without this file, hdl train --resume makes it again' if again else ''}"
    return ""


def unbroken(table: Table) -> list[str]:
    """Check that each version of a table follows the one that its header names; gives what is wrong."""
    versions: dict[int, Version] = {}
    for number in table.numbers():
        with suppress(Damaged):  # which is told by itself
            versions[number] = table.read(number)
    wrong = []
    for number, version in versions.items():
        if version.follows and (before := versions.get(version.follows[0])) and before.signature != version.follows[1]:
            wrong.append(
                f"version {number} was made after a version {before.number} with SHA-256 {version.follows[1][:12]}, "
                f"and the one that is there has {before.signature[:12]}"
            )
    return wrong
