"""The autoencoder's operations: the reference against mathematics, the core against the reference."""

import itertools

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import _cpu, ops
from hdl import spec as specs
from hdl.errors import Interrupted, NonFinite, SpecError
from hdl.ops import Key, Samples, rules
from hdl.ops.layout import of

ISAS = _cpu.isas()
KEY = Key(3, 1, 2)
SPARSE = {"beta": 0.5, "rho": 0.2, "memory": 0.75}
ALL = {**SPARSE, "contractive": 0.3, "corruption": 0.3}


def make_spec(net, activation="sigmoid", rule="sgd", l1=0.0, l2=0.0, **part):
    return specs.parse(
        {
            "model": "autoencoder",
            "net": net,
            "activation": activation,
            "loss": "squared",
            "leak": 0.1,
            "l1": l1,
            "l2": l2,
            "optimizer": {"name": rule, "lr": 0.05, "epsilon": 1e-2},
            "autoencoder": part,
        }
    )


def terms(*parts):
    """Every activation with every choice of terms that goes with it: sparsity takes sigmoids."""
    return [(f, part) for f in _cpu.ACTIVATIONS for part in parts if f == "sigmoid" or not part.get("beta")]


def make_samples(kind, n, inputs, rng):
    if kind == "uint8":
        shift = rng.normal(size=inputs).astype(np.float32) * 0.1
        return Samples(
            rng.integers(0, 256, (n, inputs)).astype(np.uint8), None, np.full(inputs, 1 / 255, np.float32), shift
        )
    x = rng.normal(size=(n, inputs)).astype(np.float32)
    if kind == "csr":
        x = scipy.sparse.csr_array(np.where(rng.random(x.shape) < 0.3, x, 0))
        return Samples(x, None, rng.random(inputs).astype(np.float32))
    return Samples(x, np.zeros(n, np.int32))  # labels are ignored


class Case:
    """One autoencoder with its data and its reference."""

    def __init__(self, net, activation="sigmoid", rule="sgd", x="float32", n=60, seed=0, **fields):
        self.rng = rng = np.random.default_rng(seed)
        self.spec = make_spec(net, activation, rule, **fields)
        self.reference = ops.make(self.spec, "reference")
        self.layout = self.reference.layout
        self.w = (rng.normal(size=self.layout.size) * 0.2).astype(np.float32)
        self.w[self.layout.running :] = 0.3
        self.samples, self.n = make_samples(x, n, self.spec.net[0], rng), n

    def core(self, threads=1, isa=None):
        return ops.make(self.spec, "cpu", threads, isa)

    def train(self, operations, order, batch, real=np.float32):
        w, steps = self.w.astype(real), -(-len(order) // batch)
        state = np.zeros((operations.state_vectors, w.size), real)
        result = operations.train(w, state, self.samples, order, batch, np.full(steps, 0.02, np.float32), 5, KEY)
        return w, state, result

    def check(self, batch=16, steps=3, **options):
        """Training, gradient, reconstructions and codes agree with the float64 reference."""
        core, reference, exact = self.core(**options), self.reference, self.w.astype(np.float64)
        order = self.rng.integers(0, self.n, batch * steps - batch // 2).astype(np.int64)
        expected, state, seen = self.train(reference, order, batch, np.float64)
        w, s, result = self.train(core, order, batch)
        assert np.abs(w - expected).max() < 3e-4 * np.abs(expected - exact).max() + 2e-7
        np.testing.assert_allclose(s, state, rtol=1e-3, atol=1e-4 * np.abs(state).max() if state.size else 0)
        assert (result.correct, result.samples, result.steps) == (0, len(order), steps)
        assert result.cost == pytest.approx(seen.cost, rel=1e-5)
        g, seen = reference.gradient(exact, self.samples, order, KEY)
        got, result = core.gradient(self.w, self.samples, order, KEY)
        assert got.shape == (self.layout.statistics,)
        assert np.abs(got - g).max() < 1e-5 * np.abs(g).max() + 1e-6
        assert result.cost == pytest.approx(seen.cost, rel=1e-5)
        out, seen = reference.forward(exact, self.samples)
        got, result = core.forward(self.w, self.samples)
        np.testing.assert_allclose(got, out, rtol=2e-4, atol=2e-6)
        assert result.cost == pytest.approx(seen.cost, rel=1e-5)
        assert result.samples == self.n
        codes = core.encode(self.w, self.samples, order)
        np.testing.assert_allclose(codes, reference.encode(exact, self.samples, order), rtol=2e-4, atol=2e-6)


# --- the reference ----------------------------------------------------------------------------------------------------


def objective(reference, w, samples, key):
    """Mean data cost + l2 + the exact sparsity term of all samples, written down once more."""
    spec, part, m = reference.spec, reference.spec.autoencoder, len(samples)
    sums, result = reference.gradient(w, samples, None, key)
    cost = result.cost / m + rules.penalty(w, reference.layout.mask, spec.l1, spec.l2)
    if part.beta:
        mean = sums[-reference.layout.widths[1] :] / m
        cost += (
            part.beta
            * (part.rho * np.log(part.rho / mean) + (1 - part.rho) * np.log((1 - part.rho) / (1 - mean))).sum()
        )
    return cost


@pytest.mark.parametrize(("activation", "part"), terms({}, {"contractive": 0.7}, {**ALL, "beta": 0.0}, SPARSE, ALL))
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("decoder", ["sigmoid", "linear"])
def test_gradient_is_the_central_difference(activation, decoder, tied, part):
    case = Case("5-4-5", activation, n=7, decoder=decoder, tied=tied, l2=0.3, **part)
    reference, w, m = case.reference, case.w.astype(np.float64), case.n
    sums, _ = reference.gradient(w, case.samples, None, KEY)
    g, cost = reference.layout.combine(sums, m)
    g = rules.penalised(g / m, w, reference.layout.mask, 0, 0.3)
    total = reference.gradient(w, case.samples, None, KEY)[1].cost + cost
    total = total / m + rules.penalty(w, reference.layout.mask, 0, 0.3)
    assert total == pytest.approx(objective(reference, w, case.samples, KEY), rel=1e-12)
    numeric, step = np.empty_like(w), 1e-6
    for i in range(w.size):
        costs = []
        for by in (step, -step):
            moved = w.copy()
            moved[i] += by
            costs.append(objective(reference, moved, case.samples, KEY))
        numeric[i] = (costs[0] - costs[1]) / (2 * step)
    np.testing.assert_allclose(g, numeric, rtol=1e-5, atol=1e-8)


def test_contractive_cost_is_the_jacobians_norm():
    """∂a/∂x by differences, not by the formula."""
    case = Case("4-3-4", n=3, contractive=0.8)
    bare = Case("4-3-4", n=3)
    w, step = case.w.astype(np.float64), 1e-6
    x = case.samples.x.astype(np.float64)
    norm = 0.0
    for i in range(4):
        up, down = x.copy(), x.copy()
        up[:, i] += step
        down[:, i] -= step
        codes = [case.reference.encode(w, Samples(part)) for part in (up, down)]
        norm += (((codes[0] - codes[1]) / (2 * step)) ** 2).sum()
    costs = [c.reference.gradient(w, Samples(x))[1].cost for c in (case, bare)]
    assert costs[0] - costs[1] == pytest.approx(0.4 * norm, rel=1e-7)
    assert case.reference.forward(w, Samples(x))[1].cost == pytest.approx(costs[1], rel=1e-12)


def test_a_step_by_hand():
    """One input, one code, tied, linear; the running mean moves first, then c is taken there."""
    spec = make_spec("1-1-1", decoder="linear", tied=True, beta=2.0, rho=0.25, memory=0.5)
    w = np.array([0, 0, 0, 0.1])  # W, b1, b2, rho_hat
    ops.make(spec, "reference").train(w, np.zeros((0, 4)), Samples(np.ones((1, 1))), np.arange(1), 1, np.ones(1))
    # a = 1/2, r = 0, delta2 = -1; rho_hat = (0.1 + 0.5)/2 = 0.3; c = 2 (0.75/0.7 - 0.25/0.3); f' = 1/4
    c = 2 * (0.75 / 0.7 - 0.25 / 0.3)
    np.testing.assert_allclose(w, [-(c / 4) + 0.5, -c / 4, 1, 0.3], rtol=1e-14)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("tied", [False, True])
def test_shards_add_up_to_the_whole(tied, backend):
    """Statistics of 8 uneven shards, summed and combined: the gradient of all samples, sparsity included."""
    case = Case("30-11-30", n=400, tied=tied, contractive=0.2, **SPARSE)
    operations = ops.make(case.spec, backend)
    splits = [0, 3, 50, 51, 120, 200, 333, 390, 400]
    parts = [operations.gradient(case.w, case.samples, np.arange(a, b)) for a, b in itertools.pairwise(splits)]
    sums = np.sum([part for part, _ in parts], axis=0)
    whole, seen = ops.make(case.spec, "reference").gradient(case.w.astype(np.float64), case.samples)
    expected, cost = case.layout.combine(whole, 400)
    got, penalty = case.layout.combine(sums, 400)
    assert np.abs(got - expected).max() < 3e-6 * np.abs(expected).max()
    assert penalty == pytest.approx(cost, rel=1e-5)
    assert sum(result.cost for _, result in parts) == pytest.approx(seen.cost, rel=1e-6)


def test_corruption_sets_inputs_to_nothing_and_spares_the_rest():
    """Half of the inputs at least 0.4 and at most 0.6 of the time; prediction sees them all."""
    case = Case("40-3-40", activation="linear", corruption=0.5, decoder="linear", n=100)
    w = np.zeros(case.layout.size)
    case.layout.split(w)[0][0][:] = np.eye(40, 3)
    x = Samples(np.ones((100, 40)))
    seen, codes, _ = case.reference._backward(w, x, np.arange(100), KEY, 0, np.zeros_like(w))
    assert set(np.unique(seen)) == {0.0, 1.0}
    assert set(np.unique(codes)) == {0.0, 1.0}
    assert 0.4 < seen.mean() < 0.6
    assert case.reference.encode(w, x).min() == 1


# --- the core ---------------------------------------------------------------------------------------------------------

PARTS = [{}, SPARSE, {"contractive": 0.5}, {"corruption": 0.4}, ALL]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("activation", "part"), terms(*PARTS))
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("decoder", ["sigmoid", "linear"])
def test_activations_decoders_and_terms(activation, decoder, tied, part, isa):
    Case("17-9-17", activation, decoder=decoder, tied=tied, **part).check(isa=isa)
    Case("70-25-70", activation, decoder=decoder, tied=tied, **part).check(50, 2, isa=isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("x", ["float32", "uint8", "csr"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("rule", _cpu.RULES)
def test_rules_and_inputs(rule, tied, x, isa):
    Case("70-25-70", x=x, rule=rule, tied=tied, l2=0.1, **ALL).check(33, isa=isa)
    Case("37-50-37", x=x, rule=rule, tied=tied, l1=0.01, **SPARSE).check(150, 2, isa=isa, threads=2)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("fields", [{}, SPARSE, {"tied": True, **SPARSE}, {"tied": True, **ALL}], ids=str)
@pytest.mark.parametrize("net", ["64-25-64", "784-196-784", "25-200-25", "1-1-1", "2-3-2"])
def test_shapes(net, fields, isa):
    """Blocks of rows too: 700 samples are more than one pass takes."""
    Case(net, n=150, x="uint8", **fields).check(140, 2, isa=isa)
    if net == "64-25-64":
        Case(net, n=150, **fields).check(700, 2, isa=isa, threads=2)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 300),
    st.sampled_from(ISAS),
    st.sampled_from(["float32", "uint8", "csr"]),
    st.booleans(),
    st.sampled_from(PARTS),
    st.integers(0, 99),
)
def test_any_shape(inputs, hidden, batch, isa, x, tied, part, seed):
    net = f"{inputs}-{hidden}-{inputs}"
    Case(net, n=40, x=x, seed=seed, tied=tied, l2=0.01, **part).check(batch, 2, isa=isa, threads=1 + seed % 3)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("part", [SPARSE, ALL], ids=str)
@pytest.mark.parametrize("net", ["64-25-64", "90-70-90"])
def test_threads_and_blocks_change_no_bit(net, part, tied, rule, isa):
    case = Case(net, n=100, rule=rule, tied=tied, l2=0.01, **part)
    order, p, found = case.rng.integers(0, 100, 420).astype(np.int64), case.spec.autoencoder, set()
    for threads, rows in [(1, 256), (2, 256), (3, 17), (1, 1), (2, 60)]:
        plan = _cpu.AutoencoderPlan(
            case.spec.net[0], case.spec.net[1], "sigmoid", 0.1, p.decoder, tied, p.rho, p.beta, p.memory, p.corruption,
            p.contractive, rows, threads, isa,
        )  # fmt: skip
        w, state = case.w.copy(), np.zeros((2, case.w.size), np.float32)
        result = plan.train(w, state[: _cpu.state_vectors(rule)].ravel(), case.samples.x, None, order, 140, 0.02, rule,
                            l2=0.01, seed=3)  # fmt: skip
        g, seen = plan.gradient(w, case.samples.x, None, order, seed=4)
        codes = plan.encode(w, case.samples.x, order)
        out = plan.forward(w, case.samples.x)[0]
        found.add((w.tobytes(), state.tobytes(), g.tobytes(), codes.tobytes(), out.tobytes(), result.cost, seen.cost))
    assert len(found) == 1


def test_repeated_calls_leave_nothing_behind():
    """One plan, calls of every kind in between: the same bits as a fresh one."""
    case = Case("64-25-64", **ALL)
    core, order = case.core(), np.arange(60)
    fresh = case.train(core, order, 20)[0].tobytes()
    core.gradient(case.w, case.samples)
    core.encode(case.w, Samples(scipy.sparse.csr_array(case.samples.x)))
    core.forward(case.w, case.samples)
    assert case.train(core, order, 20)[0].tobytes() == fresh


def test_state_and_gradient_at_the_running_mean_stay_as_they_are():
    case = Case("20-7-20", rule="adam", **SPARSE)
    w, state, _ = case.train(case.core(), np.arange(60), 20)
    at = case.layout.running
    assert not state[:, at:].any()
    assert not case.core().gradient(w, case.samples)[0][at : case.layout.size].any()
    assert (w[at:] != case.w[at:]).all()


def test_bad_arguments():
    make = _cpu.AutoencoderPlan
    for wrong in (
        {"inputs": 0},
        {"hidden": -1},
        {"activation": "swish"},
        {"decoder": "softmax"},
        {"beta": -1},
        {"beta": float("nan")},
        {"beta": 1, "activation": "tanh"},
        {"beta": 1, "rho": 1},
        {"beta": 1, "memory": 1},
        {"corruption": 1},
        {"contractive": -0.1},
        {"threads": 0},
        {"max_batch": 0},
        {"isa": "mmx"},
    ):
        with pytest.raises(SpecError):
            make(**{"inputs": 4, "hidden": 2, **wrong})
    plan, w = make(4, 2), np.zeros(22, np.float32)
    assert plan.parameters == 22
    x = np.zeros((3, 4), np.float32)
    for call in (
        lambda: plan.encode(w[1:], x),
        lambda: plan.encode(w, x[:, 1:]),
        lambda: plan.encode(w, x, [3]),
        lambda: plan.gradient(w[1:], x, None),
        lambda: plan.train(w, None, x, None, [0], 1, 0.1, max_norm=1),
        lambda: plan.train(w.astype(np.float64), None, x, None, [0], 1, 0.1),
        lambda: plan.train(w, None, x, None, [0], 0, 0.1),
    ):
        with pytest.raises(SpecError):
            call()
    assert plan.encode(w, x[:0]).shape == (0, 2)
    assert plan.forward(w, x)[0].tolist() == [[0.5] * 4] * 3


def test_nonfinite_and_interrupted_training():
    case = Case("20-7-20", **SPARSE)
    for operations, real in ((case.core(2), np.float32), (case.reference, np.float64)):
        w, x = case.w.astype(real), case.samples.x.copy()
        x[50, 3] = np.inf
        state = np.zeros((0, w.size), real)
        with pytest.raises(NonFinite):
            operations.train(w, state, Samples(x), np.arange(60), 20, np.full(3, 0.1, np.float32))
        assert w.tobytes() == case.w.astype(real).tobytes()
        # The core asks once in a twentieth of a second: this many steps take any processor longer.
        order, lr = np.arange(4_000_000) % 60, np.full(2_000_000, 0.1, np.float32)
        with pytest.raises(Interrupted):
            operations.train(w, state, case.samples, order, 2, lr, progress=lambda *_: True)


def test_the_layout_is_the_specs():
    case = Case("6-3-6", tied=True, **SPARSE)
    assert of(case.spec) == case.core().layout == case.reference.layout
    plan = case.core()._plan
    assert (plan.parameters, plan.statistics) == (case.layout.size, case.layout.statistics)
