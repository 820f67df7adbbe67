"""A table with a column of every kind: the same bytes by any crew, from any format, through pipes and after a fault."""

import shutil
from functools import cache

import numpy as np
import pyarrow.csv
import pytest

from hdl import cli, driver
from hdl.data import Options, open_source, write_shards
from hdl.predict import Model
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from hdl.wire import blocks
from tests.runner.common import signatures, state_bytes
from tests.runner.every_column import FIELDS, OPTIONS, SHARDS, options, schema_of, table, write
from tests.runner.test_faults import Killer
from tests.runner.test_streaming_pipe import called

FORMS = ("csv", "parquet", "imported")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """`data(form)`: the path of the table in a format, written when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("tables"), {}

    def path(form):
        if form not in made:
            made[form] = write(str(folder / form), form)
        return made[form]

    return path


@pytest.fixture(scope="module")
def expected(data, tmp_path_factory):
    """`expected(form, mode)`: a training in this process, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("expected")
    return cache(
        lambda form, mode: begin(data(form), str(folder / f"{form}-{mode}"), form, LocalRunner(1), **FIELDS[mode])
    )


def begin(path, table, form, runner, on_event=None, **fields):
    spec = parse({"net": "0-5-0", "shards": SHARDS, "epochs": 3, "batch": 8, "seed": 3, "keep": 9, **fields})
    job = Job(path, table, spec, options(form))
    return driver.train(job, runner, on_event) if isinstance(runner, LocalRunner) else runner.train(job, on_event)


@pytest.fixture
def train(tmp_path):
    """`train(path, form, runner, fields)`: a training of three epochs into a table of its own."""
    count = iter(range(100))

    def run(path, form, runner, on_event=None, **fields):
        return begin(path, str(tmp_path / f"model{next(count)}"), form, runner, on_event, **fields)

    return run


def same(one, two):
    assert signatures(one) == signatures(two)
    assert state_bytes(one) == state_bytes(two)
    assert schema_of(Table(one.table)) == schema_of(Table(two.table))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["plain", *(pytest.param(mode, marks=pytest.mark.full) for mode in FIELDS)])
def test_any_crew_gives_the_same_bytes(data, train, expected, form, mode):
    same(train(data(form), form, LocalRunner(3, 2), **FIELDS[mode]), expected(form, mode))
    signed = signatures(expected(form, mode))[0]
    assert len(set(signed.values())) == 4  # it learns


@pytest.mark.parametrize("mode", FIELDS)
def test_what_was_imported_trains_as_what_it_was_made_of(data, train, mode):
    """In one shard: files of other lengths are cut in other places."""
    found = [train(data(form), form, LocalRunner(1), **FIELDS[mode], shards=1) for form in ("parquet", "imported")]
    same(*found)


def test_a_worker_killed_in_the_summary_pass_changes_nothing(data, train, expected):
    runner = LocalRunner(2)
    killer = Killer(runner, "summarise")
    outcome = train(data("parquet"), "parquet", runner, killer, **FIELDS["weighed"])
    assert killer.replaced
    same(outcome, expected("parquet", "weighed"))


@pytest.mark.parametrize("form", ["csv", pytest.param("parquet", marks=pytest.mark.full)])
def test_a_worker_group_gives_the_local_runners_bytes(data, train, expected, form):
    pytest.importorskip("zmq")
    from tests.runner.yarn_here import YarnHere

    same(train(data(form), form, YarnHere(2), **FIELDS["plain"]), expected(form, "plain"))


def test_a_worker_group_that_loses_workers_gives_them_too(data, train, expected, monkeypatch):
    pytest.importorskip("zmq")
    from tests.runner.yarn_here import YarnHere

    first = expected("parquet", "plain")
    monkeypatch.setenv("HDL_FAULT", "loading:0:*:1:KILL")  # in the summary pass, every one of them
    seen = []
    same(train(data("parquet"), "parquet", YarnHere(2), seen.append, **FIELDS["plain"]), first)
    assert sum(isinstance(event, Replaced) for event in seen) == 2


def shard_bytes(path, form, number):
    """What Streaming hands to the mapper of a shard: lines as they are, or blocks as typed bytes."""
    source = open_source(path, options(form))
    splits = source.splits(SHARDS)[number]
    if form == "csv":
        (split,) = splits
        with open(split.path, "rb") as file:
            return file.read()
    packed = [blocks.pack_block(block, source.columns) for block in source.read(splits)]
    head = bytes([0]) + (0).to_bytes(4, "big")
    return b"".join(head + bytes([0]) + len(block).to_bytes(4, "big") + block for block in packed)


# What is imported travels as typed bytes too.
@pytest.mark.parametrize("form", [pytest.param("parquet", marks=pytest.mark.full), "csv", "imported"])
def test_a_round_in_a_pipe_gives_the_local_runners_bytes(data, expected, tmp_path, form):
    one = expected(form, "plain")
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(Table(one.table).file(0), copy)
    environment = {"hdl_typed": "true"} if form != "csv" else {}
    if form == "csv":
        (copy / "head").write_bytes(shard_bytes(data(form), form, 0)[:300].split(b"\n")[0] + b"\n")
    lines = []
    for number in range(SHARDS):
        content = shard_bytes(data(form), form, number)
        status, out, said = called("mapper", str(copy), stdin=content, HDL_SHARD=str(number), **environment)
        assert status == 0, said
        lines += out.splitlines(keepends=True)
    status, out, said = called("reducer", str(copy), stdin=b"".join(sorted(lines)))
    assert status == 0, said
    assert called("publish", str(copy), stdin=out)[0] == 0
    assert Table(str(copy)).header(1)["signature"] == signatures(one)[0][1]


@pytest.mark.parametrize("form", FORMS)
def test_every_row_has_its_answer_in_order_with_what_is_kept(data, train, tmp_path, form):
    fields = {**FIELDS["plain"], "epochs": 40}
    model, out = train(data(form), form, LocalRunner(1), **fields).table, tmp_path / "answers.csv"
    assert cli.run(["predict", model, data(form), "--out", str(out), "--keep", "id,colour"]) == 0
    answers, rows = pyarrow.csv.read_csv(out), table()
    if form == "imported":  # rows without a label are none of it
        rows = rows.filter(rows["churned"].is_valid())
    assert answers["id"].to_pylist() == rows["id"].to_pylist()
    assert [value or None for value in answers["colour"].to_pylist()] == rows["colour"].to_pylist()
    labels = rows["churned"].to_pylist()
    known = [(said, label) for said, label in zip(answers["label"].to_pylist(), labels, strict=True) if label]
    assert np.mean([said == label for said, label in known]) > 0.7


def test_what_each_column_became_is_in_version_0(expected):
    schema = Model(expected("parquet", "plain").table).schema
    kinds = schema.reading["kinds"]
    assert set(kinds["number"]) == {"size", "age", "price", "place[0]", "place[1]"}
    assert set(kinds["category"]) == {"colour", "area", "member"}
    assert set(kinds["date"]) == {"day", "seen"}
    left_out = " ".join(schema.reading["left_out"])
    assert "constant" in left_out
    assert "'id'" in left_out
    assert OPTIONS["weights"] not in {name for names in kinds.values() for name in names}
    lacking = table()["churned"].null_count
    assert schema.samples == len(table()) - lacking
    assert schema.reading["unlabelled"] == lacking


REAL = {"adult.data.gz": "-1", "titanic.csv": "survived", "ames.csv.gz": "SalePrice", "bike_hour.csv.gz": "cnt",
        "diamonds.csv.gz": "cut", "taxis.csv.gz": "fare"}  # fmt: skip


@pytest.mark.parametrize("name", ["titanic.csv", *(pytest.param(name, marks=pytest.mark.full) for name in REAL)])
def test_real_tables_train_to_the_same_bytes_once_they_are_imported(datasets, tmp_path, name):
    path, given = str(datasets("tables") / name), Options.make({"label": REAL[name]})
    write_shards(open_source(path, given), str(tmp_path / "imported"), shards=1)
    spec = parse({"net": "0-8-0", "epochs": 1, "seed": 3})
    there, back = (
        driver.train(Job(data, str(tmp_path / table), spec, options), LocalRunner(1))
        for data, table, options in ((path, "one", given), (str(tmp_path / "imported"), "two", Options.make()))
    )
    same(there, back)
