"""The combinations of a grid, from what a user wrote on the command line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hdl.cli.flags import FLAGS, Flag, default_of, number_of, take_spec
from hdl.errors import SpecError

# By the first two, combinations are compared; the third only says which versions stay.
_FIXED = ("validation", "metric", "keep")
_FLAGS = {flag.name[2:]: flag for flag in FLAGS if flag.name[2:] not in _FIXED}
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def parameters(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Read the values of each parameter from `NAME=V1,V2,…`.

    Raises
    ------
    SpecError
    """
    value_lists: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().removeprefix("--").replace("_", "-")
        parts = [part.strip() for part in re.split(r",(?![^\[]*\])", values)]  # not inside of uniform[-0.1,0.1]
        if not equals or not all(parts):
            raise SpecError(f"--grid: expected NAME=V1,V2,… with nothing empty (given {text!r})")
        flag = _flag(name)
        if name in value_lists:
            raise SpecError(f"--grid {name}: given twice; one --grid holds all of its values")
        value_lists[name] = [_value(flag, part) for part in parts]
        if len(set(map(str, value_lists[name]))) < len(parts):
            raise SpecError(f"--grid {name}: a value is there twice (given {values})")
    return value_lists


def _flag(name: str) -> Flag:
    if name in _FLAGS:
        return _FLAGS[name]
    if name in _FIXED:
        raise SpecError(f"--grid {name}: is the same for all combinations; give --{name}")
    near = difflib.get_close_matches(name, _FLAGS, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise SpecError(f"--grid: no parameter {name!r}; {hint}Expected one of {', '.join(_FLAGS)}")


def _value(flag: Flag, text: str) -> Any:
    if isinstance(default_of(flag), bool):
        if text.lower() not in _TRUTH:
            raise SpecError(f"--grid {flag.name[2:]}: expected true or false (given {text!r})")
        return _TRUTH[text.lower()]
    return text if flag.field in ("net", "init", "scale") else number_of(text)


def combine(
    values: dict[str, Any], value_lists: Mapping[str, Sequence[Any]], bases: Mapping[str, Any], shards: int,
    start: Any = None,
) -> list[Any]:  # fmt: skip
    """Make the combinations, each with its spec, and remove the flags of the spec from `values`.

    Parameters
    ----------
    values : dict
        click's values.
    value_lists : mapping
        The values of each parameter, as `parameters` reads them.
    bases : mapping
        Of a grid that is resumed: the spec of each combination by its name.
    shards : int
        Shards where nobody says otherwise.
    start : Spec, optional
        Of the network that all of them start from: what neither flags nor file say.

    Raises
    ------
    SpecError
    """
    from hdl.search import grid

    for name in value_lists:
        if values.get(_FLAGS[name].key) is not None:
            raise SpecError(f"--{name} and --grid {name}: give one of them")
    flags, combinations = {key: values.pop(key) for key in [flag.key for flag in FLAGS] + ["spec", "recipe"]}, []
    first = next(iter(bases.values()), start)
    for chosen in grid.product(value_lists):
        name = grid.name_of(chosen)
        given = {
            _FLAGS[key].key: value if isinstance(value, bool) else grid.shown(value) for key, value in chosen.items()
        }
        try:
            spec = take_spec(flags | given, bases.get(name, first), shards)
        except SpecError as error:
            raise SpecError(f"--grid, with {label_of(chosen)}: {error}") from None
        if not spec.validated and "validation" not in spec.auto:
            raise SpecError(
                "--grid: combinations are compared by samples that are held out: give --validation SHARE, such as 0.2"
            )
        combinations.append(grid.Combination(name, chosen, spec))
    return combinations


def label_of(values: Mapping[str, Any]) -> str:
    """Write a combination for people: lr=0.1 batch=32."""
    from hdl.search import grid

    return " ".join(f"{name}={grid.shown(value)}" for name, value in values.items())
