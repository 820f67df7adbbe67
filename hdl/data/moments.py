"""Moments of one block of features: ranges, means, squared deviations."""

from __future__ import annotations

import numpy as np

from hdl.data.csr import Csr

Moments = dict[str, np.ndarray]


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
    ends = {"low": x.min(axis=0), "high": x.max(axis=0)}
    if x.dtype == np.uint8:
        total = x.sum(axis=0, dtype=np.int64)
        squares = np.square(x, dtype=np.uint16).sum(axis=0, dtype=np.int64)
        return "uint8", {**ends, "total": total, "squares": squares}
    mean = x.mean(axis=0, dtype=np.float64)
    ends = {name: value.astype(np.float64) for name, value in ends.items()}
    return "float32", {**ends, "mean": mean, "m2": np.square(x - mean).sum(axis=0)}


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
