"""The C core's threads: how many work changes no bit, and those that are not worth it are given up."""

import os

import numpy as np
import pytest

from hdl import _cpu


@pytest.mark.parametrize("plan", ["Plan", "AutoencoderPlan", "RbmPlan"])
def test_threads_that_come_and_go_change_no_bit(plan):
    """How many threads work is chosen while they do; what a thread keeps for itself is there when it comes again."""
    rng = np.random.default_rng(0)
    x = rng.random((300, 120), dtype=np.float32)
    if plan == "Plan":
        made, y = _cpu.Plan([120, 30, 5], threads=4), rng.integers(0, 5, 300).astype(np.int32)
    else:
        options = {"beta": 0.3} if plan == "AutoencoderPlan" else {}
        made, y = getattr(_cpu, plan)(120, 30, threads=4, **options), None
    start = (0.1 * rng.random(made.parameters)).astype(np.float32)
    order = rng.integers(0, 300, 600).astype(np.int64)
    found = set()
    for fixed in [(1, 1, 1, 1), (4, 4, 4, 4), (1, 4, 2, 3), (3, 1, 4, 1), (0, 0, 0, 0)]:
        w = start.copy()
        for step, threads in enumerate(fixed):
            made.fix_threads(threads)
            made.train(w, None, x, y, order, 50, 0.01, first_step=12 * step)
            assert not threads or made.working == threads
        found.add(w.tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("isa", _cpu.isas())
@pytest.mark.parametrize("kind", ["tied autoencoder", "sparse autoencoder", "rbm", "persistent rbm"])
def test_panels_of_deltas_that_stripes_share_change_no_bit(kind, isa):
    """A block of many rows lays its deltas in panels once for all stripes of weights; a small one does not."""
    rng = np.random.default_rng(0)
    x = (rng.random((150, 784)) < 0.3).astype(np.float32)
    order = rng.integers(0, 150, 300).astype(np.int64)
    found = set()
    for threads, rows in [(1, 128), (2, 128), (1, 30), (3, 7)]:
        options = {"isa": isa, "threads": threads, "max_batch": rows}
        if "rbm" in kind:
            plan = _cpu.RbmPlan(784, 60, chains=90 if kind == "persistent rbm" else 0, **options)
        else:
            plan = _cpu.AutoencoderPlan(784, 60, tied=kind[0] == "t", beta=0.3 * (kind[0] == "s"), **options)
        plan.fix_threads(threads)
        w = (0.1 * np.random.default_rng(1).normal(size=plan.parameters)).astype(np.float32)
        chains = {"chains": x[:90].copy()} if kind == "persistent rbm" else {}
        plan.train(w, None, x, None, order, 150, 0.01, **chains)
        g, _ = plan.gradient(w, x, None, **chains)
        found.add((w.tobytes(), g.tobytes()))
    assert len(found) == 1


@pytest.mark.parametrize("isa", _cpu.isas())
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_the_sizes_of_caches_change_no_bit(rule, isa):
    """Blocks of weights, of rows and of sums follow the caches; the order of each sum does not."""
    rng = np.random.default_rng(0)
    x, y = rng.random((450, 700), dtype=np.float32), rng.integers(0, 10, 450).astype(np.int32)
    start = (0.1 * rng.normal(size=_cpu.Plan([700, 420, 130, 10]).parameters)).astype(np.float32)
    found, before = set(), _cpu.caches()
    try:
        for l1, l2 in [(1 << 14, 1 << 18), before, (48 << 10, 2 << 20), (1 << 17, 4 << 20)]:
            _cpu.set_caches(l1, l2)
            assert _cpu.caches() == (l1, l2)
            for threads, rows in [(1, 512), (2, 512), (1, 100)]:
                plan = _cpu.Plan([700, 420, 130, 10], isa=isa, threads=threads, max_batch=rows)
                w, state = start.copy(), np.zeros((2, start.size), np.float32)
                plan.train(w, state if rule == "adam" else None, x, y, np.arange(450), 300, 0.01, rule=rule)
                found.add((w.tobytes(), state.tobytes(), plan.gradient(w, x, y)[0].tobytes()))
    finally:
        _cpu.set_caches(*before)
    assert len(found) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen here")
def test_threads_that_only_share_a_processor_are_given_up():
    rng = np.random.default_rng(0)
    x, y = rng.random((200, 80), dtype=np.float32), rng.integers(0, 5, 200).astype(np.int32)
    order = rng.integers(0, 200, 200_000).astype(np.int64)
    plan, alone = _cpu.Plan([80, 40, 5], threads=3), _cpu.Plan([80, 40, 5])
    w = (0.1 * rng.random(plan.parameters)).astype(np.float32)
    expected = w.copy()
    mine = os.sched_getaffinity(0)
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {min(mine)})
    try:
        plan.train(w, None, x, y, order, 50, 0.01)
    finally:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), mine)
    assert plan.working == 1
    alone.train(expected, None, x, y, order, 50, 0.01)
    assert w.tobytes() == expected.tobytes()
