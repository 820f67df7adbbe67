"""The histogram of numbers: the same of any order, blocks and joins, and quantiles within its stated error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.data.tabular.histogram import BINS, MOST, Histogram

SETS = {
    "few": lambda rng: rng.integers(0, 50, 30_000) / 7,
    "normal": lambda rng: rng.standard_normal(50_000),
    "one sign": lambda rng: np.exp(3 * rng.standard_normal(50_000)),
    "far from zero": lambda rng: 1.7e18 + 1e12 * rng.standard_normal(50_000),
    "whole": lambda rng: rng.permutation(50_000).astype(float),
    "mostly zero": lambda rng: np.where(rng.random(50_000) < 0.95, 0.0, rng.standard_normal(50_000)),
    "one outlier": lambda rng: np.concatenate([rng.random(49_999), [1e300]]),
    "all magnitudes": lambda rng: rng.choice([-1.0, 1.0], 50_000) * 10.0 ** rng.uniform(-320, 308, 50_000),
}


def same(a, b):
    assert a.level == b.level
    assert np.array_equal([a.low, a.high], [b.low, b.high], equal_nan=True)
    assert np.array_equal(a.keys, b.keys)
    assert np.array_equal(a.counts, b.counts)


@pytest.fixture(params=SETS)
def values(request):
    return SETS[request.param](np.random.default_rng(7))


def test_the_histogram_depends_on_the_values_alone(values):
    whole = Histogram.of(values)
    rng = np.random.default_rng(1)
    for cuts in ([1, 2, 3], [len(values) // 2], np.sort(rng.integers(0, len(values), 40)), [9_000]):
        parts = [Histogram.of(part) for part in np.split(rng.permutation(values), cuts)]
        order = rng.permutation(len(parts))
        joined = Histogram.empty()
        for i in order:
            joined = joined.join(parts[i])
        same(joined, whole)
    # Whoever says which level is needed gets the same, at another speed.
    same(Histogram.of(values, whole.level), whole)


def test_a_chunk_of_a_higher_level_first_is_the_same(values):
    few = values[:10]
    same(Histogram.of(values).join(Histogram.of(few)), Histogram.of(few).join(Histogram.of(values)))


def test_quantiles_lie_in_the_bins_of_the_true_ones(values):
    whole = Histogram.of(values)
    ranked = np.sort(values)
    ranks = np.arange(0, len(values), 97)
    width = 2.0 ** (whole.level - MOST)
    away = np.abs(whole.ranked(ranks) - ranked[ranks])
    smallest = np.finfo(np.float64).tiny
    assert (away <= width * np.maximum(np.abs(ranked[ranks]), smallest)).all()
    assert (whole.quantile(0.0), whole.quantile(1.0)) == (ranked[0], ranked[-1])
    assert whole.n == len(values)
    assert whole.distinct <= BINS


def test_few_values_are_held_exactly_and_quantiles_are_numpys():
    values = np.random.default_rng(3).integers(-40, 3000, 20_000) / 8
    whole = Histogram.of(values)
    assert whole.exact
    q = np.linspace(0, 1, 501)
    assert np.allclose(whole.quantile(q), np.quantile(values, q), rtol=1e-15, atol=0)
    assert whole.median == np.median(values)
    levels, counts = np.unique(values, return_counts=True)
    assert np.array_equal(whole.ends()[0], levels)
    assert np.array_equal(whole.counts, counts)


def test_no_value_and_one_and_both_zeros():
    nothing, one = Histogram.empty(), Histogram.of(np.array([-2.5]))
    assert np.isnan(nothing.median)
    assert nothing.edges(4).tolist() == []
    assert one.quantile(np.array([0, 0.3, 1])).tolist() == [-2.5] * 3
    assert one.edges(4).tolist() == [-2.5]
    zeros = Histogram.of(np.array([0.0, -0.0, 0.0]))
    assert (zeros.distinct, zeros.counts.tolist()) == (1, [3])
    assert str(zeros.low) == "0.0"
    same(nothing.join(one), one)
    same(one.join(nothing), one)


def test_the_levels_bound_holds_for_every_power_of_two():
    exponents = np.concatenate([np.ldexp(1.0, np.arange(-1022, 1024)), [5e-324, 0.0]])
    values = np.concatenate([exponents, -exponents, exponents * (1 + 2**-30), exponents * 1.5])
    values = values[np.isfinite(values)]
    whole = Histogram.of(np.concatenate([values, np.nextafter(values, 0)]))
    assert whole.level <= MOST
    assert whole.distinct <= BINS


@pytest.mark.parametrize("bins", [2, 16, 48])
def test_edges_cut_into_equal_counts(bins):
    values = np.random.default_rng(5).gamma(2.0, size=200_000)
    edges = Histogram.of(values).edges(bins)
    assert len(edges) == bins + 1
    assert (edges[0], edges[-1]) == (values.min(), values.max())
    counts = np.histogram(values, edges)[0]
    assert np.abs(counts - len(values) / bins).max() < 0.003 * len(values)


def test_what_is_there_very_often_makes_one_edge():
    edges = Histogram.of(np.concatenate([np.zeros(900), np.arange(1.0, 101.0)])).edges(10)
    assert edges[0] == 0
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= 3


def test_cdf_is_the_share_of_values_up_to_one(values):
    whole = Histogram.of(values)
    asked = np.sort(values)[[0, 100, 15_000, -1]]
    shares = whole.cdf(asked)
    inside = whole.counts.max() / whole.n  # a value's place in its bin is a guess
    true = np.array([(values <= value).mean() for value in asked])
    assert np.abs(shares - true).max() <= inside + 1e-12
    assert whole.cdf(np.array([-np.inf, np.inf])).tolist() == [0.0, 1.0]
    assert shares[-1] == 1


def test_quantiles_outside_of_0_and_1_are_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        Histogram.of(np.arange(3.0)).quantile(1.5)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=60),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=60),
)
def test_any_floats_join_and_pass_the_check(a, b):
    one, two = (Histogram.of(np.array(part, np.float64)) for part in (a, b))
    both = Histogram.of(np.array(a + b, np.float64))
    same(one.join(two), both)
    same(two.join(one), both)
    same(both.check(), both)
    if a + b:
        assert np.array_equal(both.ranked(np.arange(len(a + b))), np.sort(np.array(a + b)))


@pytest.mark.parametrize(
    "change",
    [
        {"level": 53},
        {"level": -1},
        {"keys": np.array([2, 1])},
        {"counts": np.array([1, 0])},
        {"counts": np.array([1])},
        {"low": np.nan},
        {"low": 0.5},
        {"high": np.inf},
        {"keys": np.empty(0, np.int64), "counts": np.empty(0, np.int64)},
        {"keys": np.arange(BINS + 1), "counts": np.ones(BINS + 1, np.int64)},
    ],
)
def test_parts_that_are_no_histogram_are_refused(change):
    from dataclasses import replace

    good = Histogram.of(np.array([1.0, 2.0])).check()
    with pytest.raises(ValueError, match="histogram"):
        replace(good, **change).check()
