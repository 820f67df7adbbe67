"""Tells people what was found out about a dataset: the same few lines before training, in `inspect` and the report.

They are made of what version 0 of a table holds, so that they say what the model was made with, wherever it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hdl.data.guess import is_number
from hdl.ops import losses

Line = tuple[str, str]

FEW, FEW_CLASSES = 6, 10  # names, classes that are shown of many
LONGEST = 24  # characters of a name
FORMATS = {
    "csv": "CSV", "libsvm": "libsvm", "pair": "text, features and labels apart", "idx": "idx", "npy": "npy",
    "npz": "npz", "parquet": "Parquet", "orc": "ORC", "avro": "Avro", "json": "JSON lines", "images": "images",
    "arrays": "arrays in memory",
}  # fmt: skip
DELIMITERS = {",": "commas", "\t": "tabs", " ": "spaces", ";": "semicolons", "|": "bars", "\x01": "Hive's \\x01"}
# How something was found out, in the words of whoever reads it.
LABEL_BY = {
    "flag": "as --label says", "name": "by its name", "last column": "guessed: the last column",
    "folder": "the folders' names", "first column": "guessed: the first column",
    "only text column": "guessed: the only column of text", "own file": "a file of its own",
    "model": "as in training", "format": "as the format has it",
}  # fmt: skip
GUESSED = "guessed: "
RULES = {
    "none": "as they are", "standard": "each to mean 0 and deviation 1", "minmax": "each to [0, 1]",
    "largest": "each by its largest magnitude", "robust": "each by its median and quartiles, clipped smoothly",
    "quantile": "each by its quantiles", "log": "each by its logarithm, to mean 0 and deviation 1",
}  # fmt: skip
# What stands for numbers that are missing.
FILLED = {
    "mean": "the mean of the others, and an input that says so", "drop": "rows that miss one are left out",
    "median": "the median of the others, and an input that says so",
    "indicator": "0 when scaled, and an input that says so",
}  # fmt: skip
EMBEDDINGS = {"ple": "piecewise linear", "periodic": "periodic"}
KINDS = {"uint8": "dense, stored as uint8", "float32": "dense", "sparse": "sparse"}
# How a format was found out; by the first bytes goes without saying.
FORMAT_BY = {"flag": "as --format says", "folders": "a folder a class"}
_SHOWN = {
    "files", "format_by", "header", "header_by", "delimiter", "delimiter_by", "label_by", "label_at", "label_type",
    "depth", "duplicates", "left_out", "kinds", "recipe", "remarks", "unlabelled", "table", "where", "own", "held",
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
    options = {**options, **(reading.get("own") or {})}
    bad = schema.get("bad") or 0
    named = [
        ("data", str(about.get("data") or "")),
        ("format", _format(about, schema, options, reading)),
        ("columns", _columns(options, reading)),
        ("label", _label(schema, reading, tensors or {})),
        ("weights", _weights(schema, options, tensors or {})),
        ("offset", f"column {options['offset']}" if options.get("offset") else ""),
        ("where", str(options.get("where") or "")),
        ("rows", _rows(schema, reading)),
        ("held out", _held(reading.get("held") or {}, schema.get("classes") or ())),
        ("features", _features(schema, reading)),
        ("missing", _missing(schema)),
        ("scale", _scale(schema.get("rule") or {})),
        *((name.replace("_", " "), _some(value)) for name, value in reading.items() if name not in _SHOWN),
        ("recipe", _recipe(reading.get("recipe") or {})),
        ("note", _some(reading.get("remarks"))),
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
    said = LABEL_BY.get(by or "", by or "")
    where = [said] if by in ("folder", "own file") else [*where, *([said] if by else [])]
    told = ", ".join(where)
    if said.startswith(GUESSED):
        told, hint = f"{where[0]} ({said})", "\nif another column is meant: --label NAME, or its NUMBER from 0"
    else:
        hint = ""
    return ": ".join(filter(None, [told, _task(schema, reading, tensors)])) + hint


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
    if schema.get("loss") in losses.LOG_LINK:
        least = "above 0" if schema["loss"] == "gamma" else "of at least 0"
        return f"regression of values {least}, {_number(deviation[0])} on average"
    return f"regression, {_number(mean[0])} ± {_number(deviation[0])}"


def _weights(schema: Mapping[str, Any], options: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    """Tells what samples count: by a column, and by their classes."""
    by_class, classes = tensors.get("class_weights"), schema.get("classes") or ()
    words = [f"column {options['weights']}"] if options.get("weights") else []
    if by_class is not None:
        each = zip(map(_name_of_class, classes), by_class.tolist(), strict=True)
        shown = [f"{name} {weight:.4g}" for name, weight in each]
        words.append(f"by class: {', '.join(shown[:FEW_CLASSES])}{', …' if len(shown) > FEW_CLASSES else ''}")
    return ", times those ".join(words)


def _rows(schema: Mapping[str, Any], reading: Mapping[str, Any]) -> str:
    """Tells of rows that are no samples, where there are such."""
    dropped = (schema.get("rule") or {}).get("dropped")
    words = [f"{number:,} {why}" for number, why in (
        (reading.get("unlabelled"), "without a label"), (dropped, "that miss a number")
    ) if number]  # fmt: skip
    return f"{schema.get('samples') or 0:,}; left out: {', '.join(words)}" if words else ""


def _held(held: Mapping[str, Any], classes: Sequence[Any]) -> str:
    """Counts the samples that are held out to measure, of each class too, and says by what."""
    if not held:
        return ""
    rows, each = held.get("rows"), held.get("classes")
    about = "" if held.get("exact") else "about "
    counted = "" if rows is None else f": {about}{_count(rows, 'sample')}"
    named = ""
    if each and len(classes) == len(each):
        shown = [f"{_name_of_class(value)} {count:,}" for value, count in zip(classes, each, strict=True)]
        named = f" ({', '.join(shown[:FEW_CLASSES])}{', …' if shown[FEW_CLASSES:] else ''})"
    return f"{held.get('by')}{counted}{named}"


def _features(schema: Mapping[str, Any], reading: Mapping[str, Any]) -> str:
    if "inputs" not in schema:
        return ""
    if kinds := reading.get("kinds"):
        return _kinds(kinds, schema)
    kind = KINDS.get(schema.get("kind", ""), schema.get("kind", ""))
    image = "images of " + " × ".join(map(str, schema["image"])) if schema.get("image") else ""
    if image and (reading.get("depth") or 0) > 255:
        image += " of 16 bits"
    named = _of(schema.get("names")) if not image else ""
    return ", ".join(filter(None, [f"{schema['inputs']:,} {kind}".rstrip() + named, image]))


def _kinds(kinds: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Counts a table's columns by kind, and names them a line a kind, in the table's order."""
    numbers, counted, dates = kinds.get("number") or (), kinds.get("category") or {}, kinds.get("date") or ()
    order = [column.get("name") for column in (schema.get("columns") or {}).get("columns") or ()]
    levels = {name: counted[name] for name in order if name in counted} or counted
    categories = f"{len(levels):,} {'category' if len(levels) == 1 else 'categories'}"
    counts = [
        _count(len(numbers), "number") if numbers else "",
        f"{categories} ({_count(sum(levels.values()), 'level')})" if levels else "",
        _count(len(dates), "date") if dates else "",
    ]
    wide = [f"{_short(name)} ({count:,})" for name, count in levels.items()]
    named = [("numbers", numbers), ("categories", wide), ("dates", dates)]
    lists = [f"{kind}{_of(names, str)}" for kind, names in named if names]
    return "\n".join([f"{', '.join(filter(None, counts))}: {_count(schema['inputs'], 'input')} of the net", *lists])


def _missing(schema: Mapping[str, Any]) -> str:
    """Counts the numbers that are missing, and says what stands for them, and for missing categories."""
    missing = (schema.get("rule") or {}).get("missing") or {}
    columns = (schema.get("columns") or {}).get("columns") or ()
    words = []
    if cells := missing.get("columns"):
        most = sorted(cells.items(), key=lambda item: -item[1])
        named = ", ".join(f"{_short(name)} {count:,}" for name, count in most[:FEW]) + (", …" if most[FEW:] else "")
        words.append(f"{named}: {FILLED.get(missing.get('rule', ''), missing.get('rule'))}")
    own = [column["name"] for column in columns if column.get("kind") == "category" and column.get("missing")]
    if own:
        named = ", ".join(map(_short, own[:FEW])) + (", …" if own[FEW:] else "")
        words.append(f"{named}: a level of its own")
    return "\n".join(words)


def _scale(rule: Mapping[str, Any]) -> str:
    name, centred, unchanging = rule.get("name", ""), rule.get("centred"), rule.get("unchanging")
    words = [f"divided by {rule['constant']:g}" if "constant" in rule else RULES.get(name, name)]
    if robust := rule.get("robust"):
        words.append(f"{', '.join(map(_short, robust[:FEW]))}{', …' if robust[FEW:] else ''} by median and quartiles")
    if usual := rule.get("usual"):
        named = ", ".join(f"{_short(name)} {value:g}" for name, value in list(usual.items())[:FEW])
        more = ", …" if len(usual) > FEW else ""
        words.append(f"by the quartiles of what is not the usual value: {named}{more}")
    if kind := rule.get("embedding"):
        words.append(f"{EMBEDDINGS.get(kind, kind)} inputs")
    if centred:
        words.append(f"{centred:,} centred in float64 first")
    if unchanging:
        words.append(f"{unchanging:,} not seen, as {'it never changes' if unchanging == 1 else 'they never change'}")
    return ", ".join(filter(None, words))


def _recipe(recipe: Mapping[str, Any]) -> str:
    """Tells what was filled in where nobody said otherwise, as the flags that say the same, and by what."""
    if not recipe.get("flags"):
        return ""
    return f"for {recipe.get('name')}, by {recipe.get('why')} (--recipe plain for none):\n{recipe['flags']}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _of(names: Sequence[Any] | None, shown: Callable[[Any], str] | None = None) -> str:
    """Lists the first few names, after a colon."""
    if not names:
        return ""
    return ": " + ", ".join(map(shown or _short, names[:FEW])) + (", …" if len(names) > FEW else "")


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
