"""Categories of a table as inputs: vocabularies, rare and unknown levels, buckets."""

import json
import zlib

import pyarrow as pa
import pytest

from hdl import spec as specs
from hdl.data.tabular import categories
from hdl.data.tabular.categories import Category
from hdl.data.tabular.levels import Levels


def levels(counts, missing=0):
    cells = [level for level, count in counts.items() for _ in range(count)] + [None] * missing
    return Levels.of(pa.array(cells, pa.string()).dictionary_encode())


def test_levels_are_ordered_by_count_then_text():
    part = categories.fit(levels({"b": 2, "a": 2, "é": 2, "z": 9, "c": 1}), specs.Preprocessing())
    assert part == Category(("z", "a", "b", "é", "c"))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, Category(("a", "b", "c"), True)),
        ({"min_count": 2}, Category(("a", "b"), True, True)),
        ({"min_count": 9}, Category((), True, True)),
        ({"max_levels": 1}, Category(("a",), True, True)),
        ({"hash_buckets": 2}, Category((), True, False, 2)),
        ({"hash_buckets": 3}, Category(("a", "b", "c"), True)),
    ],
)
def test_rare_levels_are_one_level_and_missing_is_another(rules, expected):
    part = categories.fit(levels({"a": 3, "b": 2, "c": 1}, missing=1), specs.Preprocessing(**rules))
    assert part == expected
    assert Category.from_plain(json.loads(json.dumps(part.to_plain()))) == part


def test_unseen_levels_are_other_if_that_was_trained():
    cells = pa.array(["a", "new", None]).dictionary_encode()
    assert Category(("a",), True, True).encode(cells).tolist() == [0, 2, 1]
    assert Category(("a",), False, True).encode(cells).tolist() == [0, 1, 1]
    assert Category(("a",), True, False).encode(cells).tolist() == [0, -1, 1]
    assert Category(("a", "b")).encode(cells).tolist() == [0, -1, -1]


def test_buckets_are_those_of_crc32():
    texts = ["a", "ä", "", "long " * 99, "a"]
    part = Category(missing=True, buckets=7)
    codes = part.encode(pa.array([*texts, None]).dictionary_encode())
    assert codes.tolist() == [zlib.crc32(text.encode()) % 7 for text in texts] + [7]
    assert part.width == 8
    assert part.names("x")[6:] == ["x in bucket 6", "x is missing"]


def test_codes_do_not_depend_on_how_arrow_holds_the_cells():
    cells = ["b", None, "a", "b", "c", "a"]
    part = Category(("a", "b"), True, True)
    expected = [1, 2, 0, 1, 3, 0]
    plain = pa.array(cells).dictionary_encode()
    nulls = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0, 3, 2], pa.int32()), pa.array(["b", None, "a", "c"]))
    twice = pa.DictionaryArray.from_arrays(
        pa.array([0, None, 1, 4, 2, 1], pa.int32()), pa.array(["b", "a", "c", *"never", "b"])
    ).take(pa.array([0, 1, 2, 0, 4, 5]))
    for array in (plain, nulls, twice, pa.concat_arrays([plain, plain]).slice(6)):
        assert part.encode(array).tolist() == expected


@pytest.mark.parametrize(
    "plain",
    [None, {}, {"levels": "ab"}, {"levels": ["a", "a"]}, {"levels": [1]}, {"levels": [], "other": 1},
     {"levels": ["a"], "x": 1},
     {"levels": ["a"], "buckets": 3}, {"levels": [], "buckets": -1}],
)  # fmt: skip
def test_categories_that_were_changed_are_refused(plain):
    with pytest.raises(ValueError, match="a category's"):
        Category.from_plain(plain)
