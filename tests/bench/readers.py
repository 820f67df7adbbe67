"""Seconds that the readers take, in this checkout and in another: `python -m tests.bench.readers --against FOLDER`.

FOLDER is a checkout with its core compiled. Both read the same files in turn, repetition by repetition, each time in a
process of its own: one pass for the schema and one that loads the samples, as a worker does. Ratios are taken inside a
repetition; above 1, this checkout is slower.
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
from hdl import data
from hdl.spec import Spec
for path in sys.argv[1:]:
    start = time.perf_counter()
    source = data.open_source(path)
    splits = source.splits(1)[0]
    summary = data.summarise(source, splits)
    middle = time.perf_counter()
    data.load(source, splits, data.fit(summary, Spec()))
    print(json.dumps([path, middle - start, time.perf_counter() - middle]))
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


def measure(checkout: Path, paths: list[str]) -> dict[str, tuple[float, float]]:
    """Seconds of both passes over each file, in a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    told = subprocess.run(
        [sys.executable, "-c", READ, *paths], env=environment, cwd=checkout, check=True, capture_output=True, text=True
    )
    lines = map(json.loads, told.stdout.splitlines())
    return {path: (first, second) for path, first, second in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder))
        sizes = {path: os.path.getsize(path) >> 20 for path in paths}
        runs = []
        for number in range(arguments.repetitions):
            order = [HERE, arguments.against.resolve()]
            both = {checkout: measure(checkout, paths) for checkout in (order if number % 2 else order[::-1])}
            runs.append((both[order[0]], both[order[1]]))
    print(f"{'file':18}{'MB':>6}  {'schema':>24}  {'load':>24}   (here/there: median, least to most)")
    for path in paths:
        cells = []
        for step in range(2):
            ratios = sorted(here[path][step] / there[path][step] for here, there in runs)
            seconds = statistics.median(here[path][step] for here, _ in runs)
            cells.append(f"{seconds:5.2f} s {statistics.median(ratios):5.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})")
        print(f"{os.path.basename(path):18}{sizes[path]:6}  {cells[0]:>24}  {cells[1]:>24}")


if __name__ == "__main__":
    main()
