"""Hive's partitions: folders called ``column=value``, whose files have that value in all of their rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from hdl import fs
from hdl.arrow import pa
from hdl.data.layouts.lying import Keys, Lying
from hdl.data.leftout import LeftOut, aside
from hdl.data.names import some
from hdl.errors import DataError

MISSING = "__HIVE_DEFAULT_PARTITION__"
_KEY = re.compile(r"([^=/]+)=([^/]*)")
_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?")
_PADDED = re.compile(r"[+-]?0\d+(\.\d*)?")
_DAY = re.compile(r"(19|20)\d{2}-?\d{2}-?\d{2}")
_MOMENT = re.compile(r"(19|20)\d{2}-\d{2}-\d{2}[T ]\d{2}(:\d{2}(:\d{2}(\.\d{1,6})?)?)?")


def key_of(name: str) -> tuple[str, str | None] | None:
    """Read column and value from a folder's name, with its escapes; None of a name that is none.

    Examples
    --------
    >>> key_of("dt=2024-01-01"), key_of("who=a%2Fb"), key_of("who=__HIVE_DEFAULT_PARTITION__"), key_of("2024")
    (('dt', '2024-01-01'), ('who', 'a/b'), ('who', None), None)
    """
    match = _KEY.fullmatch(name)
    if not match or not (column := unquote(match[1]).strip()):
        return None
    value = unquote(match[2])
    return column, None if value in ("", MISSING) else value


def keys_of(path: str, below: str = "") -> dict[str, str | None]:
    """Read the keys in the folders of a path, of those below a folder if one is given."""
    folders = path.removeprefix(below).strip("/").split("/")[:-1]
    return dict(key for key in map(key_of, folders) if key)


def holds_partitions(folders: Iterable[str]) -> bool:
    """Tell whether folders of these names are partitions."""
    return any(key_of(name) for name in folders)


def walk(
    folder: str, left: LeftOut, refuse: Callable[[str, list[str]], None] = lambda folder, names: None, below: str = ""
) -> list[tuple[str, dict[str, str | None]]]:
    """List the files in a folder and in those below it, with the keys of their folders, sorted by path.

    Parameters
    ----------
    refuse : function of a folder and the names in it
        Raises if they are no part of the table.
    below : str
        What stands before names that are told.

    Raises
    ------
    DataError
        Files lie beside folders of partitions, or a key is there twice on one path.
    """
    names, folders = list[str](), list[str]()
    there = fs.list(folder)
    refuse(folder, there)
    for name in there:
        isdir = fs.isdir(fs.join(folder, name))
        if reason := aside(name, isdir):
            left.add(reason, f"{below}{name}")
        else:
            (folders if isdir else names).append(name)
    if names and holds_partitions(folders):
        what = f"files ({some(names, 3)}) beside folders of partitions ({some(folders, 3)}); name one kind by a glob"
        raise DataError(what, folder)
    found: list[tuple[str, dict[str, str | None]]] = [(fs.join(folder, name), {}) for name in names]
    for name in folders:
        key = key_of(name)
        for path, keys in walk(fs.join(folder, name), left, refuse, f"{below}{name}/"):
            if key and key[0] in keys:
                raise DataError(f"the key {key[0]!r} is there twice on one path", path)
            found.append((path, {key[0]: key[1], **keys} if key else keys))
    return found


def lying(files: list[tuple[str, dict[str, str | None]]], folder: str) -> Lying:
    """Make files with their keys a table.

    Raises
    ------
    DataError
        Some files have other keys than others.
    """
    first, keys = files[0]
    for path, others in files:
        if others.keys() != keys.keys():
            here, there = (some([*each]) or "none" for each in (others, keys))
            raise DataError(f"the folders' keys are {here}; of {first} they are {there}; name one kind by a glob", path)
    types = {name: type_of(values[name] for _, values in files) for name in keys}
    reading = {"partitions": [f"{name}: {kind_of(kind)}" for name, kind in types.items()]} if keys else {}
    known: dict[str, Keys] = {path: values for path, values in files if values}
    return Lying([path for path, _ in files], known, types, reading=reading)


def kind_of(kind: pa.DataType) -> str | None:
    """Tell which kind of column a key of this type is; None where no key has it."""
    if pa.types.is_string(kind):
        return "category"
    if kind in (pa.timestamp("us"), pa.date32()):
        return "date"
    return "number" if kind in (pa.int64(), pa.float64()) else None


def type_of(values: Iterable[str | None]) -> pa.DataType:
    """Find the type that all values of a key have: date (also ``20240131``), int64, double, else string.

    Numbers with leading zeros are text, but for months, days and hours of two digits.

    Examples
    --------
    >>> [str(type_of(texts)) for texts in (["7", None], ["07", "11"], ["00501", "10001"], ["20240131"], ["2.5"])]
    ['int64', 'int64', 'string', 'date32[day]', 'double']
    """
    there = sorted({value for value in values if value is not None})
    if there and all(_DAY.fullmatch(value) or _MOMENT.fullmatch(value) for value in there):
        try:
            for value in there:
                moment(value)
            return pa.date32() if all(map(_DAY.fullmatch, there)) else pa.timestamp("us")
        except ValueError:
            pass
    if not there or not all(map(_NUMBER.fullmatch, there)):
        return pa.string()
    if any(map(_PADDED.fullmatch, there)) and {len(value) for value in there} != {2}:
        return pa.string()
    return pa.float64() if any("." in value for value in there) else pa.int64()


def moment(text: str) -> datetime:
    """Read a day or a moment of a key. Raises ValueError if it is none."""
    if text.isdigit() and len(text) == 8:
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    if len(text) == 10:
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day)
    there = datetime.fromisoformat(text)
    return (there - there.utcoffset()).replace(tzinfo=None) if there.utcoffset() is not None else there  # type: ignore


def value_of(text: str | None, kind: pa.DataType) -> Any:
    """Give a key's text as a value of its type.

    Raises
    ------
    ValueError
        It is none of that type.
    """
    if text is None:
        return None
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return moment(text).date() if pa.types.is_date(kind) else moment(text)
    if pa.types.is_boolean(kind):
        return {"true": True, "false": False}[text.lower()]
    if pa.types.is_integer(kind):
        return int(text)
    if pa.types.is_decimal(kind):
        return Decimal(text)
    return float(text) if pa.types.is_floating(kind) else text
