"""Codes of a dataset on HDFS, by the commands that a user types: a stack, a map-only job, patches of pictures."""

import io
import json
import sys

import numpy as np
import pyarrow.parquet
import pytest

from hdl import demo, fs
from hdl.table import Table

pytestmark = pytest.mark.full
HDL = [sys.executable, "-m", "hdl"]


@pytest.fixture
def patches(run, folder, tmp_path):
    """Patches of the demonstration's photographs, which lie on HDFS, as two files there."""
    pytest.importorskip("sklearn")
    fs.mkdir(f"{folder}/photos")
    for path in demo.photos(str(tmp_path / "photos")):
        fs.publish(f"{folder}/photos/{path.name}", path.read_bytes())
    run(*HDL, "import", f"{folder}/photos", f"{folder}/patches", "--patches", "8x8", "--count", 2000, "--shards", 2)
    run(*HDL, "import", tmp_path / "photos", tmp_path / "patches", "--patches", "8x8", "--count", 2000, "--shards", 2)
    for name in ("part-00000.parquet", "part-00001.parquet"):
        with fs.open(f"{folder}/patches/{name}") as file:
            assert file.read() == (tmp_path / "patches" / name).read_bytes()
    return folder


def test_codes_by_a_map_only_job_are_those_of_this_machine(run, patches, archive, tmp_path):
    model = f"{patches}/model"
    run(*HDL, "train", f"{patches}/patches", "--out", model, "--model", "stacked", "--net", "64-25-9", "--finetune",
        "none", "--pretrain-epochs", 2, "--no-report")  # fmt: skip
    for table, layer in ((model, 2), (model, 1), (f"{model}/layer2", 2)):
        here, there = tmp_path / f"{layer}.npy", f"{patches}/codes{table.count('/')}{layer}.parquet"
        run(*HDL, "encode", table, f"{patches}/patches", here, "--layer", layer, "--overwrite")
        run(*HDL, "encode", table, f"{patches}/patches", there, "--layer", layer, "--runner", "mapreduce",
            "--workers", 3, HDL_NODE_ARCHIVE=archive, seconds=400)  # fmt: skip
        codes = []
        for number in range(3):
            with fs.open(f"{there}/part-{number:05d}.parquet") as file:
                frame = pyarrow.parquet.read_table(io.BytesIO(file.read()))
            codes.append(np.stack([column.to_numpy() for column in frame.columns], axis=1))
        np.testing.assert_allclose(np.concatenate(codes), np.load(here), rtol=1e-6)
        with fs.open(f"{there}/_lineage.json") as file:
            assert json.load(file)["sha256"] == Table(table).header()["signature"]
    run(*HDL, "encode", model, f"{patches}/patches", f"{patches}/all.npy")  # a file on HDFS, made here
    with fs.open(f"{patches}/all.npy") as file:
        np.testing.assert_array_equal(np.load(io.BytesIO(file.read())).shape, (2000, 9))
