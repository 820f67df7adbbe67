"""Reads everything of a file that is damaged."""

import gzip
import struct

import numpy as np

from hdl import data
from hdl.spec import Spec


def everything(path, options=None, shards=1):
    """Opens, summarises, fits and loads."""
    source = data.open_source(str(path), options)
    splits = source.splits(shards)
    summary = data.Summary()
    for part in splits:
        summary = summary.join(data.summarise(source, part))
    schema = data.fit(summary, Spec())
    return summary, [data.load(source, part, schema) for part in splits]


def idx(array):
    kinds = {"uint8": 8, "float32": 13}
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, kinds[str(array.dtype)], array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(folder, images, labels, packed=False):
    for name, raw in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(raw) if packed else raw)


IMAGES = idx(np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3))
LABELS = idx(np.uint8([0, 1, 0, 1]))
