"""Reads a space of hyper-parameters from what a user wrote on the command line.

NAME=V1,V2,…      any of these values; 0-{64,128}-0 stands for 0-64-0 and 0-128-0
NAME=LOW:HIGH     a number between the two, whole where the flag takes whole numbers
NAME=log:LOW,HIGH a number whose logarithm is spread evenly
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hdl.cli.combinations import _flag, _value, label_of
from hdl.cli.flags import FLAGS, default_of, number_of, take_spec
from hdl.errors import SpecError
from hdl.search.grid import shown
from hdl.search.space import Parameter, Space
from hdl.spec import Spec

EXPECTED = "expected NAME=V1,V2,…, NAME=LOW:HIGH or NAME=log:LOW,HIGH"
_COMMA = re.compile(r",(?![^\[]*\])(?![^{]*\})")  # not inside of uniform[-0.1,0.1] or {64,128}
_WHOLE = ("batch", "pretrain-batch")  # whose default is left to the data


def space(texts: Sequence[str]) -> Space:
    """Read the parameters of a search.

    Raises
    ------
    SpecError
        Names the parameter, what was given and what was expected.
    """
    if not texts:
        raise SpecError(f"--param: expected at least one, such as --param lr=log:1e-4,1e-1 ({EXPECTED})")
    found: dict[str, Parameter] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name, values = name.strip().removeprefix("--").replace("_", "-"), values.strip()
        if not equals or not values:
            raise SpecError(f"--param: {EXPECTED} (given {text!r})")
        try:
            flag = _flag(name)
        except SpecError as error:
            raise SpecError(str(error).replace("--grid", "--param", 1)) from None
        if name in found:
            raise SpecError(f"--param {name}: given twice; one --param holds all of its values")
        try:
            found[name] = _parameter(flag, name, values)
        except SpecError as error:
            told = str(error).replace("--grid", "--param", 1)
            raise SpecError(told if told.startswith("--param") else f"--param {told}") from None
    return Space(tuple(found.values()))


def _parameter(flag: Any, name: str, text: str) -> Parameter:
    log = text.removeprefix("log:")
    parts = log.split(",") if log != text else text.split(":") if re.fullmatch(r"[^,{}\[]+:[^,{}\[]+", text) else []
    if log != text and len(parts) != 2:
        raise SpecError(f"{name}: expected log:LOW,HIGH (given {text!r})")
    if parts:
        ends = [number_of(part.strip()) for part in parts]
        if len(ends) != 2 or any(isinstance(end, str) for end in ends):
            raise SpecError(f"{name}: expected two numbers, the lower one first (given {text!r})")
        default = default_of(flag)
        whole = (isinstance(default, int) and not isinstance(default, bool)) or name in _WHOLE
        if whole and not all(isinstance(end, int) for end in ends):
            raise SpecError(f"{name}: takes whole numbers (given {text!r})")
        return Parameter(name, "log" if log != text else "linear", (), float(ends[0]), float(ends[1]), whole)
    words = [word for part in _COMMA.split(text) for word in braces(part.strip())]
    if not all(words):
        raise SpecError(f"{name}: {EXPECTED} with nothing empty (given {text!r})")
    return Parameter(name, "choice", tuple(_value(flag, word) for word in words))


def braces(text: str) -> list[str]:
    """Write out what braces stand for.

    Examples
    --------
    >>> braces("0-{64,128}-{8,4}-0")
    ['0-64-8-0', '0-64-4-0', '0-128-8-0', '0-128-4-0']
    """
    parts = re.split(r"\{([^{}]*)\}", text)
    lists = [part.split(",") if at % 2 else [part] for at, part in enumerate(parts)]
    return ["".join(words).strip() for words in itertools.product(*lists)]


def maker(base: Spec, shards: int) -> Callable[[Mapping[str, Any]], Spec]:
    """Make the function from a trial's values to its spec: what `hdl train` makes of the same flags."""
    keys = {flag.name[2:]: flag.key for flag in FLAGS}

    def spec_of(values: Mapping[str, Any]) -> Spec:
        flags: dict[str, Any] = dict.fromkeys([*keys.values(), "spec", "recipe"])
        for name, value in values.items():
            flags[keys[name]] = value if isinstance(value, bool) else shown(value)
        return take_spec(flags, base, shards)

    return spec_of


def check(space: Space, spec_of: Callable[[Mapping[str, Any]], Spec]) -> None:
    """Refuse a space with a value that the spec does not take.

    Raises
    ------
    SpecError
    """
    for values in space.probes():
        try:
            spec_of(values)
        except SpecError as error:
            raise SpecError(f"--param, with {label_of(values)}: {error}") from None
