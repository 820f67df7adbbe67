"""A regression's samples for a picture: the same whatever parts and order they come in, each with its count."""

import numpy as np
import pytest

from hdl.metrics import Measures
from hdl.metrics.pairs import MOST, Pairs, _mixed, _unmixed
from hdl.spec import Spec


def of(*parts):
    seen = Pairs()
    for true, predicted in parts:
        seen.add(true, predicted)
    return seen


@pytest.mark.parametrize("different", [7, 50_000])
def test_parts_and_order_do_not_show(different):
    rng = np.random.default_rng(different)
    values = rng.standard_normal((different, 2)).astype(np.float32)
    samples = values[rng.integers(0, different, 60_000)]
    whole = of(samples.T)
    shuffled = samples[rng.permutation(len(samples))]
    cuts = np.sort(rng.integers(0, len(samples), 9))
    parts = [of(part.T) for part in np.split(shuffled, cuts)]
    joined = parts[0]
    for part in parts[:0:-1]:
        joined = part.joined(joined)
    rows = whole.rows()
    assert np.array_equal(rows, joined.rows())
    assert len(rows) == min(MOST, len(np.unique(samples, axis=0)))
    found, counts = np.unique(samples, axis=0, return_counts=True)
    known = {tuple(pair): count for pair, count in zip(found.tolist(), counts.tolist(), strict=True)}
    assert all(known[true, predicted] == count for true, predicted, count in rows.tolist())
    assert np.array_equal(Pairs.from_arrays(whole.to_arrays()).rows(), rows)


def test_each_pair_is_as_likely_as_another():
    true = np.arange(100_000, dtype=np.float32)
    kept = of((true, 2 * true)).rows()[:, 0]
    assert abs(kept.mean() / true.mean() - 1) < 0.05
    assert np.histogram(kept, 10, (0, 1e5))[0].min() > 120  # of 200, by chance within five deviations


def test_the_mix_is_a_bijection():
    bits = np.random.default_rng(1).integers(0, 1 << 63, 1000, np.uint64) * np.uint64(2) + np.uint64(1)
    assert np.array_equal(_unmixed(_mixed(bits)), bits)


def test_zero_has_one_sign():
    zero = np.zeros(1, np.float32)
    assert of((zero, zero), (-zero, zero)).rows().tolist() == [[0, 0, 2]]


def test_what_is_broken_is_refused():
    whole = of((np.arange(5, dtype=np.float32), np.ones(5, np.float32))).to_arrays()
    for name, change in (
        ("keys", whole["keys"][::-1]), ("keys", whole["keys"][1:]), ("counts", -whole["counts"]),
        ("keys", whole["keys"].astype(np.float64)),
        ("keys", np.sort(_mixed(np.full(5, 0x7FC000007FC00000, np.uint64)) + np.arange(5, dtype=np.uint64)).view("i8")),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="none"):
            Pairs.from_arrays(whole | {name: change})


def test_measures_carry_them_for_regressions_alone():
    rng = np.random.default_rng(0)
    out, y = rng.standard_normal((2, 300, 2)).astype(np.float32)
    task = Spec(net="4-2", loss="squared")
    halves = [Measures(task, pairs=True) for _ in range(2)]
    for half, rows in zip(halves, (slice(0, 100), slice(100, 300)), strict=True):
        half.add(out[rows], y[rows])
    joined = Measures.from_parts(*halves[1].join(halves[0]).to_parts())
    found = joined.pairs.rows()
    assert sorted(map(tuple, found[:, :2].tolist())) == sorted(zip(y[:, 0].tolist(), out[:, 0].tolist(), strict=True))
    assert Measures(task).pairs is None
    assert Measures(Spec(net="4-2", loss="softmax"), pairs=True).pairs is None
