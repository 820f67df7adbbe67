"""Writes folders of samples, and says what is read of them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from hdl import data

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 3, 2)).astype(np.uint8)
DIGITS = RNG.integers(0, 3, 12).astype(np.uint8)
ROWS = "".join(f"{a:.3f},{b:.3f},{'ab'[i % 2]}\n" for i, (a, b) in enumerate(RNG.normal(size=(12, 2))))
THUMBS = b"\xd0\xcf\x11\xe0 thumbnails"


def fill(folder, **files):
    """Writes files; `__` in a name stands for a dot, `_in_` for a folder."""
    for name, content in files.items():
        path = folder / name.replace("_in_", "/").replace("__", ".").replace("_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(folder)


def parquet(rows=12):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": RNG.normal(size=rows), "label": np.arange(rows) % 2}), sink)
    return sink.getvalue().to_pybytes()


def npy(array):
    import io

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def count(path, options=None):
    source = data.open_source(str(path), options)
    return sum(len(block) for part in source.splits(1) for block in source.read(part))


def told(path, options=None):
    return "; ".join(data.open_source(str(path), options).left_out)


def pictures(folder, names=("cat", "dog"), each=2):
    for number, name in enumerate(names):
        for i in range(each):
            png(folder / name / f"{i}.png", PIXELS[number * each + i])
    return folder
