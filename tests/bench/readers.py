"""Seconds that the readers take beside pyarrow's own, or another checkout's: `python -m tests.bench.readers`.

Both read the same files in turn, repetition by repetition, each time in a process of its own: hdl one pass for the
schema and one that loads the samples, as a worker does; pyarrow, with one thread too, each Parquet or CSV file once
into its own columns, which no reader on top of it can undercut. `--against FOLDER` takes another checkout, with its
core compiled, in pyarrow's place. Ratios are taken inside a repetition; above 1, this checkout is slower. Seconds are
the wall's, or with `--clock cpu` the processor's, for a machine that others use too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[2]
READ = """
import json, sys, time
clock = getattr(time, sys.argv[1])
from hdl import data
from hdl.spec import Spec
for path in sys.argv[2:]:
    start = clock()
    source = data.open_source(path)
    splits = source.splits(1)[0]
    summary = data.summarise(source, splits)
    middle = clock()
    data.load(source, splits, data.fit(summary, Spec()))
    print(json.dumps([path, middle - start, clock() - middle]))
"""
ARROW = """
import json, sys, time
import pyarrow.csv as pv
import pyarrow.parquet as pq
clock = getattr(time, sys.argv[1])
for path in sys.argv[2:]:
    start = clock()
    if path.endswith(".parquet"):
        for batch in pq.ParquetFile(path).iter_batches(use_threads=False):
            pass
    else:
        names = "pixels" in path
        pv.read_csv(path, pv.ReadOptions(use_threads=False, autogenerate_column_names=names))
    print(json.dumps([path, clock() - start, clock() - start]))
"""


def write(folder: Path) -> list[str]:
    """Write one file of each kind, of 20 to 60 MB, from a fixed seed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    real, labels = rng.standard_normal((100_000, 20)), rng.integers(0, 5, 100_000)
    pixels = rng.integers(0, 256, (20_000, 784), np.uint8)
    names = ",".join([*(f"c{i}" for i in range(20)), "label"])
    rows = np.column_stack([real, labels])
    np.savetxt(folder / "reals.csv", rows, "%.6f," * 20 + "%d", header=names, comments="")
    np.savetxt(folder / "pixels.csv", np.column_stack([pixels, labels[: len(pixels)]]), "%d", ",")
    with open(folder / "sparse.svm", "w") as file:
        for label, row in zip(labels, real, strict=True):
            file.write(f"{label} " + " ".join(f"{3 * i + 1}:{x:.5f}" for i, x in enumerate(row)) + "\n")
    np.save(folder / "doubles.npy", rows)
    np.savez(folder / "pixels.npz", x=pixels, y=labels[: len(pixels)])
    columns = {f"c{i}": real[:, i] for i in range(20)} | {"label": labels}
    pq.write_table(pa.table(columns), folder / "doubles.parquet")
    return [str(path) for path in sorted(folder.iterdir())]


def measure(checkout: Path | None, paths: list[str], clock: str) -> dict[str, tuple[float, float]]:
    """Seconds of both passes over each file, in a fresh process; by pyarrow where there is no checkout."""
    home = checkout or HERE
    told = subprocess.run(
        [sys.executable, "-c", ARROW if checkout is None else READ, clock, *paths],
        env={**os.environ, "PYTHONPATH": str(home)}, cwd=home, check=True, capture_output=True, text=True,
    )  # fmt: skip
    lines = map(json.loads, told.stdout.splitlines())
    return {path: (first, second) for path, first, second in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="default: pyarrow")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    arguments = parser.parse_args()
    clock = "perf_counter" if arguments.clock == "wall" else "process_time"
    other = arguments.against.resolve() if arguments.against else None
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder))
        if other is None:
            paths = [path for path in paths if path.endswith((".csv", ".parquet"))]
        sizes = {path: os.path.getsize(path) >> 20 for path in paths}
        runs = []
        for number in range(arguments.repetitions):
            order = [HERE, other]
            both = {checkout: measure(checkout, paths, clock) for checkout in (order if number % 2 else order[::-1])}
            runs.append((both[order[0]], both[order[1]]))
    print(f"{'file':18}{'MB':>6}  {'schema':>24}  {'load':>24}   (here/{other or 'pyarrow'}: median, least to most)")
    for path in paths:
        cells = []
        for step in range(2):
            ratios = sorted(here[path][step] / there[path][step] for here, there in runs)
            seconds = statistics.median(here[path][step] for here, _ in runs)
            cells.append(f"{seconds:5.2f} s {statistics.median(ratios):5.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})")
        print(f"{os.path.basename(path):18}{sizes[path]:6}  {cells[0]:>24}  {cells[1]:>24}")


if __name__ == "__main__":
    main()
