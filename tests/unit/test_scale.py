"""The simulation of many workers against closed formulas, and its schedule against what the true exchange sends."""

import math

import numpy as np
import pytest

from hdl import sync
from hdl.runners.base import groups
from hdl.spec import parse
from hdl.yarn.comm.allreduce import allreduce
from tests.bench.scaling import halving as own
from tests.bench.scaling.application import Application
from tests.bench.scaling.costs import Cluster, Costs
from tests.bench.scaling.halving import covered
from tests.bench.scaling.picture import draw
from tests.bench.scaling.schedules import Direct, Mirrored, Ring, Servers, traffic
from tests.unit.test_yarn_tree import meshes, on_all, updates_of

P = 1 << 22  # bytes of an update
B = 1e9  # bytes/s of a port
L = 1e-3  # seconds of a way
STILL = Cluster(latency=0.0, bandwidth=B, compute=0.0, spread=0.0, slow=0.0)
FAR = Cluster(latency=L, bandwidth=math.inf, compute=0.0, spread=0.0, slow=0.0)
FREE = Costs()
DEAR = Costs(1e-5, 1e-9, 2e-5, 2e-9, 3e-10)


def halving(n, shards, size, **fields):
    """hdl's schedule, also for the few workers who exchange directly."""
    return own.halving(n, shards, size, direct=0, **fields)


def took(schedule, cluster, costs=FREE):
    """Seconds of one round, without the way from and to the master."""
    (seconds,) = Application(schedule, P, cluster, costs, beats=False).run(1).rounds
    return seconds - 2 * cluster.latency


@pytest.mark.parametrize("n", [2, 4, 32])
@pytest.mark.parametrize("make", [lambda n: halving(n, n, P), lambda n: Ring(n, P), lambda n: Direct(n, P)])
def test_without_latency_an_exchange_takes_its_bytes_over_the_bandwidth(n, make):
    assert took(make(n), STILL) == pytest.approx(2 * (n - 1) / n * P / B)


def test_a_parameter_server_takes_all_workers_bytes_twice():
    assert took(Servers(8, P), STILL) == pytest.approx(2 * 8 * P / B)
    assert 2 * 8 * P / 4 / B < took(Servers(8, P, 4), STILL) < 1.25 * 2 * 8 * P / 4 / B  # some wait for others' turn


@pytest.mark.parametrize("n", [2, 4, 32])
def test_without_bytes_an_exchange_takes_its_steps(n):
    steps = int(math.log2(n))
    assert took(halving(n, n, P), FAR) == pytest.approx(2 * steps * L)
    assert took(halving(n, n, P, small=P), FAR) == pytest.approx(steps * L)
    assert took(Ring(n, P), FAR) == pytest.approx(2 * (n - 1) * L)
    assert took(Direct(n, P), FAR) == pytest.approx(2 * L)
    assert took(Servers(n, P), FAR) == pytest.approx(2 * L)


@pytest.mark.parametrize("n", [3, 5, 7, 12, 100])
def test_any_number_of_workers_takes_log2_steps_rounded_up(n):
    assert took(halving(n, n, P), FAR) == pytest.approx(2 * math.ceil(math.log2(n)) * L)


@pytest.mark.parametrize("n", [2, 4, 32])
def test_halving_sends_what_a_ring_sends_to_log2_peers(n):
    for each in traffic(halving(n, n, P)):
        assert each.sent == each.received == 2 * (n - 1) * P // n
        assert each.peers == math.log2(n)
        assert each.messages == 2 * math.log2(n)
    for each in traffic(Ring(n, P)):
        assert each.sent == pytest.approx(2 * (n - 1) * P / n, rel=1e-4)


def test_what_does_not_join_travels_side_by_side():
    assert [covered(0, 8, 8), covered(1, 3, 8), covered(1, 8, 8)] == [1, 2, 3]
    aligned, skewed = (sum(each.sent for each in traffic(halving(4, shards, P))) for shards in (8, 6))
    assert aligned == 4 * 2 * 3 * P // 4
    assert skewed > aligned


@pytest.mark.parametrize("make", [Ring, Direct])
@pytest.mark.parametrize("n", [2, 3, 16])
def test_one_mirrored_node_takes_as_long_as_all(make, n):
    cluster = Cluster(latency=L, bandwidth=B, compute=0.0, spread=0.0, slow=0.0)
    assert took(Mirrored(make(n, P)), cluster, DEAR) == pytest.approx(took(make(n, P), cluster, DEAR), rel=1e-3)


def test_processors_of_one_host_are_shared():
    here = Cluster(local=True, cores=2, latency=0.0, compute=1.0, spread=0.0, slow=0.0)
    assert took(halving(8, 8, P), here) == pytest.approx(4.0)
    work = sum(each.sent for each in traffic(halving(8, 8, P))) * 3e-9 / 2
    free = Cluster(local=True, cores=2, latency=0.0, compute=0.0, spread=0.0, slow=0.0)
    assert took(halving(8, 8, P), free, Costs(send_byte=1e-9, receive_byte=2e-9)) == pytest.approx(work, rel=0.05)


def test_a_round_waits_for_the_slowest_and_repeats_with_its_seed():
    cluster = Cluster(compute=1.0, spread=0.1, slow=0.2, slow_factor=3.0)

    def rounds(seed):
        return Application(halving(8, 8, P), P, cluster, DEAR, seed=seed).run(5)

    told = rounds(1)
    assert all(taken > slowest for taken, slowest in zip(told.rounds, told.computing, strict=True))
    assert max(told.computing) > 2.5
    assert rounds(1).rounds == told.rounds != rounds(2).rounds


def test_relays_leave_the_master_as_many_messages_as_it_has_children():
    def messages(fan):
        return Application(halving(100, 100, P), P, FAR, FREE, fan, beats=False).run(1).messages

    assert messages(0) == 2 * 100
    assert messages(32) == 2 * 32


def test_the_master_s_time_is_that_of_its_messages():
    costs = Costs(master_round=1.0, master_message=0.1, master_entry=0.01)
    assert Application(halving(8, 8, P), P, FAR, costs, beats=False).run(2).master == pytest.approx(2 * (1 + 8 * 0.1))
    told = Application(halving(100, 100, P), P, FAR, costs, 32, beats=False).run(1)
    assert told.master == pytest.approx(1 + 32 * 0.1 + 68 * 0.01)


def test_a_loss_costs_its_notice_another_container_and_its_shards():
    cluster = Cluster(latency=0.0, bandwidth=math.inf, detect=1.5, container=3.0, load=2.0, compute=1.0)

    def pause(**given):
        return Application(halving(8, 8, P), P, cluster, FREE, beats=False).lose(**given).pause

    assert pause(elastic=False) == pytest.approx(1.5 + 3 + 2 + 1)
    assert pause(elastic=True) == pytest.approx(1.5 + 2 + 1)
    assert pause(elastic=True, silent=20.0) == pytest.approx(20 + 2 + 1)


def test_all_connect_anew_before_the_round_is_done_again():
    cluster = Cluster(latency=0.0, bandwidth=math.inf, detect=0.0, load=0.0, compute=0.0)
    costs = Costs(handshake_out=0.1, handshake_in=0.2)

    def pause(schedule):
        return Application(schedule, P, cluster, costs, beats=False).lose(elastic=True).pause

    assert pause(halving(8, 8, P)) == pytest.approx(3 * 0.3)
    assert pause(Direct(8, P)) == pytest.approx(7 * 0.3)


@pytest.mark.parametrize(
    ("workers", "shards", "small"),
    [(2, 2, 0), (4, 4, 0), (5, 5, 0), (7, 13, 0), (16, 64, 0), (7, 13, 1 << 30), (8, 8, 1 << 30)],
)
@pytest.mark.parametrize("direct", [0, 64])
def test_the_true_exchange_sends_the_messages_and_bytes_of_the_schedule(workers, shards, small, direct):
    parameters = 20_003
    spec = parse({"net": "10-5-2", "shards": shards, "sync": {"mode": "gradient"}})
    updates = updates_of(spec, np.random.default_rng(1), parameters)

    def exchange(mesh):
        held = [updates[shard] for shard in groups(shards, workers)[mesh.rank]]
        allreduce(mesh, spec, sync.join_siblings(spec, held), parameters, small)
        return mesh.sent_messages, mesh.sent_bytes, mesh.received_messages, mesh.received_bytes, len(mesh.peers)

    planned = traffic(own.halving(workers, shards, 4 * parameters, small, direct))
    for (sent, sent_bytes, got, got_bytes, peers), plan in zip(
        on_all(meshes(workers, shards, direct), exchange), planned, strict=True
    ):
        assert (sent, got) == (plan.messages, plan.gets)
        assert peers == plan.peers or small  # what goes whole needs some of the connections alone
        heads = 2048  # of a message at most: its fields and those of each update in it
        assert plan.sent < sent_bytes < plan.sent + heads * plan.messages
        assert plan.received < got_bytes < plan.received + heads * plan.gets


def test_equal_figures_give_the_same_picture(tmp_path):
    panels = {f"panel {k}": ("ms", {"ring": {2: 1.0, 8: 2.0}, "own": {2: 5.0, 8: 9.0}}) for k in range(6)}
    for name in "a", "b":
        draw(panels, {"panel 1": {2: 1.5}}, tmp_path / f"{name}.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert all(word in text for word in ("panel 5, ms", "ring", "own", "real runs", "workers"))
