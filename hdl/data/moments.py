"""Moments of features: ranges, means, squared deviations; of one block, and joined."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hdl.data.csr import Csr

Moments = dict[str, np.ndarray]
BYTES = 256  # uint8 values whose sum uint16 holds, and that of their squares uint32
CACHED = 1 << 15  # values that are summed at a time: as float64 they stay in a core's own cache


def kind_of(x: np.ndarray | Csr) -> str:
    """Return the kind of features that a summary gives a matrix [n, I]."""
    return "sparse" if isinstance(x, Csr) else "uint8" if x.dtype == np.uint8 else "float32"


def of_sparse(x: Csr) -> tuple[str, Moments]:
    """Find the largest magnitude of each feature, and the ends of those that every sample has; see `Summary`."""
    largest = np.zeros(x.columns)
    np.maximum.at(largest, x.indices, np.abs(x.data))
    full = np.bincount(x.indices, minlength=x.columns) == len(x)  # an index is there once in a row
    values = x.data[full[x.indices]].astype(np.float64).reshape(len(x), -1)
    ends = {"low": values.min(axis=0), "high": values.max(axis=0)}
    return "sparse", {"largest": largest, "full": np.flatnonzero(full), **ends}


def of_numbers(x: np.ndarray, frame: bool = False) -> tuple[str, Moments]:
    """Find the kind and the moments of a matrix [n, I] of features, or of the numbers in a frame; see `Summary`."""
    if frame or (x.dtype != np.uint8 and np.isnan(x).any()):
        return "float32", of_present(x)
    x = np.ascontiguousarray(x)  # sums depend on the order in memory
    if x.dtype == np.uint8:
        total, squares = (np.zeros(x.shape[1], np.int64) for _ in range(2))
        for start in range(0, len(x), BYTES):
            part = x[start : start + BYTES]
            total += part.sum(axis=0, dtype=np.uint16)
            squares += np.square(part, dtype=np.uint16).sum(axis=0, dtype=np.uint32)
        return "uint8", {"low": x.min(axis=0), "high": x.max(axis=0), "total": total, "squares": squares}
    ends = {"low": x.min(axis=0).astype(np.float64), "high": x.max(axis=0).astype(np.float64)}
    mean = _sum(x) / len(x)
    return "float32", {**ends, "mean": mean, "m2": _sum(x, mean)}


def _parts(x: np.ndarray) -> Iterator[np.ndarray]:
    """Cut a matrix [n, I] into rows that fit in a core's own cache."""
    rows = max(1, CACHED // (x.shape[1] or 1))
    return (x[start : start + rows] for start in range(0, len(x), rows))


def _sum(x: np.ndarray, origin: np.ndarray | None = None) -> np.ndarray:
    """Sum the rows of a matrix [n, I] in float64, or their squared distances to `origin` [I].

    NumPy adds rows one after the other, so that a sum that goes on from part to part is that of the whole; but it adds
    a single column, which is one vector, by halves.
    """
    if x.shape[1] == 1:
        return (x.astype(np.float64) if origin is None else np.square(x - origin)).sum(axis=0)
    total = None
    for part in _parts(x):
        wide = np.empty((1 + len(part), x.shape[1]))  # the sum so far stands before the rows
        if origin is None:
            wide[1:] = part
        else:
            np.square(np.subtract(part, origin, out=wide[1:]), out=wide[1:])
        if total is not None:
            wide[0] = total
        total = wide[0 if total is not None else 1 :].sum(axis=0)
    return np.zeros(x.shape[1]) if total is None else total


def of_present(x: np.ndarray) -> Moments:
    """Find the moments of the values [n, I] that are not NaN, and count them."""
    columns = np.ascontiguousarray(x.T, np.float64)  # NumPy adds fast along memory
    missing = np.isnan(columns)
    count = len(x) - np.count_nonzero(missing, axis=1)
    mean = np.where(missing, 0, columns).sum(axis=1) / np.maximum(count, 1)
    low, high = (np.where(missing, end, columns) for end in (np.inf, -np.inf))
    away = np.where(missing, 0, columns - mean[:, None])
    m2 = np.square(away, out=away).sum(axis=1)
    return {"low": low.min(axis=1), "high": high.max(axis=1), "mean": mean, "m2": m2, "count": count.astype(np.int64)}


def present(moments: Moments, samples: int) -> np.ndarray:
    """Count the values that are there of each dense feature, int64 [I]."""
    count = moments.get("count")
    return np.full(len(moments["low"]), samples) if count is None else count


def joined(kind: str, p: Moments, q: Moments, samples: tuple[int, int]) -> Moments:
    """Join the moments of two parts of one kind, of so many samples; see `Summary`."""
    return {"uint8": _join_uint8, "float32": _join_float, "frame": _join_float, "sparse": _join_sparse}[kind](
        p, q, *samples
    )


def _join_uint8(p: Moments, q: Moments, n: int, m: int) -> Moments:
    return {**_range(p, q), **{name: p[name] + q[name] for name in ("total", "squares")}}


def _join_float(p: Moments, q: Moments, n: int, m: int) -> Moments:
    delta = q["mean"] - p["mean"]
    if "count" not in p and "count" not in q:
        share = m / (n + m)
        return {
            **_range(p, q),
            "mean": p["mean"] + delta * share,
            "m2": p["m2"] + q["m2"] + delta * delta * (n * share),
        }
    ours, theirs = present(p, n), present(q, m)
    share = theirs / np.maximum(ours + theirs, 1)
    mean = np.where(ours > 0, p["mean"] + delta * share, q["mean"])
    m2 = p["m2"] + q["m2"] + delta * delta * (ours * share)
    return {**_range(p, q), "mean": mean, "m2": m2, "count": ours + theirs}


def _join_sparse(p: Moments, q: Moments, n: int, m: int) -> Moments:
    short, long = sorted((p["largest"], q["largest"]), key=len)
    out = long.copy()
    np.maximum(out[: len(short)], short, out=out[: len(short)])
    full, i, j = np.intersect1d(p["full"], q["full"], assume_unique=True, return_indices=True)
    part, other = ({end: each[end][at] for end in ("low", "high")} for each, at in ((p, i), (q, j)))
    return {"largest": out, "full": full, **_range(part, other)}


def _range(p: Moments, q: Moments) -> Moments:
    return {"low": np.minimum(p["low"], q["low"]), "high": np.maximum(p["high"], q["high"])}
