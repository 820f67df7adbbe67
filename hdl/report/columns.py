"""A table's columns for the report: what each became, and how far it moves the network's first layer.

Letters: I inputs, H hidden units.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdl.data import Schema
from hdl.data.tabular.categories import Category
from hdl.data.tabular.encoders import Encodings
from hdl.ops import Layout
from hdl.ops.layout import EmbeddingLayout, EnsembleLayout

SHOWN = 100  # columns of a table; of more those that move the first layer most


class Row(NamedTuple):
    """A column: its name and kind, how many inputs it has, what they are, cells missing, how far it moves a layer."""

    name: str
    kind: str
    inputs: int
    about: str
    missing: int
    moves: float | None = None


def first_layer(layout: Layout, w: NDArray) -> NDArray:
    """Give the weights of the inputs into the first layer [I, H]; learned vectors of categories are multiplied out.

    The first layers of an ensemble's members are one beside the other.
    """
    if isinstance(layout, EnsembleLayout):
        return np.hstack([first_layer(layout.own, member) for member in layout.members(w)])
    first = layout.split(w)[0][0]
    return layout.expand(w) @ first if isinstance(layout, EmbeddingLayout) else first


def rows(schema: Schema, first: NDArray | None) -> list[Row]:
    """List the columns of a table, in its order; nothing of what is no table.

    A column moves the first layer by the length of its input's weights; one of several inputs by their root mean
    square, of a category's levels from their middle: what a deviation of a number, or another level, does to the layer.

    Parameters
    ----------
    first : ndarray [I, H] or None
    """
    encodings = schema.encodings
    if encodings is None:
        return []
    cells = (schema.rule.get("missing") or {}).get("columns") or {}
    found, listed = places(encodings), []
    for column, part in zip(encodings.columns, encodings.parts, strict=True):
        if part is None:
            reason = (encodings.reasons or {}).get(column.name, "")
            listed.append(Row(column.name, column.kind, 0, f"left out: {reason}", 0))
            continue
        where, levels = found[column.name], isinstance(part, Category)
        own = None if first is None else first[where]
        moves = None if own is None else _length(own - own.mean(axis=0) if levels else own)
        about = _levels(part) if isinstance(part, Category) else _inputs(part.names(""))
        listed.append(Row(column.name, column.kind, part.width, about, int(cells.get(column.name, 0)), moves))
    return listed


def shown(listed: Sequence[Row]) -> list[Row]:
    """Choose the columns that a page has room for: all, or those that move the first layer most."""
    if len(listed) <= SHOWN:
        return list(listed)
    order = sorted(range(len(listed)), key=lambda i: -(listed[i].moves or 0.0))[:SHOWN]
    return [listed[i] for i in sorted(order)]


def places(encodings: Encodings) -> dict[str, slice]:
    """Find the inputs of each column: numbers and dates come first, then one category after another."""
    at, out = 0, {}
    for categories in (False, True):
        for column, part in zip(encodings.columns, encodings.parts, strict=True):
            if part is not None and isinstance(part, Category) == categories:
                out[column.name] = slice(at, at + part.width)
                at += part.width
    return out


def _length(w: NDArray) -> float:
    """Measure weights [k, H]: the root of the mean of their squared lengths."""
    return float(np.sqrt(np.square(w.astype(np.float64)).sum(axis=1).mean())) if len(w) else 0.0


def _levels(part: Any) -> str:
    if part.buckets:
        own = f"{part.buckets:,} buckets of levels"
    else:
        own = ", ".join(_short(level) for level in part.levels[:3]) + (", …" if len(part.levels) > 3 else "")
    more = [word for word, there in (("other", part.other), ("missing", part.missing)) if there]
    return "; ".join(filter(None, [own, ", ".join(more)]))


def _inputs(names: Sequence[str]) -> str:
    """Name the inputs of a number or a date, without the column's own name."""
    words = [name.strip(" :") or "its value" for name in names]
    bins = [match for word in words if (match := re.fullmatch(r"bin \d+ \((.*) to (.*)\)", word))]
    if len(bins) > 2:  # beside one another: their ends say enough
        words = [word for word in words if not word.startswith("bin ")]
        words.append(f"{len(bins)} bins from {bins[0][1]} to {bins[-1][2]}")
    return ", ".join(words[:6]) + (", …" if len(words) > 6 else "")


def _short(level: str) -> str:
    return level if len(level) <= 20 else level[:19] + "…"
