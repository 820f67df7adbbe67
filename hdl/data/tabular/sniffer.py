"""Tells what a column of text holds by its first cells: numbers, dates or categories, and how they are written.

Where two readings are equally good, what is wrong is said with the flag that decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hdl.arrow import pa
from hdl.data.guess import is_number
from hdl.data.tabular.cells import BLANKS, MARKS, Dialect
from hdl.data.tabular.date_cells import FORMS, NAMED

OTHER_KIND = ("--columns {}:category", "--ignore {}")  # flags by which a column needs no reading of its own
SHARE = 0.9  # of the cells that are there: so many of a kind make a column of it, and the others are bad records,
STRAYS = 2  # as they do where half are numbers, if the others are so few different texts, such as `unknown`
_SPACES = BLANKS.replace("'", "").replace("\u2019", "")
_MARKED = re.compile(rf"([+-]?)\s*([{MARKS}]?)\s*([+-]?[0-9][0-9.,{BLANKS}]*|[.,][0-9]+)\s*([{MARKS}]?)")
_COMMAS = re.compile(r"[+-]?[0-9]{1,3}((?:,[0-9]{3})+)(\.[0-9]*)?")  # 1,234 or 1,234,567.8
_POINTS = re.compile(r"[+-]?[0-9]{1,3}((?:\.[0-9]{3})+)(,[0-9]*)?")  # 1.234 or 1.234.567,8
_SPACED = re.compile(rf"[+-]?[0-9]{{1,3}}(?:[{BLANKS}][0-9]{{3}})+([.,][0-9]*)?")  # 1 234,5
_COMMA = re.compile(r"[+-]?(?:[0-9]+,[0-9]*|,[0-9]+)")  # 1,5
_FRACTION = re.compile(r"[+-]?[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")  # 1.234, a number, or 1234 where commas are before decimals
_BELOW = re.compile(r"[+-]?[0-9]{1,3}")
_PADDED = re.compile(r"0[0-9]+")  # 007
_DATES = {order: re.compile(form) for order, form in FORMS.items()}
_NAMES = [re.compile(form) for form in NAMED]


@dataclass(frozen=True)
class Finding:
    """The finding that the first cells of a column lead to.

    Attributes
    ----------
    kind : str or None
        number, category or date; None where all cells are missing.
    dialect : Dialect
    notes : tuple of str
        How cells are written that are not read as they stand.
    problem : str
        Why the column cannot be read without a flag; else empty.
    flags : tuple of str
        Those that decide; `{}` stands for the column's name.
    """

    kind: str | None
    dialect: Dialect
    notes: tuple[str, ...] = ()
    problem: str = ""
    flags: tuple[str, ...] = ()


def has_point(cells: Iterable[str]) -> bool:
    """Tell whether some cell is a number with a point that parts no thousands."""
    return any(_FRACTION.fullmatch(cell) and not _THOUSANDS.fullmatch(cell) for cell in cells)


def find(
    cells: Iterable[str], usual: Dialect, kind: str | None = None, point: bool = False, trained: bool = False
) -> Finding:
    """Find the kind of a column and the dialect of its cells.

    Parameters
    ----------
    cells : iterable of str
        As written, without blanks around them.
    usual : Dialect
        What is known: texts of missing values, the marks that flags name, a model's order of dates.
    kind : str, optional
        The kind that a flag says it is; only the dialect is found then.
    point : bool
        Whether it is known that numbers have a decimal point.
    trained : bool
        Whether a model says what plain numbers are.
    """
    counts = Counter(cells)
    for token in usual.missing:
        counts.pop(token, None)
    if not counts:
        return Finding(kind, usual)
    if kind == "category":
        return Finding(kind, usual)
    if kind in (None, "number"):
        found = _numbers(counts, usual, point, kind is not None, trained)
        if found is not None or kind == "number":
            return found or Finding("number", usual)
    found = _dates(counts, usual, kind is not None)
    return found or Finding(kind or "category", usual)


def _enough(readable: int, counts: Mapping[str, int], strays: int) -> bool:
    there = sum(counts.values())
    return readable >= SHARE * there or (2 * readable >= there and strays <= STRAYS)


def _numbers(counts: Mapping[str, int], usual: Dialect, point: bool, asked: bool, trained: bool) -> Finding | None:
    """Find out how numbers are written; None if these are none."""
    decimal = usual.decimal
    plain = [*counts] if _all_numbers(counts) else [cell for cell in counts if is_number(cell)]
    known = point or trained or decimal == ","
    if len(plain) == len(counts) and decimal == ".":
        return (None if known else _thousands(plain, usual)) or Finding("number", usual, _codes(plain))
    readable = sum(counts[cell] for cell in plain)
    marks, forms = set(), {"grouped": 0, "surely": 0, "comma": 0, "points": 0, "spaced": 0}
    examples: dict[str, str] = {}
    odd = 0  # different cells that are no numbers, however they are written
    cores = [*plain]
    for cell in counts:
        if cell in plain and decimal == ".":
            continue
        match = _MARKED.fullmatch(cell) if cell not in plain else None
        mark, core = (match[2] or match[4], match[1] + match[3].rstrip(_SPACES)) if match else ("", cell)
        form = _form(core, decimal)
        if form is None or (match and match[2] and match[4]):
            odd += cell not in plain
            continue
        readable += counts[cell] * (cell not in plain)
        cores.append(core)
        if mark:
            marks.add(mark)
            examples.setdefault(mark, cell)
        if form:
            forms[form] += counts[cell]
            examples.setdefault(form, cell)
    if not asked and not _enough(readable, counts, odd):
        return None
    open_ = None if known or any(forms.values()) or len(marks) > 1 else _thousands(cores, usual)
    return open_ or _written(forms, marks, examples, usual, point)


def _thousands(numbers: Sequence[str], usual: Dialect) -> Finding | None:
    """Ask what 1.234 is among numbers such as 950; None where points are surely before decimals, or there are none.

    It may be 1234 where each number is a fraction of three digits, or a whole number of up to three.
    """
    parted = [cell for cell in numbers if "." in cell]
    whole = len(parted) < len(numbers)
    if not parted or not whole or not all(_THOUSANDS.fullmatch(cell) or _BELOW.fullmatch(cell) for cell in numbers):
        return None
    what = f"{parted[0]!r} may be a thousand and more, or have a decimal point"
    return Finding("number", usual, (), what, ("--decimal ,", "--decimal .", *OTHER_KIND))


def _all_numbers(cells: Iterable[str]) -> bool:
    """Tell fast whether texts are surely all numbers; what Arrow reads as one, `float` does."""
    try:
        pa.array([*cells], pa.string()).cast(pa.float64())
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return False
    return not any("(" in cell for cell in cells)  # of NaN with a payload that is not sure


def _form(core: str, decimal: str) -> str | None:
    """Tell how a number is written; empty: as Python writes it; None: it is none."""
    if match := _SPACED.fullmatch(core):
        other = match[1] and match[1][0] != decimal
        return "spaced" if not other else "comma" if decimal == "." else "points"
    if decimal == "," and _POINTS.fullmatch(core):
        return "surely"
    if decimal == ",":
        if _COMMA.fullmatch(core):
            return ""
        return ("points" if "." in core else "") if is_number(core) else None  # 01.03.2021 is a date
    if is_number(core):
        return ""
    if match := _COMMAS.fullmatch(core):
        return "surely" if match[2] or len(match[1]) > 4 else "comma" if core.lstrip("+-")[0] == "0" else "grouped"
    if _COMMA.fullmatch(core) or ((match := _POINTS.fullmatch(core)) and (match[2] or len(match[1]) > 4)):
        return "comma"
    return None


def _written(
    forms: Mapping[str, int], marks: set[str], examples: Mapping[str, str], usual: Dialect, point: bool
) -> Finding:
    """Decide how numbers are written, or say what keeps that open."""
    mark = usual.mark or (next(iter(marks)) if len(marks) == 1 else "")
    dialect = replace(usual, mark=mark)
    if len(marks) > 1:
        listed = " and ".join(repr(examples[mark]) for mark in sorted(marks))
        return Finding("number", dialect, (), f"numbers of several units ({listed})", OTHER_KIND)
    if forms["points"] and not forms["surely"] and usual.decimal == ",":
        what = f"{examples['points']!r} has a decimal point, and the decimal mark is a comma"
        return Finding("number", dialect, (), what, ("--decimal .", *OTHER_KIND))
    if forms["comma"]:
        what = f"{examples['comma']!r} looks like a number with a decimal comma"
        return Finding("number", dialect, (), what, ("--decimal ,", *OTHER_KIND))
    grouped = usual.grouped or bool(forms["surely"] or forms["spaced"])
    if forms["grouped"] and not grouped and not point:
        what = f"{examples['grouped']!r} may be a thousand and more, or have a decimal comma"
        return Finding("number", dialect, (), what, ("--decimal .", "--decimal ,", *OTHER_KIND))
    dialect = replace(dialect, grouped=grouped or bool(forms["grouped"]))
    notes = []
    if mark in examples:
        notes.append(f"{examples[mark]!r} is read without {mark!r}")
    if dialect.grouped and (
        example := next((examples[f] for f in ("surely", "grouped", "spaced") if f in examples), "")
    ):
        notes.append(f"{example!r} is read as a number with thousands parted")
    if usual.decimal == "," and "" in forms:
        notes.append("decimal commas")
    return Finding("number", dialect, tuple(notes))


def _codes(cells: Iterable[str]) -> tuple[str, ...]:
    """Tell of numbers that may be codes: all of one width, and some begin with 0."""
    cells = [*cells]
    padded = next((cell for cell in cells if _PADDED.fullmatch(cell)), None)
    if padded and len({len(cell) for cell in cells}) == 1 and all(cell.isdecimal() for cell in cells):
        return (f"{padded!r} is read as a number, and may be a code (--columns {{}}:category)",)
    return ()


def _dates(counts: Mapping[str, int], usual: Dialect, asked: bool) -> Finding | None:
    """Find out how dates are written; None if these are none."""
    matches = {order: {cell: match for cell in counts if (match := form.match(cell))} for order, form in _DATES.items()}
    matches["ymd"] |= {cell: match for cell in counts for form in _NAMES if (match := form.match(cell))}
    total = sum(counts.values())
    shares = {order: sum(counts[cell] for cell in found) / total for order, found in matches.items()}
    if shares["ymd"] >= SHARE or (asked and not matches["dmy"]):
        return Finding("date", usual)
    if shares["ymd"] + shares["dmy"] < SHARE and not asked:
        return None
    found = matches["dmy"].values()
    example = next(iter(matches["dmy"]))
    if usual.order in ("dmy", "mdy"):
        return Finding("date", usual, (f"{example!r} is read as {usual.order}",))
    flags = ("--columns {}:date dmy", "--columns {}:date mdy", *OTHER_KIND)
    first, second = (max(int(match[name]) for match in found) for name in ("d", "m"))
    if any(len(match["y"]) == 2 for match in found):
        return Finding("date", usual, (), f"{example!r} may be a date with a year of two digits", flags)
    if first > 12 and second > 12:
        return None if not asked else Finding("date", usual, (), "days and months are mixed up", flags[2:])
    dotted = all(match["p"] == "." for match in found)
    if first <= 12 and second <= 12 and not dotted:
        return Finding("date", usual, (), f"{example!r} may begin with the day or with the month", flags)
    order = "mdy" if second > 12 else "dmy"
    surest = next(
        cell for cell, match in matches["dmy"].items() if int(match["d" if order == "dmy" else "m"]) > 12 or dotted
    )
    return Finding("date", replace(usual, order=order), (f"{surest!r} is read as {order}",))
