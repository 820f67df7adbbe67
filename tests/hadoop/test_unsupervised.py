"""Autoencoders, RBMs and stacks of them on a real cluster: the local runner's bytes on every runner."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from hdl import fs
from hdl.runners.local import LocalRunner
from tests.hadoop.runners import QUIET, signatures, train
from tests.hadoop.test_runners import ALL

HDL = [sys.executable, "-m", "hdl"]
PHOTOS = Path(sklearn.datasets.__file__).parent / "images"
SPARSE = {"model": "autoencoder", "net": "64-25-64", "sync": {"mode": "gradient"}, "optimizer": "lbfgs", "l2": 1e-4,
          "autoencoder": {"rho": 0.01, "beta": 3}}  # fmt: skip
NETS = {
    "dbn": {"model": "dbn", "net": "0-6-5-0", "pretrain": {"epochs": 1}, "epochs": 1},
    "stacked": {"model": "stacked", "net": "0-6-5", "finetune": "reconstruct", "pretrain": {"epochs": 1}, "epochs": 1},
    "rbm": {"model": "rbm", "net": "0-6", "optimizer": "sgd", "epochs": 2,
            "rbm": {"persistent": True, "chains": 8, "visible": "gaussian"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def patches(cluster, run):
    place = "hdfs:///tests/patches"
    run(*HDL, "import", PHOTOS, place, "--patches", "8x8", "--count", "600", "--seed", "1", "--shards", "4")
    yield place
    fs.remove(place)


@pytest.fixture(scope="module")
def digits(cluster):
    """A few labelled samples in four files, each a shard."""
    place = "hdfs:///tests/unsupervised-digits"
    fs.mkdir(place)
    rng = np.random.default_rng(0)
    for number in range(4):
        lines = (",".join(f"{v:.3f}" for v in (*rng.random(4), i % 2)) for i in range(30))
        fs.publish(f"{place}/part-{number:05d}.csv", ("\n".join(lines) + "\n").encode())
    yield place
    fs.remove(place)


def everywhere(names, data, folder, archive, **fields):
    """The versions' signatures by runner."""

    def one(name):
        runner = LocalRunner(1) if name == "local" else ALL[name](archive=archive, settings=QUIET)
        train(data, f"{folder}/{name}", runner, **fields)
        tables = [f"{folder}/{name}", f"{folder}/{name}/layer1", f"{folder}/{name}/layer2"]
        return name, [signatures(table) for table in tables if fs.exists(table)]

    with ThreadPoolExecutor(4) as pool:
        return dict(pool.map(one, names))


@pytest.mark.full
def test_five_evaluations_of_a_sparse_autoencoder_are_the_same_everywhere(patches, folder, archive):
    outcomes = everywhere(("local", *ALL), patches, folder, archive, epochs=5, **SPARSE)
    assert all(signed == outcomes["local"] for signed in outcomes.values()), outcomes
    assert len(set(outcomes["local"][0].values())) > 1


@pytest.mark.full
@pytest.mark.skipif("yarn" not in ALL, reason="no jpype or pyzmq")
@pytest.mark.parametrize("epochs", [10, 400])
def test_a_sparse_autoencoder_on_yarn_is_the_local_one(patches, folder, archive, epochs):
    outcomes = everywhere(("local", "yarn"), patches, folder, archive, epochs=epochs, **SPARSE)
    assert outcomes["yarn"][0][epochs] == outcomes["local"][0][epochs] != outcomes["local"][0][0]


@pytest.mark.full  # test_every_column.py has the runners on daemons, tests/runner/test_yarn_here.py the models
@pytest.mark.parametrize("net", NETS)
def test_layers_are_the_same_everywhere(digits, folder, archive, net):
    outcomes = everywhere(("local", *ALL), digits, folder, archive, **NETS[net])
    assert all(signed == outcomes["local"] for signed in outcomes.values()), outcomes
    assert len(outcomes["local"]) == (1 if net == "rbm" else 3)


def test_codes_of_data_on_hdfs(patches, folder, run):
    model = ["--model", "autoencoder", "--net", "0-9-0", "--epochs", "1"]
    run(*HDL, "train", patches, "--out", f"{folder}/m", *model, "-q", "--no-report")
    run(*HDL, "encode", f"{folder}/m", patches, f"{folder}/codes.npy")
    with fs.open(f"{folder}/codes.npy") as file:
        codes = np.lib.format.read_array(file)
    assert codes.shape == (600, 9)
    assert 0 < codes.min() < codes.max() < 1
