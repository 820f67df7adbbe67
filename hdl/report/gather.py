"""Gathers the facts of a report from a weight table."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from hdl import fs, strict_json
from hdl.data import Schema, findings
from hdl.errors import TableError
from hdl.metrics import METRICS
from hdl.metrics_log import rounds
from hdl.ops import layout
from hdl.outputs import put
from hdl.report import Facts, Measured, render
from hdl.spec import parse
from hdl.table import Table

MEASURED = "measured.json"  # in the table's folder: what its network scored, for later reports
PAGE = "report.html"


def gather(path: str) -> Facts:
    """Gather the facts of a table, and of the scores that were kept beside it.

    Raises
    ------
    TableError
        There is no table, or it is damaged.
    """
    from hdl.predict import Model
    from hdl.report import columns, feature_pictures

    table = Table(path)
    last, (zero, version) = table.header(), table.with_zero()
    about, spec = zero.about, last["spec"]
    schema = about.get("schema") or {}
    rows = rounds(last["rows"])
    measured = load_measured(path, version.signature)
    if score := _validation(last["rows"], version.number):  # the headline is the test's, if there is one
        tested = any(each.kind == "Test" for each in measured)
        measured.insert(len(measured) if tested else 0, score)
    image = image_of(schema)
    model = Model(path, version.number)
    pictures = feature_pictures.of(model, image)
    own = layout.of(parse(version.spec))
    first = columns.first_layer(own, version.weights.w) if spec["model"] == "mlp" else None
    return Facts(
        table=path if fs.is_remote(path) else os.path.abspath(path),
        version=version.number,
        sha256=version.signature,
        spec=spec if spec.get("layer") else about.get("stack", spec),
        classes=schema.get("classes") or None,
        data=summary(about, zero.schema),
        rows=rows,
        measured=measured,
        metric=spec.get("metric"),
        columns=columns.rows(Schema.from_parts(schema, zero.schema), first) if schema else [],
        first_layer=first,
        image=image,
        pictures=pictures,
        seconds=sum(row["seconds"] or 0 for row in rows),
        made=time.strftime("%Y-%m-%d %H:%M"),
    )


def write(path: str, out: str | None = None) -> str:
    """Make a table's report and return its path.

    Parameters
    ----------
    path : str
        The table.
    out : str, optional
        The page; if not given `report.html` in the table, with the pictures beside it as PNG files. It appears whole,
        over an older one.
    """
    facts = gather(path)
    if out is None:
        for picture in facts.pictures:
            put(fs.join(path, f"{picture.name}.png"), picture.png)
        out = fs.join(path, PAGE)
    put(out, render(facts).encode("utf-8", "backslashreplace"))
    return out


def save_measured(path: str, signature: str, measured: list[Measured]) -> None:
    """Keep scores beside the table's versions; they hold for the weights of that signature."""
    scores, more = zip(*(score.to_plain() for score in measured), strict=True) if measured else ((), ())
    kept = {"sha256": signature, "scores": scores, "more": more}
    put(fs.join(path, MEASURED), strict_json.dumps(kept).encode())


def keep(path: str, signature: str, score: Measured) -> None:
    """Keep a score beside those that are kept already for these weights, in place of the one of the same data.

    What the columns do stays if the score has none of it.
    """
    kept = load_measured(path, signature)
    same = next((at for at, old in enumerate(kept) if (old.kind, old.source) == (score.kind, score.source)), None)
    if same is None:
        kept.append(score)
    else:
        kept[same] = replace(score, effects=score.effects or kept[same].effects)
    save_measured(path, signature, kept)


def load_measured(path: str, signature: str) -> list[Measured]:
    """Read the scores that were kept for the weights of a signature; an empty list if there are no such ones."""
    place = fs.join(path, MEASURED)
    if not fs.exists(place):
        return []
    try:
        with fs.open(place) as file:
            kept = json.loads(file.read())
        if kept["sha256"] != signature:
            return []
        more = kept.get("more") or [{}] * len(kept["scores"])  # an older hdl wrote none
        return [Measured.from_plain(*parts) for parts in zip(kept["scores"], more, strict=True)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TableError(f"{place}: not what hdl wrote ({error}); remove it") from None


def _validation(rows: list[dict[str, Any]], version: int) -> Measured | None:
    """Return the validation of a version, from the row of its child."""
    for row in rows:
        if row.get("parent") == version and row.get("val_cost") is not None:
            known = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
            return Measured(
                "the training data, held out", "Validation", row["val_samples"], row["val_cost"], known.get("accuracy"),
                weight=known.get("weight"), metrics={name: known[name] for name in METRICS if name in known},
                thresholds={name: known[f"threshold_{name}"] for name in METRICS if known.get(f"threshold_{name}")},
            )  # fmt: skip
    return None


def summary(about: dict[str, Any], tensors: dict[str, NDArray] | None = None) -> list[tuple[str, str]]:
    """Sum up the data from what version 0 holds: the lines that were shown before training, and what computed."""
    machine = [("instruction set", about.get("isa")), ("device", about.get("device"))]
    return [*findings.lines(about, tensors), *((name, str(value)) for name, value in machine if value)]


def image_of(schema: dict[str, Any]) -> tuple[int, ...] | None:
    """Return the input's shape as an image: the data's own, or a square where the number of features is one.

    Columns of a table with names of their own are no pixels; `pixel0`, `pixel1` and so on may be.
    """
    if schema.get("image"):
        return tuple(schema["image"])
    if schema.get("columns") or not all(re.search(r"\d$", str(name)) for name in schema.get("names") or ()):
        return None
    inputs = schema.get("inputs") or 0
    side = int(inputs**0.5 + 0.5)
    return (side, side) if side * side == inputs and side >= 5 else None
