"""Keys of folders as values of a file's rows, and the files that a filter leaves of a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from hdl.data.layouts.filtering import Range, check, outcomes
from hdl.data.layouts.hive import value_of
from hdl.data.layouts.lying import Lying
from hdl.data.layouts.where import Condition, columns
from hdl.data.names import flag_of
from hdl.errors import DataError


def constants(lying: Lying, path: str, but: Collection[str] = ()) -> dict[str, Any]:
    """Give the values of a file's keys by column, without some columns.

    Raises
    ------
    DataError
        A value is none of its column's type.
    """
    found = {}
    for name, text in lying.keys.get(path, {}).items():
        if name not in but:
            try:
                found[name] = value_of(text, lying.types[name])
            except (ValueError, KeyError, ArithmeticError):
                what = f"the key {name}={text} is no {lying.types[name]}, as those of other folders are"
                raise DataError(what + flag_of(" (--columns {}:category reads them as text)", name), path) from None
    return found


def of_keys(held: Mapping[str, Any]) -> Callable[[str], Range | None]:
    """Tell what keys say of columns: the one value, or that it is missing; None of a column that is no key."""

    def known(name: str) -> Range | None:
        return Range(held[name], held[name], held[name] is None) if name in held else None

    return known


def prune(paths: list[str], lying: Lying, condition: Condition | None, text: str) -> list[str]:
    """Leave out the files whose keys say that none of their rows meets a condition.

    Raises
    ------
    DataError
        No file is left.
    """
    if condition is None:
        return paths
    left = [path for path in paths if True in outcomes(condition, of_keys(constants(lying, path)))]
    if left:
        return left
    named = columns(condition)
    known = {name: kind for name, kind in lying.types.items() if name in named}
    if len(known) == len(named):
        check(condition, known, text)
    held = [f"{name} {_span(lying, name)}" for name in known]
    raise DataError(f"none of {len(paths)} files meets --where {text!r}; there is {', '.join(held)}", paths[0])


def _span(lying: Lying, name: str) -> str:
    values = sorted({keys[name] or "(missing)" for keys in lying.keys.values()})
    if len(values) < 6:
        return ", ".join(values)
    return f"{values[0]} to {values[-1]}"
