"""Tells people what was found out about a dataset: the same few lines before training, in `inspect` and the report.

They are made of what version 0 of a table holds, so that they say what the model was made with, wherever it was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hdl.data.guess import is_number

Line = tuple[str, str]

FEW, FEW_CLASSES = 6, 10  # names, classes that are shown of many
LONGEST = 24  # characters of a name
FORMATS = {
    "csv": "CSV", "libsvm": "libsvm", "pair": "text, features and labels apart", "idx": "idx", "npy": "npy",
    "npz": "npz", "parquet": "Parquet", "images": "images", "arrays": "arrays in memory",
}  # fmt: skip
DELIMITERS = {",": "commas", "\t": "tabs", " ": "spaces", ";": "semicolons", "|": "bars"}
# How something was found out, in the words of whoever reads it.
LABEL_BY = {
    "flag": "as --label says", "name": "by its name", "last column": "the last column", "folder": "the folders' names",
    "first column": "the first column", "only text column": "the only column of text", "own file": "a file of its own",
    "model": "as in training", "format": "as the format has it",
}  # fmt: skip
RULES = {
    "none": "as they are", "standard": "each to mean 0 and deviation 1", "minmax": "each to [0, 1]",
    "largest": "each by its largest magnitude",
}  # fmt: skip
KINDS = {"uint8": "dense, stored as uint8", "float32": "dense", "sparse": "sparse"}
# How a format was found out; by the first bytes goes without saying.
FORMAT_BY = {"flag": "as --format says", "folders": "a folder a class"}
_SHOWN = {
    "files", "format_by", "header", "header_by", "delimiter", "delimiter_by", "label_by", "label_at", "label_type",
    "depth", "duplicates", "left_out",
}  # fmt: skip


def lines(about: Mapping[str, Any], tensors: Mapping[str, np.ndarray] | None = None) -> list[Line]:
    """Makes the lines of what was found out, as names and values; of several things a value has a line each.

    Parameters
    ----------
    about : mapping
        Of version 0: `data`, `options`, `cuts` and the fields of the schema.
    tensors : mapping of ndarray, optional
        Those of the schema: a regression's mean and deviation are among them.

    Examples
    --------
    >>> schema = {"format": "csv", "samples": 150, "inputs": 4, "classes": ["a", "b"], "encoding": "index"}
    >>> lines({"data": "iris.csv", "schema": schema})[1:3]
    [('format', 'CSV, 150 samples'), ('label', 'classification, 2 classes: a, b')]
    """
    schema, options = about.get("schema") or {}, about.get("options") or {}
    reading = schema.get("reading") or {}
    bad = schema.get("bad") or 0
    named = [
        ("data", str(about.get("data") or "")),
        ("format", _format(about, schema, options, reading)),
        ("columns", _columns(options, reading)),
        ("label", _label(schema, reading, tensors or {})),
        ("features", _features(schema, reading)),
        ("scale", _scale(schema.get("rule") or {})),
        *((name.replace("_", " "), _some(value)) for name, value in reading.items() if name not in _SHOWN),
        ("twice", _some(reading.get("duplicates"))),
        ("left out", _some(reading.get("left_out"))),
        ("skipped", "\n".join([_count(bad, "bad record"), *about.get("places", ())[:FEW]]) if bad else ""),
    ]
    return [(name, value) for name, value in named if value]


def _format(about: Mapping[str, Any], schema: Mapping[str, Any], options: Mapping[str, Any], reading: Any) -> str:
    name = FORMATS.get(schema.get("format", ""), schema.get("format", ""))
    by = "flag" if options.get("format") else reading.get("format_by")
    name += f" ({FORMAT_BY[by]})" if name and by in FORMAT_BY else ""
    files = reading.get("files") or len({path for own in about.get("cuts") or () for path, *_ in own})
    samples = schema.get("samples")
    pairs = "pair of files" if files == 1 else "pairs of files"
    apart = reading.get("label_by") == "own file" and schema.get("format") != "parquet"
    counted = f"{files:,} {pairs}" if apart else _count(files, "file")
    counts = [counted if files else "", _count(samples, "sample") if samples is not None else ""]
    return ", ".join(filter(None, [name, *counts]))


def _columns(options: Mapping[str, Any], reading: Mapping[str, Any]) -> str:
    """Names the header and the delimiter of text, and how they were found."""
    words, header = [], reading.get("header")
    if header is not None:
        flag = "--header" if header else "--no-header"
        by = {"flag": f"as {flag} says"}.get(by := reading.get("header_by") or "", by and f"told from the {by}")
        words.append(("header" if header else "no header") + (f" ({by})" if by else ""))
    if mark := reading.get("delimiter"):
        by = " (as --delimiter says)" if reading.get("delimiter_by") == "flag" or options.get("delimiter") else ""
        words.append(f"{DELIMITERS.get(mark, repr(mark))} between columns{by}")
    return ", ".join(words)


def _label(schema: Mapping[str, Any], reading: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    """Names the label columns, how they were found, and the task."""
    by = reading.get("label_by")
    names = [_short(name) for name in schema.get("label") or ()]
    if schema.get("encoding") == "none":
        return "none is used"
    column = "column" if len(names) == 1 else "columns"
    where = [f"{column} {', '.join(names[:FEW])}{', …' if len(names) > FEW else ''}"] if names else []
    if by == "own file" and schema.get("format") == "parquet":  # hdl's own files say which column it is
        return ": ".join(["as hdl import wrote it", _task(schema, reading, tensors)])
    where = [LABEL_BY[by]] if by in ("folder", "own file") else [*where, *([LABEL_BY.get(by, by)] if by else [])]
    return ": ".join(filter(None, [", ".join(where), _task(schema, reading, tensors)]))


def _task(schema: Mapping[str, Any], reading: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    if not {"encoding", "classes", "outputs"} & schema.keys():  # the data was opened, and not summarised
        return ""
    classes, outputs, targets = schema.get("classes") or (), schema.get("outputs") or 0, schema.get("targets")
    if classes:
        kind = " of text" if reading.get("label_type") == "text" else ""
        shown = ", ".join(map(_name_of_class, classes[:FEW_CLASSES]))
        return f"classification, {len(classes):,} classes{kind}: {shown}{', …' if len(classes) > FEW_CLASSES else ''}"
    if schema.get("loss") in ("sigmoid", "softmax"):
        return f"several labels a sample, {outputs:,} of them{_of(targets)}"
    mean, deviation = tensors.get("target_mean"), tensors.get("target_deviation")
    if outputs > 1:
        return f"regression of {outputs:,} values{_of(targets)}" + ("" if mean is None else ", each standardised")
    if mean is None or deviation is None:
        return "regression"
    return f"regression, {_number(mean[0])} ± {_number(deviation[0])}"


def _features(schema: Mapping[str, Any], reading: Mapping[str, Any]) -> str:
    if "inputs" not in schema:
        return ""
    kind = KINDS.get(schema.get("kind", ""), schema.get("kind", ""))
    image = "images of " + " × ".join(map(str, schema["image"])) if schema.get("image") else ""
    if image and (reading.get("depth") or 0) > 255:
        image += " of 16 bits"
    named = _of(schema.get("names")) if not image else ""
    return ", ".join(filter(None, [f"{schema['inputs']:,} {kind}".rstrip() + named, image]))


def _scale(rule: Mapping[str, Any]) -> str:
    name, centred, unchanging = rule.get("name", ""), rule.get("centred"), rule.get("unchanging")
    words = [f"divided by {rule['constant']:g}" if "constant" in rule else RULES.get(name, name)]
    if centred:
        words.append(f"{centred:,} centred in float64 first")
    if unchanging:
        words.append(f"{unchanging:,} not seen, as {'it never changes' if unchanging == 1 else 'they never change'}")
    return ", ".join(filter(None, words))


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _of(names: Sequence[Any] | None) -> str:
    """Lists the first few names, after a colon."""
    if not names:
        return ""
    return ": " + ", ".join(map(_short, names[:FEW])) + (", …" if len(names) > FEW else "")


def _some(value: Any) -> str:
    """Shows a value, of a list the first few, a line each."""
    if not isinstance(value, (list, tuple)):
        return "" if value is None else str(value)
    more = [f"… and {len(value) - FEW:,} more"] if len(value) > FEW else []
    return "\n".join([*map(str, value[:FEW]), *more])


def _short(name: Any) -> str:
    text = " ".join(str(name).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _name_of_class(value: Any) -> str:
    """Shows a class as people write it; text that looks like a number is in quotes, as it is none."""
    return repr(_short(value)) if isinstance(value, str) and (not value.strip() or is_number(value)) else _short(value)


def _number(value: float) -> str:
    """Shows a number in four figures or so: 250,123, 0.01235."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
