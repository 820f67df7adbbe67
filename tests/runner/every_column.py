"""A table with a column of every kind, as CSV, as Parquet, and as what `hdl import` makes of it."""

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from hdl import fs
from hdl.data import Options, open_source, write_shards

SHARDS = 4
OPTIONS = {"label": "churned", "weights": "weight", "ignore": "id", "columns": "area:category"}
FIELDS = {
    "plain": {"optimizer": "adam", "validation": 0.2},
    "weighed": {"optimizer": "momentum", "class_weight": "balanced", "preprocessing": {"min_count": 3}},
    "gradient": {"sync": {"mode": "gradient"}, "optimizer": "lbfgs", "scale": "quantile"},
    "embedded": {"optimizer": "adam", "embedding": 2, "preprocessing": {"missing": "median"}},
    "pieces": {"optimizer": "sgd", "preprocessing": {"numeric_embedding": "ple", "bins": 4, "hash_buckets": 8}},
}


def table(n=400, vector=True):
    """Rows of an id, numbers, one with missing cells, categories, a boolean, a date, moments, a vector, a constant,
    weights, and a label that some rows lack."""
    rng = np.random.default_rng(11)
    colour = rng.integers(0, 4, n)
    size = rng.normal(size=n)
    score = size + (colour == 2) - 0.5 + 0.3 * rng.normal(size=n)
    label = pa.array(np.where(score > 0, "yes", "no"), mask=rng.random(n) < 0.03)
    names = pa.array(["red", "höhle", "blue, green", "grey"])
    columns = {
        "id": pa.array([f"r{i:05}" for i in range(n)]),
        "size": pa.array(size),
        "age": pa.array(rng.integers(17, 80, n), mask=rng.random(n) < 0.2),
        "price": pa.array(np.where(np.arange(n) == 7, 1e30, 1.7e9 + 100 * rng.random(n))),
        "colour": names.take(pa.array(colour, mask=rng.random(n) < 0.1)),
        "area": pa.array(rng.choice([10115, 80331, 20095], n)),
        "member": pa.array(rng.random(n) < 0.4),
        "day": pa.array(rng.integers(19_000, 20_000, n).astype("int32"), pa.date32(), mask=rng.random(n) < 0.1),
        "seen": pa.array(1_700_000_000_000_000 + rng.integers(0, 10**13, n), pa.timestamp("us")),
        "constant": pa.array(np.full(n, 3.5)),
        "weight": pa.array(rng.integers(1, 4, n) / 2),
        "churned": label,
    }
    if vector:
        columns["place"] = pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=2 * n)), 2)
    return pa.table(columns)


def write(folder, form, n=400):
    """Write the table into a new folder, as one file a shard, of other numbers of rows; returns the data's path."""
    path = fs.join(folder, form)
    if form == "imported":
        # What it is made of says what is the label, what weighs, and what is left out.
        source = open_source(write(folder, "parquet", n), Options.make(OPTIONS, keep="id"))
        write_shards(source, path, shards=SHARDS)
        return path
    rows = table(n, vector=form != "csv")
    fs.mkdir(path)
    ends = [0, n // 5, n // 2, n // 2 + 3, n]  # blocks and shards are not alike
    for number, (lo, hi) in enumerate(pairwise(ends)):
        part = rows.slice(lo, hi - lo)

        def put(file, part=part):
            if form == "csv":
                pa.csv.write_csv(part, file)
            else:
                pq.write_table(part, file, row_group_size=64)

        fs.publish(fs.join(path, f"part-{number:05}.{form}"), put)
    return path


def options(form):
    """Options for reading the table; one that was imported needs none."""
    return Options.make({} if form == "imported" else OPTIONS)


def schema_of(table):
    """The fitted columns in version 0, as text that is the same where they are."""
    return json.dumps(table.read(0).about["schema"]["columns"], sort_keys=True)
