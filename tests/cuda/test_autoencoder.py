"""Autoencoders by the CUDA core's own kernels, emulated, against the reference."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdl import ops
from hdl.errors import Interrupted, NonFinite
from hdl.ops import Key, Samples, rules
from hdl.ops.cuda import base as cuda
from hdl.ops.cuda import program as cuda_program
from hdl.ops.reference.activations import ACTIVATIONS
from tests.unit.test_autoencoder_ops import ALL, KEY, PARTS, SPARSE, Case


class OnDevice(Case):
    def core(self):
        return ops.make(self.spec, "cuda:0")


@st.composite
def jobs(draw):
    inputs, hidden, part = draw(st.integers(1, 70)), draw(st.integers(1, 70)), draw(st.sampled_from(PARTS))
    fields = {
        "activation": "sigmoid" if part.get("beta") else draw(st.sampled_from(sorted(ACTIVATIONS))),
        "decoder": draw(st.sampled_from(["sigmoid", "linear"])),
        "tied": draw(st.booleans()),
        "rule": draw(st.sampled_from(sorted(rules.VECTORS))),
        "x": draw(st.sampled_from(["float32", "uint8", "csr"])),
        "l1": draw(st.sampled_from([0, 0.01])),
        "l2": draw(st.sampled_from([0, 0.1])),
        **part,
    }
    resident = draw(st.sampled_from([cuda_program.RESIDENT, 0]))  # 0: every product by blocks, factors by copies
    return f"{inputs}-{hidden}-{inputs}", fields, draw(st.integers(2, 50)), resident


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(job=jobs())
def test_it_computes_what_the_reference_computes(device, job):
    net, fields, batch, resident = job
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_program, "RESIDENT", resident)
        OnDevice(net, n=40, **fields).check(batch, 2)


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("decoder", ["sigmoid", "linear"])
def test_activations_decoders_and_terms(device, monkeypatch, decoder, activation, tied, resident):
    if not resident:
        monkeypatch.setattr(cuda_program, "RESIDENT", 0)
    part = ALL if activation == "sigmoid" else {**ALL, "beta": 0.0}
    OnDevice("17-9-17", activation, decoder=decoder, tied=tied, **part).check()


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize(("tied", "resident"), [(True, True), (False, False), (True, False)])
def test_bytes_depend_on_nothing_but_the_shapes(device, monkeypatch, precision, tied, resident):
    """Other numbers of blocks, and other orders in which threads go on; products by larger tiles."""
    if not resident:
        monkeypatch.setattr(cuda_program, "RESIDENT", 0)
        monkeypatch.setattr(cuda_program, "ENOUGH", 4)
    case, found = OnDevice("70-40-70", rule="momentum", x="uint8", tied=tied, l2=0.01, **ALL), set()
    case.spec = case.spec.with_(precision=precision)
    for processors, seed in ((1, 1), (3, 2), (5, 3)):
        monkeypatch.setenv("HDL_EMULATED_PROCESSORS", str(processors))
        monkeypatch.setenv("HDL_EMULATED_SEED", str(seed))
        core = case.core()
        w, state, result = case.train(core, np.arange(60), 25)
        g, seen = core.gradient(case.w, case.samples, None, KEY)
        found.add((w.tobytes(), state.tobytes(), g.tobytes(), result.cost, seen.cost))
    assert len(found) == 1


@pytest.mark.parametrize(("precision", "bound"), [("tf32", 4e-3), ("bf16", 4e-2)])
@pytest.mark.parametrize("tied", [False, True])
def test_tensor_cores_are_as_far_off_as_their_factors_are_rounded(device, precision, bound, tied):
    case = OnDevice("60-50-60", tied=tied, **SPARSE)
    expected = case.reference.gradient(case.w.astype(np.float64), case.samples)[0][: case.layout.size]
    case.spec = case.spec.with_(precision=precision)
    found = case.core().gradient(case.w, case.samples)[0][: case.layout.size]
    assert bound / 1000 < np.abs(found - expected).max() / np.abs(expected).max() < bound


@pytest.mark.parametrize("tied", [False, True])
def test_a_gradient_does_not_depend_on_blocks(device, monkeypatch, tied):
    """What is corrupted is named by a sample's place, and what sums up does so from block to block."""
    monkeypatch.setattr(cuda, "_BLOCK", 7)
    OnDevice("17-9-17", tied=tied, **ALL).check()


def test_several_kernels_go_on_where_the_last_one_stopped(device):
    case, found = OnDevice("20-7-20", rule="adam", tied=True, **ALL), []
    for progress in (None, lambda done, total: None):
        w, state, lr = case.w.copy(), np.zeros((2, case.w.size), np.float32), np.full(60, 0.02, np.float32)
        case.core().train(w, state, case.samples, np.arange(60), 1, lr, 0, KEY, progress)
        found.append(w.tobytes() + state.tobytes())
    assert found[0] == found[1]


def test_it_stops_and_refuses_as_the_reference_does(device):
    case = OnDevice("20-7-20", **SPARSE)
    core, w, none = case.core(), case.w.copy(), np.zeros((0, case.w.size), np.float32)
    x = case.samples.x.copy()
    x[50, 3] = np.inf
    with pytest.raises(NonFinite, match="at step 2: a smaller lr"):
        core.train(w, none, Samples(x), np.arange(60), 20, np.full(3, 0.1, np.float32))
    assert w.tobytes() == case.w.tobytes()
    lr, expected = np.full(60, 0.1, np.float32), case.w.copy()
    core.train(expected, none, case.samples, np.arange(8), 1, lr)
    with pytest.raises(Interrupted, match="stopped after 8 of 60 steps"):
        core.train(w, none, case.samples, np.arange(60), 1, lr, progress=lambda *_: True)
    assert w.tobytes() == expected.tobytes()
    assert (w[case.layout.running :] != case.w[case.layout.running :]).all()


def test_the_contractive_term_is_looked_at_too(device):
    case = OnDevice("5-3-5", "linear", contractive=1.0)
    w = case.w.copy()
    w[: case.layout.encoder] = 1e25  # squares are infinite, and products with nothing are not
    before, samples = w.copy(), Samples(np.zeros((4, 5), np.float32))
    w[15:18] = before[15:18] = 0
    with pytest.raises(NonFinite):
        case.core().train(w, np.zeros((0, w.size), np.float32), samples, np.arange(4), 4, np.ones(1, np.float32))
    assert np.array_equal(w, before)


def test_state_and_gradient_at_the_running_mean_stay_as_they_are(device):
    case = OnDevice("20-7-20", rule="adam", **SPARSE)
    w, state, _ = case.train(case.core(), np.arange(60), 20)
    at = case.layout.running
    assert not state[:, at:].any()
    assert not case.core().gradient(w, case.samples)[0][at : case.layout.size].any()
    assert (w[at:] != case.w[at:]).all()


def test_labels_are_ignored_and_nothing_to_do_leaves_everything(device):
    case = OnDevice("6-3-6", **SPARSE)
    core, none, nothing = case.core(), np.zeros(0, np.int64), np.zeros(0, np.float32)
    labelled = Samples(case.samples.x, np.full(case.n, 99, np.int32))
    found, expected = core.forward(case.w, labelled), core.forward(case.w, case.samples)
    assert found[0].tobytes() == expected[0].tobytes()
    assert found[1] == expected[1]
    assert found[1].cost > 0
    assert core.train(case.w, nothing.reshape(0, 0), labelled, none, 5, nothing).steps == 0
    assert core.forward(case.w, labelled, none)[0].shape == (0, 6)
    assert core.encode(case.w, labelled, none).shape == (0, 3)
    assert not core.gradient(case.w, labelled, none)[0].any()


def test_nets_side_by_side_get_the_bytes_that_they_get_alone(device):
    case, alone, together = OnDevice("12-5-12", rule="adam", **ALL), [], []
    core = case.core()
    for number, n in enumerate((30, 7)):
        w, state = case.w + np.float32(number / 10), np.zeros((2, case.w.size), np.float32)
        lr, order = np.full(ops.steps(n, 8), 0.02, np.float32), np.arange(n)
        together.append(ops.Work(w.copy(), state.copy(), case.samples, order, lr, number, Key(1, 2, number)))
        result = core.train(w, state, case.samples, order, 8, lr, number, Key(1, 2, number))
        alone.append((w.tobytes(), state.tobytes(), result))
    results = core.train_all(together, 8)
    found = [(work.w.tobytes(), work.state.tobytes()) for work in together]
    assert [(*each, result) for each, result in zip(found, results, strict=True)] == alone
