"""Frozen layers, rates of layers and L2-SP in the operations: by hand, and all kernels against the reference."""

import numpy as np
import pytest
import scipy.sparse

from hdl import _cpu, ops, optim
from hdl import spec as specs
from hdl.models import mlp
from hdl.ops import Samples, rules, tuning
from tests.unit.mixed_cases import Case
from tests.unit.test_ops import make_samples, make_spec

NET = "7-20-18-3"
FREEZES = ["1", "2", "head", "1-2", "1,3", "all but last"]


def trained(operations, w, samples, steps=4, batch=10, lr=0.05):
    """Weights, state and result after some steps; what L2-SP pulls to is a fixed vector beside w."""
    w, n = w.copy(), operations.state_vectors
    state = np.zeros((n, w.size), w.dtype)
    if operations.spec.tuning.l2_sp:
        state[-1] = anchor_of(w)
    order = np.arange(steps * batch) % len(samples)
    result = operations.train(w, state, samples, order, batch, np.full(steps, lr, np.float32))
    return w, state, result


def anchor_of(w):
    return (w + 0.1 * np.random.default_rng(9).normal(size=w.size)).astype(w.dtype)


def bits(w):
    return w.view(np.uint32)


@pytest.mark.parametrize("isa", _cpu.isas())
@pytest.mark.parametrize("rule", sorted(rules.VECTORS))
@pytest.mark.parametrize(
    "fields",
    [
        {"freeze": "1"},
        {"freeze": "2", "lr": "1=0.25,head=2"},
        {"layer_decay": 0.5},
        {"l2_sp": 0.3},
        {"l2_sp": 0.3, "freeze": "head", "layer_decay": 0.5},
    ],
)
@pytest.mark.parametrize("more", [{}, {"l1": 0.01, "l2": 0.1, "max_norm": 0.9}])
def test_every_rule_on_every_kernel_is_the_reference(rule, isa, fields, more):
    rule = {"name": rule, "epsilon": 1e-2, "weight_decay": 0.1}
    spec = make_spec(NET, optimizer=rule, tuning=fields, **more)
    samples, start = make_samples(40, 7, 3), mlp.initial(spec)
    (a, state_a, _), (b, state_b, _) = (
        trained(each, start, samples) for each in (ops.make(spec, "reference"), ops.make(spec, "cpu", 2, isa))
    )
    np.testing.assert_allclose(b, a, atol=2e-5)
    np.testing.assert_allclose(state_b, state_a, atol=2e-4)
    plain = trained(ops.make(make_spec(NET, optimizer=rule, **more), "cpu"), start, samples)[0]
    assert np.abs(plain - b).max() > 1e-3
    one = trained(ops.make(spec, "cpu", 1, isa), start, samples)[0]
    np.testing.assert_array_equal(bits(one), bits(b))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("rule", ["sgd", "nesterov", "adam"])
@pytest.mark.parametrize("freeze", FREEZES)
def test_not_a_bit_of_what_is_frozen_changes(freeze, rule, backend):
    spec = make_spec(NET, l2=0.1, l1=0.01, max_norm=0.3, dropout=0.2, tuning={"freeze": freeze, "l2_sp": 0.1},
                     optimizer={"name": rule, "weight_decay": 0.1})  # fmt: skip
    operations, start = ops.make(spec, backend), mlp.initial(spec)
    still = tuning.frozen(spec)
    start[:5] = start[still][:3].mean()
    start[np.flatnonzero(still)[:4]] = -0.0
    w, state, _ = trained(operations, start, make_samples(40, 7, 3))
    np.testing.assert_array_equal(bits(w)[still], bits(start)[still])
    assert not state[:-1, still].any()
    layers = zip(operations.layout.split(start), operations.layout.split(w), strict=True)
    for number, (before, after) in enumerate(layers, 1):
        frozen = number in {"1": {1}, "2": {2}, "head": {3}, "1-2": {1, 2}, "1,3": {1, 3}}.get(freeze, {1, 2})
        assert np.array_equal(before[0], after[0]) == frozen
        assert np.array_equal(before[1], after[1]) == frozen
    gradient, _ = operations.gradient(start, make_samples(40, 7, 3))
    assert not gradient[still].any()
    assert gradient[~still].any()


@pytest.mark.parametrize("freeze", FREEZES)
def test_layers_above_and_below_learn_as_if_nothing_were_frozen(freeze):
    """One step of plain SGD: the other layers' gradients are those of the whole net, byte for byte."""
    samples, fields = make_samples(300, 7, 3), {"optimizer": {"name": "sgd"}}
    spec = make_spec(NET, tuning={"freeze": freeze}, **fields)
    start, still = mlp.initial(spec), tuning.frozen(spec)
    whole = trained(ops.make(make_spec(NET, **fields), "cpu", 2), start, samples, 1, 300)[0]
    w = trained(ops.make(spec, "cpu", 2), start, samples, 1, 300)[0]
    np.testing.assert_array_equal(bits(w)[~still], bits(whole)[~still])


def test_a_factor_is_a_rate_of_its_own_by_hand():
    spec = make_spec(NET, optimizer={"name": "sgd"}, tuning={"lr": {"1": 0.5, "head": 4}, "layer_decay": 0.5})
    samples, start = make_samples(40, 7, 3), mlp.initial(spec)
    g = ops.make(spec, "reference").gradient(start.astype(np.float64), samples)[0] / 40
    expected = start - 0.1 * np.repeat([0.125, 0.5, 4.0], [8 * 20, 21 * 18, 19 * 3]) * g
    w = trained(ops.make(spec, "cpu"), start, samples, 1, 40, 0.1)[0]
    np.testing.assert_allclose(w, expected, atol=1e-6)


def test_l2_sp_is_the_gradient_of_its_cost_by_hand():
    spec = make_spec(NET, optimizer={"name": "sgd"}, tuning={"l2_sp": 0.7})
    samples, start = make_samples(40, 7, 3), mlp.initial(spec)
    reference = ops.make(spec, "reference")
    g = reference.gradient(start.astype(np.float64), samples)[0] / 40
    expected = start - 0.1 * (g + 0.7 * reference.layout.mask * (start - anchor_of(start)))
    w = trained(ops.make(spec, "cpu"), start, samples, 1, 40, 0.1)[0]
    np.testing.assert_allclose(w, expected, atol=1e-6)

    def cost(w):
        sums, result = reference.gradient(w, samples)
        return optim.objective(spec, w, result.cost, sums, 40, anchor_of(start).astype(np.float64))

    w, direction = start.astype(np.float64), np.random.default_rng(3).normal(size=start.size)
    numeric = (cost(w + 1e-6 * direction)[0] - cost(w - 1e-6 * direction)[0]) / 2e-6
    assert numeric == pytest.approx((cost(w)[1] * direction).sum(), rel=1e-6)


@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adam"])
@pytest.mark.parametrize("vectors", [(), (2, 3, 4)])
@pytest.mark.parametrize("fields", [{"freeze": "1"}, {"freeze": "head"}, {"l2_sp": 0.3}, {"layer_decay": 0.5},
                                    {"lr": "layer1=3"}])  # fmt: skip
def test_encoded_rows_and_embeddings(rule, vectors, fields):
    case = Case(hidden="9-8", rule=rule, vectors=vectors, tuning=fields)
    a, b, one = (
        trained(each, case.w, case.samples) for each in (case.reference, case.make(None, 2), case.make(None, 1))
    )
    np.testing.assert_allclose(b[0], a[0], atol=2e-5)
    np.testing.assert_array_equal(bits(one[0]), bits(b[0]))
    still = tuning.frozen(case.spec)
    if still is not None:
        np.testing.assert_array_equal(bits(b[0])[still], bits(case.w)[still])


@pytest.mark.parametrize("freeze", ["embeddings", "embeddings,1", "e*,head", "all but last"])
def test_tables_of_embeddings_can_be_frozen(freeze):
    case = Case(hidden="9-8", rule="adam", vectors=(2, 3, 4), tuning={"freeze": freeze})
    still = tuning.frozen(case.spec)
    assert still[: 7 * 2 + 3 * 3 + 11 * 4].all()
    assert not still.all()
    a, b = trained(case.reference, case.w, case.samples), trained(case.make(None, 2), case.w, case.samples)
    np.testing.assert_allclose(b[0], a[0], atol=2e-5)
    np.testing.assert_array_equal(bits(b[0])[still], bits(case.w)[still])
    assert not case.make().gradient(case.w, case.samples)[0][still].any()


@pytest.mark.parametrize("fields", [{"freeze": "1"}, {"freeze": "2"}, {"l2_sp": 0.3}])
def test_sparse_rows_give_what_dense_ones_give(fields):
    spec = make_spec(NET, tuning=fields, optimizer={"name": "momentum", "weight_decay": 0.1})
    dense = make_samples(40, 7, 3)
    dense.x[np.random.default_rng(1).random(dense.x.shape) < 0.5] = 0
    sparse = Samples(scipy.sparse.csr_matrix(dense.x), dense.y)
    start = mlp.initial(spec)
    a, b = (trained(ops.make(spec, "cpu", 2), start, samples)[0] for samples in (dense, sparse))
    np.testing.assert_allclose(b, a, atol=2e-5)


def test_members_of_an_ensemble_are_tuned_as_one_net_is():
    fields = {"freeze": "1", "lr": "2=0.5", "l2_sp": 0.1}
    spec = make_spec(NET, tuning=fields, members=3)
    start, still = ops.layout.of(spec), tuning.frozen(spec)
    assert still.reshape(3, -1).all(axis=0)[: 8 * 20].all()
    assert still.sum() == 3 * 8 * 20
    from hdl import models

    w = models.initial(spec)
    after, _, _ = trained(ops.make(spec, "cpu", 2), w, make_samples(40, 7, 3))
    np.testing.assert_array_equal(bits(after)[still], bits(w)[still])
    first = start.members(w)[0].copy()
    alone = ops.make(specs.parse({**spec.model_dump(), "members": 1}), "cpu")
    state = np.zeros((3, first.size), np.float32)
    state[-1] = start.members(anchor_of(w))[0]
    alone.train(first, state, make_samples(40, 7, 3), np.arange(40), 10, np.full(4, 0.05, np.float32))
    np.testing.assert_array_equal(bits(first), bits(start.members(after)[0]))
