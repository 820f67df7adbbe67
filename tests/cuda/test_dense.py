"""Dense networks by the CUDA core's own kernels, emulated, against the reference."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdl import ops
from hdl import spec as specs
from hdl.errors import DeviceError, Interrupted, NonFinite, SpecError
from hdl.models import mlp
from hdl.ops import Key, Samples, rules
from hdl.ops.cuda import base as cuda
from hdl.ops.cuda import program as cuda_program
from hdl.table import Table

KEY = Key(7, 3, 1)


def make_spec(net="9-7-4", **fields):
    return specs.parse({"net": net, "loss": "softmax", "leak": 0.1, "optimizer": "sgd", **fields})


def make_samples(spec, n, kind="float", seed=0, targets=False):
    rng = np.random.default_rng(seed)
    inputs, outputs = spec.widths[0], spec.widths[-1]
    scale, shift = rng.uniform(0.5, 1, inputs).astype(np.float32), rng.normal(size=inputs).astype(np.float32)
    x = rng.normal(size=(n, inputs)).astype(np.float32)
    if kind == "uint8":
        x, scale = rng.integers(0, 256, (n, inputs)).astype(np.uint8), scale / np.float32(255)
    if kind == "csr":
        x, shift = scipy.sparse.csr_array(x * (rng.random(x.shape) < 0.3)), None
    y = rng.integers(0, outputs, n).astype(np.int32)
    if spec.loss == "squared" or targets:
        y = rng.dirichlet(np.ones(outputs), n).astype(np.float32)
    return Samples(x, y, scale, shift)


@st.composite
def jobs(draw):
    widths = [*draw(st.lists(st.integers(1, 40), min_size=1, max_size=3)), draw(st.integers(2, 12))]
    share = st.sampled_from([0, 0.3])
    spec = make_spec(
        widths,
        loss=draw(st.sampled_from(["softmax", "sigmoid", "squared"])),
        activation=draw(st.sampled_from(["linear", "sigmoid", "tanh", "lecun_tanh", "relu", "leaky_relu"])),
        l1=draw(st.sampled_from([0, 0.01])),
        l2=draw(st.sampled_from([0, 0.1])),
        max_norm=draw(st.sampled_from([0, 0.5])),
        dropout=draw(share),
        input_dropout=draw(share),
        optimizer={"name": draw(st.sampled_from(sorted(rules.VECTORS))), "epsilon": 1e-3},
    )
    kind = draw(st.sampled_from(["float", "uint8", "csr"]))
    samples = make_samples(spec, draw(st.integers(1, 60)), kind, targets=draw(st.booleans()))
    resident = draw(st.sampled_from([cuda_program.RESIDENT, 0]))  # 0: every product by blocks, factors by copies
    return spec, samples, draw(st.integers(1, 40)), resident


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(job=jobs())
def test_it_computes_what_the_reference_computes(device, job):
    spec, samples, batch, resident = job
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_program, "RESIDENT", resident)
        core, reference = ops.make(spec, "cuda:0"), ops.make(spec, "reference")
        n = len(samples)
        order = np.random.default_rng(1).integers(0, n, 2 * n + 1)
        w = mlp.initial(spec)
        near = {"rtol": 2e-4, "atol": 2e-5}
        for done, expected in (
            (core.forward(w, samples, order), reference.forward(w.astype(np.float64), samples, order)),
            (core.gradient(w, samples, order, KEY), reference.gradient(w.astype(np.float64), samples, order, KEY)),
        ):
            np.testing.assert_allclose(done[0], expected[0], rtol=1e-3, atol=1e-4 * max(1, abs(expected[0]).max()))
            assert done[1].cost == pytest.approx(expected[1].cost, rel=1e-4, abs=1e-4)
            assert abs(done[1].correct - expected[1].correct) <= 1  # of a tie
            assert done[1].samples == expected[1].samples == len(order)
        lr = np.linspace(0.001, 0.01, ops.steps(len(order), batch)).astype(np.float32)
        # The rules that divide by a root are not smooth where a gradient is 0: they start from a state that is not.
        state = np.full((core.state_vectors, w.size), 0.5, np.float32)
        truth, twin = w.astype(np.float64), state.astype(np.float64)
        found = core.train(w, state, samples, order, batch, lr, 3, KEY)
        expected = reference.train(truth, twin, samples, order, batch, lr, 3, KEY)
        np.testing.assert_allclose(w, truth, **near)
        np.testing.assert_allclose(state, twin, rtol=1e-3, atol=1e-4)
        assert (found.samples, found.steps) == (expected.samples, expected.steps)
        assert found.cost == pytest.approx(expected.cost, rel=1e-3, abs=1e-3)


def trained(spec, samples, batch=20, epochs=2, first=0):
    core = ops.make(spec, "cuda:0")
    w, n = mlp.initial(spec), len(samples)
    order = np.random.default_rng(2).permuted(np.tile(np.arange(n), (epochs, 1)), axis=1).ravel()
    state = np.zeros((core.state_vectors, w.size), np.float32)
    lr = np.full(ops.steps(len(order), batch), 0.05, np.float32)
    result = core.train(w, state, samples, order, batch, lr, first, KEY)
    return w, state, result, core


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("resident", [True, False])
def test_bytes_depend_on_nothing_but_the_shapes(device, monkeypatch, precision, resident):
    """Other numbers of blocks, and other orders in which threads go on."""
    if not resident:
        monkeypatch.setattr(cuda_program, "RESIDENT", 0)
        monkeypatch.setattr(cuda_program, "ENOUGH", 4)
    spec = make_spec("70-40-10", optimizer="momentum", dropout=0.2, max_norm=2.0, precision=precision)
    samples, found = make_samples(spec, 90, "uint8"), set()
    for processors, seed, shared in ((1, 1, 230000), (3, 2, 230000), (5, 3, 150000)):
        monkeypatch.setenv("HDL_EMULATED_PROCESSORS", str(processors))
        monkeypatch.setenv("HDL_EMULATED_SEED", str(seed))
        monkeypatch.setenv("HDL_EMULATED_SHARED", str(shared))
        w, state, result, _ = trained(spec, samples)
        found.add((w.tobytes(), state.tobytes(), result.cost, result.correct))
    monkeypatch.setenv("HDL_CUDA_LOOP", "graph")  # a kernel a phase, which no barrier holds together
    w, state, result, _ = trained(spec, samples)
    found.add((w.tobytes(), state.tobytes(), result.cost, result.correct))
    assert len(found) == 1


def test_a_device_that_cannot_hold_all_blocks_at_once_goes_by_graphs(emulator, monkeypatch):
    monkeypatch.setattr(cuda_program, "RESIDENT", 0)
    monkeypatch.setattr(cuda_program, "ENOUGH", 4)
    spec = make_spec("70-40-10", optimizer="adam", input_dropout=0.2)
    samples, found, told = make_samples(spec, 90), set(), []
    for cooperative in "10":
        monkeypatch.setenv("HDL_EMULATED_COOPERATIVE", cooperative)
        core, w = ops.make(spec, "cuda:0"), mlp.initial(spec)
        state, order = np.zeros((2, w.size), np.float32), np.arange(360) % 90
        core.train(w, state, samples, order, 9, np.full(40, 0.01, np.float32), 3, KEY, lambda *done: told.append(done))
        found.add((w.tobytes(), state.tobytes(), core.gradient(w, samples)[0].tobytes()))
    assert len(found) == 1
    assert told  # a graph was launched again, from where the last ones had come to
    monkeypatch.setenv("HDL_CUDA_LOOP", "kernel")
    with pytest.raises(DeviceError, match="cudaErrorCooperativeLaunchTooLarge"):
        trained(spec, samples)
    monkeypatch.setenv("HDL_CUDA_LOOP", "loop")
    with pytest.raises(SpecError, match=r"HDL_CUDA_LOOP: expected one of auto, kernel, graph \(given 'loop'\)"):
        trained(spec, samples)


def test_every_tile_gives_the_same_bits_in_float32(device, monkeypatch):
    spec = make_spec("150-140-10", optimizer="momentum")
    samples, found = make_samples(spec, 140), {}
    for name, resident, enough in (("warp", 10**9, 1), ("32", 0, 10**9), ("64", 0, 5), ("128", 0, 1)):
        monkeypatch.setattr(cuda_program, "RESIDENT", resident)
        monkeypatch.setattr(cuda_program, "ENOUGH", enough)
        w, _, _, core = trained(spec, samples, batch=140, epochs=1)
        program = core._planned("train", 140)
        sides = {each["tile"] for phase in program.phases for each in phase if each["kind"] <= cuda_program.TN}
        assert max(sides) == ["warp", "32", "64", "128"].index(name)
        found[name] = w.tobytes()
    monkeypatch.setenv("HDL_EMULATED_SHARED", "100000")  # a device whose blocks have too little for the largest
    found["less"] = trained(spec, samples, batch=140, epochs=1)[0].tobytes()
    assert len(set(found.values())) == 1


@pytest.mark.parametrize(("precision", "bound"), [("tf32", 2e-3), ("bf16", 2e-2)])
def test_tensor_cores_are_as_far_off_as_their_factors_are_rounded(device, monkeypatch, precision, bound):
    spec = make_spec("60-50-10", precision=precision)
    samples, w = make_samples(spec, 64), mlp.initial(spec)
    expected = ops.make(spec, "reference").gradient(w.astype(np.float64), samples)[0]
    for resident in (cuda_program.RESIDENT, 0):
        monkeypatch.setattr(cuda_program, "RESIDENT", resident)
        found = ops.make(spec, "cuda:0").gradient(w, samples)[0]
        off = abs(found - expected).max() / abs(expected).max()
        assert bound / 100 < off < bound


def test_several_kernels_go_on_where_the_last_one_stopped(device):
    spec = make_spec(optimizer="adam", dropout=0.3)
    samples, seen = make_samples(spec, 50), []
    core, lr = ops.make(spec, "cuda:0"), np.full(150, 0.01, np.float32)
    found = []
    for progress in (None, lambda done, total: seen.append((done, total))):
        w, state = mlp.initial(spec), np.zeros((2, mlp.initial(spec).size), np.float32)
        core.train(w, state, samples, np.arange(150) % 50, 1, lr, 0, KEY, progress)
        found.append((w.tobytes(), state.tobytes()))
    assert found[0] == found[1]
    assert seen[0] == (8, 150)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_it_stops_and_refuses_as_the_reference_does(device):
    spec = make_spec(loss="squared", activation="relu", optimizer="momentum")
    samples, core = make_samples(spec, 40), ops.make(spec, "cuda:0")
    w = mlp.initial(spec)
    state, before = np.ones((1, w.size), np.float32), w.copy()
    with pytest.raises(NonFinite, match=r"at step 1[0-9]: a smaller lr"):
        core.train(w, state, samples, np.arange(40), 1, np.full(40, 1e6, np.float32), 10)
    assert np.array_equal(w, before)
    assert (state == 1).all()
    expected = w.copy()
    core.train(expected, np.ones_like(state), samples, np.arange(8), 1, np.full(8, 0.01, np.float32))
    with pytest.raises(Interrupted, match="stopped after 8 of 40 steps"):
        core.train(w, state, samples, np.arange(40), 1, np.full(40, 0.01, np.float32), progress=lambda *_: True)
    assert np.array_equal(w, expected)


def test_outputs_go_on_after_one_that_is_not_finite(device, monkeypatch):
    monkeypatch.setattr(cuda, "_BLOCK", 8)
    spec, w = make_spec(loss="squared"), mlp.initial(make_spec())
    samples = make_samples(spec, 40)
    samples.x[3] = np.nan
    for progress in (None, lambda *_: None):
        out, result = ops.make(spec, "cuda:0").forward(w, samples, None, progress)
        expected, told = ops.make(spec, "reference").forward(w, samples)
        np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)
        assert not np.isfinite([result.cost, told.cost]).any()


def test_nothing_to_do(device):
    spec = make_spec()
    core, samples, none = ops.make(spec, "cuda:0"), make_samples(spec, 3), np.zeros(0, np.int64)
    w = mlp.initial(spec)
    assert core.train(w, np.zeros((0, w.size), np.float32), samples, none, 10, np.zeros(0, np.float32)).samples == 0
    assert core.forward(w, samples, none)[0].shape == (0, 4)
    assert not core.gradient(w, samples, none)[0].any()
    assert core.forward(w, Samples(samples.x))[1].cost == 0


def test_samples_are_sent_once(device):
    spec = make_spec()
    samples, core = make_samples(spec, 1000), ops.make(spec, "cuda:0")
    w = mlp.initial(spec)
    core.forward(w, samples)
    first, device.sent = device.sent, 0
    core.forward(w, samples)
    assert device.sent < first - samples.x.nbytes
    others = [make_samples(spec, 1000, seed=seed) for seed in range(5)]
    for each in others:
        core.forward(w, each)
    device.sent = 0
    core.forward(w, samples)  # its place was taken
    assert device.sent > samples.x.nbytes
    assert np.allclose(core.forward(w, samples)[0], ops.make(spec, "reference").forward(w, samples)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: Samples(s.x[:, 1:], s.y), r"x has shape \(20, 8\), expected \(20, 9\)"),
        (lambda s: Samples(s.x.astype(np.float64), s.y), "x is float64, expected float32 or uint8"),
        (lambda s: Samples(s.x, s.y + 1), r"y holds classes 1 … 4, expected 0 … 3"),
        (lambda s: Samples(s.x, s.y[1:]), r"y has shape \(19,\)"),
        (lambda s: Samples(s.x, np.zeros((20, 3), np.float32)), r"y has shape \(20, 3\), expected \(20, 4\)"),
        (lambda s: Samples(s.x, s.y, s.scale[1:]), r"scale has shape \(8,\)"),
        (lambda s: Samples(scipy.sparse.csr_array(s.x), s.y, None, s.shift), "sparse x takes no shift"),
    ],
)
def test_what_would_be_read_beyond_its_end_is_refused(device, change, message):
    spec = make_spec()
    core, samples = ops.make(spec, "cuda:0"), make_samples(spec, 20)
    with pytest.raises(SpecError, match=message):
        core.forward(mlp.initial(spec), change(samples))
    with pytest.raises(SpecError, match=r"order holds 0 … 20, but there are 20 samples"):
        core.forward(mlp.initial(spec), samples, np.array([0, 20]))


def test_sparse_rows_that_lie_are_refused(device):
    spec = make_spec()
    core, samples = ops.make(spec, "cuda:0"), make_samples(spec, 20, "csr")
    x = samples.x
    for bad in (
        scipy.sparse.csr_array((x.data, x.indices + 9, x.indptr), shape=(20, 18)),
        scipy.sparse.csr_array((x.data, x.indices, x.indptr), shape=x.shape),
    ):
        bad.shape_ = None
        bad._shape = (20, 9)
        if bad.indices.max() < 9:
            bad.indptr = bad.indptr[::-1].copy()
        with pytest.raises(SpecError, match="of the sparse x"):
            core.forward(mlp.initial(spec), Samples(bad, samples.y, samples.scale))


def test_a_call_that_is_not_as_expected_says_where(emulator, monkeypatch):
    spec = make_spec()
    core, samples = ops.make(spec, "cuda:0"), make_samples(spec, 20)
    core.spec = spec.with_(precision="tf32")
    monkeypatch.setenv("HDL_EMULATED_NONE", "1")
    with pytest.raises(DeviceError, match=r"cudaGetDevice\(&device\): cudaErrorNoDevice \(launch.cu:\d+\)"):
        core.forward(mlp.initial(spec), samples)
    monkeypatch.delenv("HDL_EMULATED_NONE")
    monkeypatch.setattr(cuda_program, "RESIDENT", 0)
    monkeypatch.setenv("HDL_EMULATED_SHARED", "20000")
    with pytest.raises(MemoryError, match="shared memory: a block needs more than the device has"):
        ops.make(spec, "cuda:0").forward(mlp.initial(spec), samples)


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


@pytest.mark.parametrize("kind", ["uint8", "csr"])
def test_samples_that_do_not_fit_pass_through_with_the_same_bytes(device, monkeypatch, kind):
    spec = make_spec("30-8-4", optimizer="adam", dropout=0.3, input_dropout=0.1)
    samples, found, aside = make_samples(spec, 400, kind), [], []
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
        found[-1] += [measured.correct, result.correct]
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
        samples = make_samples(spec, 100, seed=number)
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


@pytest.mark.parametrize("outputs", [4, 70])
def test_the_first_of_several_largest_outputs_is_the_answer(device, outputs):
    spec = make_spec((5, outputs))
    for targets in (False, True):
        samples = make_samples(spec, 40, targets=targets)
        best = samples.y.argmax(axis=1) if targets else samples.y
        w = np.zeros((outputs * 6), np.float32)
        w[5 * outputs + 2 :: 32] = 1  # of output 2 and others that one lane looks at
        assert ops.make(spec, "cuda:0").forward(w, samples)[1].correct == (best == 2).sum()
