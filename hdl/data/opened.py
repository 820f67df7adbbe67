"""Datasets that a session's process has opened, kept as long as their files stay the same: their lines are counted,
their header is known. Other processes open anew."""

from __future__ import annotations

import re
from collections.abc import Callable

from hdl import fs
from hdl.data import content
from hdl.data.base import Source

MOST = 16  # datasets that are kept, those that were used last
_kept: dict[tuple[str, str, bool], tuple[str, Source]] | None = None


def keep() -> None:
    """Keep what is opened in this process from now on."""
    global _kept
    _kept = {} if _kept is None else _kept


def find(path: str, options: str, labels: bool, make: Callable[[], Source]) -> Source:
    """Return the dataset as it was opened before, or open it.

    Parameters
    ----------
    path : str
    options : str
        How it is read, in some text of its own.
    labels : bool
    make : function
        Opens it.
    """
    if _kept is None:
        return make()
    key = path, options, labels
    before, source = _kept.pop(key, ("", None))
    if source is None or state(path, source) != before:
        source = make()
        before = state(path, source)
    if before:
        _kept[key] = before, source
        for old in [*_kept][:-MOST]:
            del _kept[old]
    return source


def state(path: str, source: Source) -> str:
    """Describe what is found under a path; empty where a look into folders below would be needed."""
    found = list[str]()
    for part in sorted({path, *path.split(",")}):
        part = part if fs.exists(part) else re.sub(r":(train|test|val)$", "", part)
        if re.search(r"[*?\[]", part):
            found += fs.glob(part)
        elif fs.exists(part) and fs.isdir(part):
            names = fs.list(part)
            if any("." not in name and fs.isdir(fs.join(part, name)) for name in names):
                return ""
            found += names
    try:
        return content.of([*source.every_file(), *found])  # who is left out for being empty may be so no more
    except OSError:  # one of them is gone
        return ""
