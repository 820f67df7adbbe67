"""Delimiter, header and kinds of columns of a text, by its first lines.

A first line is the names of columns, or a sample, by evidence. Where that is mixed, and where both would do, the text
is refused with the flag that decides.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl.data.guess import LABELS, Look, is_number, missing, number
from hdl.data.names import unique
from hdl.data.options import Options
from hdl.data.streams import stem
from hdl.errors import DataError

LOOK = 20  # lines that are looked at,
FIELDS = 200_000  # but no more fields than about these
OFTEN, SURELY = 4, 20  # times that each text of a column is there, on average: of two columns, and of one
MARKS = ",\t;|"
HIVE = "\x01"  # what parts fields in Hive's own text files
_WHOLE = re.compile(r"[+-]?\d+")
_UNNAMED = re.compile(r"Unnamed: \d+")
_NAMELESS = re.compile(r"|Unnamed: 0")  # as pandas writes the index of its rows, and reads it back


def delimiter(lines: Sequence[str], options: Options, path: str) -> str:
    """Find the delimiter: of comma, tab, semicolon and bar the one that every line has as often; else a space.

    Of several, the one whose fields are numbers more often; a file called .tsv has tabs.

    Raises
    ------
    DataError
        Several would do as well.
    """
    if options.delimiter:
        return options.delimiter
    if stem(path).endswith(".tsv"):
        return "\t"
    if any(HIVE in line for line in lines):  # no other text has it
        return HIVE
    marks = [mark for mark in MARKS if 2 * sum(mark in line for line in lines) > len(lines)]
    if len(marks) < 2:
        return marks[0] if marks else " "
    scores = {mark: _regular(lines, mark) for mark in marks}
    best = max(scores.values())
    marks = [mark for mark in marks if scores[mark] == best]
    if len(marks) > 1:
        listed = " and ".join(repr(mark) for mark in marks)
        raise DataError(f"{listed} part the fields equally well; --delimiter says which one does", path, line=1)
    return marks[0]


def _regular(lines: Sequence[str], mark: str) -> tuple[bool, float, int]:
    """Rate a mark: whether all lines have as many fields; the share of numbers; the fields of the first."""
    rows = [_fields(line, mark) for line in lines]
    fields = [field for row in rows for field in row]
    good = sum(is_number(field) or missing(field) for field in fields)
    return len({len(row) for row in rows}) == 1, round(good / len(fields), 6), len(rows[0])


def _fields(line: str, mark: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=mark), [])
    except csv.Error:
        return [line]


@dataclass(frozen=True)
class Header:
    """Holds whether a text begins with a line of names, and by what that is known: flag, model or first lines."""

    there: bool
    by: str


def find_header(
    rows: Sequence[Sequence[str]], options: Options, path: str, schema: Any = None, quoted: bool = False,
    more: Sequence[Sequence[str]] = (),
) -> Header:  # fmt: skip
    """Tell whether the first of some rows holds the names of columns.

    For it speak a label's usual or given name; words above numbers, if no other number is in the line or they are
    more; numbers that count the columns, as pandas writes them for an array, and do not go on below; of a table of
    texts, words none of which is there again below, where few others are again and again. Against it speaks a text
    that is there again below. Numbers of equal steps, whole numbers above fractions, and a word among
    other numbers may be either.

    Parameters
    ----------
    rows : fields of the first lines that are not blank
    schema : Schema, optional
        Of the model that will see the data: its names in the first line decide.
    quoted : bool
        Whether every field of the first line is in quotes, and those of others are not.
    more : fields of lines after those, for tables of texts

    Raises
    ------
    DataError
        Both are as good; the first line would be names, and there is nothing below it.
    """
    if options.header is not None:
        return Header(options.header, "flag")
    first = [field.strip() for field in rows[0]]
    if schema is not None and schema.names and set(schema.names) <= set(unique(first)[0]):
        return Header(True, "model")
    below = [[field.strip() for field in row] for row in rows[1:] if len(row) == len(first)]
    seen = _Evidence(first, below, options)
    surely = seen.surely() or (quoted and seen.numeric and "in quotes, and the lines below are not")
    if below and not surely and not seen.again and seen.words and not seen.numbers and not seen.numeric:
        below += [[field.strip() for field in row] for row in more if len(row) == len(first)]
        return _above_texts(first, below, path, getattr(schema, "reading", None) or {})
    if not below:
        return Header(bool(surely or (seen.words and not seen.numbers)), "first lines")
    if seen.again:
        if not surely:
            return Header(False, "first lines")
        why = f"{surely}, but {first[seen.again[0]]!r} is there again below"
    elif surely:
        return Header(True, "first lines")
    else:
        why = seen.perhaps()
        if not why:
            return Header(False, "first lines")
        known = getattr(schema, "reading", None) or {}
        if "header" in known:
            return Header(bool(known["header"]), "model")
    raise DataError(_either(why), path, line=1)


def _above_texts(first: Sequence[str], below: Sequence[Sequence[str]], path: str, known: dict[str, Any]) -> Header:
    """Tell whether a line stands above a table of texts: its words are not there again, where few others often are."""
    if known.get("header") is False:  # a sample whose levels training has not seen is no header
        return Header(False, "model")
    columns = [[field for field in column if not missing(field)] for column in zip(*below, strict=True)]
    words = [(field, Counter(column)) for field, column in zip(first, columns, strict=True) if not missing(field)]
    if any(field in counts for field, counts in words):
        return Header(False, "first lines")
    often = [(field, counts.total() / len(counts)) for field, counts in words if counts]  # how often each text is there
    often = [item for item in often if item[1] >= OFTEN]
    if len(often) > 1 or any(times >= SURELY for _, times in often):
        return Header(True, "first lines")
    if not often:
        return Header(False, "first lines")
    if "header" in known:
        return Header(bool(known["header"]), "model")
    raise DataError(_either(f"{often[0][0]!r} is not there again below"), path, line=1)


def _either(why: str) -> str:
    return f"the first line may hold names or a sample ({why}); --header or --no-header says which"


class _Evidence:
    """Weighs a first line against those below it."""

    def __init__(self, first: list[str], below: list[list[str]], options: Options):
        self.first, self.options = first, options
        self.columns = list(zip(*below, strict=True)) if below else [()] * len(first)
        self.numeric: list[int] = []  # columns that hold numbers below,
        self.text: list[int] = []  # and those that hold words
        for i, column in enumerate(self.columns):
            there = [field for field in column if not missing(field)]
            count = sum(map(is_number, there))
            if there:
                (self.numeric if 2 * count > len(there) else self.text).append(i)
        words = [i for i, field in enumerate(first) if not missing(field) and not is_number(field)]
        self.words = words
        self.numbers = [i for i, field in enumerate(first) if not missing(field) and is_number(field)]
        numeric, text = set(self.numeric), set(self.text)
        self.above = [i for i in words if i in numeric]  # words above numbers
        self.again = [i for i in words if i in text and first[i] in self.columns[i]]
        self.new = [i for i in words if first[i] not in self.columns[i]]  # words that are not there again
        self.values = [number(first[i]) for i in self.numbers]
        self.step = _step(self.values)
        steps = [_step(row) for row in self._rows(self.numbers)] if self.step is not None else []
        self.goes_on = bool(steps) and 4 * steps.count(self.step) >= 3 * len(steps)
        self.whole = all(_WHOLE.fullmatch(first[i]) for i in self.numbers)
        self.fractions = [i for i in self.numbers if i in numeric and self._fraction(i)]

    def _rows(self, columns: list[int]) -> list[list[float] | None]:
        n = len(self.columns[0]) if self.columns else 0
        rows: list[list[float] | None] = []
        for k in range(n):
            fields = [self.columns[i][k] for i in columns]
            rows.append([number(field) for field in fields] if all(map(is_number, fields)) else None)
        return rows

    def _fraction(self, i: int) -> bool:
        """Tell whether every number below is written as a fraction."""
        return all(not _WHOLE.fullmatch(field) for field in self.columns[i] if is_number(field))

    def surely(self) -> str:
        """Say why the line holds names; empty if that is not sure."""
        for i in self.new:
            field = self.first[i]
            usual = field.lower() in LABELS and (field.lower() != "y" or i not in self.text or not self._odd())
            if usual or field in self.options.label:
                return f"{field!r} is a label's name"
        if self.above and (not self._odd() or (len(self.above) > 1 and len(self.above) > len(self._odd()))):
            return f"{self.first[self.above[0]]!r} stands above numbers"
        if self._own() and not self.goes_on:
            k, fractions = len(self.numbers), len(self.fractions)
            above_fractions = k >= 2 and fractions >= max(2, k / 2)
            if above_fractions or (k >= 4 and self.values[0] == 0 and self._beyond()) or (k >= 6 and self._others()):
                return "its numbers are those of the columns"
        if self.first and _NAMELESS.fullmatch(self.first[0]) and counts(self.columns[0]) and len(self.columns[0]) > 1:
            return "nothing stands above numbers that count the rows"
        return ""

    def _odd(self) -> list[int]:
        """List the numbers above numbers that are not numbers of columns and have no equal steps."""
        if self.whole and (self._own() or (self.step is not None and len(self.values) > 1)) and not self.goes_on:
            return []
        numeric = set(self.numeric)
        return [i for i in self.numbers if i in numeric]

    def _own(self) -> bool:
        """Tell whether the numbers are 0, 1, 2 … or 1, 2, 3 …, as columns are counted."""
        k = len(self.values)
        return self.whole and k > 0 and self.values in ([*range(k)], [*range(1, k + 1)])

    def _beyond(self) -> bool:
        """Tell whether there are values below that no number of a column is."""
        k = len(self.values)
        return any(row is not None and any(not 0 <= value <= k for value in row) for row in self._rows(self.numbers))

    def _others(self) -> bool:
        """Tell whether a line below has other numbers than those of the columns, in whatever order."""
        return any(row is not None and sorted(row) != self.values for row in self._rows(self.numbers))

    def perhaps(self) -> str:
        """Say why the line may hold names; empty if it does not look like it."""
        first, k = self.first, len(self.numbers)
        if self.above:
            return f"{first[self.above[0]]!r} stands above numbers, and {first[self._odd()[0]]} does too"
        if any(first[i].lower() in LABELS for i in self.new):
            return "'y' is a label's name"
        texts = set(self.text if len(self.columns[0]) > 2 else ())
        if over := [first[i] for i in self.numbers if i in texts and first[i] not in self.columns[i]]:
            return f"{over[0]} stands above texts"
        if self.goes_on:
            return ""
        listed = ", ".join(first[i] for i in self.numbers[:4]) + (", …" if k > 4 else "")
        if self._own() and k >= (2 if self.values[0] == 0 else 3):
            return f"{listed} may be the numbers of the columns"
        if self.step is not None and k >= 3 and (k >= 4 or len(self.fractions) >= k - 1 or self._apart()):
            return f"{listed} have equal steps"
        if self.whole and k >= 3 and len(self.fractions) >= k - 1 and len(self.columns[0]) >= 5:
            return f"{listed} are whole numbers above fractions"
        return ""

    def _apart(self) -> bool:
        """Tell whether each number lies outside of those below it."""
        for i in self.numbers:
            column = [number(field) for field in self.columns[i] if is_number(field)]
            if not column or min(column) <= number(self.first[i]) <= max(column):
                return False
        return True


def _step(values: Sequence[float] | None) -> float | None:
    """Find the step by which two or more numbers rise or fall; None if they have several, or none."""
    if values is None or len(values) < 2:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.diff(np.asarray(values, np.float64))
        step = float(steps[0])
        even = step and math.isfinite(step) and bool((np.abs(steps - step) <= 1e-6 * abs(step)).all())
    return round(step, 9) if even else None


def counts(column: Sequence[str]) -> bool:
    """Tell whether values are 0, 1, 2 … or 1, 2, 3 …, row by row."""
    return bool(column) and column[0] in ("0", "1") and [*column] == [
        str(i) for i in range(int(column[0]), int(column[0]) + len(column))
    ]  # fmt: skip


def look(rows: Sequence[Sequence[str]], names: Sequence[str] | None, twice: dict[str, list[int]]) -> Look:
    """Tell columns of text and of row numbers by some rows of a table, for `choose`.

    Parameters
    ----------
    rows : fields of the lines below the header
    names : of the columns, each only once
    """
    width = len(names) if names else len(rows[0]) if rows else 0
    rows = [row for row in rows if len(row) == width]
    columns = [[field.strip() for field in column] for column in zip(*rows, strict=True)]
    texts = [i for i, column in enumerate(columns) if _words(column)]
    index = {}
    if names and width > 2 and _NAMELESS.fullmatch(names[0]):
        there = columns[0] if columns else []
        alone = not any(name.startswith("Unnamed: ") for name in names[1:])
        if counts(there):
            index[0] = "a nameless first column that counts the rows"
        elif alone and len(set(there)) == len(there) > 1 and (0 in texts or all(map(_WHOLE.fullmatch, there))):
            index[0] = "a nameless first column that names the rows"
    if names and width > 2 and _UNNAMED.fullmatch(names[-1]) and columns and not any(columns[-1]):
        index[width - 1] = "a nameless last column without values"
    return Look(twice, index, texts, lambda i: columns[i] if columns else [])


def _words(column: Sequence[str]) -> bool:
    """Tell whether a column holds more words than numbers."""
    there = [field for field in column if not missing(field)]
    return 2 * sum(map(is_number, there)) < len(there)
