"""Facts of a table's columns in the summary: the same of any blocks, joined as a whole, over the wire and back."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from hdl import wire
from hdl.data import Bad, Block, Summary, summarise
from hdl.data.base import Source
from hdl.data.options import Options
from hdl.data.summary import of_block
from hdl.data.tabular import facts as module
from hdl.data.tabular.facts import Facts
from hdl.data.tabular.frame import Column, Frame
from hdl.errors import DataError

COLUMNS = [Column("age"), Column("colour", "category"), Column("seen", "date"), Column("pay")]
N = 60_000


def table(n=N, seed=0):
    rng = np.random.default_rng(seed)
    numbers = np.stack([rng.integers(17, 90, n), np.exp(rng.standard_normal(n))], axis=1)
    numbers[rng.random((n, 2)) < 0.1] = np.nan
    codes = pa.array(rng.integers(0, 5, n).astype(np.int32), mask=rng.random(n) < 0.2)
    days = pa.array(rng.integers(-3000, 20_000, n) * 86_400_000_000, mask=rng.random(n) < 0.3)
    colours = pa.DictionaryArray.from_arrays(codes, pa.array(["red", "blue", "é", "green", "never", "unused"]))
    return Frame(numbers, [colours, days.cast(pa.timestamp("us"))], COLUMNS)


class Rows(Source):
    """A table that comes in blocks of any size."""

    format = "rows"

    def __init__(self, x, size, columns, y=None, unlabelled=0):
        super().__init__(["rows"], Options())
        self.x, self.y, self.size, self.columns, self.unlabelled = x, y, size, columns, unlabelled

    def lengths(self):
        return [len(self.x)]

    def _read(self, split, bad):
        bad.unlabelled += self.unlabelled
        for lo in range(split.start, split.start + split.length, self.size):
            rows = slice(lo, min(lo + self.size, split.start + split.length))
            yield Block(self.x[rows], None if self.y is None else self.y[rows], lambda i: {"offset": i})


def same(a, b):
    """All but the counts of each shard, of which a joined summary has as many as it has parts."""
    (fields, tensors), (others, more) = (replace(each, shards=()).to_parts() for each in (a, b))
    assert fields == others
    assert tensors.keys() == more.keys()
    for name in tensors:
        assert tensors[name].tobytes() == more[name].tobytes(), name


def summary(source):
    return summarise(source, source.splits(1)[0])


def test_facts_say_what_each_column_holds():
    frame = table()
    found = summary(Rows(frame, 4000, COLUMNS, np.arange(N) % 3))
    assert (found.kind, found.features, found.samples) == ("frame", 4, N)
    ages = frame["age"]
    present = ages[~np.isnan(ages)]
    age, pay = found.facts["age"], found.facts["pay"]
    assert (age.missing, age.whole, pay.whole) == (N - len(present), True, False)
    assert (age.histogram.median, age.histogram.distinct) == (np.median(present), 73)
    assert found.present.tolist() == [len(present), N - pay.missing]
    assert np.isclose(found.moments["mean"][0], present.mean(), rtol=1e-12)
    assert np.isclose(np.sqrt(found.moments["m2"][0] / len(present)), present.std(), rtol=1e-12)
    assert (found.moments["low"][0], found.moments["high"][0]) == (17, 89)
    colours = found.facts["colour"]
    counts = dict(colours.items())
    truth = frame["colour"].value_counts().to_pylist()
    assert counts == {item["values"]: item["counts"] for item in truth if item["values"] is not None}
    assert colours.missing == frame["colour"].null_count
    seen = found.facts["seen"]
    moments = frame["seen"].drop_null().cast(pa.int64()).to_numpy()
    assert (seen.low, seen.high, seen.times) == (moments.min(), moments.max(), False)
    assert (seen.missing, seen.n) == (N - len(moments), len(moments))
    assert found.labels.counts == (N // 3,) * 3


@pytest.mark.parametrize("size", [1_000, 7_777, N])
def test_blocks_change_nothing(size, monkeypatch):
    monkeypatch.setattr(module, "HELD", 30_000)
    frame = table()
    same(summary(Rows(frame, size, COLUMNS)), summary(Rows(frame, 4_000, COLUMNS)))


def test_shards_join_to_the_whole():
    frame = table()
    source = Rows(frame, 4_000, COLUMNS, unlabelled=2)
    whole = summary(source)
    for shards in (2, 5):
        parts = [summarise(source, splits) for splits in source.splits(shards)]
        joined = parts[0]
        for part in parts[1:]:
            joined = joined.join(part)
        assert joined.facts.to_parts()[0] == whole.facts.to_parts()[0]
        assert joined.unlabelled == 2 * shards
        assert np.array_equal(joined.present, whole.present)
        assert np.allclose(joined.moments["m2"], whole.moments["m2"], rtol=1e-10)


def test_a_part_without_samples_or_without_a_value_changes_nothing():
    frame = table(1_000)
    whole = summary(Rows(frame, 100, COLUMNS))
    nothing = summarise(Rows(frame, 100, COLUMNS), [])
    assert nothing.facts is None
    same(whole.join(nothing), whole)
    same(nothing.join(whole), whole)
    empty = Frame(np.full((3, 2), np.nan), [pa.nulls(3, a.type) for a in frame.others], COLUMNS)
    both = whole.join(summary(Rows(empty, 100, COLUMNS)))
    assert np.array_equal(both.moments["mean"], whole.moments["mean"])
    assert np.array_equal(both.moments["m2"], whole.moments["m2"])
    assert both.facts["age"].missing == whole.facts["age"].missing + 3
    alone = summary(Rows(empty, 100, COLUMNS))
    assert alone.present.tolist() == [0, 0]
    assert (alone.moments["low"] > alone.moments["high"]).all()
    assert alone.facts["seen"].low is None
    same(wire.decode_as(Summary, wire.encode(alone)), alone)


def test_pure_numbers_keep_their_moments_bit_for_bit_and_missing_ones_are_left_out():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((30_000, 3))
    columns = [Column(name) for name in "abc"]
    with_facts, without = (summary(Rows(x, 999, some)) for some in (columns, None))
    assert without.facts is None
    assert with_facts.kind == "float32"
    same(replace(with_facts, facts=None), without)
    holes = x.copy()
    holes[5::7, 1] = np.nan
    found = summary(Rows(holes, 999, columns))
    assert found.present.tolist() == [30_000, 30_000 - len(x[5::7]), 30_000]
    rest = np.delete(x[:, 1], np.s_[5::7])
    assert np.isclose(found.moments["mean"][1], rest.mean(), rtol=1e-12)
    assert found.moments["low"][1] == rest.min()
    assert np.allclose(found.moments["m2"][[0, 2]], without.moments["m2"][[0, 2]], rtol=1e-12)
    same(of_block(Block(x, None, None), columns).join(found), with_facts.join(found))


def test_whole_numbers_of_one_byte_have_facts_too():
    x = np.random.default_rng(1).integers(0, 200, (5_000, 2)).astype(np.uint8)
    found = summary(Rows(x, 100, [Column("a"), Column("b")]))
    assert found.kind == "uint8"
    assert found.facts["b"].histogram.median == np.median(x[:, 1])


def test_wide_matrices_pay_for_no_histogram():
    x = np.zeros((20, module.WIDE + 1), np.float32)
    columns = [Column(f"c{i}") for i in range(module.WIDE + 1)]
    assert summary(Rows(x, 9, columns)).facts is None
    colours = [pa.array(["a"] * 20).dictionary_encode()]
    found = summary(
        Rows(Frame(x, colours, [*columns, Column("d", "category")]), 9, [*columns, Column("d", "category")])
    )
    assert found.facts["c7"].histogram is None
    assert found.facts["c7"].whole
    assert found.facts["d"].items() == [("a", 20)]
    same(wire.decode_as(Summary, wire.encode(found)), found)


def test_no_number_at_all():
    frame = Frame(np.empty((9, 0)), [pa.array(["a", "b", None] * 3).dictionary_encode()], [Column("a", "category")])
    found = summary(Rows(frame, 4, frame.columns))
    assert (found.samples, found.features, len(found.present)) == (9, 1, 0)
    same(wire.decode_as(Summary, wire.encode(found)), found)


def test_parts_of_other_columns_do_not_join():
    frame = table(50)
    found = summary(Rows(frame, 50, COLUMNS)).facts
    turned = [COLUMNS[0], COLUMNS[2], COLUMNS[1], COLUMNS[3]]
    other = Facts.of(Frame(frame.numbers, frame.others[::-1], turned), turned)
    with pytest.raises(DataError, match="colour"):
        found.join(other)


def test_a_summary_comes_back_over_the_wire_and_a_damaged_one_does_not():
    found = summary(Rows(table(3_000), 500, COLUMNS, np.array(["x", "y", "z"] * 1_000, object)))
    same(wire.decode_as(Summary, wire.encode(found)), found)
    fields, tensors = found.to_parts()
    for change in (
        {"facts": None},
        {"facts": {"columns": fields["facts"]["columns"][1:]}},
        {"features": 3},
        {"kind": "uint8"},
        {"samples": "many"},
    ):
        with pytest.raises((ValueError, TypeError)):
            Summary.from_parts({**fields, **change}, tensors)
    for name, tensor in tensors.items():
        if name == "count":  # without it nothing is missing
            continue
        with pytest.raises((ValueError, KeyError)):
            Summary.from_parts(fields, {other: part for other, part in tensors.items() if other != name})
        if len(tensor):
            with pytest.raises(ValueError, match=r"."):
                Summary.from_parts(fields, {**tensors, name: tensor[:-1]})


def test_levels_of_a_shard_depend_on_its_rows_and_not_on_blocks(monkeypatch):
    from hdl.data.tabular import levels

    for name, value in (("MOST", 50), ("SMALLEST", 32)):
        monkeypatch.setattr(levels, name, value)
    for where in (levels, module):
        monkeypatch.setattr(where, "ROWS", 1_000)
    texts = pa.array([f"t{i}" for i in np.random.default_rng(0).zipf(1.2, 9_500)]).dictionary_encode()
    frame = Frame(np.empty((9_500, 0)), [texts], [Column("t", "category")])
    found = [summary(Rows(frame, size, frame.columns)) for size in (9, 333, 1_000, 9_500)]
    assert found[0].facts["t"].lost
    for other in found[1:]:
        same(other, found[0])


def test_bad_counts_what_has_no_label():
    assert Bad().unlabelled == 0
    assert summary(Rows(table(10), 5, COLUMNS, unlabelled=4)).unlabelled == 4
