"""Writes the same table as CSV and Parquet, and reads it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from hdl import data
from hdl.spec import Spec

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 10**6)


def read(path, options=None, schema=None, labels=True, shards=2):
    """The source, x and y of all shards in order; y None without labels."""
    source = data.open_source(str(path), options, schema, labels=labels)
    blocks = [block for splits in source.splits(shards) for block in source.read(splits)]
    x = np.concatenate([block.x.dense() if isinstance(block.x, data.Csr) else block.x for block in blocks])
    y = None if blocks[0].y is None else np.concatenate([block.y for block in blocks])
    return source, x, y


def fitted(path, options=None):
    source = data.open_source(str(path), options)
    return data.fit(data.summarise(source, source.splits(1)[0]), Spec())


def write(folder, kind, names, columns, name="a", header=True):
    """A table as CSV or Parquet; without a header only as CSV."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.{kind}"
    if kind == "parquet":
        large = [any(isinstance(value, int) and value >= 2**63 for value in column) for column in columns]
        arrays = [pa.array(column, pa.uint64() if big else None) for column, big in zip(columns, large, strict=True)]
        pq.write_table(pa.table(arrays, names=names), path)
    else:
        rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
        path.write_text("\n".join([",".join(names)] * header + rows) + "\n")
    return path


def numbers(draw, n, k, whole=False):
    x = draw.integers(0, 6, (n, k)) if whole else draw.normal(size=(n, k)).round(4)
    return [column.tolist() for column in x.T]


LABELS = {
    "whole": lambda draw, n: draw.integers(0, 3, n).tolist(),
    "real": lambda draw, n: draw.normal(size=n).round(3).tolist(),
    "text": lambda draw, n: [("cat", "dog", "cow")[i] for i in draw.integers(0, 3, n)],
    "letters": lambda draw, n: [("y", "n")[i] for i in draw.integers(0, 2, n)],
    "padded": lambda draw, n: [("01", "1", "007")[i] for i in draw.integers(0, 3, n)],
    "long": lambda draw, n: [2**63 + 5 * i for i in draw.integers(0, 3, n).tolist()],
}
