"""Trial-epochs a minute of a search with halving, beside Optuna and PyTorch: `python -m tests.bench.search`.

64 random trials of small nets on MNIST and on Adult, with the same rungs and the same processors: `hdl search`, and
Optuna's successive halving over two loops of PyTorch (`tests.bench.search_torch`), where both are installed. A
trial-epoch is one epoch of one trial that was really trained. Everybody has `--workers` processes of one thread; what
is counted of hdl includes starting, reading and writing, of PyTorch neither its start nor the making of its arrays.
hdl's search runs to its end; PyTorch's ends after `--seconds`, as the whole would take many times as long: its rate
does not depend on that. Beside the epochs a minute are those a minute of processor time, of which a busy machine
changes less.

By default it takes less than ten minutes, some of MNIST's samples left out: `--rows 0` takes all. With `--runner yarn`
hdl's data and results are on HDFS, of the cluster that HDL_TEST_CLUSTER names as for `tests.bench.yarn`; PyTorch has
as many processes as there are workers, but no more than processors. Processor time is then that of the command and of
the cluster's daemons with the containers that they have started, all that Hadoop itself does included.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pyarrow.parquet as pq

from hdl import fs
from hdl.cluster.daemons import Cluster
from tests.bench import search_torch

TRIALS, ETA = 64, 3
NETS = ((32,), (64,), (100, 32))
HERE = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("HDL_DATA") or HERE / "data")
PLACE = "hdfs:///tmp/bench-search"
SETTLED = 2.0  # s, after which containers that have ended are counted with the daemon that started them
DEFAULT = (DATA / "mnist", DATA / "tables/adult.data.gz")


class Found(NamedTuple):
    """What a search came to: trial-epochs, seconds, seconds of processor time, the best accuracy that chose."""

    epochs: float
    seconds: float
    used: float
    best: float


def processor_seconds(cluster: Cluster | None) -> float:
    """Tell the processor time of this process's children that have ended, and of a cluster with its containers."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime
    for daemon in cluster.daemons.values() if cluster else ():
        seconds += sum(psutil.Process(daemon.pid).cpu_times()[:4])
    return seconds


def hdl(data: str, out: str, epochs: int, trials: int, workers: int, runner: str, cluster: Cluster | None) -> Found:
    """Run `hdl search`."""
    nets = ",".join("-".join(map(str, (0, *net, 0))) for net in NETS)
    command = [sys.executable, "-m", "hdl", "search", data, "--out", out, "--trials", str(trials),
               "--scheduler", "halving", "--eta", str(ETA), "--validation", "0.1", "--metric", "accuracy",
               "--recipe", "plain", "--epochs", str(epochs), "--batch", "100", "--param", "lr=log:1e-4,1e-1",
               "--param", f"net={nets}", "--param", "dropout=0:0.5", "--param", "optimizer=adam,nesterov",
               "--workers", str(workers), "--runner", runner, "--no-report", "--quiet"]  # fmt: skip
    began, used = time.perf_counter(), processor_seconds(cluster)
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    seconds = time.perf_counter() - began
    time.sleep(SETTLED if cluster else 0)
    used = processor_seconds(cluster) - used
    with fs.open(fs.join(out, "search.parquet")) as file:
        made = pq.read_table(file).to_pylist()
    best = max(row["value"] for row in made if row["value"] is not None)
    return Found(sum(row["rounds"] for row in made), seconds, used, best)


def torch(python: str, kind: str, folder: str, epochs: int, trials: int, workers: int, limit: float) -> Found:
    """Run Optuna over a loop of PyTorch, in the interpreter that has both."""
    asked = {"kind": kind, "folder": folder, "nets": NETS, "epochs": epochs, "eta": ETA, "trials": trials,
             "processes": min(workers, os.cpu_count() or 1), "seconds": limit}  # fmt: skip
    command = [python, "-m", "tests.bench.search_torch", json.dumps(asked)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=HERE)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return Found(*json.loads(done.stdout))


def main() -> None:
    """Measure all in turn and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="*", default=[*map(str, DEFAULT)], help="datasets, such as mnist or adult.csv")
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--workers", type=int, default=2, help="processes of each search")
    parser.add_argument("--runner", default="local", choices=("local", "yarn"))
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of PyTorch's searches")
    parser.add_argument("--only", choices=("hdl", *search_torch.LOOPS))
    parser.add_argument("--rows", type=int, default=20_000, help="of images at most; 0: all")
    parser.add_argument("--python", default=os.environ.get("HDL_BENCH_PYTHON", sys.executable),
                        help="Python with PyTorch and Optuna")  # fmt: skip
    given = parser.parse_args()
    lacking = subprocess.run([given.python, "-c", "import optuna, torch"], capture_output=True, check=False).returncode
    if lacking:
        print("no comparison: name a Python that has PyTorch and Optuna with --python", file=sys.stderr)
    cluster = Cluster.load(Path(os.environ["HDL_TEST_CLUSTER"])) if given.runner == "yarn" else None
    if cluster:
        os.environ.update(cluster.environment())
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {time.strftime('%F %H:%M')}")
    for data in given.data:
        with tempfile.TemporaryDirectory() as folder:
            path = _part(data, given.rows, folder)
            rows: dict[str, Found] = {}
            if given.only in (None, "hdl"):
                place = f"{PLACE}-{os.getpid()}" if cluster else folder
                there = fs.join(place, Path(path).name) if cluster else path
                if cluster:
                    fs.mkdir(place)
                    fs.publish(there, Path(path).read_bytes())
                rows["hdl"] = hdl(
                    there, fs.join(place, "found"), given.epochs, given.trials, given.workers, given.runner, cluster
                )
                if cluster:
                    fs.remove(place)
                _print(data, "hdl", rows)
            for kind in () if lacking or given.only == "hdl" else search_torch.LOOPS:
                if given.only in (None, kind):
                    for name, array in zip("xy", _samples(path), strict=True):
                        np.save(Path(folder, f"{name}.npy"), array)
                    rows[kind] = torch(
                        given.python, kind, folder, given.epochs, given.trials, given.workers, given.seconds
                    )
                    _print(data, kind, rows)


def _print(data: str, name: str, rows: dict[str, Found]) -> None:
    """Print one search's line, beside hdl's."""
    epochs, seconds, used, best = rows[name]
    ratio = ""
    if name != "hdl" and "hdl" in rows:
        ours = rows["hdl"]
        times = [ours.epochs / ours.seconds / epochs * seconds, ours.epochs / ours.used / epochs * used]
        ratio = f"; hdl's are {times[0]:.1f} times as many, {times[1]:.1f} by processor time"
    print(f"{Path(data).name:15} {'optuna + torch, ' if name != 'hdl' else ''}{name:9}{60 * epochs / seconds:9.1f} "
          f"trial-epochs a minute, {60 * epochs / used:.1f} a minute of processor time ({epochs:.0f} in {seconds:.1f} "
          f"s, {used:.1f} s), best {best:.4f}{ratio}", flush=True)  # fmt: skip


def _part(data: str, rows: int, folder: str) -> str:
    """Give the training part of a dataset: of images so many at most, as an array on file; else the data itself."""
    if _is_table(data):
        return data
    x, y = _numbers(data)
    size = min(rows or len(x), len(x))
    np.savez(f"{folder}/part.npz", x=x[:size], y=y[:size])
    return f"{folder}/part.npz"


def _is_table(path: str) -> bool:
    return bool(re.search(r"\.(csv|data)(\.gz)?$", path))


def _samples(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a dataset whose last column or own file is the label, standardised, in an order of its own."""
    x, y = _table(path) if _is_table(path) else _numbers(path)
    _, labels = np.unique(y, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = x.astype(np.float32)
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    return np.ascontiguousarray(x[order]), labels.astype(np.int64)[order]


def _numbers(path: str) -> tuple[np.ndarray, np.ndarray]:
    from hdl.data import open_source

    source = open_source(path)
    blocks = [block for splits in source.splits(1) for block in source.read(splits)]
    x = np.concatenate([np.asarray(block.x) for block in blocks])
    return x, np.concatenate([np.asarray(block.y) for block in blocks]).reshape(len(x), -1)[:, 0]


def _table(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a table without a header; a column of texts becomes one of 0 and 1 for each of them."""
    from pyarrow import csv, types

    table = csv.read_csv(path, csv.ReadOptions(autogenerate_column_names=True))
    *columns, label = [column.combine_chunks() for column in table.columns]
    parts = []
    for column in columns:
        values = column.to_numpy(zero_copy_only=False)
        parts.append(values[:, None] == np.unique(values) if types.is_string(column.type) else values[:, None])
    return np.hstack(parts).astype(np.float32), label.to_numpy(zero_copy_only=False)


if __name__ == "__main__":
    main()
