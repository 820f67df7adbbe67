"""Trainings with logs, and what a CSV log of one must hold."""

import csv
from pathlib import Path

import numpy as np

from hdl import driver
from hdl.data import Options
from hdl.loggers import open_log
from hdl.metrics_log import rounds
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec
from hdl.table import Table

SPEC = Spec(net="3-4-2", epochs=3, validation=0.25, shards=2, sync={"mode": "average"}, optimizer="adam")


def data():
    """Makes a small table of data in the working folder."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((120, 3))
    lines = [f"{a:.3f},{b:.3f},{c:.3f},{int(a > 0)}" for a, b, c in x]
    Path("a.csv").write_text("\n".join(["a,b,c,label", *lines]) + "\n")


def train(texts, said, spec=SPEC, table="model", log=None):
    """Trains, or goes on, with logs; returns the table."""
    log = open_log(texts, table, said.append) if log is None else log
    job = Job("a.csv", table, spec, Options.make({"label": "label"}), driver.begun(table) is not None)
    with log, LocalRunner(workers=1, threads=1) as runner:
        driver.train(job, runner, log)
    return Table(table)


def lines(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def column(path, name):
    return {int(line["round"]): float(line[name]) for line in lines(path) if line[name]}


def check_csv(path, table):
    """The file's rows are the table's, each once."""
    kept, steps = rounds(table.rows()), [int(line["round"]) for line in lines(path)]
    assert steps == list(range(steps[0], steps[0] + len(steps)))
    assert column(path, "cost") == {row["round"]: row["cost"] for row in kept}
    assert column(path, "seconds") == {row["round"]: row["seconds"] for row in kept}
    known = {row["round"]: row["val_cost"] for row in kept if row["val_cost"] is not None}
    found = column(path, "val_cost") if known else {}
    assert {step: cost for step, cost in found.items() if step} == known
    return steps
