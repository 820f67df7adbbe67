"""Held-out samples of each kind: the same SHA-256 and the same measures, whoever computes and however many they are."""

import shutil
from itertools import product

import pytest

from hdl import driver
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from tests.runner.common import signatures, state_bytes
from tests.runner.test_streaming_pipe import called
from tests.runner.yarn_here import YarnHere
from tests.unit.holdouts import visits, write

KINDS = {
    "share": {"validation": 0.2, "holdout": {"stratified": True}},
    "column": {"holdout": {"column": "is_test"}},
    "value": {"holdout": {"column": "fold", "value": "3"}},
    "time": {"holdout": {"where": "dt > '2024-04-01'"}},
    "path": {"holdout": {"path": ""}},
    "fold": {"holdout": {"stratified": True, "folds": 3, "fold": 1}},
}
GRADIENT = {"sync": {"mode": "gradient"}, "optimizer": "lbfgs", "epochs": 3}


@pytest.fixture
def make_paths(tmp_path):
    """A function that makes a dataset, and data of its own to measure on, of a format."""
    return lambda suffix: [write(visits(n, seed), tmp_path / f"{seed}.{suffix}") for seed, n in ((0, 120), (1, 50))]


def both(kinds, whose):
    """Every kind in one of the formats and by one of those who compute, in both by both among the full tests."""
    cases = []
    for number, kind in enumerate(kinds):
        usual = ("csv", "parquet")[number % 2], whose[number % len(whose)]
        for one in product(("csv", "parquet"), sorted({*whose})):
            cases.append(pytest.param(kind, *one, marks=() if one == usual else pytest.mark.full))
    return cases


def spec_of(paths, kind, **fields):
    chosen = dict(KINDS[kind])
    if kind == "path":
        chosen["holdout"] = {"path": paths[1]}
    return parse({"net": "0-4-0", "shards": 4, "epochs": 3, "batch": 8, "seed": 3, **chosen, **fields})


@pytest.mark.parametrize(("kind", "suffix", "who"), both(KINDS, ("group", "crew", "crew", "group")))
def test_crews_and_a_worker_group_give_the_same_bytes(make_paths, tmp_path, kind, suffix, who):
    paths = make_paths(suffix)
    spec = spec_of(paths, kind)
    one = driver.train(Job(paths[0], str(tmp_path / "one"), spec), LocalRunner(1, 1))
    job = Job(paths[0], str(tmp_path / who), spec)
    other = YarnHere(2).train(job) if who == "group" else driver.train(job, LocalRunner(2, 2))
    assert signatures(other) == signatures(one)
    assert state_bytes(other) == state_bytes(one)
    rows = signatures(one)[1]
    assert all(row["val_samples"] for row in rows)
    assert rows[-1]["final"]


@pytest.mark.parametrize(("kind", "suffix", "who"), both(["path", "value"], ("group", "crew")))
def test_a_line_search_is_validated_by_any_crew(make_paths, tmp_path, kind, suffix, who):
    paths = make_paths(suffix)
    spec = spec_of(paths, kind, **GRADIENT)
    one = driver.train(Job(paths[0], str(tmp_path / "one"), spec), LocalRunner(1, 1))
    job = Job(paths[0], str(tmp_path / who), spec)
    other = YarnHere(2).train(job) if who == "group" else driver.train(job, LocalRunner(2, 1))
    assert signatures(other) == signatures(one)


@pytest.mark.parametrize("kind", ["share", "fold", "path"])
def test_streamings_mapper_holds_out_the_same(tmp_path, kind):
    """Text in files that are the shards, as Streaming hands it to mappers; the driver's plan is a copy of version 0."""
    data = tmp_path / "data"
    data.mkdir()
    for number in range(2):
        lines = [f"{row['a']:.4f},{row['b']:.4f},{row['class']}" for row in visits(30 + number, number + 2).to_pylist()]
        (data / f"part-{number:05d}.csv").write_text("\n".join((["a,b,class"] if not number else []) + lines) + "\n")
    own = write(visits(50, 1), tmp_path / "own.csv")
    spec = spec_of([str(data), own], kind, shards=2, keep=9)
    outcome = driver.train(Job(str(data), str(tmp_path / "m"), spec), LocalRunner(1))
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(Table(outcome.table).file(0), copy)
    (copy / "head").write_text("a,b,class\n")
    lines = []
    for number in range(2):
        content = (data / f"part-{number:05d}.csv").read_bytes()
        status, out, said = called("mapper", str(copy), stdin=content, HDL_SHARD=str(number))
        assert status == 0, said
        lines += out.splitlines(keepends=True)
    status, _, said = called("publish", str(copy), stdin=b"".join(lines))
    assert status == 0, said
    assert Table(str(copy)).header(1)["signature"] == Table(outcome.table).header(1)["signature"]
    names = ("val_samples", "val_cost", "val_correct")
    assert [Table(str(copy)).read().rows[-1].get(name) for name in names] == [outcome.rows[0].get(n) for n in names]
