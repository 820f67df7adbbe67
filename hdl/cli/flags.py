"""Flags of `hdl train` that are fields of the spec, and the way from both to a validated `Spec`."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from hdl.cli import holdout, left
from hdl.cli.common import Option
from hdl.cli.flag_list import FLAGS, Flag
from hdl.errors import SpecError
from hdl.models import stack
from hdl.spec import Spec, parse

PARTS = (
    "optimizer", "schedule", "sync", "genetic", "autoencoder", "rbm", "pretrain", "preprocessing", "holdout", "tuning",
)  # fmt: skip
UNITS = {"epochs": "epochs", "epoch": "epochs", "batches": "batches", "batch": "batches"}
_BY_KEY = {flag.key: flag for flag in FLAGS}


def spec_options(command: click.Command) -> click.Command:
    """Add the flags of the spec, `--spec` among them, to a command."""
    for flag in FLAGS:
        default = default_of(flag)
        shown = "" if default in (None, (), {}) or flag.name == "--shards" else f"  [default: {default}]"
        if isinstance(default, bool):
            given: dict[str, Any] = {"is_flag": True, "default": None, "help": flag.help}
        else:
            given = {"metavar": flag.metavar or _choices(flag.field), "help": flag.help + shown}
        command.params.append(Option([flag.key, flag.name], section=flag.section, **given))
    command.params.append(
        Option(["--spec"], metavar="FILE", section="Run", help="Spec as a JSON file; flags come before it.")
    )
    command.params.append(
        Option(["--recipe"], metavar="auto|plain", section="Run",
               help="What nobody says: auto takes the recipe for tables where DATA is one, plain each flag's own "
                    "default.  [default: auto]")
    )  # fmt: skip
    return command


def default_of(flag: Flag) -> Any:
    """Return the value that a flag's field has where the flag is not given."""
    default: Any = Spec().model_dump()
    for part in flag.field.split("."):
        default = default[part] if isinstance(default, dict) else default
    return default["name"] if flag.field == "scale" else default


def _choices(field: str) -> str:
    """List the words that a field takes, from the spec's own annotations."""
    annotation: Any = Spec
    for part in field.split("."):
        annotation = annotation.model_fields[part].annotation
    literals = [annotation] if get_origin(annotation) is Literal else get_args(annotation)
    return "|".join(word for item in literals if get_origin(item) is Literal for word in get_args(item))


def take_spec(values: dict[str, Any], base: Spec | None = None, shards: int = 1, folds: bool = False) -> Spec:
    """Remove the spec's flags from `values` and return the `Spec` that they, the file and `base` make.

    Parameters
    ----------
    values : dict
        click's values; the spec's are removed.
    base : Spec, optional
        What neither flags nor file say; the defaults if not given.
    shards : int
        Shards where nobody says otherwise.
    folds : bool
        Whether a fold is held out later: then "validation" is one of those that the spec leaves open.

    Raises
    ------
    SpecError
        Naming the flag, or the file and its field.
    """
    path, chosen = values.pop("spec"), values.pop("recipe", None)
    given = {flag: values.pop(key) for key, flag in _BY_KEY.items()}
    given = {flag: _value(flag, text, base) for flag, text in given.items() if text is not None}
    tree: dict[str, Any] = base.model_dump(mode="json") if base is not None else {"shards": shards}
    file = _read(path) if path else {}
    _overlay(tree, file)
    for flag, value in given.items():
        _set(tree, flag, value)
    open_ = left.fields(chosen, file, (flag.field for flag in given), base)
    tree["auto"] = tuple(dict.fromkeys((*open_, "validation"))) if folds else open_
    try:
        spec = parse(tree)
        stack.check(spec)
        return spec
    except SpecError as error:
        raise SpecError(_in_terms_of_flags(str(error), given, path)) from None


def _value(flag: Flag, text: Any, base: Spec | None = None) -> Any:
    """Turn a flag's text into a number, where it is one; the spec judges it."""
    if flag.field == "validation":
        return holdout.fields(text, base)
    if flag.field in ("tuning.freeze", "tuning.lr"):
        return text
    if flag.field == "sync.every":
        for word, unit in UNITS.items():
            if text.endswith(word):
                return {"every": number_of(text.removesuffix(word).rstrip()), "unit": unit}
        return {"every": number_of(text)}
    if flag.field == "class_weight" and text != "balanced":
        return _class_weights(text)
    if flag.field == "embedding" and not re.fullmatch(r"auto|[0-9]+", text):
        raise SpecError(f"--embedding: expected a width, such as 8, or auto (given {text!r})")
    return text if isinstance(text, bool) or flag.field in ("net", "init", "scale") else number_of(text)


def _class_weights(text: str) -> dict[str, Any]:
    """Read what samples of each class count, written as `a=3,b=1`; a class's own name may hold an equals sign."""
    from hdl.data.names import split

    weights: dict[str, Any] = {}
    for part in split(text):
        name, sign, weight = part.rpartition("=")
        value = number_of(weight.strip())
        if not sign or isinstance(value, str) or name in weights:
            raise SpecError(f"--class-weight: expected balanced, or each class once as NAME=WEIGHT (given {text!r})")
        weights[name] = value
    return weights


def number_of(text: str) -> int | float | str:
    """Turn a text into a number, where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _read(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"--spec {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"--spec {path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(tree, dict):
        raise SpecError(f"--spec {path}: expected a JSON object of the spec's fields, given {type(tree).__name__}")
    return tree


def _overlay(tree: dict[str, Any], over: dict[str, Any]) -> None:
    """Put `over` onto `tree`, part by part; a part given by its name is `{"name": …}`."""
    for key, value in over.items():
        if isinstance(value, dict) and key in PARTS:
            _overlay(_part(tree, key), value)
        else:
            tree[key] = value


def _part(tree: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the dictionary of a part, made where it is missing or given by its name alone."""
    part = tree.get(key)
    tree[key] = part if isinstance(part, dict) else {} if part is None else {"name": part}
    return tree[key]


def _set(tree: dict[str, Any], flag: Flag, value: Any) -> None:
    if flag.field == "validation":  # one rule takes another's place
        tree["holdout"] = value["holdout"]
        value = value["validation"]
    *parts, last = flag.field.split(".")
    for part in parts:
        tree = _part(tree, part)
    if isinstance(value, dict) and flag.field != "class_weight":
        tree.update(value)
    else:
        tree[last] = value


def _in_terms_of_flags(message: str, given: dict[Flag, Any], path: str | None) -> str:
    """Put a flag's name into the spec's message, in place of each field that a flag gave."""
    fields = {flag.field: flag.name for flag in given}
    message = re.sub(r"([\w.]+): Extra inputs are not permitted( \(given .*?\))?(?=; |$)", _unknown, message)
    if "validation" in fields:
        fields["holdout"] = fields["validation"]
    if "sync.every" in fields:
        fields["sync.unit"] = fields["sync.every"]

    def name(match: re.Match) -> str:
        field = match[2]
        while field:  # net.1 is --net's
            if field in fields:
                return f"{match[1]}{fields[field]}: "
            field = field.rpartition(".")[0]
        return match[0] if not path else f"{match[1]}--spec {path}: {match[2]}: "

    return re.sub(r"(^|; )([\w.]+): ", name, message)


def _unknown(match: re.Match) -> str:
    """Write the message for a field that the spec does not have."""
    known = {flag.field for flag in FLAGS} | {flag.field.partition(".")[0] for flag in FLAGS} | {"sync.unit", "layer"}
    near = difflib.get_close_matches(match[1], sorted(known), 1)
    return f"{match[1]}: the spec has no such field" + (f", did you mean {near[0]!r}?" if near else "")
