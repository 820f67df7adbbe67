"""Joins along a tree: the core's bytes are NumPy's, for any tree, length and place in memory."""

import numpy as np
import pytest

from hdl.errors import SpecError
from hdl.ops import joining

_cpu = pytest.importorskip("hdl._cpu")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
LENGTHS = [0, 1, 7, 2047, 2048, 2049, 10_000]


def drawn(count, shape, seed=0):
    """Arrays of numbers of very different sizes, some subnormal, infinite and NaN among them."""
    rng = np.random.default_rng(seed)
    out = (rng.normal(size=(count, *shape)) * 10.0 ** rng.integers(-30, 30, (count, *shape))).astype(np.float32)
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-42], np.float32)
    at = rng.integers(0, 50, out.shape)
    return [*np.where(at < odd.size, odd[at % odd.size], out)]


def tree(lo, hi):
    """The fixed tree over items lo … hi in postfix order."""
    if hi - lo == 1:
        return [lo]
    middle = lo + (1 << ((hi - lo - 1).bit_length() - 1))
    return [*tree(lo, middle), *tree(middle, hi), -1]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 64])
def test_the_core_joins_as_numpy_does(count, length):
    arrays, program = drawn(count, (length,), count), tree(0, count)
    shares = np.random.default_rng(count).random(count - 1).astype(np.float32)
    for given in (None, list(shares)):
        found = joining.join(arrays, program, given)
        expected = joining._by_numpy(arrays, program, given)
        finite = ~np.isnan(expected)
        assert np.array_equal(np.isnan(found), ~finite)
        assert found[finite].tobytes() == expected[finite].tobytes()


def test_a_product_is_rounded_before_it_is_added():
    """Fused, a + (b - a)·share would be rounded once: other bytes."""
    rng = np.random.default_rng(3)
    a, b, share = *rng.normal(size=(2, 1000)).astype(np.float32), np.float32(1 / 3)
    fused = (a.astype(np.float64) + (b - a).astype(np.float64) * np.float64(share)).astype(np.float32)
    found = joining.mean(a, b, share)
    assert found.tobytes() == (a + (b - a) * share).tobytes() != fused.tobytes()


def test_slices_of_vectors_and_arrays_at_any_place_are_joined_where_they_lie():
    wide = drawn(2, (3, 5000), 1)
    for lo, hi in ((0, 5000), (1, 4001), (2500, 2501)):
        a, b = (array[:, lo:hi] for array in wide)
        assert np.array_equal(joining.add(a, b), a + b, equal_nan=True)
    unaligned = np.frombuffer(bytes(1) + wide[0][0].tobytes(), np.float32, 5000, 1)
    assert np.array_equal(joining.add(unaligned, wide[1][0]), unaligned + wide[1][0], equal_nan=True)


def test_the_result_may_take_an_arrays_place():
    a, b, c = drawn(3, (9000,), 5)
    expected = joining.join([a, b, c], tree(0, 3))
    assert joining.join([a, b, c], tree(0, 3), out=a) is a
    assert a.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("program", "words"),
    [([0, 2, -1], "takes input 2 of 2"), ([0, -1], "joins two of 1"), ([0, 1], "ends with 2 arrays"),
     ([], "ends with 0"), ([-2], "takes input -2"), ([0] * 41 + [-1] * 40, "more than 40")],
)  # fmt: skip
def test_a_program_that_is_no_tree_is_refused(program, words):
    a, b = drawn(2, (10,))
    with pytest.raises(SpecError, match=words):
        joining.join([a, b], program)


def test_too_few_shares_and_arrays_of_other_lengths_are_refused():
    a, b = drawn(2, (10,))
    with pytest.raises(SpecError, match="1 shares for 2 joints"):
        joining.join([a, b, a], [0, 1, -1, 2, -1], [0.5])
    with pytest.raises(ValueError, match="broadcast"):
        joining.join([a, b[:9]], joining.PAIR)
