"""Measures of any parts of the samples, joined in any order, sent or in files, are the same to the last digit."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.metrics import Measures, Task, figures, measures, ranks, runs
from hdl.metrics.classes import per_class
from hdl.metrics.ranks import Ranks
from hdl.ops import Result
from tests.unit.scored import BINARY, binary, drawn, weights

TASKS = [
    BINARY, Task("binary", "softmax", 2), Task("classes", "softmax", 4), Task("classes", "softmax", 201),
    Task("labels", "sigmoid", 3), Task("regression", "squared", 2), Task("regression", "tweedie", 1, 1.5),
]  # fmt: skip


def samples(task, seed, n, kind):
    rng = np.random.default_rng(seed)
    out = (rng.integers(1, 9, (n, task.outputs)) / 9).astype(np.float32)
    if task.kind == "regression":
        y = rng.integers(0, 5, (n, task.outputs)).astype(np.float32)
    elif task.kind == "labels":
        y = rng.integers(0, 2, (n, task.outputs)).astype(np.float32)
    else:
        y = rng.integers(0, task.classes, n).astype(np.int32)
    return out, y, drawn(rng, n, kind)


def told(seen):
    """All that measures tell, so that equal texts mean equal digits."""
    everything = {
        "metrics": seen.metrics(),
        "thresholds": seen.thresholds(),
        "samples": seen.samples,
        "cost": seen.cost,
    }
    if seen.task.kind not in ("regression", "none"):
        everything |= {"classes": per_class(seen), "mistakes": seen.confusion and seen.confusion.mistakes()}
        everything["curves"] = [found and found.curves.plain() for found in seen.scanned(curves=True)]
    return json.dumps(everything)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(TASKS), st.integers(0, 2**32 - 1), st.integers(1, 50), weights, st.data())
def test_parts_joined_in_any_order_are_the_whole(task, seed, n, kind, data):
    out, y, weight = samples(task, seed, n, kind)
    whole = Measures(task)
    whole.add(out, y, weight)
    order = np.array(data.draw(st.permutations(range(n))))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    parts = []
    for rows in np.split(order, cuts):
        part = Measures(task)
        part.add(out[rows], y[rows], None if weight is None else weight[rows])
        sent = json.loads(json.dumps(part.to_parts()[0])), part.to_parts()[1]
        parts.append(Measures.from_parts(*sent) if data.draw(st.booleans()) else part)
    while len(parts) > 1:
        one = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        other = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        before = told(other)
        parts.append(one.join(other))
        assert told(other) == before
    assert told(parts[0]) == told(whole)
    mine, its = parts[0].to_parts(), whole.to_parts()
    assert mine[0] == its[0]
    assert {name: array.tolist() for name, array in mine[1].items()} == {
        name: array.tolist() for name, array in its[1].items()
    }


@settings(max_examples=40, deadline=None)
@given(binary(400), st.integers(1, 40), st.integers(1, 7), st.integers(2, 30))
def test_ranks_in_files_are_those_in_memory(monkey, drawn_samples, step, chunk, most):
    score, y, weight = drawn_samples
    whole = Measures(BINARY)
    whole.add(score[:, None], y, weight)
    expected = told(whole)
    with monkey.context() as patch:
        patch.setattr(runs, "CHUNK", chunk)
        patch.setattr(ranks, "PENDING", 5)
        patch.setattr(measures, "IN_MEMORY", most)
        seen, other = Measures(BINARY), Measures(BINARY)
        for low in range(0, len(score), step):
            part = slice(low, low + step)
            (seen, other)[low % 2].add(score[part, None], y[part], None if weight is None else weight[part])
        both = seen.join(other)
        if len(np.unique(np.stack([score, y, score if weight is None else weight]), axis=1).T) > 4 * most + 10:
            assert both.ranks[0]._files
        assert told(both) == expected
        assert told(Measures.from_parts(*both.to_parts())) == expected
        assert told(both.at(0.5)) == told(whole.at(0.5))


@pytest.fixture(scope="module")
def monkey():
    return pytest.MonkeyPatch


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8), st.randoms())
def test_costs_of_chunks_are_summed_exactly(costs, random):
    def of(values):
        seen = Measures(BINARY)
        for cost in values:
            seen.add(np.zeros((2, 1), np.float32), np.array([0, 1]), None, Result(cost=cost, samples=2))
        return seen.cost

    shuffled = list(costs)
    random.shuffle(shuffled)
    assert of(costs) == of(shuffled)


@pytest.mark.parametrize("task", TASKS)
def test_many_outputs_are_measured_some_at_a_time(task, monkeypatch):
    out, y, weight = samples(task, 1, 40, "random")
    seen = [Measures(task), Measures(task)]
    seen[0].add(out, y, weight)
    monkeypatch.setattr(figures, "_CELLS", 7 * task.outputs)
    seen[1].add(out, y, weight)
    assert told(seen[0]) == told(seen[1])


def test_without_ranks_of_one_there_are_none_of_both():
    one, other = Measures(BINARY), Measures(BINARY, ranks=False)
    for seen in (one, other):
        seen.add(np.array([[0.9], [0.1]], np.float32), np.array([1, 0]))
    assert one.metrics()["auc"] == 1
    for both in (one.join(other), other.join(one)):
        assert both.metrics()["auc"] is None
        assert both.metrics()["accuracy"] == 1
        assert Measures.from_parts(*both.to_parts()).metrics() == both.metrics()
    with pytest.raises(ValueError, match="cannot be joined"):
        one.join(Measures(Task("regression", "squared", 1)))


def test_a_result_that_is_not_finite_leaves_nothing_to_be_measured():
    seen = Measures(BINARY)
    seen.add(np.array([[0.9], [0.1]], np.float32), np.array([1, 0]), None, Result(cost=float("nan"), samples=2))
    assert set(Measures.from_parts(*seen.to_parts()).metrics().values()) == {None}


def test_ranks_take_no_more_rows_than_there_are_distinct_ones():
    seen = Ranks()
    score, positive = np.tile(np.float32([0.1, 0.5, 0.9]), 200_000), np.tile([True, False], 300_000)
    for _ in range(3):
        seen.add(score, positive)
    arrays = seen.to_arrays()
    assert len(arrays["keys"]) == 6
    assert arrays["counts"].tolist() == [300_000] * 6
