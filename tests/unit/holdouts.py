"""What the tests of held-out samples share: a table that says in many ways which of its rows are held out."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from hdl import driver
from hdl.data import findings
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table

N = 240


def cut_evenly(values, shards):
    """Values in consecutive parts whose lengths differ by one at most."""
    ends = [k * len(values) // shards for k in range(shards + 1)]
    return [values[low:high] for low, high in itertools.pairwise(ends)]


def visits(n=N, seed=0):
    """Numbers, a category, a date, a label of two classes, and columns that name rows to hold out."""
    rng = np.random.default_rng(seed)
    x, late = rng.normal(size=(n, 2)), np.arange(n) >= 3 * n // 4
    y = rng.random(n) < 1 / (1 + np.exp(-2 * x[:, 0]))
    return pa.table(
        {
            "a": x[:, 0],
            "b": x[:, 1],
            "town": rng.choice(["Rome", "Oslo", "Bern"], n),
            "dt": pa.array(np.datetime64("2024-01-01") + np.arange(n)),
            "is_test": late,
            "flag": late.astype(np.int64),
            "fold": np.arange(n) % 4,
            "split": np.where(late, "valid", "train"),
            "class": np.where(y, "yes", "no"),
        }
    )


def write(table, path):
    """A table as CSV or Parquet; its path."""
    (pyarrow.csv.write_csv if str(path).endswith(".csv") else pyarrow.parquet.write_table)(table, str(path))
    return str(path)


def train(data, table, workers=1, runner=None, options=None, **fields):
    """Train a small net; its outcome."""
    spec = parse({"net": "0-4-0", "shards": 3, "epochs": 2, "batch": 8, "seed": 3, **fields})
    job = Job(data, str(table), spec, **({"options": options} if options else {}))
    return driver.train(job, runner or LocalRunner(workers, 1))


def told(outcome):
    """What was said of the samples that are held out."""
    zero = Table(outcome.table).read(0)
    return dict(findings.lines(zero.about, zero.schema)).get("held out")


def schema(outcome):
    """The facts of the data that version 0 holds."""
    return Table(outcome.table).read(0).about["schema"]
