"""Real digits on HDFS, by the commands that a user types."""

import gzip
import json
import re
import sys

import numpy as np
import pytest

from hdl import fs
from hdl.table import Table

pytestmark = pytest.mark.full
HDL = [sys.executable, "-m", "hdl"]
# Deep Cloud's job: 400-25-10, tanh, softmax, L2 0.01, learning rate 0.01, mini-batches of 50, genetic reducer.
DEEP_CLOUD = [
    "--net",
    "400-25-10",
    "--activation",
    "tanh",
    "--loss",
    "softmax",
    "--scale",
    "none",
    "--l2",
    "0.01",
    "--optimizer",
    "sgd",
    "--lr",
    "0.01",
    "--batch",
    "50",
    "--epochs",
    "600",
    "--seed",
    "1",
    "--no-report",
    "--quiet",
]
GENETIC = ["--shards", "4", "--sync", "genetic", "--sync-every", "50", "--crossover", "arithmetic"]


@pytest.fixture
def ex4(cluster, folder, datasets):
    """4,000 digits in four numbered files, and 1,000 to test on."""
    with gzip.open(datasets("ex4") / "digitInput.txt.gz") as x, gzip.open(datasets("ex4") / "digitOutput.txt.gz") as y:
        x, y = np.loadtxt(x, np.float32), np.loadtxt(y).argmax(axis=1)
    order = np.random.default_rng(4).permutation(len(x))
    lines = [",".join(f"{value:.6g}" for value in x[i]) + f",{y[i]}\n" for i in order]
    fs.mkdir(f"{folder}/train")
    for number in range(4):
        text = "".join(lines[1000 * number : 1000 * (number + 1)])
        fs.publish(f"{folder}/train/part-{number:05d}.csv", text.encode())
    fs.publish(f"{folder}/test.csv", "".join(lines[4000:]).encode())
    return folder


def accuracy(said):
    return float(re.search(r"test accuracy\s+([\d.]+) %", said)[1]) / 100


@pytest.mark.timeout(1800)  # fourteen jobs
def test_the_deep_cloud_job_breeds_a_better_network_than_its_best_mapper_alone(run, ex4, archive):
    out = f"{ex4}/model"
    bred = run(*HDL, "train", f"{ex4}/train", "--out", out, "--runner", "mapreduce", "--test", f"{ex4}/test.csv",
               *DEEP_CLOUD, *GENETIC, HDL_NODE_ARCHIVE=archive, seconds=1500).stdout  # fmt: skip
    alone = [
        accuracy(run(*HDL, "train", f"{ex4}/train/part-{k:05d}.csv", "--out", f"{ex4}/alone{k}",
                     "--test", f"{ex4}/test.csv", *DEEP_CLOUD).stdout)
        for k in range(4)
    ]  # fmt: skip
    assert accuracy(bred) >= 0.9
    assert accuracy(bred) > max(alone)
    lineage = [row["genetic"] for row in Table(out).rows()]
    assert any(a != b for row in lineage for a, b in row["parents"])  # offspring of two
    for row in lineage:  # truncation: only the better half are parents
        best = np.argsort(row["costs"])[:2].tolist()
        assert {parent for pair in row["parents"] for parent in pair} <= set(best)


def test_mnist_by_four_maps_is_the_local_run_byte_for_byte(run, folder, archive, datasets):
    mnist = str(datasets("mnist"))
    run(*HDL, "import", mnist, f"{folder}/mnist", "--shards", 4)
    flags = ["--net", "784-100-10", "--shards", "4", "--epochs", "4", "--sync-every", "2", "--optimizer", "nesterov",
             "--lr", "0.1", "--no-report", "--quiet"]  # fmt: skip
    said = [
        run(*HDL, "train", f"{folder}/mnist", "--out", f"{folder}/{runner}", "--runner", runner,
            "--test", f"{mnist}:test", *flags, HDL_NODE_ARCHIVE=archive, seconds=600).stdout
        for runner in ("local", "mapreduce")
    ]  # fmt: skip
    digests = [re.search(r"sha256\s+(\w{64})", text)[1] for text in said]
    assert digests[0] == digests[1]
    assert accuracy(said[0]) == accuracy(said[1]) > 0.96


def test_answers_of_a_map_only_job_are_in_input_order_with_their_lineage(run, ex4, archive, tmp_path):
    run(*HDL, "train", f"{ex4}/train", "--out", f"{ex4}/model", *DEEP_CLOUD, "--epochs", 5)
    here = tmp_path / "here.csv"
    run(*HDL, "predict", f"{ex4}/model", f"{ex4}/train", "--out", here)
    run(*HDL, "predict", f"{ex4}/model", f"{ex4}/train", "--out", f"{ex4}/answers", "--runner", "mapreduce",
        "--workers", 3, HDL_NODE_ARCHIVE=archive, seconds=400)  # fmt: skip
    lines = []
    for number in range(3):
        with fs.open(f"{ex4}/answers/part-{number:05d}.csv") as file:
            lines += file.read().decode().splitlines()[1:]
    assert lines == here.read_text().splitlines()[1:]
    with fs.open(f"{ex4}/answers/_lineage.json") as file:
        lineage = json.load(file)
    assert lineage["sha256"] == Table(f"{ex4}/model").header()["signature"]
    assert sum(length for file in lineage["files"] for _, _, length in file["portions"]) == sum(
        fs.size(f"{ex4}/train/part-{k:05d}.csv") for k in range(4)
    )
