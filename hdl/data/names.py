"""Names of columns: each made distinct, and some of them listed for a message."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def some(names: Sequence[Any], most: int = 20) -> str:
    """List the first of some names, for a message."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + rest


def unique(names: Sequence[str]) -> tuple[list[str], dict[str, list[int]]]:
    """Make each name one of its own: as pandas does it, the second `a` is `a.1`, and none is `Unnamed: 3`.

    Returns
    -------
    list of str, dict of str to list of int
        The names, and the columns of each name that was there more than once.

    Examples
    --------
    >>> unique(["a", "b", "a", ""])
    (['a', 'b', 'a.1', 'Unnamed: 3'], {'a': [0, 2]})
    """
    names = [name if name.strip() else f"Unnamed: {i}" for i, name in enumerate(names)]
    out, taken, counts = [], set(names), dict.fromkeys(names, 0)
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
        new = name
        if counts[name]:
            while new in taken:
                new = f"{name}.{counts[name]}"
                counts[name] += 1
        else:
            counts[name] = 1
        taken.add(new)
        out.append(new)
    return out, {name: numbers for name, numbers in places.items() if len(numbers) > 1}


def describe_repeats(names: Sequence[str], twice: Mapping[str, list[int]]) -> list[str]:
    """Describe what `unique` did to names of several columns, for `Source.reading`."""
    return [f"{name}: read as {', '.join(names[i] for i in numbers[:9])}" for name, numbers in twice.items()]


def quoted(name: str) -> str:
    """Quote a name for a command line, if it needs that."""
    return name if re.fullmatch(r"[\w.-]+", name) else "'" + name.replace("'", "'\\''") + "'"
