"""Sums of float64 that are exact, in any order and any parts, and that are read back or refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.metrics.sums import UNIT, Sums, ratio

numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30)


@settings(max_examples=200, deadline=None)
@given(numbers, st.data())
def test_a_sum_is_exact_in_any_order_and_parts(values, data):
    exact = sum(map(Fraction, values), Fraction(0))
    shuffled = data.draw(st.permutations(values))
    cut = data.draw(st.integers(0, len(values)))
    one, other = Sums(), Sums()
    one.add(np.array(shuffled[:cut]))
    other.add(np.array(shuffled[cut:]))
    assert Fraction(one.joined(other).total, 1 << UNIT) == exact
    assert Fraction(other.joined(one).total, 1 << UNIT) == exact
    try:
        expected = exact.numerator / exact.denominator  # rounded once, to the nearest
    except OverflowError:
        expected = np.inf if exact > 0 else -np.inf
    assert one.joined(other).floats() == [expected]
    assert Sums.from_plain(one.plain(), 1).totals == one.totals


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-1e300, 1e300)), max_size=40))
def test_groups_have_sums_of_their_own(pairs):
    sums = Sums(4)
    sums.add(np.array([value for _, value in pairs]), np.array([group for group, _ in pairs], np.int64))
    for group in range(4):
        exact = sum((Fraction(value) for own, value in pairs if own == group), Fraction(0))
        assert Fraction(sums.totals[group], 1 << UNIT) == exact


def test_many_numbers_are_summed_as_few():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(400_000) * 10.0 ** rng.integers(-30, 30, 400_000)
    sums = Sums()
    sums.add(values)
    assert Fraction(sums.total, 1 << UNIT) == sum(map(Fraction, values.tolist()))


def test_counts_are_sums_of_ones():
    ones, counted = Sums(2), Sums(2)
    ones.add(np.ones(7), np.array([0, 1, 1, 1, 0, 0, 0]))
    counted.count(np.array([4, 3]))
    assert ones.totals == counted.totals


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match="not finite"):
        Sums().add(np.array([1.0, bad]))


@pytest.mark.parametrize(
    "value",
    [None, [], ["1p0", "1p0"], [1], ["1"], ["xp0"], ["1p-3"], ["1p99999"], ["f" * 801 + "p0"], ["1p9999"], ["1p0\n"],
     {"0": "1p0"}],
)  # fmt: skip
def test_what_is_no_sum_is_refused(value):
    with pytest.raises(ValueError, match="sum"):
        Sums.from_plain(value, 1)


def test_a_quotient_that_is_too_large_is_infinite():
    assert ratio(10**400, 3) == np.inf
    assert ratio(-(10**400), 3) == -np.inf
    assert ratio(1, 3) == 1 / 3
