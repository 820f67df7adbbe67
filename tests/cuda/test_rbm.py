"""Restricted Boltzmann machines by the CUDA core's own kernels, emulated, against the reference."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdl import ops
from hdl.errors import Interrupted, NonFinite, SpecError
from hdl.ops import Key, Samples, rules
from hdl.ops.cuda import base as cuda
from hdl.ops.cuda import program as cuda_program
from tests.unit.rbms import KEY, check_all, check_rule, jobs, make_chains, make_data, make_spec, make_weights, near

PARTS = [
    {},
    {"k": 2, "beta": 0.3},
    {"visible": "gaussian", "k": 3},
    {"persistent": True, "chains": 30, "beta": 0.3},
    {"visible": "gaussian", "persistent": True, "chains": 70, "k": 2},
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(job=jobs(), resident=st.sampled_from([cuda_program.RESIDENT, 0]))
def test_it_computes_what_the_reference_computes(device, job, resident):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_program, "RESIDENT", resident)
        check_all(ops.make(job[0], "cuda:0"), *job)


@pytest.mark.parametrize("rule", sorted(rules.VECTORS))
def test_its_rules_are_the_references(device, rule):
    check_rule(rule, "cuda:0")


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_its_draws_are_the_references(device, visible):
    """Without weights every probability is 1/2 and every mean 0, and no rounding takes a draw to the other side."""
    spec = make_spec("150-70", visible=visible, persistent=True, chains=40, k=2)
    core, w, v = ops.make(spec, "cuda:0"), np.zeros(150 * 71 + 70, np.float32), make_data(spec, 30)
    chains = make_chains(spec)
    twin = chains.astype(np.float64)
    g = core.gradient(w, Samples(v), None, KEY, chains=chains)[0]
    expected = ops.make(spec, "reference").gradient(w.astype(np.float64), Samples(v), None, KEY, chains=twin)[0]
    np.testing.assert_allclose(chains, twin, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(g, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("part", [{}, {"persistent": True, "chains": 7}], ids=str)
def test_a_large_step_towards_a_target_is_the_references(device, part):
    """From no weights, where draws are safe; sums of the biases go at full rate."""
    spec = make_spec("20-12", beta=2.0, rho=0.3, **part)
    v, w, chains = Samples(make_data(spec, 30)), np.zeros(20 * 13 + 12, np.float32), make_chains(spec)
    twin, truth = make_chains(spec, dtype=np.float64), w.astype(np.float64)
    none, lr = np.zeros((0, w.size), np.float32), np.ones(1, np.float32)
    ops.make(spec, "cuda:0").train(w, none, v, np.arange(30), 30, lr, 0, KEY, chains=chains)
    ops.make(spec, "reference").train(truth, none.astype(np.float64), v, np.arange(30), 30, lr, 0, KEY, chains=twin)
    np.testing.assert_allclose(w, truth, rtol=1e-5, atol=1e-6)


def trained(spec, v, batch=40):
    core = ops.make(spec, "cuda:0")
    w = make_weights(spec, scale=0.05).astype(np.float32)
    state, chains = np.zeros((core.state_vectors, w.size), np.float32), make_chains(spec)
    lr = np.full(ops.steps(len(v), batch), 0.02, np.float32)
    result = core.train(w, state, Samples(v), np.arange(len(v)), batch, lr, 2, KEY, chains=chains)
    sums, _ = core.gradient(w, Samples(v), None, KEY, chains=chains)
    out = [w, state, sums, core.forward(w, Samples(v))[0], core.encode(w, Samples(v))]
    return [part.tobytes() for part in out + ([] if chains is None else [chains])] + [result.cost]


@pytest.mark.parametrize("part", PARTS, ids=str)
@pytest.mark.parametrize(("resident", "precision"), [(1, "float32"), (0, "float32"), (0, "bf16")])
def test_bytes_depend_on_nothing_but_the_shapes(device, monkeypatch, part, resident, precision):
    """Other numbers of blocks, and other orders in which threads go on; products by larger tiles."""
    if not resident:
        monkeypatch.setattr(cuda_program, "RESIDENT", 0)
        monkeypatch.setattr(cuda_program, "ENOUGH", 2)
    spec = make_spec("66-35", optimizer="momentum", **part).with_(precision=precision)
    v, found = make_data(spec, 90), []
    for processors, seed in ((1, 1), (3, 2), (5, 3)):
        monkeypatch.setenv("HDL_EMULATED_PROCESSORS", str(processors))
        monkeypatch.setenv("HDL_EMULATED_SEED", str(seed))
        found.append(trained(spec, v))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_a_gradient_does_not_depend_on_blocks(device, monkeypatch, part):
    """Draws are named by a sample's place; chains move once, and stand for as many as there are samples."""
    spec = make_spec("20-12", **part)
    w, samples = make_weights(spec, scale=0.1).astype(np.float32), Samples(make_data(spec, 50))
    found = []
    for block in (50, 9):
        monkeypatch.setattr(cuda, "_BLOCK", block)
        chains = make_chains(spec)
        g, result = ops.make(spec, "cuda:0").gradient(w, samples, None, KEY, chains=chains)
        found.append((g, result.cost, b"" if chains is None else chains.tobytes()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4, atol=1e-4)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-6)
    assert found[0][2] == found[1][2]


def test_it_stops_and_refuses_as_the_reference_does(device):
    spec = make_spec("9-5", visible="gaussian", persistent=True, chains=6, optimizer="momentum", beta=0.1)
    core, v, before = ops.make(spec, "cuda:0"), make_data(spec, 40), make_weights(spec).astype(np.float32)
    w, state, chains, lr = before.copy(), np.ones((1, before.size), np.float32), make_chains(spec), np.full(40, 0.01)
    bad = v.copy()
    bad[30] = np.inf
    lr = lr.astype(np.float32)
    with pytest.raises(NonFinite, match="at step 33: a smaller lr"):
        core.train(w, state, Samples(bad), np.arange(40), 1, lr, 3, KEY, chains=chains)
    assert np.array_equal(w, before)
    assert (state == 1).all()
    assert np.array_equal(chains, make_chains(spec))
    expected = [before.copy(), state.copy(), chains.copy()]
    core.train(*expected[:2], Samples(v), np.arange(8), 1, lr, 3, KEY, chains=expected[2])
    with pytest.raises(Interrupted, match="stopped after 8 of 40 steps"):
        core.train(w, state, Samples(v), np.arange(40), 1, lr, 3, KEY, lambda *_: True, chains=chains)
    assert [part.tobytes() for part in (w, state, chains)] == [part.tobytes() for part in expected]


@pytest.mark.parametrize(
    ("chains", "message"),
    [
        (None, "chains is missing, expected 6 particles of 9 units"),
        (np.zeros((6, 8), np.float32), r"chains has shape \(6, 8\), expected \(6, 9\)"),
        (np.zeros((6, 9)), "chains is float64, expected float32"),
        (np.zeros((9, 6), np.float32).T, "expected float32 in the order of C"),
    ],
)
def test_chains_that_are_not_as_expected(device, chains, message):
    spec = make_spec("9-5", persistent=True, chains=6)
    core, samples, w = ops.make(spec, "cuda:0"), Samples(make_data(spec, 4)), make_weights(spec).astype(np.float32)
    none, lr = np.zeros((0, w.size), np.float32), np.ones(1, np.float32)
    with pytest.raises(SpecError, match=message):
        core.gradient(w, samples, chains=chains)
    with pytest.raises(SpecError, match=message):
        core.train(w, none, samples, np.arange(4), 4, lr, chains=chains)
    with pytest.raises(SpecError, match="this RBM keeps none"):
        ops.make(make_spec("9-5"), "cuda:0").gradient(w, samples, chains=np.zeros((6, 9), np.float32))


def test_nothing_to_do_leaves_everything(device):
    spec = make_spec(persistent=True, chains=5, beta=0.5)
    core, w, chains = ops.make(spec, "cuda:0"), make_weights(spec).astype(np.float32), make_chains(spec)
    samples, none = Samples(make_data(spec, 4)), np.zeros(0, np.int64)
    before, nothing = chains.copy(), np.zeros(0, np.float32)
    assert core.train(w, nothing.reshape(0, 0), samples, none, 5, nothing, chains=chains).steps == 0
    assert not core.gradient(w, samples, none, chains=chains)[0].any()
    assert np.array_equal(chains, before)


@pytest.mark.parametrize("part", PARTS[-2:], ids=str)
def test_nets_side_by_side_get_the_bytes_that_they_get_alone(device, part):
    spec = make_spec("12-5", optimizer="adam", **part)
    core, v, alone, together = ops.make(spec, "cuda:0"), Samples(make_data(spec, 30)), [], []
    for number, n in enumerate((30, 7)):
        w, state = make_weights(spec, number).astype(np.float32), np.zeros((2, 12 * 6 + 5), np.float32)
        chains, lr, order = make_chains(spec, number), np.full(ops.steps(n, 8), 0.02, np.float32), np.arange(n)
        together.append(ops.Work(w.copy(), state.copy(), v, order, lr, number, Key(1, 2, number), chains.copy()))
        result = core.train(w, state, v, order, 8, lr, number, Key(1, 2, number), chains=chains)
        alone.append((w.tobytes(), state.tobytes(), chains.tobytes(), result))
    results = core.train_all(together, 8)
    found = [(work.w.tobytes(), work.state.tobytes(), work.chains.tobytes()) for work in together]
    assert [(*each, result) for each, result in zip(found, results, strict=True)] == alone
    assert found[0][2] != found[1][2]


@pytest.mark.parametrize(("precision", "bound"), [("tf32", 4e-3), ("bf16", 4e-2)])
def test_tensor_cores_are_as_far_off_as_their_factors_are_rounded(device, precision, bound):
    spec = make_spec("60-50")
    v, w = Samples(make_data(spec, 64)), make_weights(spec, scale=0.1).astype(np.float32)
    expected = ops.make(spec, "reference").encode(w.astype(np.float64), v)
    found = ops.make(spec.with_(precision=precision), "cuda:0").encode(w, v)
    assert bound / 1000 < np.abs(found - expected).max() < bound
    near(found, expected, bound)
