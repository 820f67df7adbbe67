"""Samples held out by data of its own, a column or a condition: counted, measured, and seen by nothing fitted."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hdl import data, driver
from hdl.data import Options
from hdl.data.holdout import reading
from hdl.errors import DataError, SpecError
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec, parse
from hdl.table import Table
from hdl.wire.blocks import pack_block, unpack_block
from tests.unit.holdouts import N, schema, told, train, visits, write

RULES = {
    "truth": ({"column": "is_test"}, N // 4),
    "0 and 1": ({"column": "flag"}, N // 4),
    "number": ({"column": "fold", "value": "3"}, N // 4),
    "text": ({"column": "split", "value": "valid"}, N // 4),
    "time": ({"where": "dt >= '2024-06-29'"}, N // 4),
    "condition": ({"where": "town = 'Rome' and a > 0"}, None),
}


def rows_of(rule):
    """Which rows of the table meet a rule, told by Arrow."""
    table = visits()
    if "where" in rule:
        if rule["where"].startswith("dt"):
            return np.array([day >= date(2024, 6, 29) for day in table["dt"].to_pylist()])
        return np.asarray(pc.and_(pc.equal(table["town"], "Rome"), pc.greater(table["a"], 0.0)))
    true = (rule["value"],) if "value" in rule else ("True", "1")
    return np.array([str(value) in true for value in table[rule["column"]].to_pylist()])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("name", RULES)
def test_rows_that_meet_the_rule_are_held_out_and_told(tmp_path, name, suffix):
    rule, count = RULES[name]
    held = rows_of(rule)
    assert count in (None, held.sum())
    outcome = train(write(visits(), tmp_path / f"d.{suffix}"), tmp_path / "m", holdout=rule)
    labels = np.array(visits()["class"].to_pylist())[held]
    counted = f"{held.sum()} samples (no {(labels == 'no').sum()}, yes {(labels == 'yes').sum()})"
    assert told(outcome).endswith(f": {counted}")
    assert {row["val_samples"] for row in outcome.rows} == {held.sum()}
    assert {row["samples"] for row in outcome.rows[:-1]} == {N - held.sum()}
    names = schema(outcome)["names"]
    assert (rule.get("column") in names) is False
    assert set(names) >= {"a", "b", "town", "dt"}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("name", RULES)
def test_training_is_that_of_the_other_rows_alone(tmp_path, name, suffix):
    """With one shard: same scales, vocabularies and weights, to the byte, as if the rows were not there."""
    rule, held = RULES[name][0], rows_of(RULES[name][0])
    gone = [rule["column"]] if "column" in rule else []
    outcome = train(write(visits(), tmp_path / f"d.{suffix}"), tmp_path / "m", shards=1, holdout=rule)
    rest = visits().filter(pa.array(~held))
    other = train(write(rest.drop_columns(gone), tmp_path / f"rest.{suffix}"), tmp_path / "rest", shards=1)
    assert Table(other.table).header(2)["signature"] == Table(outcome.table).header(2)["signature"]
    for field in ("columns", "samples", "classes", "inputs"):
        assert schema(other)[field] == schema(outcome)[field]


@pytest.mark.parametrize(("of", "other"), [("csv", "csv"), ("csv", "parquet"), ("parquet", "csv")])
def test_data_of_its_own_is_measured_as_evaluate_measures_it(tmp_path, of, other):
    held = rows_of({"column": "is_test"})
    path = write(visits().filter(pa.array(~held)), tmp_path / f"d.{of}")
    valid = write(visits().filter(pa.array(held)), tmp_path / f"v.{other}")
    outcome = train(path, tmp_path / "m", holdout={"path": valid})
    assert told(outcome).startswith(f"{valid}: {held.sum()} samples (no ")
    alone = train(path, tmp_path / "alone")
    assert Table(alone.table).header(2)["signature"] == Table(outcome.table).header(2)["signature"]
    model = Model(outcome.table, 2)
    score = model.evaluate(data.open_source(valid, model.reading, model.schema))
    assert outcome.rows[-1]["val_cost"] == pytest.approx(score.cost, rel=1e-6)
    assert outcome.rows[-1]["val_samples"] == score.samples


def test_a_whole_folder_is_data_of_its_own_and_partitions_are_columns(tmp_path):
    for day in range(8):
        part = visits(40, day).drop_columns(["is_test", "flag", "fold", "split", "dt"])
        for suffix in ("csv", "parquet"):
            folder = tmp_path / suffix / f"day={day}"
            folder.mkdir(parents=True)
            write(part, folder / f"part.{suffix}")
    for suffix in ("csv", "parquet"):
        for number, rule in enumerate(({"where": "day >= 6"}, {"column": "day", "value": "7"})):
            outcome = train(str(tmp_path / suffix), tmp_path / f"{suffix}{number}", holdout=rule)
            assert {row["val_samples"] for row in outcome.rows} == {80 if "where" in rule else 40}
            assert ("day" in schema(outcome)["names"]) is ("where" in rule)
        files = [write(visits(40, 9), tmp_path / f"{suffix}-valid.{suffix}")]
        ignored = Options.make(ignore="day")
        outcome = train(str(tmp_path / suffix), tmp_path / f"{suffix}2", options=ignored, holdout={"path": files[0]})
        assert {row["val_samples"] for row in outcome.rows} == {40}


@pytest.mark.parametrize("mixed", [False, True])
def test_imported_shard_files_say_what_is_held_out(tmp_path, mixed):
    """Of numbers alone `hdl import` makes one vector, whose columns have names; else a table."""
    table = visits().drop_columns(["dt", "split", "is_test"] + ([] if mixed else ["town"]))
    source = data.open_source(write(table, tmp_path / "d.csv"))
    data.write_shards(source, str(tmp_path / "shards"), shards=3)
    outcome = train(str(tmp_path / "shards"), tmp_path / "m", holdout={"column": "flag"})
    assert {row["val_samples"] for row in outcome.rows} == {N // 4}
    assert list(schema(outcome)["names"]) == ["a", "b", *(["town"] if mixed else []), "fold"]
    outcome = train(str(tmp_path / "shards"), tmp_path / "w", holdout={"where": "fold in (1, 2)"})
    assert {row["val_samples"] for row in outcome.rows} == {N // 2}
    with pytest.raises(DataError, match="every label"):
        train(str(tmp_path / "shards"), tmp_path / "l", holdout={"where": "class = 'yes'"})


def test_a_share_of_each_class_is_held_out_in_memory_and_on_disk(tmp_path):
    source = data.open_source(write(visits(), tmp_path / "d.csv"), {"ignore": "dt"})
    splits = source.splits(1)[0]
    fitted = data.fit(data.summarise(source, splits), Spec())
    memory = data.load(source, splits, fitted, 1, 0, 0.2, stratified=True)
    disk = data.load(source, splits, fitted, 1, 0, 0.2, 100, stratified=True)
    for one, other in ((memory.train, disk.train), (memory.validation, disk.validation)):
        assert np.array_equal(one.y, other.y)
        assert np.array_equal(one.x.numbers, other.x.numbers)
        assert np.array_equal(one.x.codes, other.x.codes)
    n = np.bincount(np.concatenate([memory.train.y, memory.validation.y]))
    assert np.abs(np.bincount(memory.validation.y) - 0.2 * n).max() <= 0.5
    assert np.all(np.diff(np.flatnonzero(np.isin(memory.train.x.numbers[:, 0], disk.train.x.numbers[:, 0]))) == 1)


def test_an_older_table_keeps_its_choice_and_the_stored_spec_says_how(tmp_path):
    path = write(visits(), tmp_path / "d.csv")
    first = train(path, tmp_path / "m", validation=0.2)
    assert Table(first.table).header(0)["spec"]["holdout"]["stratified"] is None
    counts = [row["val_samples"] for row in first.rows]
    longer = first.spec.with_(epochs=4)
    more = driver.train(Job(path, first.table, longer, resume=True), LocalRunner(1, 1))
    assert {row["val_samples"] for row in more.rows} == set(counts)
    changed = Job(path, first.table, longer.with_(holdout={"stratified": True}), resume=True)
    with pytest.raises(SpecError, match="another spec: holdout"):
        driver.train(changed, LocalRunner(1, 1))


@pytest.mark.parametrize("rule", [{"column": "flag"}, {"where": "a > 0"}, {"folds": 3, "fold": 1}, {"path": "v.csv"}])
def test_a_resumed_training_has_the_bytes_of_one_that_was_not(tmp_path, rule):
    path = write(visits(), tmp_path / "d.parquet")
    if "path" in rule:
        rule = {"path": write(visits(50, 1), tmp_path / rule["path"])}
    whole = train(path, tmp_path / "whole", holdout=rule, epochs=4)
    half = train(path, tmp_path / "half", holdout=rule, epochs=2)
    for spec in (half.spec.with_(epochs=4), None):
        job = Job(path, half.table, spec, resume=True)
        done = driver.train(job, LocalRunner(2, 1))
    latest = [Table(outcome.table).read().signature for outcome in (whole, done)]
    assert latest[0] == latest[1]
    if "path" in rule:
        write(visits(60, 1), rule["path"])
        with pytest.raises(DataError, match=r"not the data that .* was validated on"):
            driver.train(Job(path, half.table, resume=True), LocalRunner(1, 1))


def test_marks_travel_to_streamings_mappers_in_typed_bytes(tmp_path):
    options = reading(Options.make(label="class"), parse({"holdout": {"column": "flag"}}))
    source = data.open_source(write(visits(), tmp_path / "d.csv"), options)
    (block,) = source.read(source.splits(1)[0])
    again = unpack_block(pack_block(block, source.columns), lambda i: {})
    assert again.held.dtype == bool
    assert np.array_equal(again.held, block.held)
    assert block.held.sum() == N // 4


def test_genetic_mode_measures_on_held_out_rows(tmp_path):
    path = write(visits(), tmp_path / "d.csv")
    modes = {"sync": {"mode": "genetic"}, "epochs": 2}
    for number, rule in enumerate(({"column": "flag"}, {"path": write(visits(50, 1), tmp_path / "v.csv")})):
        outcome = train(path, tmp_path / f"m{number}", holdout=rule, **modes)
        _, tensors = Table(outcome.table).common()
        assert len(tensors["y"]) == (N // 4 if number == 0 else 50)


def test_a_held_out_file_of_a_large_weighted_table_keeps_weights(tmp_path):
    table = visits().append_column("w", pa.array(np.arange(N) % 3 + 0.5))
    pq.write_table(table, tmp_path / "d.parquet")
    options = Options.make(weights="w")
    outcome = train(str(tmp_path / "d.parquet"), tmp_path / "m", options=options, holdout={"column": "flag"})
    expected = sum(table["w"].to_pylist()[3 * N // 4 :])
    assert [row["val_weight"] for row in outcome.rows] == [pytest.approx(expected)] * len(outcome.rows)
    assert parse(Table(outcome.table).header(0)["spec"]).holdout.column == "flag"
