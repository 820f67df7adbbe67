"""Rows of features of every kind (dense, sparse, a table's): stacked, and as tensors of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hdl.data.csr import Csr
from hdl.data.mixed import Mixed


def stack(parts: Sequence[Any]) -> Any:
    """Stack rows one after another: of all arrays, of all `Csr`, or of all `Mixed`."""
    first = parts[0]
    if isinstance(first, Mixed):
        numbers, codes = (np.concatenate([getattr(part, name) for part in parts]) for name in ("numbers", "codes"))
        return Mixed(numbers, codes, first.columns)
    if not isinstance(first, Csr):
        return np.concatenate(parts)
    data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
    counts = np.concatenate([np.diff(part.indptr) for part in parts])
    return Csr(data, indices, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), first.columns)


def to_tensors(x: Any) -> dict[str, np.ndarray]:
    """Return features as named tensors.

    They are `x`; of `Csr` `data`, `indices` and `indptr`; of `Mixed` `numbers` and `codes`.
    """
    if isinstance(x, Mixed):
        return {"numbers": x.numbers, "codes": x.codes}
    return {"data": x.data, "indices": x.indices, "indptr": x.indptr} if isinstance(x, Csr) else {"x": x}


def from_tensors(tensors: Mapping[str, np.ndarray], columns: int) -> np.ndarray | Csr | Mixed:
    """Rebuild the features that `to_tensors` made tensors of; `columns` are their inputs, I."""
    if "x" in tensors:
        return tensors["x"]
    if "codes" in tensors:
        return Mixed(tensors["numbers"], tensors["codes"], columns)
    return Csr(tensors["data"], tensors["indices"], tensors["indptr"], columns)
