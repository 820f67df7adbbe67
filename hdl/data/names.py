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


def quoted(name: str, kind: str = "") -> str:
    """Quote a name, and a kind behind it, for a list of names on a command line, if it needs that."""
    if "," in name or name.startswith('"'):
        name = '"' + name.replace('"', '""') + '"'
    text = f"{name}:{kind}" if kind else name
    return text if re.fullmatch(r"[\w.:-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def flag_of(words: str, name: str) -> str:
    """Put a name into words such as `--columns {}:category` or `(--ignore {})`, quoted for a command line."""
    return re.sub(r"\{\}(?::([a-z]+(?: (?:dmy|mdy|ymd))?))?", lambda found: quoted(name, found[1] or ""), words)


def split(text: str) -> list[str]:
    """Split a list of names at its commas, and take blanks beside these away; one in double quotes may hold commas.

    Examples
    --------
    >>> split('a, "b,c":category, d')
    ['a', 'b,c:category', 'd']
    """
    out = [
        found[2].replace('""', '"') + found[3] if found[2] is not None else found[1]
        for found in re.finditer(r'(?:^|,)(\s*"((?:[^"]|"")*)"([^,]*)|[^,]*)', text)
    ]
    return [name.strip() for name in out] if len(out) > 1 else out
