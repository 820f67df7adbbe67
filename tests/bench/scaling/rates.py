"""What a row of data costs a worker and the master, measured on small tables: for 100 million rows on paper."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdl import data, sync, wire
from hdl.runners.work import decoded_bytes
from hdl.spec import Spec

ROWS = 200_000
NUMBERS, CATEGORIES = 13, 26
LEVELS = (3, 10, 100, 1_000, 10_000, 100_000)


@dataclass
class Rates:
    """Holds what was measured of one kind of table; seconds of processor time.

    Attributes
    ----------
    name : str
    file : float
        Bytes of a row in its file.
    summary, load : float
        Seconds of a row in the first pass, and to decode it.
    memory : float
        Bytes of a decoded row.
    shard_summary : int
        Bytes of a shard's summary.
    join : float
        Seconds to join two of them.
    """

    name: str
    file: float
    summary: float
    load: float
    memory: float
    shard_summary: int
    join: float


def measure(name: str, path: str, rows: int) -> Rates:
    """Measures the first pass over a file and decoding it, as one shard of a worker."""
    source = data.open_source(path, {"label": "label"})
    splits = source.splits(1)[0]
    began = time.process_time()
    summary = data.summarise(source, splits)
    summarised = time.process_time()
    shard = data.load(source, splits, data.fit(summary, Spec()))
    loaded = time.process_time()
    packed = wire.encode(summary)
    joining = time.process_time()
    sync.tree_reduce([summary, wire.decode(packed)], lambda a, b: a.join(b))
    joined = time.process_time()
    held = sum(decoded_bytes(shard))
    size = Path(path).stat().st_size
    return Rates(
        name, size / rows, (summarised - began) / rows, (loaded - summarised) / rows, held / rows, len(packed),
        joined - joining,
    )  # fmt: skip


def rates(rows: int = ROWS) -> list[Rates]:
    """Measures the kinds of table that docs/scale.md tells of."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    rng = np.random.default_rng(0)
    label = rng.random(rows) < 0.1
    numbers: dict[str, Any] = {f"x{i}": rng.standard_normal(rows).astype(np.float32) for i in range(28)}
    mixed: dict[str, Any] = {f"x{i}": np.exp(rng.standard_normal(rows)).astype(np.float32) for i in range(NUMBERS)}
    for i in range(CATEGORIES):
        levels = LEVELS[i % len(LEVELS)]
        names = pa.array([f"{i:02}{level:06x}" for level in range(levels)])
        mixed[f"c{i}"] = names.take(pa.array(rng.zipf(1.3, rows) % levels))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, columns in {"28 numbers": numbers, f"{NUMBERS} numbers, {CATEGORIES} categories": mixed}.items():
            table = pa.table({**columns, "label": label.astype(np.int8)})
            paths = {"Parquet": f"{folder}/{len(columns)}.parquet", "CSV": f"{folder}/{len(columns)}.csv"}
            pyarrow.parquet.write_table(table, paths["Parquet"])
            pyarrow.csv.write_csv(table, paths["CSV"])
            found += [measure(f"{name}, {kind}", path, rows) for kind, path in paths.items()]
    return found


if __name__ == "__main__":
    for each in rates():
        print(each)
