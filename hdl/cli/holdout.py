"""Reads what `--validation` says is held out: a share, data of its own, a column, or a condition.

SHARE                0.2, or 1e-3: a number is always a share
file:DATA            data of its own, also as the plain path of what is there; ./0.2 is a path, too
column:NAME          rows where a column of truth values, or of 0 and 1, is true
column:NAME=VALUE    rows where the column has this value; also NAME=VALUE where no such file is there
where:CONDITION      rows that meet the condition, written as `--where` is
"""

from __future__ import annotations

import re
from typing import Any

from hdl.errors import SpecError
from hdl.spec import Spec

EXPECTED = "expected a share such as 0.2, a path, column:NAME, column:NAME=VALUE or 'where:CONDITION'"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?")
_PLAIN = re.compile(r"([^=/:<>!'\"]+)=([^=/]+)")


def fields(text: str, base: Spec | None = None, flag: str = "--validation") -> dict[str, Any]:
    """Read the flag as fields of the spec.

    Parameters
    ----------
    text : str
    base : Spec, optional
        Of the table that is resumed: the same share keeps the way in which it was chosen there.

    Raises
    ------
    SpecError
        It is none of the forms, or may be two of them.

    Examples
    --------
    >>> fields("0.2")
    {'validation': 0.2, 'holdout': {'stratified': True}}
    >>> fields("column:fold=3")["holdout"], fields("where:dt > '2024-06-01'")["holdout"]
    ({'column': 'fold', 'value': '3'}, {'where': "dt > '2024-06-01'"})
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return {"validation": _share(text, flag), "holdout": _by_share(_share(text, flag), base)}
    from hdl import fs

    if text.startswith("file://"):
        return _only({"path": fs.plain(text)})
    kind, colon, rest = text.partition(":")
    if colon and kind in ("file", "column", "where"):
        if not rest.strip():
            raise SpecError(f"{flag}: nothing behind {kind}: (given {text!r}); {EXPECTED}")
        return _only({"file": _path, "column": _column, "where": _where}[kind](rest, flag))
    if _is_data(text):
        if match := _PLAIN.fullmatch(text):
            what = f"is there as a file or folder, and may be the value {match[2]!r} of a column {match[1]!r}"
            raise SpecError(f"{flag}: {text} {what}; give file:{text} or column:{text}")
        return _only({"path": text})
    if match := _PLAIN.fullmatch(text):
        return _only(_column(text, flag))
    if re.search(r"[<>=]|\b(in|like|is|between)\b", text):
        raise SpecError(f"{flag}: there is no file {text!r}; a condition is written 'where:{text}'")
    hint = f"; if it is a column: column:{text}" if re.fullmatch(r"[\w .-]+", text) and "." not in text else ""
    raise SpecError(f"{flag}: there is no file or folder {text!r}{hint} ({EXPECTED})")


def _is_data(text: str) -> bool:
    """Tell whether a text is a path of what is there, in one of the forms in which data is named."""
    from hdl import fs

    if "://" in text or fs.exists(text):
        return True
    folder, colon, part = text.rpartition(":")
    if colon and part in ("train", "test", "val"):
        return fs.exists(folder)
    x, comma, y = text.partition(",")
    return (bool(comma) and fs.exists(x) and fs.exists(y)) or bool(re.search(r"[*?\[]", text) and "/" in text)


def _share(text: str, flag: str) -> float:
    if text.endswith("%"):
        raise SpecError(f"{flag}: a share is written as a number from 0 to 1, such as 0.2 (given {text})")
    share = float(text)
    if not 0 <= share < 1:
        raise SpecError(f"{flag}: a share is at least 0 and below 1 (given {text}); a file is file:{text}")
    return share


def _by_share(share: float, base: Spec | None) -> dict[str, Any]:
    if base is not None and base.validation == share and not base.holdout.validates:
        return base.holdout.model_dump(mode="json")
    return {"stratified": True} if share else {}


def _only(rule: dict[str, Any]) -> dict[str, Any]:
    return {"validation": 0.0, "holdout": rule}


def _path(text: str, flag: str) -> dict[str, Any]:
    return {"path": text}


def _where(text: str, flag: str) -> dict[str, Any]:
    from hdl.data.layouts.where import parse

    try:
        parse(text)
    except SpecError as error:
        raise SpecError(str(error).replace("where:", f"{flag}: where:", 1)) from None
    return {"where": text.strip()}


def _column(text: str, flag: str) -> dict[str, Any]:
    name, sign, value = text.partition("=")
    name, value = name.strip(), value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    if not name or (sign and not value):
        raise SpecError(f"{flag}: expected column:NAME or column:NAME=VALUE (given column:{text})")
    return {"column": name, "value": value} if sign else {"column": name}
