"""Choice of the columns that are features and of those that are labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hdl.data.base import Options
from hdl.data.names import some
from hdl.data.tabular.frame import Column
from hdl.errors import DataError

USUAL = (("label", "target"), ("class", "y"))  # names of label columns, in any case; the first ones outrank the others
LABELS = tuple(name for names in USUAL for name in names)
MISSING = ("", "na", "n/a", "nan", "null", "none", "nil", "?", "-", ".")  # how a value that is not there is written
FEW_ROWS = 5  # up to so many rows, texts that all differ may be classes as well as names of the rows
_VECTOR = re.compile(r"\[\d+\]$")  # number of a vector's element
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{1,2}:\d{2}(:\d{2}.*)?")


class Columns(NamedTuple):
    """Column numbers, from 0."""

    features: list[int]
    labels: list[int]


@dataclass(frozen=True)
class Look:
    """Holds what the start of a table tells of its columns.

    Attributes
    ----------
    twice : mapping of str to list of int
        Names that several columns have, and these columns.
    index : mapping of int to str
        Columns that number or name the rows, and how that is known.
    texts : list of int
        Columns of text.
    values : function of a column number
        The first values of a column: texts as written, or numbers.
    """

    twice: Mapping[str, list[int]] = field(default_factory=dict)
    index: Mapping[int, str] = field(default_factory=dict)
    texts: Sequence[int] = ()
    values: Callable[[int], Sequence[Any]] = lambda i: ()


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
        chosen, by = _guess_label(names, width, path, look, beside)
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
            which = " and ".join(str(i) for i in self.twice[name][:9])
            what = f"{word} {name!r} is the name of several columns ({which}, from 0); --{word} NUMBER says which one"
            raise DataError(what, self.path)
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


def _guess_label(
    names: Sequence[str] | None, width: int, path: str, look: Look, beside: Sequence[int]
) -> tuple[list[int], str]:
    """Choose the label column where nobody named it; returns also by what it was recognised.

    Columns `beside` are weights or offsets.
    """
    names = names or ()
    lower = [name.strip().lower() for name in names]
    if named := [i for i in look.index if i < len(lower) and lower[i] in LABELS]:
        raise _refused(path, f"column {names[named[0]]!r} is {look.index[named[0]]} and has the name of a label")
    for usual in USUAL:
        hits = [i for i, name in enumerate(lower) if name in usual and i not in beside]
        if doubled := [i for i in hits if names[i] in look.twice]:
            _Finder({}, width, path, look.twice)(names[doubled[0]])
        if len(hits) > 1:
            raise _refused(path, f"columns {some([names[i] for i in hits])} have names of labels")
        if hits and lower[hits[0]] == "y" and "x" in lower and hits[0] < width - 1 and width > 2:
            raise _refused(path, "column 'y' is the label, or a coordinate as 'x' is")
        if hits:
            return hits, "name"
    others = [i for i in range(width) if i not in look.index and i not in beside]
    neither = {*look.index, *beside}
    texts = [i for i in look.texts if i not in neither]
    last = others[-1] if others else width - 1
    if len(texts) == 1 and texts[0] != last and _are_names(look.values(texts[0])):
        only, seen = texts[0], [value for value in look.values(texts[0]) if not missing(value)]
        name = repr(names[only]) if names else only + 1
        if len(seen) > FEW_ROWS and len(set(seen)) == len(seen):
            raise _refused(path, f"column {name} is the only one of text, and each of the first rows has another")
        if _stands_out(look, last, [i for i in others if i not in (only, last)]):
            which = repr(names[last]) if names else last + 1
            raise _refused(path, f"column {name} is the only one of text, and the last one, {which}, may be the label")
        return [only], "only text column"
    if not names and not texts and _label_is_first(look, others):
        what = f"column {last + 1}, the last one, is the same in each of the first rows, and the first may be the label"
        raise _refused(path, what)
    return [last], "last column" if len(texts) != 1 or texts[0] != last else "only text column"


def _refused(path: str, what: str) -> DataError:
    return DataError(f"{what}; --label NAME or NUMBER (from 0) says which column is the label", path)


def _stands_out(look: Look, last: int, others: Sequence[int]) -> bool:
    """Tell whether the last column looks like a label beside other numbers.

    It has whole numbers beside fractions, or two values beside more.
    """
    values = {float(value) for value in look.values(last) if is_number(str(value))}
    if not values or not all(value.is_integer() for value in values):
        return False
    numbers = [[float(value) for value in look.values(i) if is_number(str(value))] for i in others[:1000]]
    if len(values) == 2 and any(len(set(column)) > 2 for column in numbers):
        return True
    return any(not value.is_integer() for column in numbers for value in column)


def _label_is_first(look: Look, columns: Sequence[int]) -> bool:
    """Tell whether whole numbers look like an image's pixels after its label.

    The first column has a few of them, and the last one is the same in all rows, as others are too.
    """
    if len(columns) < 3 or len(look.values(columns[-1])) <= FEW_ROWS:
        return False
    rows = [[float(value) for value in look.values(i) if is_number(str(value))] for i in columns]
    if not rows[-1] or not all(v.is_integer() for values in rows for v in values):
        return False
    same = [len(set(values)) == 1 for values in rows]
    return same[-1] and any(same[1:-1]) and not same[0] and len(set(rows[0])) <= max(2, len(rows[0]) // 2)


def _are_names(values: Sequence[Any]) -> bool:
    """Tell whether texts may name classes: they hold letters, and are no dates, times or amounts."""
    there = [str(value).strip() for value in values if not missing(value)]
    return not there or any(any(map(str.isalpha, value)) and not _DATE.fullmatch(value) for value in there)


def missing(value: Any) -> bool:
    """Tell whether a value is not there, or is written as such values are."""
    return value is None or (isinstance(value, str) and value.strip().lower() in MISSING)


def number(text: str) -> float:
    """Read a number as `float` does, without Python's underscores.

    Raises
    ------
    ValueError
        The text is not a number.
    """
    if "_" in text:
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def is_number(text: str) -> bool:
    """Tell whether `number` reads a text."""
    try:
        number(text)
    except ValueError:
        return False
    return True
