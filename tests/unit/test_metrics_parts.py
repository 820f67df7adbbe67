"""Measures that were sent are read back, or refused with a ValueError that says why: never half, never unpickled."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import wire
from hdl.metrics import Measures, Task
from tests.unit.scored import BINARY


def sent(task=BINARY, n=40, **options):
    rng = np.random.default_rng(0)
    seen = Measures(task, **options)
    out = rng.random((n, task.outputs)).astype(np.float32).round(1)
    seen.add(out, rng.integers(0, task.classes, n).astype(np.int32), rng.random(n).astype(np.float32).round(1))
    return seen.to_parts()


REASONS = r"expected|none|ranks|weight|task|pairs|format|arrays"
FIELDS = [
    ("format", 2), ("format", None), ("task", None), ("task", ["binary"]), ("task", ["binary", "sigmoid", 0, 0.0]),
    ("task", ["binary", "sigmoid", True, 0.0]), ("task", ["other", "sigmoid", 1, 0.0]),
    ("task", [[], "sigmoid", 1, 0.0]),
    ("task", ["binary", "sigmoid", 1, float("nan")]), ("task", ["binary", "sigmoid", 1 << 40, 0.0]),
    ("task", ["classes", "softmax", 3, 0.0]), ("task", ["regression", "squared", 1, 0.0]), ("samples", -1),
    ("samples", 1.5), ("samples", True), ("samples", 1 << 60), ("broken", -1), ("broken", None), ("weighted", 1),
    ("weighted", False), ("ranked", None), ("ranked", False), ("sums", None), ("sums", {}),
    ("sums", {"weight": ["1p0"]}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), FIELDS)
def test_a_broken_field_is_refused(name, value):
    fields, arrays = sent()
    with pytest.raises(ValueError, match=REASONS):
        Measures.from_parts(fields | {name: value}, arrays)


@pytest.mark.parametrize("name", ["format", "task", "samples", "broken", "weighted", "ranked", "sums"])
def test_a_missing_field_is_refused(name):
    fields, arrays = sent()
    del fields[name]
    with pytest.raises(ValueError, match="none"):
        Measures.from_parts(fields, arrays)


@pytest.mark.parametrize("fields", [None, [], "x", 3])
def test_fields_that_are_no_object_are_refused(fields):
    with pytest.raises(ValueError, match=REASONS):
        Measures.from_parts(fields, {})


def score(bits):
    return np.uint64(bits) << np.uint64(32)


ARRAYS = [
    ("ranks0/keys", lambda keys: keys[::-1]),
    ("ranks0/keys", lambda keys: keys.astype(np.int64)),
    ("ranks0/keys", lambda keys: keys[:, None]),
    ("ranks0/keys", lambda keys: np.append(keys[:-1], score(0xFFC00000))),  # NaN
    ("ranks0/keys", lambda keys: np.append(score(0x7FFFFFFF ^ 0x7F800000), keys[1:])),  # infinite
    ("ranks0/keys", lambda keys: np.append(keys[:-1], score(0x80000000))),  # -0
    ("ranks0/keys", lambda keys: np.append(keys[:-1], keys[-1] | np.uint64(0xFFFFFFFF))),  # weight NaN
    ("ranks0/keys", lambda keys: keys.astype(object)),
    ("ranks0/counts", lambda counts: counts[1:]),
    ("ranks0/counts", lambda counts: counts * 0),
    ("ranks0/counts", lambda counts: -counts.astype(np.int64)),
    ("ranks0/counts", lambda counts: counts.astype(np.float64)),
    ("ranks0/counts", lambda counts: counts.astype(np.int64) << 60),
    ("confusion/matrix", lambda matrix: -matrix - 1),
    ("confusion/matrix", lambda matrix: matrix[:1]),
    ("confusion/matrix", lambda matrix: matrix.astype(np.float64)),
]


@pytest.mark.parametrize(("name", "change"), ARRAYS)
def test_a_broken_array_is_refused(name, change):
    fields, arrays = sent()
    arrays = dict(arrays)
    arrays[name] = change(arrays[name])
    with pytest.raises(ValueError, match=REASONS):
        Measures.from_parts(fields, arrays)


@pytest.mark.parametrize("name", ["ranks0/keys", "confusion/matrix"])
def test_an_array_that_is_missing_or_not_known_is_refused(name):
    fields, arrays = sent()
    with pytest.raises(ValueError, match=REASONS):
        Measures.from_parts(fields, {own: array for own, array in arrays.items() if own != name})
    with pytest.raises(ValueError, match="do not have"):
        Measures.from_parts(fields, arrays | {"other/keys": np.zeros(1)})


def test_ranks_must_be_those_of_the_samples():
    fields, arrays = sent()
    lighter = dict(arrays)
    lighter["ranks0/keys"], lighter["ranks0/counts"] = arrays["ranks0/keys"][1:], arrays["ranks0/counts"][1:]
    with pytest.raises(ValueError, match="samples"):
        Measures.from_parts(fields, lighter)


def test_pairs_of_many_classes_are_checked():
    fields, arrays = sent(Task("classes", "softmax", 300))
    assert Measures.from_parts(fields, arrays).confusion.mistakes()
    for name, change in [
        ("pairs", lambda pairs: pairs[::-1]), ("pairs", lambda pairs: pairs * 0 + 90_000),
        ("counts", lambda counts: counts[1:]), ("correct", lambda correct: correct[:0]),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=REASONS):
            Measures.from_parts(fields, arrays | {f"confusion/{name}": change(arrays[f"confusion/{name}"])})


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_bytes_changed_on_the_way_raise_nothing_but_value_errors(seed, times):
    rng = np.random.default_rng(seed)
    fields, arrays = sent()
    arrays = {name: array.copy() for name, array in arrays.items()}
    for _ in range(times):
        array = arrays[list(arrays)[rng.integers(len(arrays))]]
        array.view(np.uint8).reshape(-1)[rng.integers(array.nbytes)] = rng.integers(256)
    try:
        seen = Measures.from_parts(copy.deepcopy(fields), arrays)
    except ValueError:
        return
    seen.metrics()
    seen.thresholds()


def test_parts_travel_in_a_message():
    fields, arrays = sent()
    _, back, tensors = wire.unpack(wire.pack("update", fields, arrays))
    assert Measures.from_parts(back, tensors).metrics() == Measures.from_parts(fields, arrays).metrics()
