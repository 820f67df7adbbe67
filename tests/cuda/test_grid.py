"""Grids on a GPU: trainings that are alike go side by side, and each gets the bytes that it gets alone."""

import signal
import threading

import numpy as np
import pytest

from hdl import cli, ops
from hdl.errors import Interrupted, NonFinite
from hdl.models import mlp
from hdl.ops import Key, Samples, Work
from hdl.ops.batching import BatchingBarrier, compatibility
from hdl.ops.cuda import base as cuda
from hdl.search import grid, side_by_side
from hdl.spec import parse
from hdl.table import Table
from tests.unit.participants import LIMIT, run


@pytest.fixture(autouse=True)
def calls(device, monkeypatch):
    """Nets in each call of `train_all`, on an emulated GPU that can be used."""
    found, real = [], cuda.Cuda.train_all
    monkeypatch.setattr(
        cuda.Cuda, "train_all", lambda self, works, *rest: found.append(len(works)) or real(self, works, *rest)
    )
    return found


@pytest.fixture
def data(tmp_path):
    path, rng = tmp_path / "data.csv", np.random.default_rng(0)
    y = np.arange(90) % 3
    np.savetxt(path, np.c_[rng.normal(size=(90, 4)) + y[:, None], y], fmt="%.5g", delimiter=",")
    return path


def train(capfd, *args, status=0):
    capfd.readouterr()
    ended = cli.run(["train", *map(str, args), "--no-report"])
    told = capfd.readouterr()
    assert ended == status, told
    return told


FIELDS = ["--net", "0-5-0", "--epochs", "3", "--batch", "10", "--validation", "0.2", "--device", "cuda"]
GRID = ["--grid", "lr=0.1,0.01,0.002", "--grid", "l2=0,0.1"]


def signatures(out):
    return {each.name: each.sha256 for each in grid.load(str(out))["results"]}


@pytest.mark.parametrize(
    "more",
    [
        [*GRID, "--optimizer", "adam", "--shards", "2"],
        [*GRID[:2], "--grid", "seed=1,2"],  # other samples held out, other orders
        ["--grid", "lr=0.1,0.01", "--grid", "beta1=0.5,0.9", "--grid", "max-norm=1,2"],
        [*GRID, "--sync", "genetic", "--shards", "2"],
        [*GRID, "--model", "autoencoder", "--net", "0-3-0", "--sparsity-weight", "0.1", "--no-labels"],
        [*GRID, "--model", "rbm", "--net", "0-3", "--persistent", "--chains", "4", "--no-labels"],
    ],
    ids=["shards", "seeds", "constants", "genetic", "autoencoder", "rbm"],
)
def test_each_gets_the_bytes_that_it_gets_alone(capfd, data, tmp_path, monkeypatch, calls, more):
    fields = [*FIELDS, *more, "--epochs", "2"]
    train(capfd, data, "--out", tmp_path / "together", *fields)
    together = list(calls)
    calls.clear()
    monkeypatch.setattr(side_by_side, "compatibility", lambda spec: None)
    train(capfd, data, "--out", tmp_path / "alone", *fields)
    found = signatures(tmp_path / "together")
    assert found == signatures(tmp_path / "alone")
    assert len(set(found.values())) == len(found) >= 6
    assert len(together) == 2  # one an epoch
    assert sum(together) == sum(calls)
    assert len(calls) == 2 * len(found)


def test_the_data_is_sent_once(capfd, data, tmp_path, device):
    narrow, path, sent = np.loadtxt(data, delimiter=","), tmp_path / "wide.npz", []
    np.savez(path, x=np.tile(narrow[:, :4], (1, 200)).astype(np.float32), y=narrow[:, 4].astype(int))
    for name, l2 in (("few", "0"), ("many", "0,0.1,0.2,0.3")):
        device.sent = 0
        grids = ["--net", "0-1-0", "--epochs", "1", *GRID[:2], "--grid", f"l2={l2}"]
        train(capfd, path, "--out", tmp_path / name, *FIELDS, *grids)
        sent.append(device.sent)
    samples = path.stat().st_size
    weights = 4 * (801 + 6)  # of a net; there are 9 more, each with Adam's state, and to be measured twice
    assert samples < sent[0]
    assert sent[1] < sent[0] + 9 * 5 * weights + samples / 4


def test_rules_that_keep_as_many_vectors_go_together(capfd, data, tmp_path, monkeypatch, calls):
    grids = ["--grid", "optimizer=momentum,nesterov,adagrad,rmsprop,adam,adadelta,sgd", "--lr", "0.01"]
    train(capfd, data, "--out", tmp_path / "together", *FIELDS, *grids)
    assert calls == [4] * 3 + [2] * 3 + [1] * 3
    monkeypatch.setattr(side_by_side, "compatibility", lambda spec: None)
    train(capfd, data, "--out", tmp_path / "alone", *FIELDS, *grids)
    assert signatures(tmp_path / "together") == signatures(tmp_path / "alone")


def test_what_is_no_part_of_a_net_keeps_trainings_apart(capfd, data, tmp_path, calls):
    grids = ["--grid", "net=0-5-0,0-6-0", "--grid", "lr=0.1,0.2"]
    train(capfd, data, "--out", tmp_path / "nets", *FIELDS[2:], *grids)
    assert calls == [2] * 6
    same = {"net": "4-5-3", "optimizer": "sgd"}
    for fields in ({"batch": 7}, {"dropout": 0.1}, {"max_norm": 1}, {"precision": "tf32"}, {"activation": "tanh"}):
        assert compatibility(parse(same)) != compatibility(parse(same | fields))
    assert compatibility(parse({"optimizer": "cg"})) is None
    assert compatibility(parse({"sync": {"mode": "gradient"}})) is None
    assert compatibility(parse({"model": "dbn"})) is None


def test_one_that_diverges_or_ends_sooner_leaves_the_others_as_they_are(capfd, data, tmp_path, calls):
    fields = [*FIELDS, "--activation", "relu", "--optimizer", "sgd"]
    grids = ["--grid", "lr=0.1,1e30,0.01,1e38", "--grid", "epochs=2,4"]
    told = train(capfd, data, "--out", tmp_path / "g", *fields[:2], *fields[4:], *grids)
    results = {each.name: each for each in grid.load(str(tmp_path / "g"))["results"]}
    states = {name: each.state for name, each in results.items()}
    assert {name for name, state in states.items() if state == "diverged"} == {
        f"lr={lr}_epochs={n}" for lr in ("1e+30", "1e+38") for n in (2, 4)
    }
    assert "diverged" in told.out
    assert max(calls) == 8
    assert calls[-1] == 2  # those of 4 epochs
    alone = tmp_path / "one"
    train(capfd, data, "--out", alone, *fields[:2], *fields[4:], "--lr", "0.01", "--epochs", "4")
    assert Table(str(alone)).read(Table(str(alone)).best()).signature == results["lr=0.01_epochs=4"].sha256


@pytest.mark.usefixtures("ctrl_c")
def test_stopped_it_keeps_whole_versions_and_goes_on_to_the_same_bytes(capfd, data, tmp_path, monkeypatch):
    train(capfd, data, "--out", tmp_path / "whole", *FIELDS, *GRID)
    from hdl.cli import search_progress

    real, seen = search_progress.Board.event, []

    def event(self, name, event):
        if type(event).__name__ == "Round":
            seen.append(name)
            if len(seen) == 8:  # in the second round: Ctrl-C, which the main thread hears
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                self.stop.wait(LIMIT)
        real(self, name, event)

    monkeypatch.setattr(search_progress.Board, "event", event)
    told = train(capfd, data, "--out", tmp_path / "part", *FIELDS, *GRID, status=130)
    assert "combinations are done. Go on with: hdl train" in told.err
    assert "--resume --device cuda" in told.err
    for name in signatures(tmp_path / "whole"):
        if (tmp_path / "part" / name).exists():
            Table(str(tmp_path / "part" / name)).read()
    monkeypatch.setattr(search_progress.Board, "event", real)
    train(capfd, data, "--out", tmp_path / "part", "--resume", "--device", "cuda")
    assert signatures(tmp_path / "part") == signatures(tmp_path / "whole")


def make(n, fail=()):
    """A barrier of n, and for each its participant's arguments."""
    spec = parse({"net": "4-5-3", "loss": "softmax", "optimizer": "sgd", "activation": "relu"})
    rng = np.random.default_rng(0)
    samples = Samples(rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 3, 40).astype(np.int32))
    w, none = mlp.initial(spec), np.zeros((0, mlp.initial(spec).size), np.float32)
    works = [
        Work(w.copy(), none, samples, np.arange(40), np.full(40, 1e30 if number in fail else 0.01, np.float32), 0,
             Key(number))
        for number in range(n)
    ]  # fmt: skip
    return BatchingBarrier(n, lambda own: ops.make(own, "cuda:0")), spec, works


def meet(barrier, spec, works, turns, progress=None):
    """What each of some threads ends with: trains `turns[i]` times, then leaves."""

    def body(number):
        def train(participant):
            found = None
            for _ in range(turns[number]):
                found = participant.train_all([works[number]], 1, progress and progress[number])
            return found

        return train

    return run(barrier, [body(number) for number in range(len(works))], spec)


def test_those_that_leave_are_not_waited_for(calls):
    barrier, spec, works = make(5)
    ends = meet(barrier, spec, works, [3, 0, 1, 2, 3])
    assert sorted(calls) == sorted([4, 3, 2])
    assert [type(end) for end in ends] == [list, type(None), list, list, list]


def test_one_that_fails_gets_its_own_message_and_the_others_their_results(calls):
    barrier, spec, works = make(4, fail=[1, 3])
    ends = meet(barrier, spec, works, [2, 2, 2, 2])
    assert [type(end) for end in ends] == [list, NonFinite, list, NonFinite]
    assert "at step" in str(ends[1])
    assert np.array_equal(works[0].w, works[2].w)
    assert calls[-1] == 2


def test_when_one_wants_to_stop_all_do():
    barrier, spec, works = make(3)
    told = []
    progress = [lambda *_: told.append(0), lambda *_: True, lambda *_: told.append(2)]
    ends = meet(barrier, spec, works, [9, 9, 9], progress)
    assert [type(end) for end in ends] == [Interrupted] * 3
    assert told == [0, 2] or sorted(told) == [0, 2]


def test_what_else_goes_wrong_is_told_to_all(monkeypatch):
    def broken(self, works, *rest):
        raise MemoryError("no room")

    monkeypatch.setattr(cuda.Cuda, "train_all", broken)
    assert [str(end) for end in meet(*make(3), [1, 1, 1])] == ["no room"] * 3


def test_more_nets_than_fit_go_in_several_calls(monkeypatch, calls):
    monkeypatch.setattr(cuda, "_NETS", 2)
    ends = meet(*make(5), [1] * 5)
    assert sorted(calls) == [1, 2, 2]
    assert all(end[0].steps == 40 for end in ends)


def test_only_those_that_are_alike_may_meet():
    barrier, spec, _ = make(2)
    barrier.join(spec)
    with pytest.raises(ValueError, match="only trainings that are alike"):
        barrier.join(spec.with_(activation="tanh"))
