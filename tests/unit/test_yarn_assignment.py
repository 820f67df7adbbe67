"""Who gets which shards: all of them once, evenly, and as few moved as can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl.runners.base import groups
from hdl.yarn.master.assignment import assign


@st.composite
def claimed(draw):
    """Claims as they may come: of workers that hold shards or none, some shards held by nobody or by two."""
    shards = draw(st.integers(1, 40))
    workers = draw(st.lists(st.integers(0, 63), min_size=1, max_size=min(12, shards), unique=True))
    own = st.lists(st.integers(0, shards - 1), max_size=shards)
    return {worker: draw(own) for worker in workers}, shards


@given(claimed())
def test_every_shard_has_one_worker_and_no_two_workers_differ_by_more_than_one(case):
    claims, shards = case
    shares = assign(claims, shards)
    assert list(shares) == list(claims)
    assert sorted(shard for own in shares.values() for shard in own) == [*range(shards)]
    assert all(own == sorted(own) for own in shares.values())
    sizes = [len(own) for own in shares.values()]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert assign(claims, shards) == shares
    assert assign(shares, shards) == shares  # nothing moves where nothing has changed


@given(st.integers(1, 40), st.data())
def test_no_shard_moves_that_need_not(shards, data):
    count = data.draw(st.integers(1, shards))
    before = {worker: [*own] for worker, own in enumerate(groups(shards, count))}
    left = data.draw(st.lists(st.sampled_from(range(count)), min_size=1, unique=True))
    come = data.draw(st.integers(0, min(4, shards - len(left))))
    claims = {worker: before[worker] for worker in left} | {100 + number: [] for number in range(come)}
    after = assign(claims, shards)
    lost = shards - sum(len(own) for own in claims.values())
    moved = sum(len({*after[worker]} - {*claims[worker]}) for worker in after)
    least, more = divmod(shards, len(claims))
    held = sorted((len(own) for own in claims.values()), reverse=True)
    given_up = sum(max(0, size - least - (place < more)) for place, size in enumerate(held))
    assert moved == lost + given_up


def test_the_first_workers_have_what_a_fixed_number_has():
    assert assign({3: [], 5: [], 9: []}, 8) == dict(zip((3, 5, 9), map(list, groups(8, 3)), strict=True))


@pytest.mark.parametrize(
    ("claims", "shares"),
    [
        ({0: [0, 1], 1: [2, 3]}, {0: [0, 1, 6, 7], 1: [2, 3, 4, 5]}),  # siblings stay together
        ({0: [1, 2], 1: [2, 3]}, {0: [0, 1, 2, 7], 1: [3, 4, 5, 6]}),  # of two that claim a shard the first keeps it
        ({0: [*range(8)], 1: []}, {0: [0, 1, 2, 3], 1: [4, 5, 6, 7]}),
    ],
)
def test_who_is_nearest_in_the_tree_gets_what_is_left_over(claims, shares):
    assert assign(claims, 8) == shares
