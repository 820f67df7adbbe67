"""Summary of a dataset by one pass: ranges, moments and labels. Those of shards join into the whole's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hdl.data.base import PLACES, Bad, Block, FileSplit, Source
from hdl.data.csr import Csr
from hdl.data.labels import Labels
from hdl.errors import DataError

CHUNK = 1 << 18  # values of features that are summed at a time


@dataclass(frozen=True)
class Summary:
    """Findings of one pass over some shards.

    Attributes
    ----------
    samples, features : int
    kind : {'', 'uint8', 'float32', 'sparse'}
        Of the features; empty without samples.
    moments : dict of ndarray
        uint8: `low`, `high` [I], and the exact `total`, `squares` int64 [I]. float32, of float64 samples too: `low`,
        `high`, `mean`, `m2` (sum of squared deviations) float64 [I]. Sparse: `largest` magnitude float64 [I], and of
        the K features that every sample has: their numbers `full` int64 [K], `low` and `high` float64 [K].
    labels : Labels
    bad : int
        Records skipped; `places` lists the first of them, `limit` is how many the dataset may have.
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

    def join(self, other: Summary) -> Summary:
        """Join the summaries of two parts, `self` before `other`."""
        a, b = self, other
        rest: dict[str, Any] = {
            "bad": a.bad + b.bad,
            "places": (a.places + b.places)[:PLACES],
            "limit": max(a.limit, b.limit),
            "meta": a.meta or b.meta,
        }
        if not a.samples or not b.samples:
            return replace(a if a.samples else b, **rest)
        if a.kind != b.kind:
            if "sparse" in (a.kind, b.kind):
                raise DataError(f"features are {a.kind} in one part of the data and {b.kind} in another")
            a, b = a.as_float(), b.as_float()
        if a.features != b.features and a.kind != "sparse":
            raise DataError(f"{b.features} features in one part of the data, {a.features} in another")
        return Summary(
            a.samples + b.samples,
            max(a.features, b.features),
            a.kind,
            _JOIN[a.kind](a, b),
            a.labels.join(b.labels),
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
        if self.kind == "float32":
            return self.moments["mean"], self.moments["m2"]
        total, squares = self.moments["total"], self.moments["squares"]
        # n·Σx² − (Σx)² in Python's integers: exact for any number of samples
        m2 = [self.samples * q - t * t for t, q in zip(total.tolist(), squares.tolist(), strict=True)]
        return total / self.samples, np.array([value / self.samples for value in m2], np.float64)

    @property
    def label_type(self) -> str | None:
        """Type of the labels: 'text', 'boolean' or 'number'; None where the data does not say (or has none)."""
        if self.labels.boolean:
            return "boolean"
        return (self.meta.get("reading") or {}).get("label_type")

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Split the summary into plain values and tensors, for the wire."""
        labels = {**self.labels.__dict__, "values": None if self.labels.values is None else [*self.labels.values]}
        fields = {name: getattr(self, name) for name in ("samples", "features", "kind", "bad", "limit", "meta")}
        return {**fields, "places": [*self.places], "labels": labels}, dict(self.moments)

    @classmethod
    def from_parts(cls, fields: dict[str, Any], tensors: dict[str, np.ndarray]) -> Summary:
        """Rebuild a summary from the parts that `to_parts` made.

        Raises
        ------
        ValueError
            The parts do not fit each other.
        """
        fields = dict(fields)
        labels = dict(fields.pop("labels"))
        for name in ("values", "mean", "norm"):
            labels[name] = None if labels.get(name) is None else tuple(labels[name])
        summary = cls(moments=dict(tensors), labels=Labels(**labels), **{**fields, "places": tuple(fields["places"])})
        if set(tensors) != set(_MOMENTS[summary.kind]):
            raise ValueError(f"a {summary.kind or 'empty'} summary with tensors {sorted(tensors)}")
        known = len(tensors["full"]) if summary.kind == "sparse" else summary.features
        if any(len(tensor) != (summary.features if name == "largest" else known) for name, tensor in tensors.items()):
            raise ValueError(f"a summary of {summary.features} features with other lengths of tensors")
        return summary


_MOMENTS = {
    "": (),
    "uint8": ("low", "high", "total", "squares"),
    "float32": ("low", "high", "mean", "m2"),
    "sparse": ("largest", "full", "low", "high"),
}


def _join_uint8(a: Summary, b: Summary) -> dict[str, np.ndarray]:
    p, q = a.moments, b.moments
    return {**_range(p, q), **{name: p[name] + q[name] for name in ("total", "squares")}}


def _join_float(a: Summary, b: Summary) -> dict[str, np.ndarray]:
    p, q, share = a.moments, b.moments, b.samples / (a.samples + b.samples)
    delta = q["mean"] - p["mean"]
    moments = {"mean": p["mean"] + delta * share, "m2": p["m2"] + q["m2"] + delta * delta * (a.samples * share)}
    return {**_range(p, q), **moments}


def _join_sparse(a: Summary, b: Summary) -> dict[str, np.ndarray]:
    short, long = sorted((a.moments["largest"], b.moments["largest"]), key=len)
    out = long.copy()
    np.maximum(out[: len(short)], short, out=out[: len(short)])
    p, q = a.moments, b.moments
    full, i, j = np.intersect1d(p["full"], q["full"], assume_unique=True, return_indices=True)
    part, other = ({end: m[end][at] for end in ("low", "high")} for m, at in ((p, i), (q, j)))
    return {"largest": out, "full": full, **_range(part, other)}


def _range(p: dict[str, np.ndarray], q: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"low": np.minimum(p["low"], q["low"]), "high": np.maximum(p["high"], q["high"])}


_JOIN = {"uint8": _join_uint8, "float32": _join_float, "sparse": _join_sparse}


def of_block(block: Block) -> Summary:
    """Summarise one block."""
    x, n = block.x, len(block)
    if isinstance(x, Csr):
        largest = np.zeros(x.columns)
        np.maximum.at(largest, x.indices, np.abs(x.data))
        full = np.bincount(x.indices, minlength=x.columns) == n  # an index is there once in a row
        values = x.data[full[x.indices]].astype(np.float64).reshape(n, -1)
        ends = {"low": values.min(axis=0), "high": values.max(axis=0)}
        moments = {"largest": largest, "full": np.flatnonzero(full), **ends}
        return Summary(n, x.columns, "sparse", moments, Labels.of(block.y))
    x = np.ascontiguousarray(x)  # sums depend on the order in memory
    ends = {"low": x.min(axis=0), "high": x.max(axis=0)}
    if x.dtype == np.uint8:
        total = x.sum(axis=0, dtype=np.int64)
        squares = np.square(x, dtype=np.uint16).sum(axis=0, dtype=np.int64)
        return Summary(n, x.shape[1], "uint8", {**ends, "total": total, "squares": squares}, Labels.of(block.y))
    mean = x.mean(axis=0, dtype=np.float64)
    m2 = np.square(x - mean).sum(axis=0)
    ends = {name: value.astype(np.float64) for name, value in ends.items()}
    return Summary(n, x.shape[1], "float32", {**ends, "mean": mean, "m2": m2}, Labels.of(block.y))


def summarise(source: Source, splits: Sequence[FileSplit]) -> Summary:
    """Summarise some splits in one pass.

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
    features, targets = _Chunks(), _Chunks()
    for block in source.read(splits, bad):
        if isinstance(block.x, Csr):  # the largest magnitudes do not depend on an order
            whole = whole.join(of_block(Block(block.x, None, block.where)))
        else:
            for x in features.put(block.x):
                whole = whole.join(of_block(Block(x, None, block.where)))
        if block.y is not None:
            for y in targets.put(block.y):
                labels = labels.join(Labels.of(y))
    for x in features.rest():
        whole = whole.join(of_block(Block(x, None, lambda i: {})))
    for y in targets.rest():
        labels = labels.join(Labels.of(y))
    return replace(whole, labels=labels, bad=bad.count, places=tuple(bad.places))


class _Chunks:
    """Arrays that come in parts of any length, cut after a number of rows that depends on their width alone."""

    def __init__(self) -> None:
        self.held: list[np.ndarray] = []

    def put(self, part: np.ndarray) -> Iterator[np.ndarray]:
        """Give whole chunks, now that a part [n, ...] has come; those before it where it is of another kind."""
        if self.held and _chunked(part) != _chunked(self.held[0]):
            yield from self.rest()
        rows = max(16, CHUNK // int(np.prod(part.shape[1:], dtype=np.int64) or 1))
        count = sum(map(len, self.held))
        while count + len(part) >= rows:
            self.held.append(part[: rows - count])
            part, count = part[rows - count :], 0
            yield from self.rest()
        if len(part):
            self.held.append(part)

    def rest(self) -> Iterator[np.ndarray]:
        """Give the rows that make no whole chunk."""
        held, self.held = self.held, []
        if held:
            yield held[0] if len(held) == 1 else np.concatenate(held)


def _chunked(part: np.ndarray) -> tuple[Any, ...]:
    """Return what arrays must have in common to be put together: float32 and float64 go together."""
    return part.shape[1:], "f" if part.dtype.kind == "f" else part.dtype
