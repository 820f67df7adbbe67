"""Summary of a dataset by one pass: ranges, moments and labels. Those of shards join into the whole's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hdl.data import shard_counts
from hdl.data.base import FileSplit, Source
from hdl.data.block import PLACES, Bad, Block
from hdl.data.chunks import Chunks
from hdl.data.csr import Csr
from hdl.data.holdout import marked
from hdl.data.labels import Labels
from hdl.data.moments import joined, kind_of, of_numbers, of_sparse, present
from hdl.data.shard_counts import Counts
from hdl.data.tabular.facts import WIDE, Facts, Gathering
from hdl.data.tabular.frame import Column, Frame
from hdl.errors import DataError


@dataclass(frozen=True)
class Summary:
    """Findings of one pass over some shards.

    Attributes
    ----------
    samples, features : int
    kind : {'', 'uint8', 'float32', 'sparse', 'frame'}
        Of the features; empty without samples. Frame: a table whose columns are not all numbers.
    moments : dict of ndarray
        uint8: `low`, `high` [I], and the exact `total`, `squares` int64 [I]. float32, of float64 samples too: `low`,
        `high`, `mean`, `m2` (sum of squared deviations) float64 [I]; where any value is missing, these are of the
        others, whose `count` int64 [I] is there too. A feature of which all are missing has infinite `low`, and `high`
        below it. Frame: the same of its K columns of numbers, [K]. Sparse: `largest` magnitude float64 [I], and of the
        K features that every sample has: their numbers `full` int64 [K], `low` and `high` float64 [K].
    labels : Labels
    bad, unlabelled : int
        Records skipped; `places` lists the first of them, `limit` is how many the dataset may have. Rows dropped
        because they have no label.
    held, held_labels : int, Labels
        Rows that are held out of all of this, and their labels.
    shards : tuple of (int, tuple of (label, count)), or None
        See `hdl.data.shard_counts`.
    weightless : int
        Samples whose own weight is 0.
    facts : Facts or None
        Of a table's columns; None of what is no table, and of more than 256 columns of numbers alone.
    meta : dict
        What the source says of itself (`Source.describe`).

    Notes
    -----
    Means and deviations join by the update of Chan, Golub & LeVeque (1979); along the fixed tree over shards the
    result does not depend on who joined what. Inside of a shard they are taken of a fixed number of samples at a time,
    whatever blocks these came in: a runner that writes shards to files of their own reads them in other blocks.
    """

    samples: int = 0
    features: int = 0
    kind: str = ""
    moments: dict[str, np.ndarray] = field(default_factory=dict)
    labels: Labels = field(default_factory=Labels)
    bad: int = 0
    places: tuple[str, ...] = ()
    limit: int = 0
    meta: dict[str, Any] = field(default_factory=dict)
    unlabelled: int = 0
    facts: Facts | None = None
    held: int = 0
    held_labels: Labels = field(default_factory=Labels)
    shards: Counts = ()
    weightless: int = 0

    def join(self, other: Summary) -> Summary:
        """Join the summaries of two parts, `self` before `other`."""
        a, b = self, other
        rest: dict[str, Any] = {
            "bad": a.bad + b.bad,
            "places": (a.places + b.places)[:PLACES],
            "limit": max(a.limit, b.limit),
            "meta": a.meta or b.meta,
            "unlabelled": a.unlabelled + b.unlabelled,
            "held": a.held + b.held,
            "held_labels": a.held_labels.join(b.held_labels),
            "shards": shard_counts.join(a.shards, b.shards),
            "weightless": a.weightless + b.weightless,
        }
        if not a.samples or not b.samples:
            return replace(a if a.samples else b, **rest)
        if a.kind != b.kind:
            if {"sparse", "frame"} & {a.kind, b.kind}:
                raise DataError(f"features are {a.kind} in one part of the data and {b.kind} in another")
            a, b = a.as_float(), b.as_float()
        if a.features != b.features and a.kind != "sparse":
            raise DataError(f"{b.features} features in one part of the data, {a.features} in another")
        return Summary(
            a.samples + b.samples,
            max(a.features, b.features),
            a.kind,
            joined(a.kind, a.moments, b.moments, (a.samples, b.samples)),
            a.labels.join(b.labels),
            facts=a.facts.join(b.facts) if a.facts is not None and b.facts is not None else None,
            **rest,
        )

    def as_float(self) -> Summary:
        """Return the same summary with float moments, to join uint8 with float32."""
        if self.kind != "uint8":
            return self
        mean, m2 = self.mean_m2()
        low, high = (self.moments[name].astype(np.float64) for name in ("low", "high"))
        return replace(self, kind="float32", moments={"low": low, "high": high, "mean": mean, "m2": m2})

    def mean_m2(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and sum of squared deviations of each dense feature, float64 [I]."""
        if self.kind in ("float32", "frame"):
            return self.moments["mean"], self.moments["m2"]
        total, squares = self.moments["total"], self.moments["squares"]
        # n·Σx² − (Σx)² in Python's integers: exact for any number of samples
        m2 = [self.samples * q - t * t for t, q in zip(total.tolist(), squares.tolist(), strict=True)]
        return total / self.samples, np.array([value / self.samples for value in m2], np.float64)

    @property
    def present(self) -> np.ndarray:
        """Count the values that are there of each dense feature, or of a frame's numbers, int64 [I]."""
        return present(self.moments, self.samples)

    @property
    def label_type(self) -> str | None:
        """Type of the labels: 'text', 'boolean' or 'number'; None where the data does not say (or has none)."""
        if self.labels.boolean:
            return "boolean"
        return (self.meta.get("reading") or {}).get("label_type")

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Split the summary into plain values and tensors, for the wire."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in _FIELDS}
        for name in _LABELS:
            labels = dict(getattr(self, name).__dict__)
            fields[name] = labels | {key: None if labels[key] is None else [*labels[key]] for key in _TUPLES}
        facts, more = (None, {}) if self.facts is None else self.facts.to_parts()
        tensors = {**self.moments, **{FACTS + name: tensor for name, tensor in more.items()}}
        return {**fields, "places": [*self.places], "facts": facts, "shards": self.shards}, tensors

    @classmethod
    def from_parts(cls, fields: dict[str, Any], tensors: dict[str, np.ndarray]) -> Summary:
        """Rebuild a summary from the parts that `to_parts` made.

        Raises
        ------
        ValueError
            The parts do not fit each other.
        """
        fields = dict(fields)
        for name in _LABELS:
            labels = dict(fields[name])
            for key in _TUPLES:
                labels[key] = None if labels.get(key) is None else tuple(labels[key])
            fields[name] = Labels(**labels)
        more = {name.removeprefix(FACTS): tensor for name, tensor in tensors.items() if name.startswith(FACTS)}
        moments = {name: tensor for name, tensor in tensors.items() if not name.startswith(FACTS)}
        plain = fields.pop("facts", None)
        facts = None if plain is None else Facts.from_parts(plain, more)
        fields["places"] = tuple(fields["places"])
        fields["shards"] = shard_counts.from_plain(fields.get("shards"))
        if any(type(fields.get(name, 0)) is not int or fields.get(name, 0) < 0 for name in _COUNTS):
            raise ValueError(f"a summary with counts {[fields.get(name) for name in _COUNTS]}")
        summary = cls(moments=moments, facts=facts, **fields)
        if set(moments) - ({"count"} & {*_OPTIONAL.get(summary.kind, ())}) != set(_MOMENTS[summary.kind]):
            raise ValueError(f"a {summary.kind or 'empty'} summary with tensors {sorted(tensors)}")
        known = summary.features
        if summary.kind == "sparse":
            known = len(moments["full"])
        elif summary.kind == "frame":
            if facts is None or len(facts.columns) != summary.features:
                raise ValueError(f"a summary of {summary.features} columns without facts of each")
            known = sum(column.kind == "number" for column in facts.columns)
        if any(len(tensor) != (summary.features if name == "largest" else known) for name, tensor in moments.items()):
            raise ValueError(f"a summary of {summary.features} features with other lengths of tensors")
        return summary


FACTS = "facts/"
_COUNTS = ("samples", "features", "bad", "limit", "unlabelled", "held", "weightless")
_LABELS = ("labels", "held_labels")
_FIELDS = (*_COUNTS, "kind", "meta")
_TUPLES = ("values", "mean", "norm", "counts", "low")  # of the labels
_MOMENTS = {
    "": (),
    "uint8": ("low", "high", "total", "squares"),
    "float32": ("low", "high", "mean", "m2"),
    "frame": ("low", "high", "mean", "m2"),
    "sparse": ("largest", "full", "low", "high"),
}
_OPTIONAL = {"float32": ("count",), "frame": ("count",)}


def of_block(block: Block, columns: Sequence[Column] | None = None, moments: bool = True) -> Summary:
    """Summarise one block; of a frame, and of a matrix that has `columns`, with their facts.

    Without `moments` a matrix is not read at all: for a schema whose scale does not depend on the data.
    """
    x, labels = block.x, Labels.of(block.y)
    if not moments and columns is None and not isinstance(x, Frame):
        return Summary(len(x), x.shape[1], kind_of(x), labels=labels)
    summary = _of_features(x)
    if columns is not None or isinstance(x, Frame):
        summary = _with_facts(summary, Facts.of(x, columns or x.columns))
    return replace(summary, labels=labels)


def _of_features(x: Any, frame: bool = False) -> Summary:
    """Summarise features without their facts; `frame`: a matrix is the numbers of one."""
    if isinstance(x, Frame):
        x, frame = x.numbers, True
    kind, moments = of_sparse(x) if isinstance(x, Csr) else of_numbers(x, frame)
    return Summary(len(x), x.shape[1], kind, moments)


def summarise(source: Source, splits: Sequence[FileSplit], shard: int = 0) -> Summary:
    """Summarise some splits in one pass, without the rows that are held out by what they are.

    Parameters
    ----------
    shard : int
        Its number, by which folds are dealt out.

    Returns
    -------
    Summary
        Of no samples if there are none; `fit` is what refuses an empty dataset.

    Raises
    ------
    DataError
        The first bad record beyond what the options allow, with its place.
    """
    bad = Bad(source.options.max_bad_records)
    whole, labels = Summary(limit=bad.limit, meta=source.describe()), Labels()
    features, targets, gathering, frame = Chunks(), Chunks(), _gathering(source), False
    held, held_labels, weightless = 0, Labels(), 0
    for block in marked(source, splits, bad, shard):
        if block.held is not None and block.held.any():
            held += int(block.held.sum())
            held_labels = held_labels.join(Labels.of(None if block.y is None else block.y[block.held]))
            block = block.keep(~block.held)
            if not len(block):
                continue
        if gathering is not None:
            gathering.put(block.x)
        if block.weight is not None:
            weightless += int(np.count_nonzero(block.weight == 0))
        if isinstance(block.x, Csr):  # the largest magnitudes do not depend on an order
            whole = whole.join(_of_features(block.x))
        else:
            frame = isinstance(block.x, Frame)
            for x in features.put(block.x.numbers if frame else block.x):
                whole = whole.join(_of_features(x, frame))
        if block.y is not None:
            for y in targets.put(block.y):
                labels = labels.join(Labels.of(y))
    for x in features.rest():
        whole = whole.join(_of_features(x, frame))
    for y in targets.rest():
        labels = labels.join(Labels.of(y))
    if whole.samples and gathering is not None:
        whole = _with_facts(whole, gathering.facts())
    shards = shard_counts.of(whole.samples, labels)
    return replace(whole, labels=labels, bad=bad.count, places=tuple(bad.places), unlabelled=bad.unlabelled, held=held,
                   held_labels=held_labels, shards=shards, weightless=weightless)  # fmt: skip


def _with_facts(numbers: Summary, facts: Facts) -> Summary:
    """Add the facts of all columns to a summary of those of numbers."""
    if all(column.kind == "number" for column in facts.columns):
        return replace(numbers, facts=facts)
    return replace(numbers.as_float(), kind="frame", features=len(facts.columns), facts=facts)


def _gathering(source: Source) -> Gathering | None:
    """Begin to gather facts of a source's columns, where it is a table that has them."""
    columns = source.columns
    if columns is None or (len(columns) > WIDE and all(column.kind == "number" for column in columns)):
        return None
    return Gathering(columns)
