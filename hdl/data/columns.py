"""Choice of the columns that are features and of those that are labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hdl.data.guess import Look, guess_label, repeated
from hdl.data.names import some
from hdl.data.options import Options
from hdl.data.tabular.frame import Column
from hdl.errors import DataError

_VECTOR = re.compile(r"\[\d+\]$")  # number of a vector's element


class Columns(NamedTuple):
    """Column numbers, from 0."""

    features: list[int]
    labels: list[int]


class Choice(NamedTuple):
    """Column numbers, from 0, how the label was found, and the columns that are neither.

    Attributes
    ----------
    left_out : list of int
        Columns that number or name the rows.
    weights, offset : int or None
        The columns of the samples' weights and offsets.
    """

    features: list[int]
    labels: list[int]
    by: str | None
    left_out: list[int]
    weights: int | None = None
    offset: int | None = None

    @property
    def taken(self) -> dict[int, str]:
        """Columns that are no features, and what they are."""
        others = {self.weights: "weights", self.offset: "offset"}
        return {i: what for i, what in others.items() if i is not None} | dict.fromkeys(self.labels, "label")

    @property
    def places(self) -> list[int]:
        """Number the labels among labels and features, which is where a table without an index has them."""
        return [i - sum(j < i for j in self.left_out) for i in self.labels]


def pick(names: Sequence[str] | None, width: int, options: Options, path: str, schema: Any = None) -> Columns:
    """Chooses the columns of a table of which only the names are known: see `choose`."""
    return Columns(*choose(names, width, options, path, schema)[:2])


def choose(
    names: Sequence[str] | None, width: int, options: Options, path: str, schema: Any = None, look: Look | None = None,
    labels: bool = True,
) -> Choice:  # fmt: skip
    """Chooses the columns of a table.

    The label is the column that the options name; else the one that the model was trained with; else one that is
    called label or target, else class or y; else the only column of text; else the last one. Columns that number the
    rows are neither label nor feature.

    Parameters
    ----------
    names : of the columns, each only once, or None when they have none
    width : int
        Number of columns.
    schema : Schema, optional
        Of the model that will see the data: its features are then found by name, or by their number, and the
        label may be missing.
    look : Look, optional
    labels : bool
        Whether they are needed; False only keeps them from being features.

    Raises
    ------
    DataError
        The label is not a column, or several may be it; a feature of the model is missing or there twice; no feature
        is left.
    """
    look = look or Look()
    find = _Finder({name: i for i, name in enumerate(names or ())}, width, path, look.twice)
    if schema is not None and schema.names and names:
        return _as_in_training(find, options, schema, labels)
    weights, offset = (_beside(find, word, getattr(options, word), schema) for word in ("weights", "offset"))
    beside = [i for i in (weights, offset) if i is not None]
    chosen, by = [], None
    skipped = [i for i in look.index if i < width]
    if options.labelled and options.label:
        chosen, by = [find(name) for name in options.label], "flag"
        if len(set(chosen)) < len(chosen):
            raise DataError(f"label {','.join(options.label)} names a column twice", path)
    elif options.labelled and schema is not None and (schema.label or width - len(skipped) == _inputs(schema)):
        chosen, by = _label_of_model(find, schema, width - len(skipped), len(beside)), "model"
    elif options.labelled:
        chosen, by = guess_label(names, width, path, look, beside)
        if doubled := next((name for name, numbers in look.twice.items() if {*chosen} & {*numbers}), None):
            find(doubled)  # its namesake would be a feature, which tells the label
    for i, word in ((weights, "weights"), (offset, "offset")):
        if i in chosen or (i is not None and beside.count(i) > 1):
            what = "the label" if i in chosen else "weights and offset at once"
            raise DataError(f"{word} {getattr(options, word)!r} is {what}; expected a column of its own", path)
    left_out = [i for i in skipped if i not in chosen and i not in beside]
    neither = {*chosen, *left_out, *beside}
    features = [i for i in range(width) if i not in neither]
    if not features:
        raise DataError(f"{width} column(s) leave no feature beside the label", path)
    return Choice(features, chosen, by if chosen else None, left_out, weights, offset)


def trained(schema: Any) -> list[Column] | None:
    """List the columns of the table that a model was trained on; None if they were numbers without a record."""
    plain = getattr(schema, "columns", None)
    if not plain:
        return None
    used = [column for column in plain["columns"] if "left_out" not in column]
    return [Column(column["name"], column["kind"], column.get("by", "type")) for column in used]


def _inputs(schema: Any) -> int:
    """Count the columns that a model needs."""
    known = trained(schema)
    if known is None:
        return int(schema.inputs)
    about = (getattr(schema, "reading", None) or {}).get("table") or {}
    return int(about.get("width") or len(known)) - len(about.get("taken") or ())


def _beside(find: _Finder, word: str, name: str | None, schema: Any) -> int | None:
    """Find the column of weights or offsets; a model's data may lack it."""
    if name is None or (schema is not None and not find.has(name)):
        return None
    return find(name, word)


class _Finder:
    """Finds the number of a column given by name or by index, from 0, or negative from the end."""

    def __init__(self, known: Mapping[str, int], width: int, path: str, twice: Mapping[str, list[int]]):
        self.known, self.width, self.path, self.twice = known, width, path, twice

    def has(self, name: str) -> bool:
        """Tell whether a name or number is that of a column."""
        return name in self.known or bool(self._number(name))

    def _number(self, name: str) -> bool:
        return bool(re.fullmatch(r"[+-]?[0-9]{1,9}", name)) and -self.width <= int(name) < self.width

    def __call__(self, name: str, word: str = "label") -> int:
        if name in self.twice:
            raise DataError(repeated(word, name, self.twice), self.path)
        if name in self.known:
            return self.known[name]
        if self._number(name):
            return int(name) % self.width
        names = [*self.known]
        listed = f"columns {some(names)}" if names else f"{self.width} columns without names"
        raise DataError(f"{word} {name!r} is not a column; the file has {listed}", self.path)


def place(titles: Sequence[str], name: str, flag: str, path: str, twice: Mapping[str, list[int]] | None = None) -> int:
    """Find the column that a flag names, by its name or its number.

    Raises
    ------
    DataError
        There is none, or several have the name.
    """
    return _Finder({title: i for i, title in enumerate(titles)}, len(titles), path, twice or {})(name, flag)


def _as_in_training(find: _Finder, options: Options, schema: Any, labels: bool) -> Choice:
    """Find columns by their names in training; the label only where it is there, unless it was asked for."""
    known = trained(schema)
    names = [*schema.names] if known is None else [column.name for column in known]
    places = [find.known.get(name, find.known.get(_VECTOR.sub("", name))) for name in names]
    if missing := [name for name, place in zip(names, places, strict=True) if place is None]:
        raise DataError(f"columns {some(missing)} of the model's training data are missing", find.path)
    had = {*schema.names, *schema.label}

    def more(name: str) -> bool:  # columns of one name than training had
        return any(f"{name}.{i}" not in had for i in range(1, len(find.twice.get(name, ()))))

    needed = set(names)
    if name := next((name for name in find.twice if name in needed and more(name)), None):
        what = f"{len(find.twice[name])} columns are called {name!r}; the model's training data had fewer of that name"
        raise DataError(what + ", so rename the others", find.path)
    chosen: list[int] = []
    if labels and options.labelled and options.label:
        chosen = [find(name) for name in options.label]
    elif labels and options.labelled and all(name in find.known for name in schema.label):
        chosen = [find(name) if more(name) else find.known[name] for name in schema.label]
    by = None if not chosen else "flag" if options.label else "model"
    weights, offset = (_beside(find, word, getattr(options, word), schema) for word in ("weights", "offset"))
    return Choice([*dict.fromkeys(i for i in places if i is not None)], chosen, by, [], weights, offset)


def _label_of_model(find: _Finder, schema: Any, width: int, beside: int) -> list[int]:
    """Find the label where it was in training, in data without the names of then; none where it is missing."""
    if width in (_inputs(schema), _inputs(schema) + beside):
        return []
    if find.known and all(name in find.known for name in schema.label):
        return [find.known[name] for name in schema.label]
    places = [int(name) for name in schema.label if re.fullmatch(r"[0-9]{1,9}", name)]
    if len(places) != len(schema.label) or not places:
        places = (getattr(schema, "reading", None) or {}).get("label_at") or [find.width - 1]
    return [i for i in places if i < find.width] or [find.width - 1]
