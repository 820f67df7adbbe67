"""Nets trained side by side, and samples that do not fit on a device, by the CUDA core's own kernels."""

import numpy as np
import pytest

from hdl import models, ops
from hdl import spec as specs
from hdl.errors import Interrupted, NonFinite
from hdl.models import mlp
from hdl.ops import Key
from hdl.ops.cuda import base as cuda
from hdl.ops.cuda import program as cuda_program
from hdl.table import Table
from tests.cuda.dense import KEY, make_samples, make_spec


@pytest.mark.parametrize("resident", [True, False])
def test_nets_side_by_side_get_the_bytes_that_they_get_alone(device, monkeypatch, resident):
    if not resident:
        monkeypatch.setattr(cuda_program, "RESIDENT", 0)
        monkeypatch.setenv("HDL_EMULATED_PROCESSORS", "7")
    spec = make_spec("20-12-5", optimizer="adam", dropout=0.3)
    rng, works = np.random.default_rng(0), []
    for number, n in enumerate((40, 0, 33, 7)):  # one has nothing to do
        kind = ("float", "uint8", "csr", "float")[number]
        samples = make_samples(spec, max(n, 3), kind, seed=number)
        w = mlp.initial(spec) + np.float32(number)
        lr = np.full(ops.steps(n, 8), 0.01 * (number + 1), np.float32)
        state = np.zeros((2, w.size), np.float32)
        works.append(ops.Work(w, state, samples, rng.permutation(n), lr, number, Key(1, 2, number)))
    together = [work._replace(w=work.w.copy(), state=work.state.copy()) for work in works]
    core = ops.make(spec, "cuda:0")
    alone = [core.train(*work[:4], 8, *work[4:7]) for work in works]
    found = core.train_all(together, 8)
    assert found == alone
    assert [result.steps for result in found] == [5, 0, 5, 1]
    for one, other in zip(works, together, strict=True):
        assert one.w.tobytes() == other.w.tobytes()
        assert one.state.tobytes() == other.state.tobytes()


def test_members_of_an_ensemble_go_side_by_side(device, monkeypatch):
    spec = make_spec("20-12-5", optimizer={"name": "adam", "weight_decay": 0.2}, dropout=0.3, members=3)
    samples, order = make_samples(spec.with_(members=1), 40), np.random.default_rng(0).permutation(40)
    trained = []
    for backend in "cuda:0", "reference":
        core, w = ops.make(spec, backend), models.initial(spec)
        lr, state = np.full(5, 0.01, np.float32), np.zeros((2, w.size), np.float32)
        if backend == "cuda:0":
            assert core.together(8) == core.own[0].together(8) // 3
            monkeypatch.setattr(type(core.own[0]), "together", lambda self, batch: 2)  # no room for all three
        result = core.train(w, state, samples, order, 8, lr, 0, KEY)
        out, seen = core.forward(w, samples)
        trained.append((w, result.cost, core.gradient(w, samples, None, KEY)[0], out, seen.cost))
    for here, there in zip(*trained, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-4)


def test_when_one_of_several_nets_fails_all_are_as_they_were(device):
    spec = make_spec(loss="squared", activation="relu")
    samples, none = make_samples(spec, 40), np.zeros((0, mlp.initial(spec).size), np.float32)
    works = [
        ops.Work(mlp.initial(spec), none, samples, np.arange(40), np.full(40, lr, np.float32), 0, KEY)
        for lr in (0.01, 1e6)
    ]
    with pytest.raises(NonFinite):
        ops.make(spec, "cuda:0").train_all(works, 1)
    assert all(np.array_equal(work.w, mlp.initial(spec)) for work in works)


@pytest.mark.parametrize(("mode", "sync"), [("average", {"every": 1}), ("genetic", {"every": 1, "mode": "genetic"})])
def test_shards_of_a_round_go_side_by_side(device, monkeypatch, tmp_path, mode, sync):
    """The local runner on a device: the bytes of one shard after the other, and near those of the CPU."""
    from hdl import driver
    from hdl.runners.base import Job
    from hdl.runners.local import LocalRunner

    rng = np.random.default_rng(0)
    lines = [",".join(f"{v:.3f}" for v in rng.normal(size=3) + i % 2) + f",{i % 2}" for i in range(150)]
    (tmp_path / "data.csv").write_text("a,b,c,class\n" + "\n".join(lines) + "\n")
    found, calls = {}, []
    real = cuda.Cuda.train_all
    monkeypatch.setattr(
        cuda.Cuda, "train_all", lambda self, works, *rest: calls.append(len(works)) or real(self, works, *rest)
    )
    for name, where, together in (("cpu", "cpu", 1), ("alone", "cuda:0", 1), ("together", "cuda:0", 256)):
        monkeypatch.setattr(cuda, "_NETS", together)
        spec = specs.parse({"net": "0-5-0", "shards": 4, "epochs": 3, "batch": 8, "seed": 3, "validation": 0.2,
                            "optimizer": {"name": "momentum", "lr": 0.05}, "sync": sync})  # fmt: skip
        runner = LocalRunner(1, 1, device=where)
        outcome = driver.train(Job(str(tmp_path / "data.csv"), str(tmp_path / name), spec), runner)
        found[name] = Table(outcome.table).read(3).weights.w
    assert set(calls) == {1, 4}
    assert found["alone"].tobytes() == found["together"].tobytes()
    np.testing.assert_allclose(found["together"], found["cpu"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("kind", "weighted"), [("uint8", False), ("csr", False), ("float", True)])
def test_samples_that_do_not_fit_pass_through_with_the_same_bytes(device, monkeypatch, kind, weighted):
    spec = make_spec("30-8-4", optimizer="adam", dropout=0.3, input_dropout=0.1)
    samples, found, aside = make_samples(spec, 400, kind, weighted=weighted), [], []
    put = device.put
    monkeypatch.setattr(device, "put", lambda pointer, array, beside=False: aside.append(beside) or put(pointer, array))
    order = np.random.default_rng(0).permutation(400)
    for free in (1 << 30, 12000):
        device.free = free
        core, w = ops.make(spec, "cuda:0"), mlp.initial(spec)
        state = np.zeros((2, w.size), np.float32)
        monkeypatch.setattr(cuda, "_BLOCK", 16)
        out, measured = core.forward(w, samples, order)
        gradient, _ = core.gradient(w, samples, order, KEY)
        result = core.train(w, state, samples, order, 16, np.full(25, 0.01, np.float32), 7, KEY)
        assert any(aside) == (free == 12000)
        found.append([part.tobytes() for part in (out, gradient, w, state)])
        assert (result.samples, result.steps, measured.samples) == (400, 25, 400)
        found[-1] += [measured.correct, result.correct, measured.weight, result.weight]
    assert found[0] == found[1]
    with pytest.raises(Interrupted, match=r"stopped after [1-9]\d? of 25 steps"):
        core.train(w, state, samples, order, 16, np.full(25, 0.01, np.float32), progress=lambda *_: True)
    before = w.copy()
    with pytest.raises(NonFinite):
        core.train(w, state, samples, order, 16, np.full(25, [0.01] * 20 + [np.inf] * 5, np.float32))
    assert np.array_equal(w, before)


def test_nets_whose_samples_do_not_fit_together_take_turns(device):
    spec = make_spec("30-8-4", optimizer="momentum")
    works, found = [], []
    for number in range(3):
        samples = make_samples(spec, 100, seed=number, weighted=number > 0)
        w = mlp.initial(spec)
        works.append(
            ops.Work(w, np.zeros((1, w.size), np.float32), samples, np.arange(100), np.full(7, 0.1, np.float32))
        )
    for free in (1 << 30, 20000):
        device.free = free
        own = [work._replace(w=work.w.copy(), state=work.state.copy()) for work in works]
        results = ops.make(spec, "cuda:0").train_all(own, 16)
        found.append(([work.w.tobytes() for work in own], results))
    assert found[0][0] == found[1][0]
    assert found[0][1] == found[1][1]
