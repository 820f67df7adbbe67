"""Hashes of texts: the same on every machine, and in every run."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def hashes(texts: pa.Array) -> NDArray[np.uint64]:
    """Hash texts by their UTF-8 bytes, the same on every machine and in every run.

    Parameters
    ----------
    texts : pyarrow.StringArray [n]

    Returns
    -------
    uint64 [n]
        FNV-1a (Fowler, Noll & Vo) of 64 bits, mixed by the last step of SplitMix64 (Steele et al. 2014), so that high
        and low bits serve alike.

    Examples
    --------
    >>> [hex(value) for value in hashes(pa.array(["", "red"])).tolist()]
    ['0xf52a15e9a9b5e89b', '0xbbd282049804ad7f']
    """
    ends, data = utf8(texts)
    starts, sizes = ends[:-1], np.diff(ends)
    out = np.full(len(texts), 0xCBF29CE484222325, np.uint64)
    alive = np.arange(len(texts))
    for place in range(int(sizes.max(initial=0))):
        alive = alive[sizes[alive] > place]
        out[alive] = (out[alive] ^ data[starts[alive] + place]) * np.uint64(0x100000001B3)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        out = (out ^ (out >> np.uint64(shift))) * np.uint64(factor)
    return out ^ (out >> np.uint64(31))


def utf8(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Give the ends int64 [n + 1] of texts in their bytes, the first 0, and the bytes, as views where possible."""
    _, offsets, data = texts.buffers()
    if offsets is None or not len(texts):
        return np.zeros(len(texts) + 1, np.int64), np.empty(0, np.uint8)
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    bytes_ = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return ends - ends[0], bytes_[ends[0] : ends[-1]]
