"""A table's network measured on every runner, with any number of workers: equal to the last digit."""

import os
import shutil
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from hdl import driver, measuring, passes
from hdl.data import Options, open_source
from hdl.errors import DataError, SpecError, WorkerError
from hdl.measuring import Asked
from hdl.predict import Model
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from tests.runner.every_column import options, write
from tests.runner.passing import RUNNERS
from tests.runner.test_faults import Killer

ROWS = 150
HERE = [name for name in RUNNERS if name != "yarn" or find_spec("zmq")]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """`job(form)`: a network of a table with a column of every kind, and the data in four parts that it measures."""
    folder, made = tmp_path_factory.mktemp("measured"), {}

    def of(form):
        if form not in made:
            path, table = write(str(folder / form), form), str(folder / f"model-{form}")
            spec = parse({"net": "0-5-0", "shards": 2, "epochs": 40, "batch": 8, "seed": 3})
            driver.train(Job(path, table, spec, options(form)), LocalRunner(1))
            made[form] = Job(path, table, options=Options.make(Model(table).reading))
        return made[form]

    return of


def exact(found):
    """All that was found, as text that shows every digit."""
    score = vars(found.score) | {"confusion": found.score.confusion.tolist(), "curves": vars(found.score.curves)}
    with np.printoptions(threshold=10**9, floatmode="unique"):
        return repr(score), found.version, found.effects and found.effects.to_plain()


@pytest.fixture(scope="module")
def expected(job):
    """`expected(form)`: what one process finds."""
    made = {}

    def of(form):
        if form not in made:
            made[form] = measuring.measure(job(form), LocalRunner(1, 1), asked=Asked(rows=ROWS, repetitions=2))
        return made[form]

    return of


# A pass takes a process for each part in a pipe, and one for each of seven workers.
QUICK = [pytest.param(name, marks=pytest.mark.full if name in ("three", "seven") else ()) for name in HERE]
USUAL = [("tasks", "csv"), ("pipe", "csv"), ("yarn", "csv"), ("two", "parquet"), ("pipe", "parquet")]
CASES = [(name, "csv") for name in HERE if name != "local"]
CASES += [(name, "parquet") for name in HERE if name in ("two", "pipe", "tasks")]
CASES = [pytest.param(*case, marks=() if case in USUAL else pytest.mark.full) for case in CASES]


@pytest.mark.parametrize(("name", "form"), CASES)
def test_every_runner_measures_the_same_to_the_last_digit(job, expected, tmp_path, name, form):
    alone = (name, form) == ("pipe", "parquet")  # importance goes through a pipe as text
    asked = Asked() if alone else Asked(rows=ROWS, repetitions=2)
    found = measuring.measure(job(form), RUNNERS[name](tmp_path / "tasks"), asked=asked)
    assert found.score.metrics["auc"] > 0.7
    if alone:
        assert exact(found)[:2] == exact(expected(form))[:2]
        return
    assert exact(found) == exact(expected(form))
    assert (found.effects.rows, found.effects.of) == (ROWS, found.score.samples)
    assert found.score.unlabelled > 0


def test_a_model_in_python_measures_the_same(job, expected):
    one = job("csv")
    model = Model(one.table)
    source = open_source(one.data, one.options, model.schema)
    assert passes.count(source) == 4
    score = model.evaluate(source)
    assert exact(replace_score(expected("csv"), score)) == exact(expected("csv"))


def replace_score(found, score):
    return found._replace(score=score)


def test_the_cut_is_the_datas_alone(job, tmp_path, monkeypatch):
    one = job("csv")
    whole = shutil.copy(os.path.join(one.data, "part-00000.csv"), tmp_path / "whole.csv")
    source = open_source(str(whole), one.options, Model(one.table).schema)
    assert passes.count(source) == 1
    monkeypatch.setattr(passes.parts, "PART_BYTES", 1000)
    assert passes.count(source) == -(-whole.stat().st_size // 1000) > 4
    assert passes.workers(source, 2) == 2
    found = [measuring.measure(replace(one, data=str(whole)), LocalRunner(workers, 1)) for workers in (1, 3)]
    assert exact(found[0]) == exact(found[1])


def test_a_worker_that_dies_is_replaced_and_the_digits_stay(job, expected):
    runner = LocalRunner(2, 1)
    killer = Killer(runner, "permute")
    found = measuring.measure(job("csv"), runner, killer, Asked(rows=ROWS, repetitions=2))
    assert killer.replaced
    assert exact(found) == exact(expected("csv"))


def test_workers_that_keep_dying_end_it_with_what_they_said(job, monkeypatch, tmp_path):
    # A sitecustomize that is found first makes the workers die, and only them, with a message.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'hdl.runners.local_worker' in ' '.join(sys.orig_argv):\n"
        "    import os; os.write(2, b'the disk is on fire'); os._exit(3)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(WorkerError, match=r"(?s)died 3 times at shard [02].*status 3.*the disk is on fire"):
        measuring.measure(job("csv"), LocalRunner(2, 1))


def test_a_yarn_worker_that_dies_changes_nothing(job, expected, monkeypatch):
    pytest.importorskip("zmq")
    monkeypatch.setenv("HDL_FAULT", "loading:0:*:1:KILL")
    runner, seen = RUNNERS["yarn"](None), []
    found = measuring.measure(job("parquet"), runner, seen.append, Asked(rows=ROWS, repetitions=2))
    assert any(isinstance(event, Replaced) for event in seen)
    assert exact(found) == exact(expected("parquet"))


@pytest.fixture
def broken(job, tmp_path):
    """The table as text, with a line in each of two parts that is no record."""
    one, folder = job("csv"), tmp_path / "broken"
    folder.mkdir()
    for number, name in enumerate(sorted(os.listdir(one.data))):
        with open(os.path.join(one.data, name)) as file:
            lines = file.read().splitlines()
        if number in (1, 3):
            lines[1] = "one,cell"
        (folder / name).write_text("\n".join(lines) + "\n")
    return replace(one, data=str(folder))


@pytest.mark.parametrize("name", QUICK)
def test_bad_records_are_counted_over_all_parts(broken, tmp_path, name):
    allowed = replace(broken, options=Options.make(broken.options, max_bad_records=2))
    found = measuring.measure(allowed, RUNNERS[name](tmp_path / "two"))
    assert found.score.bad == 2
    few = replace(broken, options=Options.make(broken.options, max_bad_records=1))
    with pytest.raises(DataError, match=r"(?s)2 bad records, expected at most 1.*part-00001\.csv:2.*part-00003\.csv:2"):
        measuring.measure(few, RUNNERS[name](tmp_path / "one"))


@pytest.mark.parametrize("name", [name for name in QUICK if name.values != ("pipe",)])
def test_the_first_bad_record_ends_it_with_its_place(broken, tmp_path, name):
    with pytest.raises(DataError, match=r"part-0000[13]\.csv:2"):
        measuring.measure(broken, RUNNERS[name](tmp_path))


def test_what_does_not_fit_the_network_is_refused_before_anything_is_read(job):
    with pytest.raises(SpecError, match=r"importance: expected a metric of this network, one of .*auc.*given 'rmse'"):
        measuring.measure(job("csv"), LocalRunner(1), asked=Asked(rows=10, metric="rmse"))
