"""Population based training beside as many fixed settings, at equal epochs: `python -m tests.bench.population ex4`.

For each seed the 5,000 digits of ex4 are parted anew: 3,200 to train, 800 that choose, 1,000 for the figure.
`hdl search` draws the same settings for both; the population then inherits and moves them, the fixed ones stay. What is
told is the accuracy of the network that each chose, on the samples that it never saw.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from hdl.data import open_source
from hdl.predict import Model
from hdl.table import Table

SPACE = ["--param", "lr=log:1e-4,1e-1", "--param", "dropout=0:0.5", "--param", "l2=log:1e-6,1e-2",
         "--param", "optimizer=adam,nesterov"]  # fmt: skip
WAYS = {"fixed settings": ["--scheduler", "none"], "population": ["--scheduler", "pbt"],
        "population, bred": ["--scheduler", "pbt", "--breed"]}  # fmt: skip


def measure(folder: Path, way: str, given: argparse.Namespace, seed: int) -> tuple[float, float]:
    """Search in one way; gives the accuracy of the network it chose on the validation and on the test samples."""
    out = folder / way.replace(" ", "-")
    more = ["--generations", str(given.generations)] if "pbt" in WAYS[way] else []
    command = [sys.executable, "-m", "hdl", "search", folder / "train.npz", "--out", out, *WAYS[way], *more, *SPACE,
               "--trials", given.trials, "--epochs", given.epochs, "--net", "0-25-0", "--batch", "20", "--seed", seed,
               "--validation", "0.2", "--metric", "accuracy", "--recipe", "plain", "--workers", given.workers,
               "--no-report", "--quiet"]  # fmt: skip
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    best = next(row for row in pq.read_table(out / "search.parquet").to_pylist() if row["rank"] == 1)
    name = f"trial{best['trial']:04d}"
    table = out / name / f"generation{given.generations - 1:02d}" if more else out / name
    with np.load(folder / "test.npz") as test:
        labels = test["y"]
    answers = np.concatenate([part.out for part in Model(str(table), Table(str(table)).best()).predict(
        open_source(str(folder / "test.npz")))])  # fmt: skip
    return best["value"], float((answers.argmax(1) == labels).mean())


def main() -> None:
    """Search in each way for each seed, and print a line a way."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ways", default=",".join(WAYS))
    given = parser.parse_args()
    source = open_source(given.data)
    blocks = [block for splits in source.splits(1) for block in source.read(splits)]
    x = np.concatenate([np.asarray(block.x, np.float32) for block in blocks])
    y = np.concatenate([np.asarray(block.y) for block in blocks]).reshape(len(x), -1).argmax(1)  # a column a class
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(1, given.seeds + 1):
        order = np.random.default_rng(seed).permutation(len(x))
        with tempfile.TemporaryDirectory() as folder:
            for name, rows in (("test", order[: len(x) // 5]), ("train", order[len(x) // 5 :])):
                np.savez(Path(folder) / f"{name}.npz", x=x[rows], y=y[rows])
            for way in given.ways.split(","):
                found.setdefault(way, []).append(measure(Path(folder), way, given, seed))
                print(seed, way, *(f"{value:.4f}" for value in found[way][-1]), file=sys.stderr, flush=True)
    for way, values in found.items():
        chosen, tested = (statistics.fmean(column) for column in zip(*values, strict=True))
        print(f"{way:18} validation {chosen:.4f}, test {tested:.4f}, mean of {len(values)} seeds")


if __name__ == "__main__":
    main()
