"""A table with a column of every kind on a real cluster: the same SHA-256 by all four runners, and all answers.

The rounds are measured on data of their own, so that this is the one training that shows both on daemons.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pyarrow as pa
import pyarrow.csv
import pytest

from hdl import driver, fs
from hdl.driver import Started
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from tests.hadoop.runners import QUIET, RUNNERS, signatures
from tests.hadoop.test_faults import Killer
from tests.hadoop.test_runners import ALL
from tests.runner.every_column import FIELDS, options, schema_of, table, write

HDL = [sys.executable, "-m", "hdl"]
HOME = "hdfs:///tests/columns"
FORMS = ("parquet", *(pytest.param(form, marks=pytest.mark.full) for form in ("csv", "imported")))


@pytest.fixture(scope="module")
def data(cluster):
    """`data(form)`: the table on HDFS, written when it is first asked for, and fewer rows of it to measure on."""
    yield cache(lambda form: (write(f"{HOME}/{form}", form), write(f"{HOME}/{form}-held-out", form, 80)))
    fs.remove(HOME)


def train(data, form, out, runner, on_event=None):
    path, held_out = data
    spec = {"net": "0-5-0", "shards": 2, "epochs": 1, "batch": 8, "seed": 3, "holdout": {"path": held_out}}
    outcome = driver.train(Job(path, out, parse({**spec, **FIELDS["weighed"]}), options(form)), runner, on_event)
    names = ("val_samples", "val_cost", "val_accuracy", "samples")
    return [[row.get(name) for name in names] for row in outcome.rows], [row["seconds"] for row in outcome.rows]


@pytest.fixture(scope="module")
def trained(data, archive):
    """`trained(form)`: what came of it and the seconds of its rounds, by runner, when it is first asked for."""

    @cache
    def trained(form):
        both = data(form)

        def one(name):
            more = {"workers": 2} if name == "yarn" else {}
            runner = LocalRunner(1) if name == "local" else ALL[name](archive=archive, settings=QUIET, **more)
            rows, seconds = train(both, form, f"{HOME}/{form}-{name}", runner)
            found = signatures(f"{HOME}/{form}-{name}"), schema_of(Table(f"{HOME}/{form}-{name}")), rows
            return name, (found, seconds)

        with ThreadPoolExecutor(4) as pool:
            return dict(pool.map(one, ("local", *ALL)))

    return trained


@pytest.mark.parametrize("form", FORMS)
def test_four_runners_give_the_same_bytes(trained, form):
    others = {name: found for name, (found, _) in trained(form).items()}
    expected = others.pop("local")
    assert len(others) == len(ALL) >= 2
    assert len(set(expected[0].values())) == 2
    assert expected[2][-1][0] > 70  # of 80 rows some have no label
    for name, found in others.items():
        assert found == expected, name


@pytest.mark.parametrize("name", RUNNERS)
def test_a_round_tells_where_its_seconds_went(trained, name):
    for seconds in trained("parquet")[name][1]:
        phases = [seconds[phase] for phase in ("start", "read", "compute", "shuffle", "finish")]
        assert min(phases) > -0.1
        assert seconds["start"] > 0
        assert sum(phases) <= seconds["round"] + 0.5
        assert sorted(shard for worker in seconds["workers"] for shard in worker["shards"]) == [0, 1]


@pytest.mark.full
@pytest.mark.parametrize("name", RUNNERS)
def test_a_task_killed_in_the_summary_pass_changes_nothing(data, archive, name):
    both, out = data("parquet"), f"{HOME}/killed-{name}"
    train(both, "parquet", f"{out}-expected", LocalRunner(1))
    killer, events = Killer("m", "python"), []
    killer.start()  # before the first job, which summarises

    def watch(event):
        events.append((killer.killed, event))

    try:
        train(both, "parquet", out, RUNNERS[name](archive=archive, uber=False, settings=QUIET), watch)
    finally:
        killer.stopped = True
    assert [event for _, event in events if isinstance(event, Replaced)]
    assert [killed for killed, event in events if isinstance(event, Started)] == [killer.killed]  # it was by then
    assert signatures(out) == signatures(f"{out}-expected")


@pytest.mark.full  # test_secure_runners.py has a job's answers in order, tests/runner what is kept
def test_a_job_answers_every_row_in_order_with_what_is_kept(data, run, archive):
    (path, _), out = data("parquet"), f"{HOME}/answers"
    train(data("parquet"), "parquet", f"{HOME}/model", LocalRunner(1))
    run(*HDL, "predict", f"{HOME}/model", path, "--out", out, "--keep", "id,seen", "--runner", "mapreduce",
        "--workers", 3, HDL_NODE_ARCHIVE=archive, seconds=400)  # fmt: skip
    parts = []
    for number in range(3):
        with fs.open(f"{out}/part-{number:05d}.csv") as file:
            parts.append(pyarrow.csv.read_csv(file))
    answers, rows = pa.concat_tables(parts), table()
    assert answers["id"].to_pylist() == rows["id"].to_pylist()
    assert answers["label"].null_count == 0
    with fs.open(f"{out}/_lineage.json") as file:
        assert json.load(file)["sha256"] == Table(f"{HOME}/model").header()["signature"]
