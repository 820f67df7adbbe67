"""The operations: the reference against mathematics, the core against the reference."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from hdl import ops
from hdl import spec as specs
from hdl.errors import Interrupted, NonFinite, SpecError
from hdl.models import mlp
from hdl.ops import Key, Samples, rules
from hdl.ops.draws import dropout

ACTIVATIONS = ["linear", "sigmoid", "tanh", "lecun_tanh", "relu", "leaky_relu"]
LOSSES = ["softmax", "sigmoid", "squared"]


def make_spec(net="5-4-3", **fields):
    return specs.parse({"net": net, "loss": "softmax", "leak": 0.1, **fields})


def make_samples(n, inputs, outputs, loss="softmax", seed=0, dtype=np.float32):
    """Float samples; targets that fit the loss."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, inputs)).astype(dtype)
    if loss == "softmax":
        y = rng.integers(0, outputs, n).astype(np.int32)
    elif loss == "sigmoid":
        y = rng.integers(0, 2, (n, outputs)).astype(dtype)
    else:
        y = rng.normal(size=(n, outputs)).astype(dtype)
    return Samples(x, y)


def penalised_cost(reference, w, samples, rows, key):
    """Mean cost over rows, penalty included: what a step descends."""
    spec = reference.spec
    cost = reference.gradient(w, samples, rows, key)[1].cost / len(rows)
    return cost + rules.penalty(w, reference.layout.mask, spec.l1, spec.l2)


@pytest.mark.parametrize("regulariser", ["none", "l2", "l1", "dropout"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_is_the_central_difference(activation, loss, regulariser):
    fields = {"none": {}, "l2": {"l2": 0.3}, "l1": {"l1": 0.2}, "dropout": {"dropout": 0.4, "input_dropout": 0.3}}
    spec = make_spec(net="5-4-4-3", activation=activation, loss=loss, **fields[regulariser])
    reference, samples, rows = ops.make(spec, "reference"), make_samples(6, 5, 3, loss), np.arange(6)
    key = Key(3, 1, 2)
    w = mlp.initial(spec).astype(np.float64)
    w += 0.1 * np.random.default_rng(1).normal(size=w.size)
    g, _ = reference.gradient(w, samples, rows, key)
    g = rules.penalised(g / 6, w, reference.layout.mask, spec.l1, spec.l2)
    step, numeric = 1e-6, np.empty_like(w)
    for i in range(w.size):
        up, down = w.copy(), w.copy()
        up[i] += step
        down[i] -= step
        difference = penalised_cost(reference, up, samples, rows, key) - penalised_cost(
            reference, down, samples, rows, key
        )
        numeric[i] = difference / (2 * step)
    np.testing.assert_allclose(g, numeric, rtol=1e-5, atol=1e-8)


def test_one_step_by_hand():
    """2 inputs, 1 sigmoid unit, 2 softmax outputs, batch of 2, lr 1: every number worked out by hand below."""
    spec = make_spec("2-1-2", activation="sigmoid", optimizer={"name": "sgd"})
    samples = Samples(np.array([[1, 0], [0, 1]], np.float32), np.array([0, 1], np.int32))
    w = np.array([0, 0, 0, 1, -1, 0, 0], np.float64)  # W1 = 0, b1 = 0, W2 = (1, -1), b2 = 0
    # Hidden: 1/2. Outputs: z = (1/2, -1/2), p = (q, 1 - q), q = 1/(1 + e^-1).
    q = 1 / (1 + np.exp(-1))
    # Deltas at the output: sample 0: (q - 1, 1 - q); sample 1: (q, -q). Mean over the batch: (q - 1/2, 1/2 - q).
    # dW2 = 1/2 · mean; back through (1, -1): sample 0: 2(q - 1), sample 1: 2q; times 1/2 · 1/2, divided by 2.
    expected = -np.array([(q - 1) / 4, q / 4, (2 * q - 1) / 4, (q - 0.5) / 2 - 1, (0.5 - q) / 2 + 1, q - 0.5, 0.5 - q])
    result = ops.make(spec, "reference").train(w, np.zeros((0, 7)), samples, np.arange(2), 2, np.ones(1, np.float32))
    np.testing.assert_allclose(w, expected, rtol=1e-14)
    assert result.cost == pytest.approx(-np.log(q) - np.log(1 - q))
    assert (result.correct, result.samples, result.steps) == (1, 2, 1)


def trace(operations, spec, w, samples, batch):
    """Mean cost of each mini-batch, as a pass over all of them in order sees it."""
    state = np.zeros((operations.state_vectors, w.size), w.dtype)
    costs, n = [], len(samples)
    for step in range(n // batch):
        rows = np.arange(step * batch, (step + 1) * batch)
        lr = ops.rates(spec, step, 1, n // batch)
        costs.append(operations.train(w, state, samples, rows, batch, lr, step).cost / batch)
    return costs


def flat(peer):
    """scikit-learn's weights as one vector in our order."""
    return np.concatenate([part.ravel() for pair in zip(peer.coefs_, peer.intercepts_, strict=True) for part in pair])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize(
    ("rule", "momentum", "lr", "alpha"),
    # Rates that float32 holds exactly, and Adam with hardly an epsilon, which the two place differently.
    [("sgd", 0, 0.25, 0.5), ("momentum", 0.9, 0.0625, 0.5), ("nesterov", 0.9, 0.0625, 0.5), ("adam", 0, 2**-6, 0.5)],
)
def test_ten_step_loss_trace_of_scikit_learn(rule, momentum, lr, alpha, backend):
    """Ten mini-batches by scikit-learn's MLPClassifier from the same weights: same costs, same weights."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    if backend == "cpu":
        pytest.importorskip("hdl._cpu")
    spec = make_spec(
        "64-20-10",
        activation="tanh",
        l2=alpha / 50,
        optimizer={"name": rule, "lr": lr, "momentum": momentum, "epsilon": 1e-14},
    )
    x, y = load_digits(return_X_y=True)
    x, y = x[:500] / 16, y[:500].astype(np.int32)
    w = mlp.initial(spec).astype(np.float32 if backend == "cpu" else np.float64)
    peer = MLPClassifier(
        (20,), activation="tanh", solver="adam" if rule == "adam" else "sgd", alpha=alpha, batch_size=50,
        learning_rate_init=lr, momentum=momentum, nesterovs_momentum=rule == "nesterov",
        epsilon=1e-14, shuffle=False,
    )  # fmt: skip
    peer.partial_fit(x[:50], y[:50], classes=np.arange(10))  # builds its arrays; then it starts from our weights
    peer.coefs_ = [weights.astype(np.float64) for weights, _ in mlp.layout(spec).split(w)]
    peer.intercepts_ = [bias.astype(np.float64) for _, bias in mlp.layout(spec).split(w)]
    del peer._optimizer
    expected = []
    for start in range(0, 500, 50):
        penalty = rules.penalty(flat(peer), mlp.layout(spec).mask, 0, spec.l2)
        peer.partial_fit(x[start : start + 50], y[start : start + 50])
        expected.append(peer.loss_ - penalty)  # its loss holds the penalty, ours does not
    costs = trace(ops.make(spec, backend), spec, w, Samples(x.astype(np.float32), y), 50)
    assert expected[-1] < 0.9 * expected[0]
    np.testing.assert_allclose(costs, expected, rtol=1e-7 if backend == "reference" else 1e-4)
    np.testing.assert_allclose(w, flat(peer), atol=1e-6 if backend == "reference" else 1e-4)


def test_schedules():
    def rate(**schedule):
        spec = make_spec(epochs=4, optimizer={"name": "sgd", "lr": 0.5, "schedule": schedule})
        return ops.rates(spec, 2, 6, 2)

    np.testing.assert_allclose(rate(name="constant"), [0.5] * 6)
    np.testing.assert_allclose(rate(name="inverse", decay=2), [0.5 / (1 + 2 * t) for t in (1, 1.5, 2, 2.5, 3, 3.5)])
    np.testing.assert_allclose(rate(name="exponential", decay=0.25), [0.5 * 0.5**s for s in range(2, 8)])
    np.testing.assert_allclose(rate(name="step", decay=0.1, every=2), [0.5, 0.5, 0.05, 0.05, 0.05, 0.05])
    cosine = rate(name="cosine")
    assert cosine[2] == pytest.approx(0.25)
    assert (np.diff(cosine) < 0).all()
    np.testing.assert_allclose(rate(name="constant", warmup=4), [0.5 * s / 8 for s in range(3, 9)])


def test_max_norm_holds_after_every_step():
    spec = make_spec(max_norm=0.5, optimizer={"name": "sgd", "lr": 1.0})
    reference, samples, w = ops.make(spec, "reference"), make_samples(20, 5, 3), mlp.initial(spec)
    before = [np.linalg.norm(weights, axis=0) for weights, _ in reference.layout.split(w.copy())]
    reference.train(w, np.zeros((0, w.size)), samples, np.arange(20), 5, np.ones(4, np.float32))
    after = [np.linalg.norm(weights, axis=0) for weights, _ in reference.layout.split(w)]
    assert max(norm.max() for norm in before) > 0.6
    assert 0.49 < max(norm.max() for norm in after) < 0.5 + 1e-6


def test_a_cost_that_explodes_leaves_weights_and_state():
    spec = make_spec(activation="relu", loss="squared", optimizer={"name": "momentum", "lr": 1e6})
    reference, samples, w = ops.make(spec, "reference"), make_samples(40, 5, 3, "squared"), mlp.initial(spec)
    state, before = np.ones((1, w.size), np.float32), w.copy()
    with pytest.raises(NonFinite, match="step"):
        reference.train(w, state, samples, np.arange(40), 1, np.full(40, 1e6, np.float32))
    assert np.array_equal(w, before)
    assert (state == 1).all()


def test_progress_stops_after_a_whole_step():
    spec = make_spec(optimizer="sgd")
    reference, samples = ops.make(spec, "reference"), make_samples(40, 5, 3)
    w, expected = mlp.initial(spec), mlp.initial(spec)
    lr, none = np.full(4, 0.1, np.float32), np.zeros((0, w.size))
    with pytest.raises(Interrupted):
        reference.train(w, none, samples, np.arange(40), 10, lr, progress=lambda done, total: done == 2)
    reference.train(expected, none, samples, np.arange(20), 10, lr)
    assert np.array_equal(w, expected)


def test_dropout_drops_its_share_and_keeps_the_mean():
    mask = dropout(Key(1, 2, 3), 4, 1, (500, 203), 0.3)
    assert set(np.unique(mask)) == {0, 1 / 0.7}
    assert abs((mask == 0).mean() - 0.3) < 0.005
    assert abs(np.corrcoef(mask[:, :-1].ravel(), mask[:, 1:].ravel())[0, 1]) < 0.02
    for other in [
        (Key(2, 2, 3), 4, 1),
        (Key(1, 1, 3), 4, 1),
        (Key(1, 2, 2), 4, 1),
        (Key(1, 2, 3), 5, 1),
        (Key(1, 2, 3), 4, 2),
    ]:
        assert 0.5 < (dropout(*other, (500, 203), 0.3) == mask).mean() < 0.65


def test_scale_shift_and_sparse_input_are_what_the_net_sees():
    rng = np.random.default_rng(0)
    spec = make_spec("6-4-3", activation="tanh")
    w, y = mlp.initial(spec), rng.integers(0, 3, 10).astype(np.int32)
    x, scale, shift = rng.integers(0, 256, (10, 6)).astype(np.uint8), rng.random(6) / 99, rng.random(6)
    reference = ops.make(spec, "reference")
    scale, shift = scale.astype(np.float32), shift.astype(np.float32)
    seen, _ = reference.gradient(w, Samples(x * scale + shift, y))
    given_, _ = reference.gradient(w, Samples(x, y, scale, shift))
    np.testing.assert_allclose(given_, seen, rtol=1e-5)
    x[x < 128] = 0
    sparse, _ = reference.gradient(w, Samples(scipy.sparse.csr_array(x.astype(np.float32)), y, scale))
    np.testing.assert_allclose(sparse, reference.gradient(w, Samples(x * scale, y))[0], rtol=1e-5)


def test_what_is_not_known_is_an_error():
    with pytest.raises(SpecError, match="net"):
        ops.make(specs.parse({"loss": "softmax"}), "reference")
    with pytest.raises(SpecError, match="backend"):
        ops.make(make_spec(), "gpu")


# The core, wherever it is built, does what the reference does.


@st.composite
def jobs(draw):
    """A spec, samples and a mini-batch, of any odd size."""
    widths = draw(st.lists(st.integers(1, 70), min_size=2, max_size=4))
    loss = draw(st.sampled_from(LOSSES))
    if loss == "softmax":
        widths[-1] = max(widths[-1], 2)
    spec = make_spec(
        widths,
        loss=loss,
        activation=draw(st.sampled_from(ACTIVATIONS)),
        dropout=draw(st.sampled_from([0, 0.5])),
        input_dropout=draw(st.sampled_from([0, 0.2])),
        l1=draw(st.sampled_from([0, 0.01])),
        l2=draw(st.sampled_from([0, 0.1])),
        max_norm=draw(st.sampled_from([0, 1.5])),
        optimizer={"name": draw(st.sampled_from(sorted(rules.VECTORS))), "lr": 0.05},
    )
    n = draw(st.integers(1, 60))
    samples = make_samples(n, widths[0], widths[-1], loss)
    kind = draw(st.sampled_from(["float", "uint8", "csr"]))
    rng = np.random.default_rng(1)
    scale = (rng.random(widths[0]) + 0.5).astype(np.float32)
    if kind == "uint8":
        x = rng.integers(0, 256, (n, widths[0])).astype(np.uint8)
        samples = Samples(x, samples.y, scale / 99, -scale)
    elif kind == "csr":
        x = samples.x * (rng.random(samples.x.shape) < 0.3)
        samples = Samples(scipy.sparse.csr_array(x), samples.y, scale)
    return spec, samples, draw(st.integers(1, 70))


def close(actual, expected, tolerance=2e-4):
    """Near, measured by the largest expected magnitude."""
    bound = tolerance * max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=bound)


@settings(max_examples=60)
@given(jobs(), st.sampled_from([1, 2]), st.integers(0, 2))
def test_the_core_agrees_with_the_reference(job, threads, kernels):
    found = pytest.importorskip("hdl._cpu").isas()
    spec, samples, batch = job
    core, reference = ops.make(spec, "cpu", threads, found[kernels % len(found)]), ops.make(spec, "reference")
    key, order = Key(7, 3, 1), np.random.default_rng(2).integers(0, len(samples), 50)
    w = mlp.initial(spec)
    g, found = core.gradient(w, samples, order, key)
    expected, told = reference.gradient(w.astype(np.float64), samples, order, key)
    close(g, expected)
    assert found.cost == pytest.approx(told.cost, rel=1e-4, abs=1e-4)
    assert (found.samples, found.correct) == (told.samples, pytest.approx(told.correct, abs=1))
    close(core.forward(w, samples, order)[0], reference.forward(w.astype(np.float64), samples, order)[0])
    # A step of the rules that divide by the gradient's own size turns rounding into sign: their weights are compared
    # by the rules' own test, with a gradient that is nowhere near 0.
    if spec.optimizer.name in ("sgd", "momentum", "nesterov") and not spec.l1:
        mine, truth = w.copy(), w.astype(np.float64)
        lr, vectors = np.full(ops.steps(50, batch), 1e-3, np.float32), core.state_vectors
        state, twin = np.zeros((vectors, w.size), np.float32), np.zeros((vectors, w.size))
        try:
            told = reference.train(truth, twin, samples, order, batch, lr, 5, key)
        except NonFinite:
            reject()
        assume(np.abs(truth).max() < 10)  # deep linear nets may diverge, and then say nothing about rounding
        seen = core.train(mine, state, samples, order, batch, lr, 5, key)
        close(mine, truth, 1e-3)
        close(state, twin, 1e-3)
        assert seen.cost == pytest.approx(told.cost, rel=1e-3, abs=1e-3)
        assert (seen.samples, seen.steps) == (told.samples, told.steps)


@pytest.mark.parametrize("rule", sorted(rules.VECTORS))
def test_the_cores_rules_are_the_references(rule):
    """Linear units and plain targets keep every gradient far from 0, where the rules are smooth."""
    pytest.importorskip("hdl._cpu")
    spec = make_spec(
        "9-5", loss="squared", l1=0.01, l2=0.02, max_norm=2.0,
        optimizer={"name": rule, "momentum": 0.8, "beta1": 0.7, "beta2": 0.95, "rho": 0.85, "epsilon": 1e-4},
    )  # fmt: skip
    rng = np.random.default_rng(0)
    samples = Samples(rng.uniform(0.5, 1, (40, 9)).astype(np.float32), np.full((40, 5), 9, np.float32))
    core, reference = ops.make(spec, "cpu"), ops.make(spec, "reference")
    w = mlp.initial(spec)
    truth, vectors = w.astype(np.float64), core.state_vectors
    state, twin = np.full((vectors, w.size), 0.5, np.float32), np.full((vectors, w.size), 0.5)
    lr = np.linspace(0.002, 0.01, 8).astype(np.float32)
    core.train(w, state, samples, np.arange(40), 5, lr, 3)
    reference.train(truth, twin, samples, np.arange(40), 5, lr, 3)
    np.testing.assert_allclose(w, truth, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(state, twin, rtol=2e-4, atol=2e-5)


def test_the_core_stops_and_refuses_as_the_reference_does():
    pytest.importorskip("hdl._cpu")
    spec = make_spec(activation="relu", loss="squared", optimizer="momentum")
    samples, core = make_samples(40, 5, 3, "squared"), ops.make(spec, "cpu")
    w = mlp.initial(spec)
    state, before, many = np.ones((1, w.size), np.float32), mlp.initial(spec), np.arange(40).repeat(100_000)
    with pytest.raises(NonFinite):
        core.train(w, state, samples, np.arange(40), 1, np.full(40, 1e6, np.float32))
    assert np.array_equal(w, before)
    assert (state == 1).all()
    with pytest.raises(Interrupted):
        core.train(w, state, samples, many, 1, np.full(len(many), 1e-9, np.float32), progress=lambda done, n: True)
    assert not np.array_equal(state, np.ones_like(state))


def test_empty_input():
    pytest.importorskip("hdl._cpu")
    spec = make_spec(optimizer="sgd")
    for backend in "cpu", "reference":
        operations, samples = ops.make(spec, backend), make_samples(3, 5, 3)
        w, none = mlp.initial(spec), np.zeros(0, np.int64)
        state = np.zeros((0, w.size), np.float32)
        assert operations.train(w, state, samples, none, 10, np.zeros(0, np.float32)).samples == 0
        assert operations.forward(w, samples, none)[0].shape == (0, 3)
        assert not operations.gradient(w, samples, none)[0].any()
