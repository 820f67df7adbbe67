"""Dense networks by the CUDA core's own kernels, emulated, against the reference."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdl import ops
from hdl.errors import DeviceError, Interrupted, NonFinite, SpecError
from hdl.models import mlp
from hdl.ops import Samples, losses, rules
from hdl.ops.cuda import base as cuda
from hdl.ops.cuda import program as cuda_program
from tests.cuda.dense import KEY, make_samples, make_spec, trained


@st.composite
def jobs(draw):
    widths = [*draw(st.lists(st.integers(1, 40), min_size=1, max_size=3)), draw(st.integers(2, 12))]
    share, loss = st.sampled_from([0, 0.3]), draw(st.sampled_from([*losses.CLASSES, *losses.REGRESSION]))
    spec = make_spec(
        widths,
        loss=loss,
        label_smoothing=draw(st.sampled_from([0, 0.2])) if loss in losses.CLASSES else 0,
        activation=draw(st.sampled_from(["linear", "sigmoid", "tanh", "lecun_tanh", "relu", "leaky_relu"])),
        l1=draw(st.sampled_from([0, 0.01])),
        l2=draw(st.sampled_from([0, 0.1])),
        max_norm=draw(st.sampled_from([0, 0.5])),
        dropout=draw(share),
        input_dropout=draw(share),
        optimizer={
            "name": draw(st.sampled_from(sorted(rules.VECTORS))),
            "epsilon": 1e-3,
            "weight_decay": draw(st.sampled_from([0, 0.3])),
        },
    )
    kind = draw(st.sampled_from(["float", "uint8", "csr"]))
    n, targets, weighted = draw(st.integers(1, 60)), draw(st.booleans()), draw(st.booleans())
    samples = make_samples(spec, n, kind, targets=targets, weighted=weighted)
    resident = draw(st.sampled_from([cuda_program.RESIDENT, 0]))  # 0: every product by blocks, factors by copies
    return spec, samples, draw(st.integers(1, 40)), resident


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
            assert done[1].weight == expected[1].weight
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


# Each precision, and each place of the factors, though not every pair.
USUAL = [(True, "float32"), (False, "tf32"), (False, "bf16")]
PAIRS = [
    pytest.param(resident, precision, marks=() if (resident, precision) in USUAL else pytest.mark.full)
    for resident in (True, False)
    for precision in ("float32", "tf32", "bf16")
]


@pytest.mark.parametrize(("resident", "precision"), PAIRS)
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
        w, state, result, _ = trained(spec, samples, epochs=1)
        found.add((w.tobytes(), state.tobytes(), result.cost, result.correct))
    monkeypatch.setenv("HDL_CUDA_LOOP", "graph")  # a kernel a phase, which no barrier holds together
    w, state, result, _ = trained(spec, samples, epochs=1)
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
    exact = ops.make(spec.with_(precision="float32"), "reference")
    expected = exact.gradient(w.astype(np.float64), samples)[0]
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


@pytest.mark.parametrize("outputs", [4, 70])
def test_the_first_of_several_largest_outputs_is_the_answer(device, outputs):
    spec = make_spec((5, outputs))
    for targets in (False, True):
        samples = make_samples(spec, 40, targets=targets)
        best = samples.y.argmax(axis=1) if targets else samples.y
        w = np.zeros((outputs * 6), np.float32)
        w[5 * outputs + 2 :: 32] = 1  # of output 2 and others that one lane looks at
        assert ops.make(spec, "cuda:0").forward(w, samples)[1].correct == (best == 2).sum()
