"""Recursive halving and doubling: the bytes of the local merge for many workers and any shards; what it takes."""

import math
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hdl import sync, wire
from hdl.errors import WorkerError
from hdl.runners.base import groups
from hdl.spec import parse
from hdl.sync import schedule
from hdl.yarn.comm.allreduce import all_gather, allreduce, reduce_scatter
from hdl.yarn.comm.mesh import Mesh, PeerLost
from tests.unit.test_measured_updates import SPEC, row_of
from tests.unit.test_measured_updates import updates as measured_updates
from tests.unit.test_yarn_allreduce import updates_of

P = 331  # no multiple of any number of workers


def meshes(size, shards, direct=0, **fields):
    """One mesh a rank over socket pairs, between peers alone."""
    outward, inward = [{} for _ in range(size)], [{} for _ in range(size)]
    for rank in range(size):
        for peer in schedule.peers(size, shards, rank, direct):
            outward[rank][peer], inward[peer][rank] = socket.socketpair()
    return [
        Mesh(rank, size, 7, outward[rank], inward[rank], shards=shards, direct=direct, **fields)
        for rank in range(size)
    ]  # fmt: skip


def on_all(everyone, work):
    """Do something on every mesh at the same time; returns each one's result."""
    with ThreadPoolExecutor(len(everyone)) as pool:
        done = list(pool.map(work, everyone))
    for mesh in everyone:
        mesh.close()
    return done


def same_everywhere(mode, shards, held, small=0, direct=0, parameters=P):
    """Check that workers with these shards all end with the bytes of the local merge."""
    spec = parse({"net": "10-5-2", "shards": shards, "sync": {"mode": mode}})
    updates = updates_of(spec, np.random.default_rng(shards), parameters)
    expected = wire.encode(sync.complete(spec, updates))

    def join(mesh):
        own = sync.join_siblings(spec, [updates[shard] for shard in held[mesh.rank]])
        mesh = mesh if mesh.size > 1 else None
        first = allreduce(mesh, spec, own, parameters, small)
        return first, allreduce(mesh, spec, own, parameters, small)  # again: memory is used again

    for pair in on_all(meshes(len(held), shards, direct), join):
        for joined in pair:
            assert wire.encode(joined) == expected


@pytest.mark.parametrize("mode", ["gradient", "average", "genetic"])
@pytest.mark.parametrize(("workers", "shards"), [(2, 8), (3, 8), (4, 13), (5, 5), (7, 13), (13, 13), (7, 64)])
def test_every_worker_gets_the_bytes_of_the_local_merge(mode, workers, shards):
    same_everywhere(mode, shards, groups(shards, workers))


@pytest.mark.parametrize("mode", ["gradient", "average"])
def test_what_is_small_goes_whole_and_is_the_same(mode):
    for workers, shards in (2, 8), (5, 13), (7, 64):
        same_everywhere(mode, shards, groups(shards, workers), small=1 << 30)


@pytest.mark.parametrize("workers", [2, 3, 6, 7])
def test_shards_that_are_no_neighbours_change_no_byte(workers):
    shards = np.random.default_rng(workers).permutation(13)
    held = [sorted(int(shard) for shard in own) for own in np.array_split(shards, workers)]
    for small in (0, 1 << 30):
        same_everywhere("average", 13, held, small)


def test_more_workers_than_numbers_change_no_byte():
    same_everywhere("average", 13, groups(13, 9), parameters=3)
    same_everywhere("gradient", 8, groups(8, 8), parameters=1)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["gradient", "average", "genetic"])
@pytest.mark.parametrize("shards", [8, 13, 64])
def test_up_to_64_workers_get_the_bytes_of_the_local_merge(mode, shards):
    for workers in sorted({1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 31, 33, 48, 63, 64}):
        if workers <= shards:
            for small in (0, 1 << 30):
                same_everywhere(mode, shards, groups(shards, workers), small, direct=1)


def test_64_workers_get_the_bytes_of_the_local_merge():
    same_everywhere("average", 64, groups(64, 64), parameters=1000)


def test_slices_are_gathered_in_their_order():
    vectors = {"trial": np.arange(P, dtype=np.float32), "w": np.arange(2.0 * P).reshape(2, P)}
    spans = schedule.spans(P, 6, 9, direct=0)

    def gather(mesh):
        lo, hi = spans[mesh.rank]
        return all_gather(mesh, {name: vector[..., lo:hi] for name, vector in vectors.items()}, P)

    for whole in on_all(meshes(6, 9), gather):
        assert all(np.array_equal(whole[name], vector) for name, vector in vectors.items())


@pytest.mark.parametrize("small", [0, 1 << 30], ids=["slices", "whole"])
@pytest.mark.parametrize("mode", ["gradient", "evaluate"])
def test_the_first_worker_alone_has_what_was_measured(mode, small):
    spec = SPEC.with_(shards=13)
    updates = measured_updates(mode, spec)
    expected = row_of(sync.complete(spec, updates))
    held = groups(13, 13)  # more than there are numbers

    def join(mesh):
        return allreduce(mesh, spec, sync.join_siblings(spec, [updates[k] for k in held[mesh.rank]]), 8, small)

    first, *others = on_all(meshes(13, 13), join)
    assert row_of(first) == expected
    assert [joined.measures for joined in others] == [None] * 12
    assert {joined.sums["val_samples"] for joined in others} == {first.sums["val_samples"]}


def test_a_worker_sends_the_update_twice_at_most_whatever_the_number_of_workers():
    parameters = 20_000
    for workers in (4, 8, 12):
        spec = parse({"net": "10-5-2", "shards": workers, "sync": {"mode": "gradient"}})
        updates = updates_of(spec, np.random.default_rng(0), parameters)
        everyone = meshes(workers, workers)
        on_all(everyone, lambda mesh, own=updates, of=spec: allreduce(mesh, of, [own[mesh.rank]], parameters, 0))
        sent = [mesh.sent_bytes / (4 * parameters) for mesh in everyone]
        assert sum(sent) / workers == pytest.approx(2 * (workers - 1) / workers, rel=0.15)
        assert sum(mesh.received_bytes for mesh in everyone) == sum(mesh.sent_bytes for mesh in everyone)
        assert sum(mesh.received_messages for mesh in everyone) == sum(mesh.sent_messages for mesh in everyone)
        if workers == 8:
            assert max(sent) < 1.8
            assert {mesh.sent_messages for mesh in everyone} == {6}
        assert all(len(mesh.peers) <= 2 * math.log2(workers) for mesh in everyone)


def test_a_slice_of_another_length_is_refused():
    spec = parse({"net": "10-5-2", "shards": 2, "sync": {"mode": "gradient"}})
    updates = updates_of(spec, np.random.default_rng(0), P)

    def join(mesh):
        with pytest.raises(WorkerError, match="numbers; expected"):
            reduce_scatter(mesh, spec, [updates[mesh.rank]], P - 40 * mesh.rank)
        return True

    assert all(on_all(meshes(2, 2), join))


def test_a_peer_that_is_gone_is_named_and_others_wait_until_they_are_told():
    class StopIt(Exception):
        pass

    lost = []

    def check():
        if lost:
            raise StopIt

    spec = parse({"net": "10-5-2", "shards": 8, "sync": {"mode": "gradient"}})
    updates = updates_of(spec, np.random.default_rng(0), P)
    everyone = meshes(8, 8, check=check)
    everyone[5].close()

    def join(mesh):
        try:
            return allreduce(mesh, spec, [updates[mesh.rank]], P, 0)
        except PeerLost as error:
            lost.append(error.rank)
            return error.rank
        except StopIt:
            return "stopped"

    ends = on_all([mesh for mesh in everyone if mesh.rank != 5], join)
    assert set(ends) == {5, "stopped"}
    assert ends[4] == 5
