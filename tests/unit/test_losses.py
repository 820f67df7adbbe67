"""Losses of regressions, label smoothing, weights of samples and offsets: the reference against mathematics and
scikit-learn, the core against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from scipy.special import huber
from sklearn import metrics

from hdl import _cpu, ops
from hdl import spec as specs
from hdl.errors import NonFinite, SpecError
from hdl.models import mlp
from hdl.ops import Key, Samples, losses
from hdl.ops.reference.losses import LOSSES

PARAMETERS = {"huber": {"delta": 0.7}, "quantile": {"quantile": 0.8}, "tweedie": {"power": 1.3}}
NEW = [name for name in losses.REGRESSION if name != "squared"]
KEY = Key(3, 1, 2)


def make(loss, net="5-4-3", **fields):
    spec = specs.parse({"net": net, "loss": loss, "activation": "tanh", **PARAMETERS.get(loss, {}), **fields})
    return spec, mlp.initial(spec)


def make_samples(loss, n=30, inputs=5, outputs=3, weights=False, offset=False, kind="float", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, inputs)).astype(np.float32)
    if kind == "uint8":
        x = rng.integers(0, 256, (n, inputs)).astype(np.uint8)
    y = rng.normal(size=(n, outputs)).astype(np.float32)
    if loss in losses.LOG_LINK:
        y = rng.gamma(1.5, 1, (n, outputs)).astype(np.float32)
        if loss != "gamma":
            y[::3] = 0
    elif loss == "softmax":
        y = rng.integers(0, outputs, n).astype(np.int32)
    elif loss == "sigmoid":
        y = rng.integers(0, 2, (n, outputs)).astype(np.float32)
    scale = np.full(inputs, 1 / 128, np.float32) if kind == "uint8" else None
    weight = rng.gamma(1, 1, n).astype(np.float32) if weights else None
    if weights:
        weight[::5] = 0
    added = rng.normal(size=(n, outputs)).astype(np.float32) if offset else None
    if kind == "csr":
        x = scipy.sparse.csr_array(np.where(rng.random(x.shape) < 0.3, x, 0).astype(np.float32))
    return Samples(x, y, scale, None, weight, added)


@pytest.mark.parametrize("loss", losses.REGRESSION)
def test_a_cost_is_0_at_the_target_and_its_slope_is_the_difference(loss):
    t = np.linspace(0.2, 4, 50)
    score, k = LOSSES[loss], losses.parameter(make(loss)[0])
    perfect = np.log(t) if loss in losses.LOG_LINK else t
    cost, slope = score(perfect, t, k)
    np.testing.assert_allclose([cost, slope], 0, atol=1e-14)
    for off in (-1.5, -0.3, 0.4, 2):
        z = perfect + off
        cost, slope = score(z, t, k)
        assert (cost > 0).all()
        numeric = (score(z + 1e-6, t, k)[0] - score(z - 1e-6, t, k)[0]) / 2e-6
        np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-7)


def test_costs_are_what_other_libraries_say():
    rng = np.random.default_rng(0)
    y, p, weight = rng.gamma(2, 1, 200), rng.gamma(2, 1, 200), rng.random(200)
    z, r = np.log(p), rng.normal(size=200) * 2
    half = {  # deviances are twice a cost
        "poisson": metrics.mean_poisson_deviance(y, p, sample_weight=weight) / 2,
        "gamma": metrics.mean_gamma_deviance(y, p, sample_weight=weight) / 2,
        "tweedie": metrics.mean_tweedie_deviance(y, p, sample_weight=weight, power=1.3) / 2,
    }
    for loss, expected in half.items():
        k = losses.parameter(make(loss)[0])
        assert np.average(LOSSES[loss](z, y, k)[0], weights=weight) == pytest.approx(expected, rel=1e-12)
    zeros = np.zeros(3)
    assert LOSSES["poisson"](np.log(p[:3]), zeros, 0)[0].mean() == pytest.approx(
        metrics.mean_poisson_deviance(zeros, p[:3]) / 2
    )
    assert LOSSES["quantile"](r, y, 0.8)[0].mean() == pytest.approx(metrics.mean_pinball_loss(y, r, alpha=0.8))
    assert LOSSES["absolute"](r, y, 0)[0].mean() == pytest.approx(metrics.mean_absolute_error(y, r))
    np.testing.assert_allclose(LOSSES["huber"](r, y, 0.7)[0], huber(0.7, y - r))


@pytest.mark.parametrize("smoothing", [0, 0.2])
@pytest.mark.parametrize("loss", [*losses.CLASSES, *losses.REGRESSION])
def test_weighted_gradients_with_an_offset_are_central_differences(loss, smoothing):
    if smoothing and loss not in losses.CLASSES:
        pytest.skip("of classes alone")
    spec, w = make(loss, dropout=0.3, label_smoothing=smoothing)
    samples, reference, w = make_samples(loss, 8, weights=True, offset=True), ops.make(spec, "reference"), w + 0.05
    w = w.astype(np.float64)
    g, result = reference.gradient(w, samples, None, KEY)
    assert result.weight == pytest.approx(samples.weight.sum(dtype=np.float64))
    numeric = np.empty_like(w)
    for i in range(w.size):
        step = np.zeros_like(w)
        step[i] = 1e-6
        up, down = (reference.gradient(w + sign * step, samples, None, KEY)[1].cost for sign in (1, -1))
        numeric[i] = (up - down) / 2e-6
    np.testing.assert_allclose(g, numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("isa", _cpu.isas())
@pytest.mark.parametrize("kind", ["float", "uint8", "csr"])
@pytest.mark.parametrize("loss", [*losses.CLASSES, *losses.REGRESSION])
def test_the_core_is_the_reference(loss, kind, isa):
    for outputs, net in ((3, "5-4-3"), (21, "5-21"), (5, "5-9-7-5")):
        smoothing = {"label_smoothing": 0.15} if loss in losses.CLASSES else {}
        spec, w = make(loss, net, optimizer={"name": "momentum", "lr": 0.01}, l2=0.01, **smoothing)
        samples = make_samples(loss, 70, outputs=outputs, weights=True, offset=True, kind=kind)
        core, reference = ops.make(spec, "cpu", 2, isa), ops.make(spec, "reference")
        order, lr = np.random.default_rng(2).integers(0, 70, 95), np.full(4, 0.01, np.float32)
        for call in ("gradient", "forward"):
            mine, seen = getattr(core, call)(w, samples, order)
            truth, told = getattr(reference, call)(w.astype(np.float64), samples, order)
            np.testing.assert_allclose(mine, truth, rtol=2e-4, atol=2e-5 * max(1, np.abs(truth).max()))
            assert seen.cost == pytest.approx(told.cost, rel=2e-5, abs=2e-4)
            assert (seen.samples, seen.weight) == (95, told.weight)
            assert seen.correct == pytest.approx(told.correct, rel=1e-6)
        mine, truth = w.copy(), w.astype(np.float64)
        state, twin = np.zeros((1, w.size), np.float32), np.zeros((1, w.size))
        seen = core.train(mine, state, samples, order, 27, lr)
        told = reference.train(truth, twin, samples, order, 27, lr)
        np.testing.assert_allclose(mine, truth, rtol=1e-3, atol=3e-4 * np.abs(truth - w).max())
        assert seen.cost == pytest.approx(told.cost, rel=1e-4, abs=1e-3)
        assert seen.weight == told.weight


@pytest.mark.parametrize("isa", _cpu.isas())
@pytest.mark.parametrize("loss", [*losses.CLASSES, *NEW])
def test_threads_and_blocks_change_no_bit(loss, isa):
    smoothing = 0.1 if loss in losses.CLASSES else 0
    spec, w = make(loss, "9-20-11", optimizer={"name": "adam", "lr": 0.01})
    samples = make_samples(loss, 100, 9, 11, weights=True, offset=True)
    order, found = np.random.default_rng(1).integers(0, 100, 420), set()
    for threads, rows in [(1, 256), (2, 256), (3, 17), (1, 1), (5, 60)]:
        plan = _cpu.Plan(
            spec.net, "tanh", loss, max_batch=rows, threads=threads, isa=isa, label_smoothing=smoothing,
            loss_parameter=losses.parameter(spec),
        )  # fmt: skip
        mine, state = w.copy(), np.zeros((2, w.size), np.float32)
        more = {"weight": samples.weight, "offset": samples.offset}
        result = plan.train(mine, state, samples.x, samples.y, order, 200, 0.01, "adam", **more)
        g, _ = plan.gradient(w, samples.x, samples.y, order, **more)
        out, scored = plan.forward(w, samples.x, samples.y, **more)
        found.add((mine.tobytes(), state.tobytes(), g.tobytes(), out.tobytes(), result, scored))
    assert len(found) == 1


@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "squared", "poisson", "huber"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_weight_is_how_often_a_sample_is_there(backend, loss):
    """Whole weights are repetitions, 0 is absence, and ones are no weights, byte for byte."""
    spec, w = make(loss, optimizer={"name": "sgd", "lr": 0.1})
    operations, samples = ops.make(spec, backend), make_samples(loss, 20, offset=True)
    times = np.random.default_rng(1).integers(0, 4, 20)
    weighted = replace(samples, weight=times.astype(np.float32))
    g, seen = operations.gradient(w, weighted)
    expected, told = operations.gradient(w, samples, np.repeat(np.arange(20), times))
    np.testing.assert_allclose(g, expected, rtol=1e-4, atol=1e-5)
    assert seen.cost == pytest.approx(told.cost, rel=1e-6)
    assert (seen.correct, seen.weight, seen.samples) == (told.correct, told.samples, 20)
    ones = replace(samples, weight=np.ones(20, np.float32))
    trained = []
    for each in (samples, ones):
        own = w.copy()
        operations.train(own, np.zeros((0, w.size), np.float32), each, np.arange(20), 7, np.full(3, 0.1, np.float32))
        trained.append(own.tobytes())
    assert trained[0] == trained[1]
    # One step on all of them: the mean is over the weights.
    steps = []
    for each, order in ((weighted, np.arange(20)), (samples, np.repeat(np.arange(20), times))):
        own = w.copy()
        operations.train(own, np.zeros((0, w.size), np.float32), each, order, 100, np.ones(1, np.float32))
        steps.append(own)
    np.testing.assert_allclose(*steps, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_mini_batch_that_weighs_nothing_moves_by_the_penalty_alone(backend):
    spec, w = make("squared", l2=0.5, optimizer={"name": "sgd", "lr": 0.1})
    samples = replace(make_samples("squared", 20), weight=np.zeros(20, np.float32))
    operations, own = ops.make(spec, backend), w.copy()
    result = operations.train(own, np.zeros((0, w.size), np.float32), samples, np.arange(20), 20, np.full(1, 0.1, "f4"))
    np.testing.assert_allclose(own, w * (1 - 0.05 * operations.layout.mask), rtol=1e-6)
    assert (result.cost, result.weight, result.samples) == (0, 0, 20)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("loss", ["sigmoid", "poisson", "quantile", "softmax"])
def test_an_offset_for_all_is_a_bias(backend, loss):
    spec, w = make(loss)
    operations, samples = ops.make(spec, backend), make_samples(loss, 20)
    moved = w.copy()
    operations.layout.split(moved)[-1][1][:] += [1, 2, -1]
    offset = np.tile(np.array([1, 2, -1], np.float32), (20, 1))
    out, result = operations.forward(w, replace(samples, offset=offset))
    expected, told = operations.forward(moved, samples)
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    assert result.cost == pytest.approx(told.cost, rel=1e-5)
    np.testing.assert_allclose(operations.forward(w, replace(samples, y=None, offset=offset))[0], out, rtol=1e-6)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_smoothed_labels_are_those_of_szegedy(backend):
    """(1 - s) of the label and s spread over all classes, in training; a measured cost is the plain one."""
    spec, w = make("softmax", label_smoothing=0.3)
    plain = spec.with_(label_smoothing=0)
    samples = make_samples("softmax", 20)
    targets = np.eye(3, dtype=np.float32)[samples.y] * np.float32(0.7) + np.float32(0.1)
    g, result = ops.make(spec, backend).gradient(w, samples)
    expected, told = ops.make(plain, backend).gradient(w, replace(samples, y=targets))
    np.testing.assert_allclose(g, expected, rtol=1e-5, atol=1e-6)
    assert (result.cost, result.correct) == (pytest.approx(told.cost, rel=1e-6), told.correct)
    found, expected = (ops.make(each, backend).forward(w, samples)[1] for each in (spec, plain))
    assert found == expected


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    ("name", "bad", "said"),
    [
        ("weight", np.full(20, -1, np.float32), "weight of sample 0 is -1, expected a finite number of at least 0"),
        ("weight", np.full(20, np.nan, np.float32), "weight of sample 0 is nan"),
        ("weight", np.ones(19, np.float32), "weight has shape"),
        ("offset", np.full((20, 3), np.inf, np.float32), "offset of sample 0 is"),
        ("offset", np.ones((20, 2), np.float32), "offset has shape"),
    ],
    ids=str,
)
def test_what_is_no_weight_or_offset_is_refused(backend, name, bad, said):
    spec, w = make("squared", optimizer="sgd")
    samples = replace(make_samples("squared", 20), **{name: bad})
    operations = ops.make(spec, backend)
    for call in (operations.gradient, operations.forward):
        with pytest.raises(SpecError, match=said):
            call(w, samples)
    with pytest.raises(SpecError, match=said):
        operations.train(w, np.zeros((0, w.size), "f4"), samples, np.arange(20), 10, np.ones(2, "f4"))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("model", ["autoencoder", "rbm"])
def test_models_without_labels_take_no_weights(backend, model):
    spec = specs.parse({"model": model, "net": "5-3-5" if model == "autoencoder" else "5-3", "loss": "squared"})
    operations = ops.make(spec, backend)
    w = np.zeros(operations.layout.size, np.float32)
    samples = Samples(np.ones((4, 5), np.float32), weight=np.ones(4, np.float32))
    for call in (operations.gradient, operations.forward, operations.encode):
        with pytest.raises(SpecError, match="no weights of samples"):
            call(w, samples)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"loss": "squared", "label_smoothing": 0.1}, "label_smoothing is for classes"),
        ({"loss": "poisson", "class_weight": "balanced"}, "class_weight is for classes"),
        ({"loss": "quantile", "optimizer": "lbfgs"}, "lbfgs needs a smooth cost: loss quantile"),
        ({"model": "stacked", "class_weight": {"a": 2.0}}, "class_weight: model stacked learns without labels first"),
        ({"model": "dbn", "loss": "gamma"}, "model dbn has no loss gamma"),
        ({"loss": "tweedie", "power": 2.0}, "power"),
        ({"loss": "huber", "delta": 0}, "delta"),
        ({"class_weight": {"a": -1.0}}, "class_weight"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(fields, said):
    with pytest.raises(SpecError, match=said):
        specs.parse({"net": "0-4-0", **fields})


@pytest.mark.parametrize("isa", _cpu.isas())
@pytest.mark.parametrize("loss", NEW)
def test_a_cost_that_is_not_finite_leaves_the_weights(loss, isa):
    spec, w = make(loss, optimizer="sgd")
    samples, before = make_samples(loss, 20), w.copy()
    samples.x[12, 1] = np.nan
    with pytest.raises(NonFinite):
        ops.make(spec, "cpu", 1, isa).train(
            w, np.zeros((0, w.size), np.float32), samples, np.arange(20), 5, np.ones(4, np.float32)
        )
    assert np.array_equal(w, before)


def test_units_and_domains():
    """Targets and answers c times as large cost c^exponent times as much."""
    rng = np.random.default_rng(0)
    y, p = rng.gamma(2, 1, 50), rng.gamma(2, 1, 50)
    for loss in losses.REGRESSION:
        spec = make(loss)[0]
        k, score = losses.parameter(spec), LOSSES[loss]
        log = loss in losses.LOG_LINK
        own = score(np.log(p) if log else p, y, k)[0]
        k = k * 3 if loss == "huber" else k
        larger = score(np.log(3 * p) if log else 3 * p, 3 * y, k)[0]
        np.testing.assert_allclose(larger, own * losses.unit(spec, np.array([3.0])), rtol=1e-9, atol=1e-12)
    assert losses.described(make("huber")[0]) == "huber(delta=0.7)"
    assert losses.described(make("gamma")[0]) == "gamma"
