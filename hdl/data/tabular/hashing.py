"""Hashes of texts: the same on every machine, and in every run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdl.arrow import pa


def hashes(texts: pa.Array) -> NDArray[np.uint64]:
    """Hash texts by their UTF-8 bytes, the same on every machine and in every run.

    Parameters
    ----------
    texts : pyarrow.StringArray [n]

    Returns
    -------
    uint64 [n]
        Begins with the length in bytes; for every 8 bytes, as a little-endian number and 0 beyond the end, it is
        changed by exclusive or with these and by the mixing step of SplitMix64 (Steele et al. 2014).

    Examples
    --------
    >>> [hex(value) for value in hashes(pa.array(["", "red"])).tolist()]
    ['0xa706dd2f4d197e6f', '0xe56f8d37693659a']
    """
    ends, data = utf8(texts)
    starts, sizes = ends[:-1], np.diff(ends)
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    words = np.ndarray(len(data) + 1, np.dtype("<u8"), padded, strides=(1,))  # one from every byte on
    out = _mixed(sizes.astype(np.uint64))
    alive = np.arange(len(texts))
    for at in range(0, int(sizes.max(initial=0)), 8):
        if at:
            alive = alive[sizes[alive] > at]
        beyond = np.maximum(8 - (sizes[alive] - at), 0).astype(np.uint64) * np.uint64(8)  # bits of other texts
        word = words[starts[alive] + at] << beyond >> beyond
        out[alive] = _mixed(out[alive] ^ word)
    return out


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = values + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


def utf8(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Give the ends int64 [n + 1] of texts in their bytes, the first 0, and the bytes, as views where possible."""
    _, offsets, data = texts.buffers()
    if offsets is None or not len(texts):
        return np.zeros(len(texts) + 1, np.int64), np.empty(0, np.uint8)
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    bytes_ = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return ends - ends[0], bytes_[ends[0] : ends[-1]]
