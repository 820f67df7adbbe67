"""Tells what one pass over a table found of each of its columns: for `hdl inspect DATA`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hdl.data.summary import Summary

MOST, SHOWN = 3, 16  # levels of a category that are shown, and the characters of each
HEAD = ("column", "kind", "by", "missing", "values")
BY = {"type": "type", "values": "values", "flag": "--columns"}


def describe(summary: Summary) -> list[dict[str, Any]]:
    """Describe each feature's column of a table in plain values; nothing of what is no table.

    Returns
    -------
    list of dict
        `name`, `kind` and `by` of the column, the number of cells that are `missing`, and of numbers `low`, `median`
        (None of very wide data) and `high`, of dates `first` and `last`, of categories how many are `distinct` and the
        `most` frequent ones with their rows.
    """
    found = []
    for column, part in summary.facts or ():
        own: dict[str, Any] = {"name": column.name, "kind": column.kind, "by": column.by, "missing": part.missing}
        if column.kind == "category":
            own |= {"distinct": part.distinct, "most": [[text, rows] for text, rows in list(part.items())[:MOST]]}
        elif column.kind == "date":
            ends = [None if end is None else str(np.datetime64(end, "us")) for end in (part.low, part.high)]
            own |= {"first": ends[0], "last": ends[1]}
        elif part.histogram is not None and part.histogram.n:
            held = part.histogram
            own |= {"low": held.low, "median": float(held.median), "high": held.high}
        found.append(own)
    return found


def rows(columns: Sequence[Mapping[str, Any]], samples: int) -> list[tuple[str, ...]]:
    """Put what `describe` gave into the cells of a table for people: see `HEAD`."""
    return [
        (_short(column["name"], 32), column["kind"], BY.get(column["by"], column["by"]), _share(column, samples),
         _values(column))
        for column in columns
    ]  # fmt: skip


def _share(column: Mapping[str, Any], samples: int) -> str:
    missing = column["missing"]
    return f"{missing:,} ({missing / samples:.1%})" if missing else "–"


def _values(column: Mapping[str, Any]) -> str:
    if column["kind"] == "category":
        most = ", ".join(f"{_short(text)} {rows:,}" for text, rows in column["most"])
        more = ", …" if column["distinct"] > len(column["most"]) else ""
        if column["most"]:
            return f"{column['distinct']:,} different: {most}{more}"
        return f"about {column['distinct']:,} different, none of them often" if column["distinct"] else "–"
    if column["kind"] == "date":
        ends = [
            str(column[end] or "").removesuffix("T00:00:00.000000").removesuffix(".000000") for end in ("first", "last")
        ]
        return " to ".join(ends) if all(ends) else "–"
    if column.get("low") is None:
        return "–"
    return f"{column['low']:.6g} to {column['high']:.6g}, half below {column['median']:.6g}"


def _short(text: Any, most: int = SHOWN) -> str:
    plain = " ".join(str(text).split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"
