"""Chooses the files that `X,Y` names: features before a comma and labels behind it, each a file or a glob.

Of two globs the files belong together for which the wildcards stand for the same text, or whose names differ in one
word such as x and y. Where the two ways give different pairs, or neither gives any, nothing is guessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from hdl import fs
from hdl.data.copies import twins
from hdl.data.folder import Chosen, of_file
from hdl.data.formats import BINARY, WORDS, Seen, some
from hdl.data.leftout import LeftOut, aside
from hdl.data.options import Options
from hdl.data.pairing import matched
from hdl.data.survey import survey
from hdl.errors import DataError

WILD = re.compile(r"[*?\[]")


def of_names(path: str, options: Options, labelled: bool) -> Chosen | None:
    """Chooses the files that a path with commas names as `X,Y`; None where it is one glob, in which commas stand.

    Raises
    ------
    DataError
        A side names nothing, or a folder; several commas may be the one between X and Y; the files of two globs do
        not pair up in one way.
    """
    commas = [at for at, letter in enumerate(path) if letter == ","]
    sides = [(path[:at], path[at + 1 :]) for at in commas]
    there = [(x, y) for x, y in sides if _there(x) and _there(y)]
    whole = bool(WILD.search(path)) and bool(fs.glob(path))
    if whole and not there:
        return None
    if len(there) + whole > 1:
        readings = [*(f"{x!r} with labels in {y!r}" for x, y in there), *(["one glob"] if whole else [])]
        raise DataError(
            f"{' or '.join(readings)}: nothing says which is meant; rename what has a comma in its name", path
        )
    x, y = there[0] if there else sides[0]
    if WILD.search(x) or WILD.search(y):
        return _of_globs(x, y, options, labelled)
    for name in (x, y):
        if not fs.exists(name):
            raise DataError("there is no such file", name)
        if fs.isdir(name):
            raise DataError("a folder; expected X,Y to name two files", name)
    if os.path.normpath(x) == os.path.normpath(y):
        raise DataError("one file as features and as labels; expected X,Y to name two files", x)
    return of_file(x, y, options, labelled)


def _there(name: str) -> bool:
    return bool(name) and (fs.exists(name) or (bool(WILD.search(name)) and bool(fs.glob(name))))


def _of_globs(x: str, y: str, options: Options, labelled: bool) -> Chosen:
    """Chooses the files of two patterns, of which one may be the name of a file."""
    left = LeftOut()
    xs, ys = _files(x, left), _files(y, left)
    for name in sorted({*map(os.path.normpath, xs)} & {*map(os.path.normpath, ys)}):
        raise DataError(f"both {x} and {y} match it; expected features in one and labels in the other", name)
    if len(xs) != len(ys):
        raise DataError(f"{_told(xs, 'features')}, {_told(ys, 'labels')}; expected as many of each", f"{x},{y}")
    pairs = _full(_paired(x, xs, y, ys), left)
    first = of_file(*pairs[0], options, labelled)
    seen = survey([name for name, _ in pairs], options)
    if not options.format:
        for item in [*seen, *(survey([name for _, name in pairs], options) if labelled else ())]:
            if _kind(item) != first.format:
                what = f"{WORDS[item.format]}, and {pairs[0][0]} is read as {first.format}"
                raise DataError(f"{what}; expected all of one format", item.path)
    repeats = [f"{other.name}: the same bytes as {one.name}" for one, other in twins(seen)]
    return Chosen(list(pairs), first.format, None, left.lines(), repeats)


def _files(name: str, left: LeftOut) -> list[str]:
    """Lists the files that one side names."""
    if fs.exists(name):
        if fs.isdir(name):
            raise DataError("a folder; expected X,Y to name files", name)
        return [name]
    out = []
    for found in fs.glob(name) if WILD.search(name) else ():
        short, folder = found.rstrip("/").rsplit("/", 1)[-1], fs.isdir(found)
        if folder or (reason := aside(short, folder)):
            left.add(WORDS["folder"] if folder else str(reason), short)
        else:
            out.append(found)
    if not out:
        raise DataError(f"no file matches{left}" if WILD.search(name) else "there is no such file", name)
    return out


def _paired(x: str, xs: Sequence[str], y: str, ys: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs files by what the wildcards stand for, and by the words in their names; both must not disagree."""
    if len(xs) == 1:
        return [(xs[0], ys[0])]
    marks = [_wildcards(x, name) for name in xs], [_wildcards(y, name) for name in ys]
    ways: list[list[tuple[str, str]]] = []
    if sorted(marks[0]) == sorted(marks[1]) and len({*marks[0]}) == len(xs):
        other = dict(zip(marks[1], ys, strict=True))
        ways.append([(name, other[mark]) for name, mark in zip(xs, marks[0], strict=True)])
    short = [[name.rsplit("/", 1)[-1] for name in names] for names in (xs, ys)]
    if (found := matched(*short)) is not None:
        ways.append([(xs[i], ys[j]) for i, j in found])
    if not ways or any(way != ways[0] for way in ways):
        what = f"{_told(xs, 'features')}, {_told(ys, 'labels')}: nothing says which belong together"
        raise DataError(f"{what}; expected names that differ in x and y alone, or name two files as X,Y", f"{x},{y}")
    return ways[0]


def _wildcards(pattern: str, name: str) -> tuple[str, ...]:
    """Gives what each wildcard of a pattern stands for in a name that it matches.

    Examples
    --------
    >>> _wildcards("d/x-*.t?t", "/home/d/x-12.txt")
    ('12', 'x')
    """
    pieces = pattern.split("/")
    first = next((at for at, piece in enumerate(pieces) if WILD.search(piece)), len(pieces) - 1)
    pieces = pieces[first:]
    parts = re.split(r"(\*+|\?|\[!?\]?[^\]]*\])", "/".join(pieces))
    rule = ""
    for number, part in enumerate(parts):
        if number % 2 == 0:
            rule += re.escape(part)
        elif part[0] == "[":
            inside = part[1:-1].replace("\\", r"\\")
            rule += "([" + ("^" + inside[1:] if inside[0] == "!" else inside) + "])"
        else:
            rule += "([^/]*)" if part[0] == "*" else "([^/])"
    found = re.fullmatch(rule, "/".join(name.split("/")[-len(pieces) :]))
    return found.groups() if found else (name,)


def _full(pairs: list[tuple[str, str]], left: LeftOut) -> list[tuple[str, str]]:
    """Leaves out the pairs of two empty files."""
    out = []
    for x, y in pairs:
        if not fs.size(x) and not fs.size(y):
            left.add(WORDS["empty"], x.rsplit("/", 1)[-1], y.rsplit("/", 1)[-1])
        elif not fs.size(x):
            raise DataError(f"the file of features is empty, and {y}, which belongs to it, is not", x)
        else:
            out.append((x, y))
    if not out:
        raise DataError("the file is empty, expected samples", pairs[0][0])
    return out


def _kind(item: Seen) -> str:
    """Gives the format of a pair that such a file is part of."""
    return item.format if item.format in (*BINARY, "image", "zip", "binary") else "pair"


def _told(names: Sequence[str], what: str) -> str:
    short = [name.rsplit("/", 1)[-1] for name in names]
    return f"{len(names)} {'file' if len(names) == 1 else 'files'} of {what} ({some(short, 3)})"
