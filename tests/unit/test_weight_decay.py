"""Decoupled weight decay: AdamW's formula by hand, all rules on all kernels against the reference, sparse rows."""

import numpy as np
import pytest

from hdl import _cpu, ops, optim
from hdl import spec as specs
from hdl.data.mixed import Mixed
from hdl.errors import SpecError
from hdl.models import mlp
from hdl.ops import Samples, rules
from tests.unit.test_ops import make_samples, make_spec

DECAY = 0.3


def adamw(w, gradients, mask, lr, decay, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """PyTorch's AdamW, from its documentation, in float64: p <- p (1 - lr decay), then Adam's step."""
    m = v = np.zeros_like(w)
    for t, (gradient, rate) in enumerate(zip(gradients, lr, strict=True), 1):
        g = gradient(w)
        w = w * (1 - rate * decay * mask)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        w = w - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
    return w


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_adam_with_it_is_adamw_by_hand(backend):
    spec = make_spec("5-4-3", optimizer={"name": "adam", "weight_decay": DECAY})
    reference, samples = ops.make(spec, "reference"), make_samples(24, 5, 3)
    lr = np.array([0.125, 0.0625, 0.25, 0.5], np.float32)  # as a schedule may have it
    start = mlp.initial(spec).astype(np.float64)
    batches = [np.arange(6 * step, 6 * step + 6) for step in range(4)]
    gradients = [lambda w, rows=rows: reference.gradient(w, samples, rows)[0] / 6 for rows in batches]
    expected = adamw(start, gradients, reference.layout.mask.astype(np.float64), lr.astype(np.float64), DECAY)
    without = adamw(start, gradients, 0, lr.astype(np.float64), 0.0)
    assert np.abs(expected - without).max() > 0.05
    w = start.astype(np.float32 if backend == "cpu" else np.float64)
    ops.make(spec, backend).train(w, np.zeros((2, w.size), w.dtype), samples, np.arange(24), 6, lr)
    np.testing.assert_allclose(w, expected, atol=1e-12 if backend == "reference" else 2e-5)


@pytest.mark.parametrize("isa", _cpu.isas())
@pytest.mark.parametrize("rule", sorted(rules.VECTORS))
@pytest.mark.parametrize("more", [{}, {"l1": 0.01, "l2": 0.1}, {"max_norm": 0.9}])
def test_every_rule_on_every_kernel_is_the_reference(rule, isa, more):
    rule = {"name": rule, "weight_decay": DECAY, "epsilon": 1e-2}
    spec = make_spec("7-20-18-3", optimizer=rule, **more)
    samples, order = make_samples(40, 7, 3), np.arange(40)
    start = mlp.initial(spec)
    trained = []
    for operations in ops.make(spec, "reference"), ops.make(spec, "cpu", 2, isa):
        w, lr = start.copy(), np.full(4, 0.05, np.float32)
        state = np.zeros((operations.state_vectors, w.size), np.float32)
        operations.train(w, state, samples, order, 10, lr)
        trained.append(w)
    plain = ops.make(make_spec("7-20-18-3", optimizer={**rule, "weight_decay": 0}, **more), "cpu")
    w = start.copy()
    plain.train(w, np.zeros((plain.state_vectors, w.size), np.float32), samples, order, 10, lr)
    assert np.abs(w - trained[1]).max() > 1e-3
    np.testing.assert_allclose(trained[1], trained[0], atol=2e-5)


@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adam"])
def test_rows_that_never_occur_decay_too_but_tables_do_not(rule, embedded):
    """Rules that touch only what occurs, or skip rows without state, still shrink the weights of absent levels."""
    numbers, levels = 2, 40
    fields = {"embedding": 3, "numbers": numbers, "embeddings": [[levels, 3]]} if embedded else {}
    spec = specs.parse({"net": f"{numbers + levels}-8-2", "loss": "softmax", **fields,
                        "optimizer": {"name": rule, "weight_decay": DECAY, "epsilon": 1e-2}})  # fmt: skip
    rng = np.random.default_rng(4)
    codes = numbers + rng.integers(0, 5, (30, 1)).astype(np.int32)  # of 40 levels 5 occur
    x = Mixed(rng.normal(size=(30, numbers)).astype(np.float32), codes, numbers + levels)
    samples = Samples(x, rng.integers(0, 2, 30).astype(np.int32))
    start, trained = mlp.initial(spec), []
    for operations in ops.make(spec, "reference"), ops.make(spec, "cpu", 2):
        w, lr = start.copy(), np.full(3, 0.1, np.float32)
        operations.train(w, np.zeros((operations.state_vectors, w.size), np.float32), samples, np.arange(30), 10, lr)
        trained.append(w)
    np.testing.assert_allclose(trained[1], trained[0], atol=2e-5)
    layout = operations.layout
    if embedded:
        absent = slice(5, None)
        before, after = layout.tables(start)[0][absent], layout.tables(trained[1])[0][absent]
        np.testing.assert_array_equal(before, after)
    else:
        before, after = layout.split(start)[0][0][numbers + 5 :], layout.split(trained[1])[0][0][numbers + 5 :]
        np.testing.assert_allclose(after, before * (1 - 0.1 * DECAY) ** 3, rtol=1e-6)


def test_the_merge_of_gradient_mode_decays():
    spec = make_spec("3-2", optimizer={"name": "sgd", "lr": 0.5, "weight_decay": DECAY}, sync={"mode": "gradient"})
    w = np.arange(1, 9, dtype=np.float32)
    out, _ = optim.apply(spec, w, np.zeros((0, 8), np.float32), np.zeros(8, np.float32), 0)
    np.testing.assert_allclose(out, w * np.where(np.arange(8) < 6, 1 - 0.5 * DECAY, 1), rtol=1e-6)


def test_searches_along_lines_and_negative_decays_are_refused():
    with pytest.raises(SpecError, match=r"weight_decay.*lbfgs.*l2"):
        make_spec(optimizer={"name": "lbfgs", "weight_decay": 0.1})
    with pytest.raises(SpecError, match="weight_decay"):
        make_spec(optimizer={"name": "adam", "weight_decay": -0.1})
