"""Combinations without a command line: how results are ranked and drawn, what ends a search, and Ctrl-C."""

import signal
import threading
import time

import numpy as np
import pytest

from hdl import errors
from hdl.ops.batching import BatchingBarrier
from hdl.search import grid
from hdl.search.side_by_side import Search
from hdl.spec import Spec, parse
from tests.unit.participants import LIMIT


def test_results_are_ranked_by_accuracy_then_cost_then_without_a_score():
    def made(name, accuracy, cost, state="done"):
        return grid.Result(name, {}, {}, state, val_accuracy=accuracy, val_cost=cost)

    results = [made("d", None, None, "diverged"), made("c", None, 0.1), made("b", 0.9, 0.4), made("a", 0.9, 0.3)]
    assert [each.name for each in grid.ranked(results)] == ["a", "b", "c", "d"]
    assert grid.best(results[:1]) is None


def test_pictures_of_odd_grids():
    grids = pytest.importorskip("hdl.report.grids")
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    few = grid.Result("a", {}, {}, "done", "", 1.0, 0.0, 1, "", 1, 0.0, [(1, 0.1, 0.0, 1.0)])
    bad = grid.Result("b" * 99, {}, {}, "diverged")
    many = [
        grid.Result(str(n), {}, {}, "done", "", None, cost, 1, "", 3, 0.0, [(i, 0.1, cost + i, None) for i in range(3)])
        for n, cost in enumerate(rng.uniform(1e-6, 10, 100))
    ]
    for results in ([few], [bad], [few, bad], grid.ranked([*many, bad])):
        assert grids.picture(results, lambda each: each.name).startswith(b"\x89PNG")


def test_only_an_error_that_all_would_have_ends_the_search():
    """An error of one combination is its result alone."""

    def search(error):
        def train(one, barrier):
            raise error

        results = []
        combinations = [grid.Combination(name, {}, Spec()) for name in "ab"]
        Search(train, results.append, None, None)(combinations)
        return [each.state for each in results]

    assert search(errors.NonFinite("x")) == ["diverged"] * 2
    assert search(errors.WorkerError("x")) == ["failed"] * 2
    for error in (errors.DataError("x"), errors.Unavailable("x"), errors.Interrupted("x"), RuntimeError("x")):
        with pytest.raises(type(error)):
            search(error)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_waits_for_all_trainings_side_by_side():
    """Otherwise --resume would begin while an older training still writes."""
    stop, all_are_there, ended = threading.Event(), threading.Barrier(3), []

    def train(one, barrier):
        if all_are_there.wait(LIMIT) == 0:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert stop.wait(LIMIT)
        time.sleep(0.3)  # what it is in the middle of
        ended.append(one.name)
        raise errors.Interrupted("stopped")

    spec = parse({"net": "4-3"})
    combinations = [grid.Combination(name, {}, spec) for name in "abc"]
    search = Search(train, lambda result: None, lambda members: BatchingBarrier(members, None), stop)
    with pytest.raises(KeyboardInterrupt):
        search(combinations)
    assert sorted(ended) == ["a", "b", "c"]


@pytest.mark.timeout(LIMIT)
def test_ctrl_c_does_not_wait_for_threads_that_have_not_begun(monkeypatch):
    stop, begun, start = threading.Event(), [], threading.Thread.start

    def interrupted(thread):
        if thread.name == "hdl-grid-1":
            raise KeyboardInterrupt
        start(thread)

    def train(one, barrier):
        begun.append(one.name)
        assert stop.wait(LIMIT)
        raise errors.Interrupted("stopped")

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    combinations = [grid.Combination(name, {}, parse({"net": "4-3"})) for name in "abc"]
    barrier = BatchingBarrier(3, None)
    with pytest.raises(KeyboardInterrupt):
        Search(train, lambda result: None, lambda members: barrier, stop)(combinations)
    assert begun in (["a"], [])
    assert barrier._members == 0
