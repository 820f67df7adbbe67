"""Which columns are features and which are labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hdl.data.base import Options
from hdl.errors import DataError

LABELS = ("label", "target", "class", "y")  # names of label columns, tried in this order, in any case


class Columns(NamedTuple):
    """Column numbers, from 0."""

    features: list[int]
    labels: list[int]


def pick(names: Sequence[str] | None, width: int, options: Options, path: str, schema: Any = None) -> Columns:
    """Chooses the columns of a table.

    Parameters
    ----------
    names : of the columns, or None when they have none
    width : int
        Number of columns.
    schema : Schema, optional
        Of the model that will see the data: its features are then found by name, or by their number, and the
        label may be missing.

    Raises
    ------
    DataError
        The label is not a column, or no feature is left.
    """
    if schema is not None and schema.names and names and set(schema.names) <= set(names):
        features = [list(names).index(name) for name in schema.names]
        asked = options.label or tuple(schema.label)
        labels = [index(names, width, name, path) for name in asked] if set(asked) <= set(names) else []
        if options.label and not labels:
            index(names, width, options.label[0], path)
        return Columns(features, labels)
    if schema is not None and schema.names and names:
        missing = [name for name in schema.names if name not in names]
        raise DataError(f"columns {', '.join(map(repr, missing[:20]))} of the model's training data are missing", path)
    labelled = options.labelled and not (schema is not None and not options.label and width == schema.inputs)
    labels = []
    if labelled and options.label:
        labels = [index(names, width, name, path) for name in options.label]
        if len(set(labels)) < len(labels):
            raise DataError(f"label {','.join(options.label)} names a column twice", path)
    elif labelled:
        lower = [name.strip().lower() for name in names or ()]
        labels = [next((lower.index(name) for name in LABELS if name in lower), width - 1)]
    features = [i for i in range(width) if i not in labels]
    if not features:
        raise DataError(f"{width} column(s) leave no feature beside the label", path)
    return Columns(features, labels)


def index(names: Sequence[str] | None, width: int, name: str, path: str) -> int:
    """Number of a column given by name or by index, from 0, or negative from the end."""
    if names and name in names:
        return list(names).index(name)
    if name.lstrip("+-").isdigit() and -width <= int(name) < width:
        return int(name) % width
    listed = f"columns {', '.join(map(repr, names[:20]))}" if names else f"{width} columns without names"
    raise DataError(f"label {name!r} is not a column; the file has {listed}", path)


def number(text: str) -> float:
    """A number as `float` reads it, without Python's underscores.

    Raises
    ------
    ValueError
        The text is not a number.
    """
    if "_" in text:
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def is_number(text: str) -> bool:
    try:
        number(text)
    except ValueError:
        return False
    return True
