"""The guess which column of a table is its label, where nobody says it: by names, and by the first values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hdl.data.names import some
from hdl.errors import DataError

USUAL = (("label", "target"), ("class", "y"))  # names of label columns, in any case; the first ones outrank the others
LABELS = tuple(name for names in USUAL for name in names)
# How a value that is not there is written, in lower case.
MISSING = ("", "na", "n/a", "nan", "null", "none", "nil", "?", "-", ".", "\\n", "<na>", "#n/a", "nat")
FEW_ROWS = 5  # up to so many rows, texts that all differ may be classes as well as names of the rows
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{1,2}:\d{2}(:\d{2}.*)?")


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


def repeated(word: str, name: str, twice: Mapping[str, list[int]]) -> str:
    """Say that a flag's name is that of several columns."""
    which = " and ".join(str(i) for i in twice[name][:9])
    return f"{word} {name!r} is the name of several columns ({which}, from 0); --{word} NUMBER says which one"


def guess_label(
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
            raise DataError(repeated("label", names[doubled[0]], look.twice), path)
        if len(hits) > 1:
            raise _refused(path, f"columns {some([names[i] for i in hits])} have names of labels")
        beside_x = bool(hits) and lower[hits[0]] == "y" and "x" in lower and hits[0] not in look.texts
        if beside_x and hits[0] < width - 1 and width > 2:
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


def is_finite(text: str) -> bool:
    """Tell whether `number` reads a text, as no NaN and no infinity."""
    return is_number(text) and math.isfinite(number(text))
