"""Summary pass over a large table beside pyarrow's own reading of it: `python -m tests.bench.summary`.

The table is partitioned Parquet: a folder a day, 20 columns with the day, 8 of them categories of 2 to a million
levels, 9 numbers (three with missing cells), 2 dates and a label. Both read the same files in turn, repetition by
repetition, each time in a process of its own and with one thread; ratios are taken inside a repetition: above 1, hdl
takes longer. Seconds are those of the wall and, for a machine that others use too, of the processor. Memory is the most
that a process held. `--folder hdfs:///bench` writes and reads there; a table that is there is taken as it is.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hdl import fs

HERE = Path(__file__).resolve().parents[2]
LEVELS = (2, 5, 12, 50, 300, 2_000, 20_000, 1_000_000)
DAYS = 10
HDL = """
source = data.open_source(folder, {"label": "churned"})
summary = data.summarise(source, source.splits(1)[0])
rows = summary.samples
told = {column.name: part.distinct for column, part in summary.facts if column.kind == "category"}
"""
ARROW = """
rows, told = 0, {}
for path in paths:
    with fs.open(path) as file:
        for batch in pq.ParquetFile(file).iter_batches(65_536, use_threads=False):
            rows += batch.num_rows
"""
ENDS = """
import json, resource, sys, time
import pyarrow.parquet as pq
from hdl import data, fs
folder, *paths = sys.argv[1:]
start, used = time.perf_counter(), time.process_time()
{}
seconds, used = time.perf_counter() - start, time.process_time() - used
print(json.dumps([rows, seconds, used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, told]))
"""


def day(number: int, rows: int) -> "pa.Table":  # noqa: F821
    """Make the rows of one day, from its number as the seed."""
    import pyarrow as pa

    rng = np.random.default_rng(number)
    columns: dict[str, pa.Array] = {}
    for levels in LEVELS:
        # Half of the cells are of any level, the others of the frequent ones.
        codes = np.where(rng.random(rows) < 0.5, rng.integers(0, levels, rows), rng.zipf(1.3, rows) % levels)
        missing = rng.random(rows) < 0.05 if levels == 50 else None
        columns[f"c{levels}"] = pa.array([f"level {i:07}" for i in range(levels)]).take(pa.array(codes, mask=missing))
    for i in range(9):
        values = rng.standard_normal(rows) if i % 2 else np.exp(rng.standard_normal(rows))
        if i >= 6:
            values = np.round(values * 100) if i == 6 else values
            columns[f"x{i}"] = pa.array(values, mask=rng.random(rows) < 0.1)
        else:
            columns[f"x{i}"] = pa.array(values)
    moments = 1_700_000_000_000_000 + 86_400_000_000 * rng.integers(0, 700, rows)
    columns["since"] = pa.array(moments, pa.timestamp("us")).cast(pa.date32())
    columns["churned"] = pa.array(rng.random(rows) < 0.1)
    return pa.table(columns)


def write(folder: str, rows: int) -> None:
    """Write the table, unless it is there."""
    import pyarrow.parquet as pq

    for number in range(DAYS):
        path = fs.join(folder, f"dt=2024-01-{number + 1:02}", "part-0.parquet")
        if not fs.exists(path):
            fs.mkdir(path.rpartition("/")[0])
            fs.publish(path, lambda file, number=number: pq.write_table(day(number, rows // DAYS), file))


class Pass(NamedTuple):
    """One pass in a fresh process: rows, seconds, seconds of the processor, MiB, and levels found of each category."""

    rows: int
    seconds: float
    used: float
    memory: int
    levels: dict[str, int]


def measure(code: str, folder: str, paths: list[str]) -> Pass:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    told = subprocess.run(
        [sys.executable, "-c", ENDS.format(code), folder, *paths],
        env=environment, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return Pass(*json.loads(told.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="where the table is, or is written; default: a temporary folder")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or f"{temporary}/table"
        write(folder, arguments.rows)
        days = [fs.join(folder, name) for name in sorted(fs.list(folder))]
        paths = [fs.join(path, name) for path in days for name in fs.list(path)]
        runs = []
        for number in range(arguments.repetitions):
            both = {}
            for code in (HDL, ARROW) if number % 2 else (ARROW, HDL):
                both[code] = measure(code, folder, paths)
            runs.append((both[HDL], both[ARROW]))
    size = sum(fs.size(path) for path in paths)
    print(f"{runs[0][0].rows:,} rows, {size >> 20} MiB of Parquet, {len(runs)} repetitions")
    for name, passes in zip(("hdl's summary", "pyarrow's reading"), zip(*runs, strict=True), strict=True):
        seconds, used = (statistics.median(getattr(one, unit) for one in passes) for unit in ("seconds", "used"))
        memory, rate = max(one.memory for one in passes), passes[0].rows / seconds
        print(f"{name:20} {seconds:6.2f} s, {used:6.2f} s of the processor  {rate:12,.0f} rows/s  {memory:6} MiB")
    for unit in ("seconds", "used"):
        ratios = sorted(getattr(ours, unit) / getattr(theirs, unit) for ours, theirs in runs)
        print(f"hdl/pyarrow, {unit}: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    for name, found in runs[0][0].levels.items():
        print(f"  {name}: {found:,} levels found")


if __name__ == "__main__":
    main()
