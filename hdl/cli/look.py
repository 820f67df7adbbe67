"""`hdl inspect DATA`: what would be found out about data before a training, without one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import click

from hdl import fs
from hdl.cli.progress import aligned
from hdl.errors import DataError, SpecError, TableError


def data_contents(path: str, options: Any) -> dict[str, Any]:
    """Read data once, and return what is found out about it, as plain values.

    Returns
    -------
    dict
        `data`, `found` (the lines of findings: of several things a list), `refused` (None, or why `hdl train` would
        refuse it), `columns` (see `hdl.data.column_lines`) and `about` (as version 0 of a table has it).

    Raises
    ------
    DataError
        It cannot be read.
    TableError
        It is a folder, and holds neither data nor a table of weights.
    """
    from hdl import recipe
    from hdl.data import column_lines, findings, fit, open_source, summarise
    from hdl.spec import Spec

    click.echo("reading the data …", err=True)
    try:
        source = open_source(path, options)
    except DataError as error:
        inside = (error.path or path).rstrip("/") != path.rstrip("/")  # then a file of it is wrong, which is data
        if not inside and fs.exists(path) and fs.isdir(path):
            raise TableError(f"no weight table here; as data: {error}") from None
        raise
    splits = source.splits(1)
    summary = summarise(source, splits[0])
    refused, tensors = None, dict[str, Any]()
    about: dict[str, Any] = {"data": path, "options": options.model_dump(mode="json"), "places": list(summary.places)}
    try:
        about["schema"], tensors = fit(summary, Spec(auto=recipe.FIELDS)).to_parts()
    except (DataError, SpecError) as error:
        refused = str(error)
        about["schema"] = {**source.describe(), "samples": summary.samples, "bad": summary.bad}
    words = {name: value.split("\n") for name, value in findings.lines(about, tensors)}
    found = {name: lines if lines[1:] else lines[0] for name, lines in words.items()}
    columns = column_lines.describe(summary)
    return {"data": path, "found": found, "refused": refused, "columns": columns, "about": about}


def text(contents: dict[str, Any]) -> list[str]:
    """Write the same for people: the lines of findings, and a table of the columns."""
    from hdl.data import column_lines

    found = contents["found"].items()
    lines = [aligned([(name, "\n".join(value) if isinstance(value, list) else value) for name, value in found])]
    if contents["columns"]:
        samples = contents["about"]["schema"].get("samples") or 1
        lines += ["", *_table([column_lines.HEAD, *column_lines.rows(contents["columns"], samples)])]
    if contents["refused"]:
        lines += ["", f"hdl train would refuse it: {contents['refused']}"]
    return lines


def _table(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def is_nothing(path: str) -> bool:
    """Tell whether a path on this machine names nothing; a glob, a part of data or a pair of paths is another thing."""
    return not fs.exists(path) and not re.search(r"[,*?\[]|:(train|test|val)$", path)


def is_data(path: str) -> bool:
    """Tell whether a path names data, and no table of weights: what is neither is taken for a missing table."""
    from hdl.table import Table, names

    if fs.exists(path):
        if not fs.isdir(path):
            return True
        listed = fs.list(path)
        return bool(listed) and not names.owners(listed) and not Table(path).numbers()
    return bool(re.search(r"[,*?\[]|:(train|test|val)$", path))
