"""Harp's tutorial job on Harp's own text files, for `yarn.py harp`; harp.md says how Harp is built and run."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from hdl import data, fs

MAPPERS, EPOCHS, SYNC, HIDDEN, BATCH = 2, 20, 5, "100,32", 2000
ROWS = 70_000
OPENS = "--add-opens java.base/java.lang=ALL-UNNAMED --add-opens java.base/java.util=ALL-UNNAMED"
SETTINGS = {
    "yarn.app.mapreduce.am.command-opts": f"-Xmx512m {OPENS}",
    "mapreduce.map.memory.mb": "3072",
    "mapreduce.map.collective.memory.mb": "3072",
    "mapreduce.map.collective.java.opts": f"-Xms2600m -Xmx2600m {OPENS}",
    "mapreduce.job.ubertask.enable": "false",
    "mapreduce.map.maxattempts": "1",
}


def files(place: str, mnist: str) -> str:
    """Puts MNIST's 70,000 rows on HDFS as the tutorial's scripts make them: each column standardised over all rows,
    eight digits and a space behind every number, two halves drawn at random; returns the job's folder."""
    folder = f"{place}/harp"
    if fs.exists(f"{folder}/batch/mnist_data_{MAPPERS}.Y"):
        return folder
    sources = [data.open_source(f"{mnist}{part}") for part in ("", ":test")]
    blocks = [block for source in sources for block in source.read(source.splits(1)[0])]
    x = np.concatenate([block.x for block in blocks])[:ROWS].astype(np.float64)
    y = np.concatenate([block.y for block in blocks])[:ROWS].astype(int)
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    fs.mkdir(f"{folder}/batch")
    order = np.array_split(np.random.default_rng(1).permutation(len(x)), MAPPERS)
    with tempfile.TemporaryDirectory() as here:
        for number, rows in enumerate(order, 1):
            for end, values in (("X", x[rows]), ("Y", np.eye(10)[y[rows]])):
                np.savetxt(f"{here}/mnist_data_{number}.{end}", values, "%.8f", newline=" \n")
        names = sorted(map(str, Path(here).iterdir()))
        command = ["hadoop", "fs", "-D", "dfs.replication=1", "-put", *names, f"{folder}/batch/"]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def run(jars: str, folder: str) -> dict[str, float]:
    """Runs Harp's job once.

    Returns
    -------
    dict
        `wall` and `loop`, seconds; `accuracy`, per cent of a mapper's own training rows, the mean of all mappers.
    """
    home = os.environ["HADOOP_HOME"]
    theirs = {**SETTINGS, "mapreduce.application.classpath": f"{home}/share/hadoop/lib/*,{jars}/*"}
    theirs["mapreduce.map.env"] = f"LD_LIBRARY_PATH={jars}"  # of jblas' BLAS
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as site:
        lines = (f"<property><name>{name}</name><value>{value}</value></property>" for name, value in theirs.items())
        site.write(f"<configuration>{''.join(lines)}</configuration>")
        site.flush()
        path = re.sub(r"^hdfs://[^/]*", "", folder)
        job = ["edu.iu.NN.NNMapCollective", "-conf", site.name, MAPPERS, EPOCHS, SYNC, HIDDEN, BATCH, 0, path]
        began = time.time()
        done = subprocess.run(
            ["hadoop", "jar", f"{jars}/harp.jar", *map(str, job)], capture_output=True, text=True,
            env={**os.environ, "HADOOP_CLASSPATH": f"{jars}/*"},
        )  # fmt: skip
        wall = time.time() - began
    said = done.stdout + done.stderr
    application = re.search(r"application_\d+_\d+", said)
    if done.returncode or "NN Job failed" in said or application is None:
        raise SystemExit(said[-4000:])
    time.sleep(5)  # until the nodes have put the logs together
    logs = subprocess.run(["yarn", "logs", "-applicationId", application[0]], capture_output=True, text=True).stdout
    rounds = re.findall(r"Iteration (\d+): traintime (\d+), commtime: (\d+), misc: (\d+)", logs)
    right = [float(value) for value in re.findall(r"Accuracy: ([\d.]+)", logs)]
    if not rounds or not right:
        raise SystemExit(f"no rounds in the logs of {application[0]}:\n{logs[-2000:]}")
    loop = sum(sum(map(int, times)) for _, *times in rounds) / 1000 / MAPPERS
    accuracy = float(np.mean(right))
    return {"wall": wall, "loop": loop, "accuracy": accuracy * 100 if accuracy <= 1 else accuracy}
