"""Flags that say how data is read: which samples, and what their columns are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import click

from hdl import fs
from hdl.cli.common import Option
from hdl.errors import SpecError

DATA, COLUMNS = "Data", "Columns of tables"
OPTIONS = [
    Option(["--format"], metavar="NAME", section=DATA,
           help="csv, libsvm, pair, idx, npy, npz, parquet, orc, avro, json or images; default: told from the files."),
    Option(["--header/--no-header"], default=None, section=DATA,
           help="Whether text starts with a line of column names; default: told from the first lines."),
    Option(["--delimiter"], metavar="CHAR", section=DATA,
           help="What separates columns; tab and space may be written out; default: told from the first lines."),
    Option(["--multiline/--no-multiline"], default=None, section=DATA,
           help="Whether quoted fields of text may hold line breaks; default: told from the start."),
    Option(["--encoding"], metavar="NAME", section=DATA, help="Of text, such as latin-1.  [default: utf-8]"),
    Option(["--decimal"], metavar=".|,", section=DATA,
           help="Mark before the decimals of numbers in text; default: told from the values."),
    Option(["--comment"], metavar="TEXT", section=DATA, help="What begins lines that hold no sample, such as #."),
    Option(["--na-values"], metavar="TEXT,…", section=DATA,
           help=r"What else says that a value is missing, beside nothing, NA, N/A, NaN, null, None, \N, ? and a dot."),
    Option(["--where"], metavar="CONDITION", section=DATA,
           help="Rows to read, such as \"dt >= '2024-01-01' and country = 'DE'\"; of partitions before reading them."),
    Option(["--max-bad-records"], metavar="N", section=DATA,
           help="Skip up to N bad records and say where they are.  [default: 0]"),
    Option(["--label"], metavar="COLUMN", section=COLUMNS,
           help="Label column by name or number from 0 (-1: the last), or several: a,b; default: the one called "
                "label or target, else class or y, else the only one of text, else the last."),
    Option(["--no-labels", "labelled"], is_flag=True, flag_value=False, default=None, section=COLUMNS,
           help="Every column is a feature; for models that learn without labels."),
    Option(["--columns"], metavar="NAME:KIND,…", section=COLUMNS,
           help="Kinds of columns: number, category, date or ignore; the others' are told from types and values. "
                "FILE.json says the same: {\"age\": \"number\", \"id\": \"ignore\"}."),
    Option(["--features"], metavar="COLUMN,…", section=COLUMNS,
           help="These columns alone are features, by names, globs such as x_* or kinds; default: all."),
    Option(["--ignore"], metavar="COLUMN,…", section=COLUMNS,
           help="These columns are no features, by names, globs or kinds."),
]  # fmt: skip
WEIGHTS = Option(["--weights"], metavar="COLUMN", section=COLUMNS,
                 help="Column that says how much each sample counts; no feature then.")  # fmt: skip
OFFSET = Option(["--offset"], metavar="COLUMN", section=COLUMNS,
                help="Column that is added before the output's function, such as the log of an exposure.")  # fmt: skip
KEEP = Option(["--keep"], metavar="COLUMN,…", section=COLUMNS,
              help="Columns of DATA that come before the answers, by name or number; .csv and .parquet.")  # fmt: skip
# What a file of columns may say beside kinds.
_PLAIN = ("label", "features", "ignore", "na_values", "weights", "offset")


def data_options(*more: Option) -> Callable[[click.Command], click.Command]:
    """Make a decorator that adds the data's flags to a command, some more than all have among them."""

    def add(command: click.Command) -> click.Command:
        command.params.extend([*OPTIONS, *more])
        return command

    return add


def take_data_options(values: dict[str, Any], base: dict[str, Any] | None = None) -> Any:
    """Remove the data's flags from `values` and return them, over those of `base`, as `hdl.data.Options`.

    Raises
    ------
    SpecError
        Naming the flag, or the file of columns.
    """
    from hdl.data.options import Options

    names = [str(option.name) for option in (*OPTIONS, WEIGHTS, OFFSET, KEEP)]
    fields = {name: values.pop(name, None) for name in names}
    words = {"\\t": "\t", "tab": "\t", "space": " "}
    fields["delimiter"] = words.get(fields["delimiter"], fields["delimiter"])
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return Options.make(base, **{**_columns(given.pop("columns", None)), **given})
    except SpecError as error:
        pattern = "|".join(["columns", *given])
        flag = re.sub(rf"(^|; )({pattern})\b", lambda match: match[1] + "--" + match[2].replace("_", "-"), str(error))
        raise SpecError(flag) from None


def _columns(text: str | None) -> dict[str, Any]:
    """Read what `--columns` says: columns and kinds, and where it names a file other options that this holds."""
    if text is not None and text.lower().endswith(".json") and "," not in text:
        tree = _json(fs.plain(text.removeprefix("@")))
        if isinstance(tree, dict) and isinstance(kinds := tree.get("columns"), dict):
            if unknown := [name for name in tree if name not in ("columns", *_PLAIN)]:
                raise SpecError(f"columns {text}: {unknown[0]!r}: expected columns, or one of {', '.join(_PLAIN)}")
            return {**tree, "columns": [f"{name}:{kind}" for name, kind in kinds.items()]}
    return {} if text is None else {"columns": text}


def _json(path: str) -> Any:
    try:
        with fs.open(path) as file:
            return json.loads(file.read().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"columns {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    except json.JSONDecodeError as error:
        raise SpecError(f"columns {path}:{error.lineno}: not JSON: {error.msg}") from None
