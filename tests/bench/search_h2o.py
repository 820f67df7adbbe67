"""The best model of a random search with a time limit, beside H2O's random grid: `python -m tests.bench.search_h2o`.

Some of MNIST's images and Adult, as CSV files: both get the same rows to train on, the same held-out rows that choose,
and the best model is measured on test rows that nobody has seen. One after the other on the same processors, H2O first
or last by turns (`--first`). Needs `pip install h2o pandas` and a Java.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from tests.bench.search import DATA, _numbers

HIDDEN = ((32,), (64,), (100, 32), (200,))


class Task(NamedTuple):
    """Files to train on, to choose by, and to measure on; the measure's name."""

    train: str
    held: str
    test: str
    metric: str


def mnist(folder: Path, rows: int) -> Task:
    """Write some of MNIST's images, pixels divided by 255 as H2O's examples have them."""
    parts = {"train": slice(0, rows), "held": slice(rows, rows + rows // 4)}
    x, y = _numbers(str(DATA / "mnist"))
    pieces = {name: (x[part], y[part]) for name, part in parts.items()} | {"test": _numbers(str(DATA / "mnist:test"))}
    for name, (pixels, labels) in pieces.items():
        frame = pd.DataFrame(pixels.reshape(len(pixels), -1).astype(np.float32) / 255).round(4)
        frame.columns = pd.Index([f"p{number}" for number in range(frame.shape[1])])
        frame.assign(label=[f"d{int(label)}" for label in labels]).to_csv(folder / f"{name}.csv", index=False)
    return Task(*(str(folder / f"{name}.csv") for name in ("train", "held", "test")), "accuracy")


def adult(folder: Path, rows: int) -> Task:
    """Write Adult, a fifth of whose training rows chooses."""
    known, test = (pd.read_csv(DATA / f"tables/adult.{part}.gz", header=None, skipinitialspace=True, comment="|")
                   for part in ("data", "test"))  # fmt: skip
    order = np.random.default_rng(0).permutation(len(known))
    pieces = {"train": known.iloc[order[len(known) // 5 :]], "held": known.iloc[order[: len(known) // 5]], "test": test}
    for name, frame in pieces.items():
        named = frame.set_axis([*(f"c{number}" for number in range(frame.shape[1] - 1)), "label"], axis=1)
        named["label"] = named["label"].str.rstrip(".")
        named.to_csv(folder / f"{name}.csv", index=False)
    return Task(*(str(folder / f"{name}.csv") for name in ("train", "held", "test")), "auc")


TASKS = {"mnist": mnist, "adult": adult}


def hdl(task: Task, seconds: int, epochs: int, workers: int) -> tuple[float, int, float]:
    """Run `hdl search`; returns the best model's measure on the test rows, the trials, and the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        nets = ",".join("-".join(map(str, (0, *hidden, 0))) for hidden in HIDDEN)
        began = time.perf_counter()
        _command(["search", task.train, "--out", f"{folder}/s", "--label", "label", "--validation", task.held,
                  "--metric", task.metric, "--trials", "10000", "--time", f"{seconds}s", "--scheduler", "asha",
                  "--epochs", str(epochs), "--workers", str(workers), "--quiet", "--no-report",
                  "--param", f"net={nets}", "--param", "lr=log:1e-4,1e-2", "--param", "activation=relu,tanh",
                  "--param", "dropout=0:0.3", "--param", "l2=log:1e-7,1e-4"])  # fmt: skip
        took = time.perf_counter() - began
        rows = pq.read_table(f"{folder}/s/search.parquet").to_pylist()
        best = min((row for row in rows if row["rank"] is not None), key=lambda row: row["rank"])
        said = json.loads(_command(["evaluate", f"{folder}/s/trial{best['trial']:04d}", task.test, "--json"]))
        return {**said, **said["metrics"]}[task.metric], sum(row["rounds"] > 0 for row in rows), took


def _command(words: list[str]) -> str:
    done = subprocess.run([sys.executable, "-m", "hdl", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"hdl {' '.join(words)}\n{done.stderr}")
    return done.stdout


def h2o(task: Task, seconds: int, epochs: int, workers: int) -> tuple[float, int, float]:
    """Run H2O's random grid of deep learning; its start and the reading of the files are not counted."""
    import h2o as server
    from h2o.estimators import H2ODeepLearningEstimator
    from h2o.grid import H2OGridSearch

    server.init(nthreads=workers, max_mem_size="3G", log_level="ERRR", bind_to_localhost=True, verbose=False)
    server.no_progress()
    try:
        frames = [server.import_file(path) for path in task[:3]]
        for frame in frames:
            frame["label"] = frame["label"].asfactor()
        grid = H2OGridSearch(
            H2ODeepLearningEstimator(epochs=epochs, stopping_rounds=3, stopping_tolerance=1e-3, seed=1),
            hyper_params={"hidden": [list(hidden) for hidden in HIDDEN], "activation": ["Rectifier", "Tanh"],
                          "input_dropout_ratio": [0.0, 0.1, 0.2], "l2": [0.0, 1e-6, 1e-5, 1e-4],
                          "rho": [0.9, 0.95, 0.99, 0.999], "epsilon": [1e-10, 1e-8, 1e-6]},
            search_criteria={"strategy": "RandomDiscrete", "max_runtime_secs": seconds, "seed": 1},
        )  # fmt: skip
        began = time.perf_counter()
        grid.train(y="label", training_frame=frames[0], validation_frame=frames[1])
        took = time.perf_counter() - began
        best = grid.get_grid(sort_by=task.metric, decreasing=True).models[0]
        if task.metric == "auc":
            return float(best.model_performance(frames[2]).auc()), len(grid.models), took
        answers = best.predict(frames[2])["predict"].as_data_frame(use_multi_thread=False)["predict"]
        labels = pd.read_csv(task.test, usecols=["label"])["label"]
        return float((answers.to_numpy() == labels.to_numpy()).mean()), len(grid.models), took
    finally:
        server.cluster().shutdown()


def main() -> None:
    """Measure both, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", nargs="*", default=[*TASKS], choices=[*TASKS])
    parser.add_argument("--seconds", type=int, default=60, help="after which neither begins another model")
    parser.add_argument("--epochs", type=int, default=27, help="of a model at most")
    parser.add_argument("--rows", type=int, default=8000, help="of MNIST to train on; a quarter as many choose")
    parser.add_argument("--workers", type=int, default=2, help="processes of hdl, threads of H2O")
    parser.add_argument("--first", choices=("hdl", "h2o"), default="hdl")
    parser.add_argument("--only", choices=("hdl", "h2o"))
    given = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {time.strftime('%F %H:%M')}")
    contenders = {"hdl": hdl, "h2o": h2o}
    for name in given.task:
        with tempfile.TemporaryDirectory() as folder:
            task = TASKS[name](Path(folder), given.rows)
            for who in sorted(contenders, key=lambda who: who != given.first):
                if given.only in (None, who):
                    found, models, took = contenders[who](task, given.seconds, given.epochs, given.workers)
                    print(f"{name:7}{who:5}{task.metric} {found:.4f} on test rows, {models} models in {took:.0f} s, "
                          f"load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
