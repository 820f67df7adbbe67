"""A row of the application's fault matrix: what is done to a training, and what has to come of it."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS, LONG = 15, 60  # rounds of a training; of one to which something is done from outside
MET = 3  # round, from 0, in which faults are met: three are done then


@dataclass(frozen=True)
class Row:
    """A fault, and the promise of docs/yarn.md.

    Parameters
    ----------
    title : str
        As the table of docs/yarn.md has it.
    fault : str
        HDL_FAULT of the containers.
    flags : tuple of str
        Of the command, beside the usual ones.
    workers : str
        As ``--workers`` has it.
    rounds : int
    meanwhile : function of a Trial, optional
        What is done while it trains.
    instead : function of a Trial, optional
        What is done in place of a training on YARN; returns the command's status and standard error.
    python : str, optional
        The nodes' Python: lines of a shell script, in which ``{python}`` is the usual one and ``{folder}`` a folder
        that has the row's `files`.
    files : tuple of (str, str)
        Name and content of files for that script.
    status : int
        How the command ends.
    died : tuple of str, optional
        The ranks that are replaced, in any order; None: it makes no difference.
    says, silent : tuple of str
        Regular expressions that the command's standard error matches, and does not.
    lost : int
        Finished rounds that may have to be done again.
    version : int, optional
        The table's last version, where the training does not end well.
    """

    title: str
    fault: str = ""
    flags: tuple[str, ...] = ()
    workers: str = "4"
    rounds: int = ROUNDS
    meanwhile: Callable | None = None
    instead: Callable | None = None
    python: str = ""
    files: tuple[tuple[str, str], ...] = ()
    status: int = 0
    died: tuple[str, ...] | None = None
    says: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    lost: int = 1
    version: int | None = None


def lost(said):
    """Count the finished rounds that had to be done again: those after the version from which training went on.

    A fault meets a training after MET rounds at least; of those after that, what was said is known.
    """
    most = 0
    for again in re.finditer(r"(?:goes|going) on from version (\d+)", said):
        rounds = map(int, re.findall(r"^round (\d+)/", said[: again.start()], re.MULTILINE))
        most = max(most, max(rounds, default=0) - int(again[1]), MET - int(again[1]))
    return most


def replaced(said):
    """List the ranks of workers that were replaced, in order of rank."""
    return tuple(sorted(re.findall(r"^worker (\d) died", said, re.MULTILINE)))


def differs(row, status, said, version):
    """List in which ways a training that is over is not what its row promises; its weights are the caller's."""
    found = [f"{text!r} is not said" for text in row.says if not re.search(text, said)]
    found += [f"{text!r} is said" for text in row.silent if re.search(text, said)]
    if status != row.status:
        found.append(f"the command ended with {status}, expected {row.status}")
    if row.died is not None and replaced(said) != row.died:
        found.append(f"workers {replaced(said)} were replaced, expected {row.died}")
    if row.version is not None and version != row.version:
        found.append(f"the last version is {version}, expected {row.version}")
    if lost(said) > row.lost:
        found.append(f"{lost(said)} rounds were lost, expected at most {row.lost}")
    return found


def nodes_python(folder):
    """Write the Python of the nodes, with the hdl that is tested: its path, which all may read."""
    path = os.path.join(folder, "node-python")
    with open(path, "w") as file:
        file.write(f'#!/bin/bash\nPYTHONPATH="{os.getcwd()}" exec {sys.executable} "$@"\n')
    os.chmod(path, 0o755)
    return path
