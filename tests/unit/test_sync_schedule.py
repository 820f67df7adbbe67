"""The schedule of recursive halving and doubling: what is sent is taken, all slices are owned, few peers and steps."""

import math
from fractions import Fraction

import pytest

from hdl.sync import schedule

PAIRS = [(2, 8), (3, 3), (5, 13), (7, 8), (7, 13), (7, 64), (9, 16), (13, 13), (24, 64), (33, 33), (64, 64), (65, 97)]


def width(span):
    return span[1] - span[0] if span else Fraction(0)


@pytest.mark.parametrize(("workers", "shards"), PAIRS)
@pytest.mark.parametrize("direct", [0, 1 << 20], ids=["tree", "direct"])
def test_what_one_sends_the_other_takes_in_the_same_step(workers, shards, direct):
    everybody = schedule.schedule(workers, shards, direct)
    swaps = {
        (place, swap.peer, step.level): swap
        for place, own in enumerate(everybody)
        for step in own
        for swap in step.swaps
    }
    for (place, peer, level), swap in swaps.items():
        other = swaps[peer, place, level]
        assert (swap.sends, swap.takes) == (other.takes, other.sends)
        assert swap.sends or swap.takes
    for place, own in enumerate(everybody):
        for step in own:
            for reader in step.readers:
                (theirs,) = [each for each in everybody[reader] if each.level == step.level]
                assert place in theirs.sources


@pytest.mark.parametrize(("workers", "shards"), PAIRS)
def test_a_worker_comes_to_have_what_it_keeps_of_both_halves(workers, shards):
    for own in schedule.schedule(workers, shards, 0):
        for step in own:
            mine = max(step.holds[0], step.keeps[0]), min(step.holds[1], step.keeps[1])
            taken = sum((width(swap.takes) for swap in step.swaps), max(width(mine), Fraction(0)))
            assert taken == 2 * width(step.keeps)
            given = sum((width(swap.sends) for swap in step.swaps), max(width(mine), Fraction(0)))
            assert given == width(step.holds)
        assert [step.holds for step in own[1:]] == [step.keeps for step in own[:-1]]


@pytest.mark.parametrize(("workers", "shards"), PAIRS)
def test_steps_and_peers_are_logarithmic_and_no_worker_sends_much_more_than_the_vector(workers, shards):
    most = math.ceil(math.log2(workers))
    for place, own in enumerate(schedule.schedule(workers, shards, 0)):
        assert len(own) <= most
        assert len(schedule.peers(workers, shards, place, 0)) <= 2 * most
        assert all(len(step.swaps) <= 3 for step in own)
        assert sum(width(swap.sends) for step in own for swap in step.swaps) <= Fraction(102, 100)


@pytest.mark.parametrize("direct", [0, 1 << 20])
def test_the_slices_cover_all_numbers_and_the_first_worker_has_the_first(direct):
    for workers in (1, 2, 3, 7, 13, 64):
        spans = schedule.spans(1003, workers, 64, direct)
        cuts = sorted(spans)
        assert [lo for lo, _ in cuts[1:]] == [hi for _, hi in cuts[:-1]]
        assert cuts[-1][1] == 1003
        assert spans[0][0] == 0
        assert [spans[place] for place in schedule.owners(workers, 64, direct)] == cuts
        for place, own in enumerate(schedule.schedule(workers, 64, direct)):
            assert not own or schedule.cut(own[-1].keeps, 1003) == spans[place]


def test_parents_are_peers_and_lead_to_the_first_worker():
    for workers, shards in [*PAIRS, (1000, 1000)]:
        parents = schedule.parents(workers, shards, 0)
        for place in range(workers) if workers < 100 else range(0, workers, 97):
            depth, at = 0, place
            while parents[at] is not None:
                assert parents[at] in schedule.peers(workers, shards, at, 0)
                depth, at = depth + 1, parents[at]
            assert at == 0
            assert depth <= math.ceil(math.log2(workers))


def test_a_power_of_two_is_the_hypercube():
    for place, own in enumerate(schedule.schedule(16, 16, 0)):
        assert [[swap.peer for swap in step.swaps] for step in own] == [[place ^ 1 << level] for level in range(4)]
