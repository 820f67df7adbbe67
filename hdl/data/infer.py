"""Infers, from what one pass over a dataset found, what a model knows of its data, and fills in the spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hdl import recipe, rng
from hdl.data.base import FileSplit, Source
from hdl.data.block import Bad
from hdl.data.guess import is_number
from hdl.data.holdout import said
from hdl.data.labels import Labels, Meanings, all_taken, canonical, classes_of, is_plain_number
from hdl.data.scaling import NOISE, Scaling, fit_scale
from hdl.data.schema import Schema, listed
from hdl.data.summary import Summary
from hdl.data.tabular import fitting
from hdl.data.weights import class_weights
from hdl.errors import DataError, SpecError
from hdl.models import stack
from hdl.ops import losses
from hdl.spec import Spec

FEW = 20  # whole-number labels are classes if they are at most this many,
SHARE = 10  # or at most 1,000 with this many samples each on average, counted from 0 or 1 without a gap


def fit(summary: Summary, spec: Spec) -> Schema:
    """Fit the schema of a dataset.

    Parameters
    ----------
    summary : Summary
        Of all shards.
    spec : Spec
        Its `scale`, and where given `loss` and the ends of `net`, decide with the labels.

    Raises
    ------
    DataError
        No samples; more bad records than the dataset may have; labels that no loss fits.
    SpecError
        The spec contradicts the data.
    """
    if summary.bad > summary.limit:
        raise Bad(summary.limit, summary.bad, [*summary.places]).overflow()
    if not summary.samples and summary.held:
        by = said(spec.holdout, spec.validation)
        raise DataError(f"validation: all {summary.held:,} rows are held out ({by}); none is left to train on")
    if not summary.samples:
        listed = "".join(f"\n  {place}" for place in summary.places)
        if summary.unlabelled and not summary.bad:
            what = f"none of {summary.unlabelled:,} rows has a label"
            raise DataError(f"{what}; --label names another column, --no-labels is for models that need none")
        where = (summary.meta.get("reading") or {}).get("where")
        chosen = f" that meet --where {where!r}" if where else ""
        raise DataError(f"the dataset has no samples{chosen}, expected at least one{listed and '; skipped:'}{listed}")
    if spec.holdout.folds > (rows := summary.samples + summary.held):
        raise DataError(f"--folds {spec.holdout.folds}: the data has {rows:,} rows; expected at most a fold for each")
    reading = dict(summary.meta.get("reading") or {})
    if spec.auto and stack.labelled(spec) and (filled := recipe.of(summary, spec, _classes(summary, spec))):
        reading["recipe"], spec = filled.to_plain(), recipe.fill(spec, filled.fields)
    if summary.samples == summary.weightless:
        raise DataError(f"the weight of all {summary.samples:,} rows is 0 (--weights); expected one above 0")
    units, columns, kind = stack.units(spec), None, summary.kind
    if summary.unlabelled:
        reading["unlabelled"] = summary.unlabelled
    if fitting.needed(summary, spec, units):
        encodings, rule, found = fitting.fit(summary, spec, units)
        columns, kind, reading = encodings.to_plain(), "mixed" if encodings.levels else "float32", reading | found
        scaling, inputs = Scaling(rule), encodings.inputs
        if spec.net and spec.net[0] not in (0, inputs):
            own = f"{len(encodings.columns)} columns of the data make {inputs} inputs"
            raise SpecError(f"net starts with {spec.net[0]}, but the {own}; 0 stands for as many as there are")
    else:
        inputs = (spec.net and spec.net[0]) or summary.features
        unseen = summary.kind == "sparse" and inputs > summary.features  # columns that no training sample fills
        if inputs != summary.features and not unseen:
            raise SpecError(f"net starts with {inputs}, but the data has {summary.features} features")
        if inputs == 0:
            raise DataError("the data has no feature")
        scaling = fit_scale(summary, spec.scale, inputs, units)
    if stack.labelled(spec):
        encoding, classes, outputs, loss = _labels(summary, spec)
    else:
        encoding, classes, outputs, loss = "none", (), inputs, "squared"
    mean, deviation = _target_unit(summary, encoding, loss)
    if encoding == "value" and (told := _unchanging(summary.labels)):
        reading["remarks"] = [*reading.get("remarks", ()), told]
    if spec.validated and not spec.holdout.path:
        reading["held"] = _held(summary, spec, classes if encoding in ("index", "binary", "onehot") else ())
    meta, tup = summary.meta, lambda value: tuple(value) if value else None
    image = tup(meta.get("image"))
    return Schema(
        inputs, outputs, encoding, classes, loss, scaling.scale, scaling.shift, scaling.rule, kind,
        summary.samples, image, tup(meta.get("names")), tup(meta.get("targets")), tuple(meta.get("label") or ()),
        meta.get("format", ""), summary.bad, reading, scaling.center, scaling.spread,
        scaling.constants, mean, deviation, class_weights(spec.class_weight, classes, summary.labels), columns,
    )  # fmt: skip


def _held(summary: Summary, spec: Spec, classes: tuple[Any, ...]) -> dict[str, Any]:
    """Count the samples that are held out, of each class too, and say by what; of a share they are about as many."""
    rule = spec.holdout
    by: dict[str, Any] = {"by": said(rule, spec.validation, bool(classes))}
    if not rule.validates:
        return by | _share(summary, spec, classes if rule.stratified else ())
    if not summary.held:
        raise DataError(f"validation: none of {summary.samples:,} rows is held out ({by['by']}); expected at least one")
    known = Meanings(classes)
    unknown = [value for value in summary.held_labels.values or () if classes and known.code(value) < 0]
    if unknown and not summary.limit:
        what = f"label {unknown[0]!r} is in rows that are held out alone ({by['by']}), and in none that is trained on"
        raise DataError(f"validation: {what}; the classes are {listed(classes)}")
    each = _by_class(summary.held_labels, classes) if classes else None
    return by | {"rows": summary.held, "classes": each, "exact": True}


def _share(summary: Summary, spec: Spec, classes: tuple[Any, ...]) -> dict[str, Any]:
    """Count the samples of a share that is held out, as the shards will choose them; about, where that is not known."""
    share, shards = spec.validation, summary.shards
    known = Meanings(classes)
    if classes and shards is not None and len(shards) == spec.shards:
        each = [0] * len(classes)
        for number, (_, own) in enumerate(shards):
            counts = [0] * len(classes)
            for value, count in own:
                if (code := known.code(value)) >= 0:
                    counts[code] += count
            each = [a + rng.held_out(number, b, share) for a, b in zip(each, counts, strict=True)]
        if not sum(each):
            what = f"a share of {share:g} of {summary.samples:,} samples holds none out"
            raise DataError(f"validation: {what} in {spec.shards:,} shards; expected a larger one")
        return {"rows": sum(each), "classes": each, "exact": True}
    found = _by_class(summary.labels, classes) if classes else None
    return {
        "rows": round(share * summary.samples),
        "classes": found and [round(share * count) for count in found],
        "exact": False,
    }


def _by_class(labels: Labels, classes: tuple[Any, ...]) -> list[int] | None:
    """Count the samples of each class; None where labels were too many to be told apart, or are targets."""
    if labels.values is None or labels.counts is None:
        return None
    known, counts = Meanings(classes), [0] * len(classes)
    for value, count in zip(labels.values, labels.counts, strict=True):
        if (code := known.code(value)) >= 0:
            counts[code] += count
    return counts


def _target_unit(summary: Summary, encoding: str, loss: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Give what is subtracted from a regression's targets, and what they are divided by: float64 [O], or None."""
    labels = summary.labels
    if encoding not in ("value", "targets") or loss not in losses.REGRESSION or labels.mean is None:
        return None, None
    return target_unit(labels, loss)


def target_unit(labels: Labels, loss: str = "squared") -> tuple[np.ndarray, np.ndarray]:
    """Give the mean and the deviation of targets, float64 [O]; the magnitude in place of a deviation of 0.

    With a log link, 0 and the mean: see `hdl.ops.losses`.
    """
    mean, deviation = np.array(labels.mean), np.array(labels.norm) / np.sqrt(labels.samples)
    if loss in losses.LOG_LINK:
        return np.zeros_like(mean), np.where(mean > 0, mean, 1.0)
    magnitude = np.abs(mean)
    unchanging = deviation <= NOISE * magnitude
    return mean, np.where(unchanging, np.where(magnitude > 0, magnitude, 1.0), deviation)


def _unchanging(labels: Labels) -> str:
    """Say that a regression has nothing to learn, as every label is one number; empty where they differ."""
    if labels.values is None or len(labels.values) != 1 or labels.samples < 2:
        return ""
    return f"every label is {canonical(labels.values[0])}: the network learns to answer that, whatever the row"


def _classes(summary: Summary, spec: Spec) -> int:
    """Count the classes that the labels name; 0 of a regression."""
    _, classes, outputs, loss = _labels(summary, spec)
    return 0 if loss in losses.REGRESSION else max(2, len(classes) or outputs)


def _labels(summary: Summary, spec: Spec) -> tuple[str, tuple[Any, ...], int, str]:
    """Choose the encoding, the classes, the outputs and the loss that fits."""
    labels, end = summary.labels, spec.net[-1] if spec.net else 0
    if labels.width == 0:
        hint = "" if spec.model == "mlp" else "; with finetune reconstruct or none it needs none"
        raise DataError(f"the data has no labels, and {spec.model} needs them to train{hint}")
    if labels.width > 1:
        width = labels.width
        if end not in (0, width):
            raise SpecError(f"net ends with {end}, but the data has {width} target columns")
        if labels.onehot and spec.loss not in losses.REGRESSION:
            names = summary.meta.get("targets") or range(width)
            columns = tuple(map(canonical, names)) if all(map(is_plain_number, map(str, names))) else tuple(names)
            columns = columns if len(set(columns)) == width else tuple(range(width))
            return ("onehot" if spec.loss == "sigmoid" else "index"), columns, width, spec.loss or "softmax"
        if spec.loss == "softmax":
            raise DataError("softmax needs targets with one 1 a row and else 0; the data has others")
        return "targets", (), width, spec.loss or ("sigmoid" if labels.binary else "squared")
    typed = summary.label_type
    numeric = labels.numeric and typed not in ("text", "boolean")
    classes = None if labels.values is None else classes_of(labels.values, typed == "text")
    if spec.loss in losses.REGRESSION and numeric and end in (0, 1):
        return "value", (), 1, spec.loss
    if spec.loss is None and numeric and not _are_classes(summary, classes):
        if end > 1:
            raise SpecError(f"net ends with {end}, but the labels are real numbers: 1 output, or give a loss")
        return "value", (), 1, "squared"
    if spec.loss is None and typed != "text" and not labels.numeric and classes is not None:
        _refuse_spoiled_numbers(summary, classes)
    if classes is None:
        kind = "numbers" if numeric else "texts"
        raise DataError(f"the labels are more than 10000 different {kind}; too many for classes")
    count = len(classes)
    if count < 2:
        part = f" of the rows to train on ({said(spec.holdout, 0.0)} is held out)" if summary.held else ""
        left = f" (rows without a label: {summary.unlabelled:,})" if summary.unlabelled else ""
        raise DataError(f"every label{part} is {classes[0]!r}{left}; expected at least 2 classes")
    if spec.loss == "sigmoid" and end == 1 and count == 2:
        return "binary", classes, 1, "sigmoid"
    if end not in (0, count):
        raise SpecError(f"net ends with {end}, but the data has {count} classes: {listed(classes)}")
    if spec.loss in losses.REGRESSION and spec.loss != "squared":
        raise SpecError(f"loss {spec.loss} is for numbers, but the labels are {count} classes: {listed(classes)}")
    return ("index" if spec.loss in (None, "softmax") else "onehot"), classes, count, spec.loss or "softmax"


def _are_classes(summary: Summary, classes: tuple[Any, ...] | None) -> bool:
    """Tell whether numbers as labels name classes rather than measure something."""
    if classes is None or not summary.labels.whole:
        return False
    if len(classes) <= FEW:
        return True
    counted = classes[0] in (0, 1) and classes[-1] - classes[0] == len(classes) - 1
    return counted and len(classes) <= 1000 and SHARE * len(classes) <= summary.samples


def _refuse_spoiled_numbers(summary: Summary, classes: tuple[Any, ...]) -> None:
    """Refuse texts of which most are numbers and hardly any is there twice: one `n/a` makes no thousand classes."""
    if len(classes) <= FEW or SHARE * len(classes) <= summary.samples:
        return
    texts = [text for text in classes if not is_number(str(text))]  # 007 is a number that is an identifier
    if texts and 2 * sum(is_plain_number(str(text)) for text in classes) > len(classes):
        raise DataError(
            f"most of the {len(classes):,} different labels are numbers, but {texts[0]!r} is none: expected numbers "
            "alone for a regression; --loss softmax makes each of them a class"
        )


def check_targets(summary: Summary, schema: Schema, source: Source, splits: Sequence[FileSplit]) -> None:
    """Refuse targets that the loss does not take before anything is written, with the place of the first one.

    Parameters
    ----------
    summary : Summary
    schema : Schema
    source : Source
    splits : sequence of FileSplit
        Of all shards; they are read again where there is such a target, and not else.

    Raises
    ------
    DataError
    """
    numbers = schema.encoding in ("value", "targets")
    if summary.limit or not numbers or all_taken(summary.labels, schema.loss):  # by a limit such rows are left out
        return
    for block in source.read(splits, Bad()):
        if block.y is not None:
            schema.encode(block.y, block.where)


def resolve(spec: Spec, schema: Schema) -> Spec:
    """Fill in the spec's ends of the net, its loss and its mini-batch from the data.

    What the spec leaves to hdl (`Spec.auto`) is as the recipe says that `fit` chose, else the fields' own defaults.
    Without a net: one hidden layer of 64 units, 128 from 256 inputs on. Without a mini-batch: the whole shard for a
    line search, 32 samples below 20,000 samples (small data needs the steps), else 100.

    Examples
    --------
    >>> resolve(Spec(net="0-8-0"), Schema(4, 3, "index", (0, 1, 2))).net
    (4, 8, 3)
    """
    spec = recipe.fill(spec, ((schema.reading or {}).get("recipe") or {}).get("fields") or {})
    codes = 128 if schema.inputs >= 256 else 64
    ends = stack.labelled(spec) or spec.model == "autoencoder"  # else the last width is that of codes
    net = spec.net or ((0, codes, 0) if ends else (0, codes))
    needed = {"starts": (net[0], schema.inputs)} | ({"ends": (net[-1], schema.outputs)} if ends else {})
    for end, (given, width) in needed.items():
        if given not in (0, width):
            raise SpecError(f"net {end} with {given}, but the data needs {width}")
    if not ends and not net[-1]:
        raise SpecError(f"net {'-'.join(map(str, net))}: the last width is that of the codes; expected at least 1")
    net = (schema.inputs, *net[1:-1], schema.outputs if ends else net[-1])
    embedded = _embedded(spec, schema)
    batch = spec.batch or (0 if spec.optimizer.line_search else 32 if schema.samples < 20_000 else 100)
    return spec.with_(net=net, loss=spec.loss or schema.loss, batch=batch, **embedded)


def _embedded(spec: Spec, schema: Schema) -> dict[str, Any]:
    """Fill in the number of inputs that are numbers, and levels and width of each category that is embedded."""
    if not spec.embedding:
        return {"numbers": 0, "embeddings": ()}
    levels = schema.encodings.levels if schema.encodings else ()
    if not levels and spec.embedding != "auto":
        raise SpecError(f"embedding {spec.embedding}: the data has no categories")
    widths = [spec.embedding if spec.embedding != "auto" else automatic_width(count) for count in levels]
    numbers = schema.encodings.numbers if schema.encodings and levels else 0
    return {"numbers": numbers, "embeddings": tuple(zip(levels, widths, strict=True))}


def automatic_width(levels: int) -> int:
    """Choose the width of a category's embedding: 1.6·L^0.56, at most 50 (Howard & Gugger 2020, fastai).

    Examples
    --------
    >>> [automatic_width(levels) for levels in (2, 10, 100, 10_000)]
    [2, 6, 21, 50]
    """
    return min(50, round(1.6 * levels**0.56))
