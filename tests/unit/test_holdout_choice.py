"""Which samples are held out by a share of each class, and which fold they are dealt to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from hdl import rng
from hdl.data.holdout import Folds
from tests.unit.holdouts import cut_evenly

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=200)
SHARES = st.floats(0.001, 0.999)


def chosen(labels, shards, share, seed=1):
    parts = cut_evenly(np.array(labels, np.int32), shards)
    return parts, [rng.stratified(seed, number, part, share) for number, part in enumerate(parts)]


@given(LABELS, SHARES, st.integers(0, 2**40))
def test_one_shard_holds_out_the_nearest_count_of_each_class(labels, share, seed):
    (part,), (held,) = chosen(labels, 1, share, seed)
    for code in set(labels):
        n = int((part == code).sum())
        assert abs(int(held[part == code].sum()) - share * n) <= 0.5 + n * 2**-32


@given(LABELS, SHARES, st.integers(1, 9))
def test_any_number_of_shards_holds_out_each_class_to_less_than_one_a_shard(labels, share, shards):
    parts, held = chosen(labels, shards, share)
    for part, mask in zip(parts, held, strict=True):
        for code in set(part.tolist()):
            n = int((part == code).sum())
            assert abs(int(mask[part == code].sum()) - share * n) < 1 + n * 2**-32


@pytest.mark.parametrize("shards", [2, 4, 16, 64])
@pytest.mark.parametrize("each", [1, 2, 3, 7])
def test_what_is_rounded_in_one_shard_is_made_up_for_in_the_others(shards, each):
    """Where all shards hold as many of a class, its count over all is the nearest one, or the next."""
    for share in (0.1, 0.2, 0.25, 0.33, 0.5):
        held = sum(int(rng.stratified(1, k, np.zeros(each, np.int32), share).sum()) for k in range(shards))
        assert abs(held - share * each * shards) <= 1


def test_the_choice_is_keyed_by_seed_and_shard_and_looks_random():
    strata = np.repeat([0, 1], [900, 100]).astype(np.int32)
    one, again, other, shard = (rng.stratified(s, k, strata, 0.2) for s, k in ((1, 0), (1, 0), (2, 0), (1, 1)))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, shard)
    assert one[:900].sum() == 180
    assert one[900:].sum() == 20
    assert 60 < one[:450].sum() < 120  # over the whole shard, and not its beginning


def test_samples_without_a_stratum_are_never_held_out():
    assert not rng.stratified(1, 0, np.array([-1, -1, 0], np.int32), 0.9)[:2].any()


@given(LABELS, st.integers(2, 10), st.integers(0, 3), st.integers(1, 50))
def test_folds_share_each_class_however_blocks_are_cut(labels, folds, shard, size):
    y = np.array(labels)
    whole = Folds(folds, 1, shard).deal(y, len(y))
    again = Folds(folds, 1, shard)
    cut = [again.deal(y[low : low + size], len(y[low : low + size])) for low in range(0, len(y), size)]
    assert np.array_equal(whole, np.concatenate(cut))
    for code in set(labels):
        counts = np.bincount(whole[y == code], minlength=folds)
        assert counts.max() - counts.min() <= 1
    assert len(counts) == folds


@given(st.integers(2, 10), st.integers(0, 300))
def test_folds_of_labels_that_are_all_different_or_none_are_of_equal_size(folds, n):
    for y in (np.random.default_rng(n).normal(size=n), None, np.zeros((n, 3))):
        counts = np.bincount(Folds(folds, 1, 0).deal(y, n), minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_equal_labels_are_one_class_whatever_type_a_block_gives_them():
    """A column reads as whole numbers in one block, as text or decimals in the next."""
    blocks = np.arange(12) % 2, (np.arange(12) % 2).astype(float), (np.arange(12) % 2).astype(str).astype(object)
    folds, expected = Folds(4, 1, 0), Folds(4, 1, 0).deal(np.arange(36) % 2, 36)
    assert np.array_equal(np.concatenate([folds.deal(y, 12) for y in blocks]), expected)


def test_many_labels_share_folds_beyond_a_bound(monkeypatch):
    monkeypatch.setattr("hdl.data.holdout.STRATA", 5)
    counts = np.bincount(Folds(4, 1, 0).deal(np.arange(1000), 1000), minlength=4)
    assert counts.max() - counts.min() <= 2


@settings(max_examples=20)
@given(st.lists(st.integers(0, 2), min_size=60, max_size=200))
def test_folds_are_as_even_as_scikit_learns(labels):
    y = np.array(labels)
    if np.bincount(y, minlength=3).min() < 5:
        return
    ours = Folds(5, 1, 0).deal(y, len(y))
    for number, (_, test) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(y[:, None], y)):
        theirs, own = np.bincount(y[test], minlength=3), np.bincount(y[ours == number], minlength=3)
        assert np.abs(theirs - own).max() <= 1
