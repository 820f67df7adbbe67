"""What was found out about delimited text, in the words in which it is told and kept."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from hdl.data.columns import Choice
from hdl.data.tabular.beginning import Beginning
from hdl.data.tabular.kinds import Decision


def beginning_of(found: Beginning, encoding: str) -> dict[str, Any]:
    """Say what was found at the beginning of a text."""
    out: dict[str, Any] = {"encoding": encoding} if encoding else {}
    if found.multiline:
        out["quotes"] = "quoted fields span lines"
    if found.lead:
        out["before"] = [f"{line[:80]!r} is no part of the table" for line in found.lead]
    return out


def table_of(decision: Decision, chosen: Choice, width: int, index: Mapping[int, str]) -> dict[str, Any]:
    """Say where the columns are, and how their cells are written, for a model's other data."""
    left = sorted(index)

    def at(i: int) -> int:
        return i - bisect_left(left, i)

    dialects = {item.column.name: [*item.dialect.details(item.column.kind)] for item in decision.features}
    return {
        "width": width - len(left),
        "at": [at(item.at) for item in decision.features],
        "taken": sorted(map(at, chosen.taken)),
        "dialects": {name: details for name, details in dialects.items() if details},
    }
