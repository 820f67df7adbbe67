"""Levels of a category: exact while they fit, then within the stated bound, however rows come in arrays."""

from collections import Counter as Tally

import numpy as np
import pyarrow as pa
import pytest

from hdl.data.tabular import levels as module
from hdl.data.tabular.hashing import hashes
from hdl.data.tabular.levels import Counter, Levels


@pytest.fixture
def few(monkeypatch):
    """So small bounds that a test reaches them: 50 levels, 1,000 rows between cuts."""
    for name, value in (("MOST", 50), ("ROWS", 1000), ("SMALLEST", 32)):
        monkeypatch.setattr(module, name, value)


def column(values):
    return pa.array(values, pa.string()).dictionary_encode()


def counted(arrays):
    """Counts arrays as a shard's blocks are: cut after every `ROWS` rows."""
    counter, rows = Counter(), 0
    for array in arrays:
        lo = 0
        while lo < len(array):
            step = min(len(array) - lo, module.ROWS - rows % module.ROWS)
            counter.put(array.slice(lo, step))
            rows, lo = rows + step, lo + step
            if rows % module.ROWS == 0:
                counter.cut()
    return counter.levels()


def same(a, b):
    (plain, tensors), (others, more) = a.to_parts(), b.to_parts()
    assert plain == others
    assert all(np.array_equal(tensors[name], more[name]) for name in tensors)


def drawn(n, rng):
    """Texts of which few are frequent and very many are there once."""
    return [f"é{number}" if number % 3 else None for number in rng.zipf(1.3, n).tolist()]


def test_few_levels_are_counted_exactly(few):
    values = [*"abacabadabacaba", None, "ü€", None, ""]
    levels = Levels.of(column(values))
    tally = Tally(value for value in values if value is not None)
    assert dict(levels.items()) == dict(tally)
    assert [text for text, _ in levels.items()][:2] == ["a", "b"]
    assert levels.exact
    assert (levels.n, levels.missing, levels.distinct) == (len(values) - 2, 2, len(tally))
    assert (levels.characters, levels.longest) == (15 + 2, 2)
    assert levels.texts.to_pylist() == sorted(tally, key=str.encode)


@pytest.mark.parametrize("size", [7, 333, 1000, 4096, 20_000])
def test_blocks_do_not_matter_nor_do_dictionaries(few, size):
    values = drawn(20_000, np.random.default_rng(1))
    shared = column(values)
    blocks = [column(values[lo : lo + size]) for lo in range(0, len(values), size)]
    whole = counted(blocks)
    assert whole.lost
    same(whole, counted([shared]))
    same(whole, counted([shared.slice(lo, size) for lo in range(0, len(values), size)]))
    turned = pa.DictionaryArray.from_arrays(
        pa.array([None if code is None else len(shared.dictionary) - 1 - code for code in shared.indices.to_pylist()],
                 pa.int32()), shared.dictionary[::-1],
    )  # fmt: skip
    same(whole, counted([turned]))


@pytest.mark.parametrize("shards", [1, 2, 5, 16])
def test_beyond_the_bound_no_count_is_wrong_by_more_than_is_said(few, shards):
    values = drawn(30_000, np.random.default_rng(2))
    tally = Tally(value for value in values if value is not None)
    parts = [Levels.of(column(part)) for part in np.array_split(np.array(values, object), shards)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.join(part)
    assert not whole.exact
    assert whole.n == sum(tally.values())
    assert whole.missing == len(values) - whole.n
    assert 0 < whole.lost <= whole.n / (module.MOST + 1)
    assert len(whole.texts) <= module.MOST
    kept = dict(whole.items())
    for text, true in tally.items():
        assert true - whole.lost <= kept.get(text, 0) <= true
    assert abs(whole.distinct - len(tally)) < 0.6 * len(tally)  # of 32 hashes: three deviations


def test_ties_change_nothing(few):
    texts = [f"{i:03}" for i in range(200)]
    whole = Levels.of(column(texts * 3))
    assert len(whole.texts) == 0
    assert whole.lost == 3
    same(whole, Levels.of(column(texts[::-1] * 3)))


def test_long_texts_are_counted_and_not_kept(few):
    long = "ab" * 200
    whole = Levels.of(column(["x", long, long, "x", "x", None, "é" * 128]))
    assert dict(whole.items()) == {"x": 3, "é" * 128: 1}
    assert (whole.long, whole.n, whole.longest, whole.exact) == (2, 6, 400, False)
    assert whole.characters == 3 + 2 * 400 + 128


def test_a_null_in_a_dictionary_is_missing(few):
    odd = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1, None], pa.int32()), pa.array(["a", None]))
    whole = Levels.of(odd)
    assert (whole.items(), whole.missing, whole.n) == ([("a", 1)], 3, 1)


def test_a_dictionary_much_larger_than_its_rows_is_not_looked_through(few):
    texts = [f"{i}" for i in range(10_000)]
    odd = pa.DictionaryArray.from_arrays(pa.array([5, 9_999, 5], pa.int32()), pa.array(texts))
    assert Levels.of(odd).items() == [("5", 2), ("9999", 1)]


def test_a_million_levels_are_counted_within_bounds():
    codes = np.random.default_rng(4).permutation(1_000_000).astype(np.int32)
    texts = pa.array(np.arange(1_000_000)).cast(pa.string())
    whole = Levels.of(pa.DictionaryArray.from_arrays(pa.array(codes), texts))
    assert len(whole.texts) <= module.MOST
    assert abs(whole.distinct - 1_000_000) < 0.12 * 1_000_000
    assert whole.lost <= 1_000_000 / (module.MOST + 1)


def test_parts_come_back_and_damaged_ones_do_not(few):
    for values in ([], ["a", None, "bé", "bé"], drawn(5_000, np.random.default_rng(3))):
        levels = Levels.of(column(values))
        same(Levels.from_parts(*levels.to_parts()), levels)
    plain, tensors = Levels.of(column(["a", "bé", "c"])).to_parts()
    damages = [
        ({"n": 2}, {}),
        ({"missing": -1}, {}),
        ({"lost": 1}, {}),
        ({}, {"counts": np.array([1, 0, 1])}),
        ({}, {"counts": np.array([1, 1])}),
        ({}, {"counts": np.array([1.0, 1, 1])}),
        ({}, {"ends": np.array([1, 4, 9])}),
        ({}, {"ends": np.array([4, 1, 5])}),
        ({}, {"ends": np.array([2, 4, 5])}),  # out of order
        ({}, {"ends": np.array([1, 3, 5])}),  # half a letter
        ({}, {"text": np.frombuffer(b"ab\xff\xffc", np.uint8)}),
        ({}, {"text": np.frombuffer(b"abbc", np.uint8)}),
        ({}, {"smallest": np.array([1], np.uint64)}),
    ]
    for fields, parts in damages:
        with pytest.raises(ValueError, match=r"level|count"):
            Levels.from_parts({**plain, **fields}, {**tensors, **parts})


def test_hashes_are_the_same_ever_after_and_spread():
    texts = pa.array(["", "red", "é", "a" * 300, "red"])
    found = hashes(texts)
    assert found[1] == found[4]
    assert np.array_equal(hashes(texts[1:3]), found[1:3])
    assert [f"{value:016x}" for value in found[:3].tolist()] == PINNED
    for text in (b"abcdefg", b"abcdefgh", b"abcdefghi", "é".encode() * 40):  # whole words and parts of them
        assert hashes(pa.array([text.decode()]))[0] == by_hand(text)
    many = hashes(pa.array(np.arange(100_000)).cast(pa.string()))
    assert len(np.unique(many)) == 100_000
    for bits in (many >> np.uint64(56), many & np.uint64(255)):
        assert np.abs(np.bincount(bits.astype(np.int64), minlength=256) - 100_000 / 256).max() < 120  # six deviations


def by_hand(text):
    """The hash as its description says, in whole numbers without bounds."""

    def mixed(value):
        value = (value + 0x9E3779B97F4A7C15) % 2**64
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            value = (value ^ (value >> shift)) * factor % 2**64
        return value ^ (value >> 31)

    value = mixed(len(text))
    for at in range(0, len(text), 8):
        value = mixed(value ^ int.from_bytes(text[at : at + 8], "little"))
    return value


PINNED = ["a706dd2f4d197e6f", "0e56f8d37693659a", "a97db34df00033e7"]
