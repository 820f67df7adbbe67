"""The YARN runner on a real cluster: `HDL_TEST_CLUSTER=FOLDER python -m tests.bench.yarn PART [TURNS]`.

FOLDER is that of `hdl cluster start --dir FOLDER`. All of it runs whole commands, as a user types them, on MNIST on
HDFS; competitors take turns, and medians are printed with their spread. Times of rounds are those in the tables.

    start    from the command's start to the first round's end, two workers with the packed environment, and where the
             seconds go; HDL_BENCH_OTHER=CHECKOUT takes turns with another checkout
    rounds   the same job's rounds by MapReduce and by YARN
    scale    two workers against one, 784-100-32-10, weights merged every epoch
    harp     the job of the Harp tutorial on its text files, with its optimiser and with ours, beside Harp (harp.md)
    spark    MLlib's perceptron on the same cluster (HDL_SPARK: a Python with pyspark) against L-BFGS here
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from hdl import data, fs
from hdl.cluster.daemons import Cluster
from hdl.table import Table
from tests.bench import harp as theirs
from tests.bench import yarn_start

HDL = [sys.executable, "-m", "hdl"]
MNIST = os.path.join(os.environ.get("HDL_DATA", "../shared/data"), "mnist")
PLACE = "hdfs:///tmp/bench"
SMALL = ["--worker-memory", "1g", "--master-memory", "768m"]
NET = ["--net", "784-100-32-10", "--batch", "100", "--optimizer", "sgd", "--lr", "0.1"]
HARP = ["--net", "784-100-32-10", "--shards", "2", "--epochs", "20", "--sync-every", "5", "--seed", "1"]
# Nonlinear conjugate gradient on mini-batches of 2000, five iterations each, merged after them; ten sigmoid outputs;
# the penalty 0.6987/2m·|W|² of a shard's mini-batch.
THEIRS = ["--net", "784-100-32-10", "--shards", "2", "--seed", "1", "--batch", "2000", "--optimizer", "cg"]
THEIRS += ["--iterations", "5", "--sync-every", "5batches", "--epochs", "20", "--activation", "sigmoid"]
THEIRS += ["--loss", "sigmoid", "--scale", "standard", "--l2", "0.00035"]
OURS = [
    *HARP,
    "--batch",
    "100",
    "--optimizer",
    "nesterov",
    "--lr",
    "0.1",
    "--schedule",
    "cosine",
    "--activation",
    "tanh",
]


def train(where: str, table: str, *flags: str) -> tuple[float, float, list[dict]]:
    """Trains by a command; gives its seconds, the seconds until the first round's end, and the rows."""
    if fs.exists(table):
        fs.remove(table)
    began = time.time()
    done = subprocess.run([*HDL, "train", where, "--out", table, "-q", *flags], capture_output=True, text=True)
    took = time.time() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    rows = [row for row in Table(table).rows() if not row.get("final")]
    return took, rows[0]["time"] - began, rows


def show(name: str, values: list[float], unit: str = "s") -> float:
    """Prints a median and its spread."""
    middle = statistics.median(values)
    print(f"| {name} | {middle:.2f} {unit} | {min(values):.2f} to {max(values):.2f} |", flush=True)
    return middle


def start(turns: int) -> None:
    flags = ["--runner", "yarn", "--workers", "2", "--shards", "4", "--epochs", "1", *NET, *SMALL, "--seed", "1"]
    yarn_start.measure(mnist(), f"{PLACE}/start", flags, turns, show)


def rounds(turns: int) -> None:
    measured: dict[str, list[float]] = {"mapreduce": [], "yarn": []}
    for _ in range(turns):
        for runner, times in measured.items():
            flags = ["--runner", runner, "--shards", "2", "--epochs", "3", *NET, "--no-report"]
            _, _, rows = train(mnist(), f"{PLACE}/rounds", *flags, *(SMALL if runner == "yarn" else ()))
            times += [row["seconds"]["round"] + row["seconds"]["merge"] for row in rows[1:]]
    one, other = (show(f"a round by {runner}", times) for runner, times in measured.items())
    print(f"| ratio | {one / other:.0f} | |")


def scale(turns: int) -> None:
    measured: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(turns):
        for workers, speeds in measured.items():
            flags = ["--runner", "yarn", "--workers", str(workers), "--shards", "2", "--epochs", "20", *NET, *SMALL]
            flags += ["--publish-every", "100"]
            _, _, rows = train(mnist(), f"{PLACE}/scale", *flags, "--no-report")
            speeds += [row["samples"] / (row["seconds"]["round"] + row["seconds"]["merge"]) / 1000 for row in rows[1:]]
    one, two = (show(f"{workers} workers", speeds, "thousand samples/s") for workers, speeds in measured.items())
    print(f"| ratio | {two / one:.2f} | |")


def harp(turns: int) -> None:
    """Runs Harp's job on Harp's files, in turns with Harp itself where HDL_HARP names the folder of its jars."""
    where = theirs.files(PLACE, MNIST)
    jobs = {"conjugate gradient, as Harp": THEIRS, "nesterov, mini-batches of 100": OURS}

    def model(name: str) -> str:
        return f"{PLACE}/harp-{name.split()[0]}"

    walls: dict[str, list[float]] = {}
    speeds: dict[str, list[float]] = {}
    for _ in range(turns):
        if jars := os.environ.get("HDL_HARP"):
            found = theirs.run(jars, where)
            walls.setdefault("Harp", []).append(found["wall"])
            speeds.setdefault("Harp", []).append(theirs.EPOCHS * theirs.ROWS / found["loop"] / 1000)
            print(f"| Harp: accuracy on its mappers' own training rows | {found['accuracy']:.1f} % | |", flush=True)
        for name, flags in jobs.items():
            flags = [*flags, "--runner", "yarn", "--workers", "2", *SMALL, "--no-report"]
            took, first, rows = train(f"{where}/batch", model(name), *flags)
            walls.setdefault(name, []).append(took)
            loop = sum(row["seconds"]["round"] + row["seconds"]["merge"] for row in rows)
            speeds.setdefault(name, []).append(theirs.EPOCHS * theirs.ROWS / loop / 1000)
            print(f"| {name}: first round ends | {first:.2f} s | |", flush=True)
    for name in walls:
        show(f"{name}: wall", walls[name])
        show(f"{name}: training loop", speeds[name], "thousand samples/s")
    for name in jobs if "Harp" in walls else ():
        ratios = [their / own for their, own in zip(walls["Harp"], walls[name], strict=True)]
        show(f"{name}: Harp's wall, times hdl's", ratios, "")
        ratios = [own / their for their, own in zip(speeds["Harp"], speeds[name], strict=True)]
        show(f"{name}: samples/s, times Harp's", ratios, "")
    for name in jobs:
        command = [*HDL, "evaluate", model(name), f"{where}/batch"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        print(f"| {name}: accuracy on all rows | {done.stdout.split('accuracy')[1].split()[0]} % | |")


def spark(turns: int) -> None:
    """Compares with Spark, an iteration of whose L-BFGS is a tenth of the difference of 11 and 1; in hdl one takes a
    round or more."""
    fs.mkdir(PLACE)
    where = libsvm()
    python = os.environ["HDL_SPARK"]
    archive = spark_jars(python)
    first: dict[str, list[float]] = {"Spark": [], "hdl": []}
    each: dict[str, list[float]] = {"Spark": [], "hdl": []}
    script = Path(__file__).with_name("spark_mlp.py")
    for _ in range(turns):
        began = time.time()
        done = subprocess.run([python, str(script), where, archive], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-4000:])
        ended, one, many = map(float, done.stdout.split()[-3:])
        first["Spark"].append(ended - began)
        each["Spark"].append((many - one) / 10)
        flags = ["--runner", "yarn", "--workers", "2", "--shards", "2", "--net", "784-100-32-10", "--epochs", "12"]
        flags += ["--sync", "gradient", "--optimizer", "lbfgs", "--activation", "sigmoid", "--scale", "none"]
        _, begins, rows = train(where, f"{PLACE}/spark", *flags, *SMALL, "--no-report")
        first["hdl"].append(begins)
        each["hdl"] += [row["seconds"]["round"] + row["seconds"]["merge"] for row in rows[1:]]
    for name, times_of in {"launch to the first round's end": first, "a full-gradient L-BFGS round": each}.items():
        theirs, ours = (show(f"{name}, {system}", times) for system, times in times_of.items())
        print(f"| ratio | {theirs / ours:.1f} | |")


def mnist() -> str:
    """Puts MNIST's files on HDFS."""
    place = f"{PLACE}/mnist"
    if not fs.exists(place):
        subprocess.run(["hadoop", "fs", "-mkdir", "-p", PLACE], check=True, capture_output=True)
        subprocess.run(["hadoop", "fs", "-put", MNIST, place], check=True, capture_output=True)
    return place


def libsvm() -> str:
    """Writes MNIST's training part as libsvm text, pixels divided by 255."""
    place = f"{PLACE}/mnist.libsvm"
    if fs.exists(place):
        return place
    source = data.open_source(MNIST)

    def write(file) -> None:
        for splits in source.splits(1):
            for block in source.read(splits):
                for x, y in zip(block.x, block.y, strict=True):
                    pairs = (f"{i + 1}:{x[i] / 255:.6g}" for i in np.flatnonzero(x))
                    file.write(f"{y} {' '.join(pairs)}\n".encode())

    fs.publish(place, write)
    return place


def spark_jars(python: str) -> str:
    """Puts Spark's jars on HDFS, so that no run has to send them."""
    place = f"{PLACE}/spark-jars"
    if not fs.exists(place):
        pyspark = subprocess.run(
            [python, "-c", "import pyspark, os; print(os.path.dirname(pyspark.__file__))"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        subprocess.run(
            ["hadoop", "fs", "-put", f"{pyspark.stdout.strip()}/jars", place], check=True, capture_output=True
        )
    return place


def main() -> None:
    os.environ.update(Cluster.load(Path(os.environ["HDL_TEST_CLUSTER"])).environment())
    if sys.argv[1] != "start":
        os.environ.setdefault("HDL_NODE_PYTHON", sys.executable)
    for name in "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE":  # they halve the speed of competitors
        os.environ.pop(name, None)
    turns = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    print(f"load {os.getloadavg()[0]:.1f}\n| | median | spread |\n|---|---|---|")
    {"start": start, "rounds": rounds, "scale": scale, "harp": harp, "spark": spark}[sys.argv[1]](turns)


if __name__ == "__main__":
    main()
