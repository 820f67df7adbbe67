"""Philox: known answers, independence of how a stream is cut, and what is made of it."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl import rng


@pytest.fixture(params=["core", "numpy"])
def words(request):
    """The stream as drawn by the core and by NumPy."""
    if request.param == "core":
        return pytest.importorskip("hdl._cpu").random_u32
    return rng.words_numpy


def test_known_answers_of_random123(words):
    ones = 0xFFFFFFFF
    assert [hex(w) for w in words(0, 0, 0, 0, 0, 4)] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    block = words(ones << 32 | ones, ones, ones, ones, 4 * ones, 4)
    assert [hex(w) for w in block] == ["0x408f276d", "0x41c83b0e", "0xa20bc7c6", "0x6d5451fd"]
    block = words(0x299F31D0A4093822, 0x85A308D3, 0x13198A2E, 0x03707344, 4 * 0x243F6A88, 4)
    assert [hex(w) for w in block] == ["0xd16cfe09", "0x94fdcceb", "0x5001e420", "0x24126ea1"]


@given(st.integers(0, 70_000), st.integers(0, 50))
def test_any_range_of_a_stream_is_the_same_words(first, n):
    whole = rng.words(7, 1, 2, 3, 0, 70_050)
    assert np.array_equal(rng.words_numpy(7, 1, 2, 3, first, n), whole[first : first + n])


def test_the_core_draws_the_same_stream():
    core = pytest.importorskip("hdl._cpu")
    for args in [(5, 1, 2, 3, 0, 17), (2**64 - 1, 2**32 - 1, 0, 9, 6, 1001)]:
        assert np.array_equal(core.random_u32(*args), rng.words_numpy(*args))


def test_purposes_and_seeds_make_different_keys():
    made = {rng.derive(seed, purpose, a) for seed in range(20) for purpose in range(1, 8) for a in range(20)}
    assert len(made) == 20 * 7 * 20


def test_uniforms_lie_inside_the_open_interval():
    u = rng.uniforms(3, n=100_000)
    assert 0 < u.min() < u.max() < 1
    assert abs(u.mean() - 0.5) < 0.003
    assert abs(u.var() - 1 / 12) < 0.001


def test_normals_are_the_inverse_distribution_of_the_uniforms():
    u, z = rng.uniforms(11, 2, n=5000), rng.normals(11, 2, n=5000)
    standard = statistics.NormalDist()
    np.testing.assert_allclose(z, [standard.inv_cdf(p) for p in u], rtol=1e-13)
    assert (np.abs(u - 0.5) > 0.425).sum() > 500  # the tail was tested too


@given(st.integers(0, 300), st.integers(1, 320), st.integers(0, 5))
def test_order_is_a_permutation_that_keeps_windows_together(n, window, epoch):
    visit = rng.order(9, epoch, 2, n, window)
    assert visit.dtype == np.int64
    assert np.array_equal(np.sort(visit), np.arange(n))
    places = visit // window
    assert (np.diff(places) != 0).sum() == max(len(set(places.tolist())) - 1, 0)


def test_order_is_the_stable_argsort_of_its_draws_and_depends_on_every_key():
    draws = rng.words(rng.derive(1, rng.SHUFFLE), 4, 5, 0, 0, 1000)
    visit = rng.order(1, 4, 5, 1000, 65536)
    assert np.array_equal(visit, np.argsort(draws, kind="stable"))
    others = [rng.order(*args, 1000, 65536) for args in [(2, 4, 5), (1, 3, 5), (1, 4, 6)]]
    assert not any(np.array_equal(visit, other) for other in others)


def test_membership_has_the_share_and_does_not_depend_on_the_cut():
    mask = rng.member(1, 3, 100_000, 0.1)
    assert abs(mask.mean() - 0.1) < 0.005
    assert np.array_equal(rng.member(1, 3, 500, 0.1, first=1234), mask[1234:1734])
    assert not rng.member(1, 3, 1000, 0.0).any()
