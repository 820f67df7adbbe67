"""Kinds of columns as people and programs say them: `age:number`, `seen:date dmy`, or a schema as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hdl import fs
from hdl.errors import HdlError, SpecError

IGNORE = "ignore"
KINDS = ("number", "category", "date", IGNORE)
# What schemas of other programs call the types of columns.
_ALSO = {
    "number": "numeric float double real int integer long short byte bigint smallint tinyint int8 int16 int32 int64 "
              "uint8 uint16 uint32 uint64 float16 float32 float64 decimal",
    "category": "categorical text string str varchar char boolean bool enum object",
    "date": "datetime timestamp day",
    IGNORE: "skip drop none",
}  # fmt: skip
_KIND = {word: kind for kind in KINDS for word in (kind, *_ALSO[kind].split())}
ORDERS = ("ymd", "dmy", "mdy")
GROUPED = "grouped"  # 1,234 is 1234
_DETAILS = {"number": (GROUPED,), "date": ORDERS}


class Wish(NamedTuple):
    """One entry of `--columns`.

    Attributes
    ----------
    name : str
        Of a column, or its number.
    kind : str
        One of `KINDS`.
    details : tuple of str
        Of numbers: a mark such as `$` that stands beside them, and `grouped`; of dates the order of day, month, year.
    by : str
        `flag`; or by what a kind was known that was found out, and is said again to workers.
    settled : bool
        It is said again (`… by values`), so that the cells need not be looked at.
    """

    name: str
    kind: str
    details: tuple[str, ...] = ()
    by: str = "flag"
    settled: bool = False

    def __str__(self) -> str:
        by = ("by", self.by) if self.settled else ()
        return f"{self.name}:{' '.join((self.kind, *self.details, *by))}"


def parse(entries: Iterable[str]) -> list[Wish]:
    """Parse entries such as `age:number`, `price:number $ grouped` or `seen:date dmy`.

    Raises
    ------
    SpecError
        With every entry that is none.

    Examples
    --------
    >>> parse(["a:b:number", "seen:date dmy"])[0].name
    'a:b'
    """
    wishes, wrong = [], []
    for entry in entries:
        name, colon, said = entry.rpartition(":")
        said, _, by = said.partition(" by ")
        kind, *details = said.split() or [""]
        kind = _KIND.get(kind.lower(), "")
        known = all(word in _DETAILS.get(kind, ()) or (kind == "number" and _is_mark(word)) for word in details)
        if not colon or not name or not kind or not known:
            wrong.append(repr(entry))
        else:
            wishes.append(Wish(name, kind, tuple(details), by or "flag", bool(by)))
    if wrong:
        what = "number, category, date or ignore (of dates also dmy, mdy or ymd; of numbers $, % or grouped)"
        raise SpecError(f"columns: {', '.join(wrong[:9])}; expected NAME:KIND with a kind of {what}")
    return wishes


def _is_mark(word: str) -> bool:
    return len(word) == 1 and not word.isalnum() and word not in "+-.,"


def expand(entries: Iterable[str]) -> tuple[str, ...]:
    """Put what a JSON file says in place of its name (`@file.json`, or a path that ends in `.json`).

    The file may hold an object of names and kinds; or a list of columns, each with a `name` and a `kind` or `type`,
    by itself or as `columns` or `fields` of an object, as table schemas of other programs have it.

    Raises
    ------
    SpecError
        A file is not there or holds something else; an entry says nothing.
    """
    out: list[str] = []
    for entry in entries:
        path = entry[1:] if entry.startswith("@") else entry if entry.lower().endswith(".json") else ""
        out += [str(wish) for wish in _of_file(path)] if path else [entry]
    parse(out)
    return tuple(out)


def _of_file(path: str) -> list[Wish]:
    try:
        with fs.open(path) as file:
            plain = json.loads(file.read(16 << 20))
    except (OSError, HdlError, ValueError) as error:
        raise SpecError(f"columns: {path}: expected a file of JSON ({error})") from None
    wishes, wrong = [], []
    for name, said in _pairs(plain, path):
        kind = _KIND.get(str(said).split("(")[0].strip().lower())
        wishes.append(Wish(str(name), kind or ""))
        if not kind:
            wrong.append(f"{name!r} is {said!r}")
    if wrong:
        raise SpecError(f"columns: {path}: {', '.join(wrong[:9])}; expected number, category, date or ignore")
    return wishes


def _pairs(plain: Any, path: str) -> Sequence[tuple[Any, Any]]:
    if isinstance(plain, dict):
        plain = next((plain[key] for key in ("columns", "fields") if isinstance(plain.get(key), list)), plain)
    if isinstance(plain, dict):
        return [*plain.items()]
    if isinstance(plain, list) and all(isinstance(item, dict) and "name" in item for item in plain):
        return [(item["name"], _type(item.get("kind", item.get("type")))) for item in plain]
    raise SpecError(f'columns: {path}: expected {{"name": "kind", …}} or [{{"name": …, "kind": …}}, …]')


def _type(said: Any) -> Any:
    """Find the type of a column that may be missing, as Avro writes it."""
    if isinstance(said, list):
        said = next((one for one in said if one != "null"), None)
    if isinstance(said, dict):
        said = said.get("logicalType", said.get("type"))
        return "timestamp" if str(said).startswith("timestamp") else said
    return said
