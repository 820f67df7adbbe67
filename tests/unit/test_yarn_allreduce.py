"""Updates of all shards as one: the same bytes as the local merge for any number of workers; peers that fail."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hdl import sync, wire
from hdl.spec import parse
from hdl.wire import Update
from hdl.yarn.comm.allreduce import allreduce
from hdl.yarn.comm.mesh import Mesh, PeerLost

P = 1003  # no multiple of any number of workers


def meshes(size, **fields):
    """One mesh a rank, over socket pairs."""
    outward, inward = [{} for _ in range(size)], [{} for _ in range(size)]
    for rank in range(size):
        for peer in range(size):
            if rank != peer:
                outward[rank][peer], inward[peer][rank] = socket.socketpair()
    return [Mesh(rank, size, 7, outward[rank], inward[rank], **fields) for rank in range(size)]


def updates_of(spec, rng, parameters=P):
    """One update a shard, as `train_shard` makes them; the third shard is empty."""
    updates = []
    for shard in range(spec.shards):
        vector = rng.normal(size=parameters).astype(np.float32)
        sums = {"samples": 0 if shard == 2 else 10 + shard, "cost": float(rng.normal())}
        if spec.sync.mode == "gradient":
            tensors = {"gradient": vector}
        elif spec.sync.mode == "average":
            tensors = {"w": vector, "rule": rng.normal(size=(2, parameters)).astype(np.float32)}
        else:
            tensors = {"w": vector[None], "cost": np.array([1.0 + shard], np.float32)}
        updates.append(Update(spec.sync.mode, 5, shard, shard + 1, tensors, sums, {"train": 0.1}))
    return updates


def together(spec, updates, size, small):
    """Join the updates on every rank of a mesh; returns each rank's result."""
    everyone = meshes(size)

    def join(mesh):
        own = range(mesh.rank * spec.shards // size, (mesh.rank + 1) * spec.shards // size)
        held = sync.join_siblings(spec, [updates[shard] for shard in own])
        return allreduce(mesh if size > 1 else None, spec, held, P, small)

    with ThreadPoolExecutor(size) as pool:
        joined = list(pool.map(join, everyone))
    for mesh in everyone:
        mesh.close()
    return joined


@pytest.mark.parametrize("small", [0, 1 << 30], ids=["slices", "whole"])
@pytest.mark.parametrize("mode", ["gradient", "average", "genetic"])
@pytest.mark.parametrize("shards", [4, 5, 7])
def test_every_rank_gets_the_bytes_of_the_local_merge(mode, shards, small):
    spec = parse({"net": "10-5-2", "shards": shards, "sync": {"mode": mode}})
    updates = updates_of(spec, np.random.default_rng(shards))
    expected = wire.encode(sync.complete(spec, updates))
    for size in (1, 2, 3, 4):
        for joined in together(spec, updates, size, small):
            assert wire.encode(joined) == expected


def test_what_is_large_is_sent_by_threads_while_all_receive():
    spec = parse({"net": "10-5-2", "shards": 3, "sync": {"mode": "gradient"}})
    vector = np.random.default_rng(0).normal(size=(3, 3_000_000)).astype(np.float32)
    updates = [Update("gradient", 0, k, k + 1, {"gradient": vector[k]}, {"samples": 1}) for k in range(3)]
    everyone = meshes(3)
    with ThreadPoolExecutor(3) as pool:
        joined = list(pool.map(lambda mesh: allreduce(mesh, spec, [updates[mesh.rank]], 3_000_000), everyone))
    expected = vector[0] + vector[1] + vector[2]
    for update in joined:
        assert np.array_equal(update.tensors["gradient"], expected)


def test_a_peer_that_is_gone_is_named():
    one, two = meshes(2)
    two.close()
    with pytest.raises(PeerLost) as error:
        one.share([[b"x"]])
    assert error.value.rank == 1


def test_a_peer_of_another_generation_is_refused():
    one, two = meshes(2)
    two.generation = 6
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(two.share, [[b"x"]])
        with pytest.raises(PeerLost, match="generation 6"):
            one.share([[b"x"]])
        with pytest.raises(PeerLost, match="generation 7"):
            other.result()


def test_a_message_beyond_the_limit_is_not_taken():
    one, two = meshes(2, limit=1000)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(two.share, [[bytes(2000)]])
        with pytest.raises(PeerLost, match="2000 bytes; expected at most 1000"):
            one.share([[b"x"]])
        two.close()


def test_whoever_waits_is_told_to_stop():
    class StopIt(Exception):
        pass

    stopped = threading.Event()

    def check():
        if stopped.is_set():
            raise StopIt

    one, _ = meshes(2, check=check)
    threading.Timer(0.3, stopped.set).start()
    with pytest.raises(StopIt):
        one.share([[b"x"]])
