"""The C kernels against the NumPy reference, in float64, on every instruction set that this machine has."""

import signal
import threading
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import _cpu, ops
from hdl import spec as specs
from hdl.errors import NonFinite, SpecError, Unavailable
from hdl.ops import Key, Samples
from hdl.ops.draws import dropout

ISAS = _cpu.isas()
KEY = Key(3, 1, 2)


class Case:
    """One net with its data, its reference and its plans."""

    def __init__(self, net, activation="tanh", loss="softmax", n=40, x="float32", y=None, seed=0, **fields):
        self.rng = rng = np.random.default_rng(seed)
        self.rule = fields.pop("rule", "sgd")
        fields = {"leak": 0.1, "optimizer": {"name": self.rule, "lr": 0.05, "epsilon": 1e-2}, **fields}
        self.spec = specs.parse({"net": net, "activation": activation, "loss": loss, **fields})
        self.reference = ops.make(self.spec, "reference")
        self.widths = [int(w) for w in net.split("-")]
        inputs, outputs = self.widths[0], self.widths[-1]
        self.parameters = sum((i + 1) * o for i, o in pairwise(self.widths))
        self.w = (rng.normal(size=self.parameters) * 0.2).astype(np.float32)
        self.scale = self.shift = None
        dense = rng.normal(size=(n, inputs)).astype(np.float32)
        self.x = dense
        if x == "uint8":
            dense = self.x = rng.integers(0, 256, (n, inputs)).astype(np.uint8)
            self.scale = np.full(inputs, 1 / 128, np.float32)
            self.shift = rng.normal(size=inputs).astype(np.float32)
        elif x == "csr":
            dense = scipy.sparse.csr_array(np.where(rng.random(dense.shape) < 0.2, dense, 0).astype(np.float32))
            self.x = dense.data, dense.indptr.astype(np.int64), dense.indices.astype(np.int32)
            self.scale = rng.random(inputs).astype(np.float32)
        if loss == "squared":
            self.y = rng.normal(size=(n, outputs)).astype(np.float32)
        elif (y or ("class" if loss == "softmax" else "target")) == "class":
            self.y = rng.integers(0, outputs, n).astype(np.int32)
        else:
            self.y = np.eye(outputs, dtype=np.float32)[rng.integers(0, outputs, n)]
        self.samples = Samples(dense, self.y, self.scale, self.shift)
        self.n = n

    def plan(self, **options):
        s = self.spec
        return _cpu.Plan(
            self.widths, s.activation, s.loss, s.leak, s.input_dropout, s.dropout, **{"max_batch": 64, **options}
        )

    def train(self, plan, order, batch, lr=0.02, w=None, state=None, **options):
        s, o = self.spec, self.spec.optimizer
        w = self.w.copy() if w is None else w
        state = np.zeros((_cpu.state_vectors(self.rule), w.size), np.float32) if state is None else state
        result = plan.train(
            w, state, self.x, self.y, order, batch, lr, self.rule, s.l1, s.l2, s.max_norm, o.momentum, o.beta1,
            o.beta2, o.rho, o.epsilon, 5, *KEY, scale=self.scale, shift=self.shift, **options,
        )  # fmt: skip
        return w, state, result

    def check(self, batch=16, steps=3, **options):
        """Training, gradient and forward agree with the reference."""
        plan = self.plan(**options)
        order = self.rng.integers(0, self.n, batch * steps - batch // 2).astype(np.int64)
        lr = np.full(steps, 0.02, np.float32)
        expected, state = self.w.astype(np.float64), np.zeros((_cpu.state_vectors(self.rule), self.w.size))
        seen = self.reference.train(expected, state, self.samples, order, batch, lr, 5, KEY)
        w, s, result = self.train(plan, order, batch, lr)
        assert np.abs(w - expected).max() < 3e-4 * np.abs(expected - self.w).max() + 2e-7
        np.testing.assert_allclose(s, state, rtol=1e-3, atol=1e-4 * np.abs(state).max() if state.size else 0)
        # A cost near 0 is a difference of logits of about 10, each rounded to float32.
        assert result.cost == pytest.approx(seen.cost, rel=1e-5, abs=2e-6 * len(order))
        assert (result.correct, result.samples, result.steps) == (seen.correct, len(order), steps)
        g, seen = self.reference.gradient(self.w.astype(np.float64), self.samples, order, KEY)
        got, result = plan.gradient(self.w, self.x, self.y, order, *KEY, scale=self.scale, shift=self.shift)
        # Each sample of a saturated output adds the rounding of its logit.
        assert np.abs(got - g).max() < 1e-5 * np.abs(g).max() + 3e-6 * len(order) ** 0.5
        assert result.cost == pytest.approx(seen.cost, rel=1e-5, abs=2e-6 * len(order))
        out, seen = self.reference.forward(self.w.astype(np.float64), self.samples)
        got, result = plan.forward(self.w, self.x, self.y, scale=self.scale, shift=self.shift)
        np.testing.assert_allclose(got, out, rtol=2e-4, atol=2e-6)
        assert (result.correct, result.samples) == (seen.correct, self.n)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "squared"])
@pytest.mark.parametrize("activation", _cpu.ACTIVATIONS)
def test_activations_and_losses(activation, loss, isa):
    Case("17-9-5-3", activation, loss).check(isa=isa)
    Case("70-25-10", activation, loss, y="class", dropout=0.3, input_dropout=0.2).check(50, 2, isa=isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("x", ["float32", "uint8", "csr"])
@pytest.mark.parametrize("fields", [{}, {"l2": 0.1}, {"l1": 0.01}, {"max_norm": 0.8}], ids=str)
@pytest.mark.parametrize("rule", _cpu.RULES)
def test_rules_regularisers_and_inputs(rule, fields, x, isa):
    Case("70-25-30-3", x=x, rule=rule, **fields).check(33, isa=isa)
    Case("37-50-3", x=x, rule=rule, **fields).check(150, 2, isa=isa, threads=2)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("net", ["400-25-10", "784-100-32-10", "300-520-260-10", "1-1", "1-2-1"])
def test_shapes_of_the_targets(net, isa):
    Case(net, "sigmoid", "sigmoid", n=150, x="uint8").check(140, 2, isa=isa)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 90), min_size=2, max_size=5),
    st.integers(1, 70),
    st.integers(1, 40),
    st.sampled_from(ISAS),
    st.sampled_from(["float32", "uint8", "csr"]),
    st.integers(0, 99),
)
def test_any_shape(widths, batch, n, isa, x, seed):
    loss, y = ("softmax", "class") if widths[-1] > 1 else ("sigmoid", None)
    net = "-".join(map(str, widths))
    Case(net, loss=loss, n=n, x=x, y=y, seed=seed, l2=0.01).check(batch, 2, isa=isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("net", ["400-25-10", "90-70-33-10"])
def test_threads_and_blocks_change_no_bit(net, rule, isa):
    case = Case(net, n=100, rule=rule, dropout=0.3, input_dropout=0.2, l2=0.01, max_norm=1.0)
    order = case.rng.integers(0, 100, 420).astype(np.int64)
    found = set()
    for threads, rows in [(1, 256), (2, 256), (3, 17), (1, 1), (5, 60)]:
        plan = case.plan(isa=isa, threads=threads, max_batch=rows)
        plan.fix_threads(threads)
        w, state, result = case.train(plan, order, 200)
        g, _ = plan.gradient(case.w, case.x, case.y, order, *KEY)
        out, _ = plan.forward(case.w, case.x)
        found.add((w.tobytes(), state.tobytes(), g.tobytes(), out.tobytes(), result))
    assert len(found) == 1


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_blocks_of_a_large_net_change_no_bit(rule, isa):
    """Nets of megabytes take larger blocks through, in parts: the same bits as row by row."""
    case = Case("310-901-307-10", n=330, rule=rule, l2=0.01)
    order = case.rng.permutation(330).astype(np.int64)
    found = set()
    for threads, rows in [(1, 512), (2, 512), (1, 128), (3, 61)]:
        plan = case.plan(isa=isa, threads=threads, max_batch=rows)
        plan.fix_threads(threads)
        w, state, result = case.train(plan, order, 330)
        g, _ = plan.gradient(case.w, case.x, case.y, order, *KEY)
        found.add((w.tobytes(), state.tobytes(), g.tobytes(), result))
    assert len(found) == 1
    case.check(330, 2, isa=isa, max_batch=512)


@pytest.mark.parametrize("isa", ISAS)
def test_dropout_is_the_stream_of_the_reference(isa):
    case = Case("150-3", "linear", "squared", n=9, input_dropout=0.4)
    case.x[:] = 1
    case.y[:] = 0
    case.w[:] = 1e-3
    for row in range(9):  # the gradient of W is delta times what the row's mask lets through
        rows = np.full(9, 0, np.int64)
        mask = dropout(KEY, 0, 0, (9, 150), 0.4)
        g, _ = case.plan(isa=isa).gradient(case.w, case.x, case.y, rows[: row + 1], *KEY)
        delta = mask[: row + 1].sum(axis=1) * 1e-3 + 1e-3
        np.testing.assert_allclose(g[:450].reshape(150, 3)[:, 0], mask[: row + 1].T @ delta, rtol=1e-5)


def test_random_words_are_philox():
    # Salmon et al. 2011, known answers of the authors' Random123 library: philox4x32-10, counter and key 0
    assert [hex(v) for v in _cpu.random_u32(0, 0, 0, 0, 0, 4)] == [
        "0x6627e8d5",
        "0xe169c58d",
        "0xbc57ac4c",
        "0x9b00dbd8",
    ]
    np.testing.assert_array_equal(_cpu.random_u32(7, 1, 2, 3, 0, 50)[9:31], _cpu.random_u32(7, 1, 2, 3, 9, 22))


@pytest.mark.parametrize("isa", ISAS)
def test_activations_are_accurate_saturate_and_pass_nan(isa):
    x = np.concatenate([np.linspace(-100, 100, 4001), 10.0 ** np.arange(-30, 4), [0.0, 1e30, -1e30]]).astype(np.float32)
    exact = x.astype(np.float64)
    with np.errstate(over="ignore"):
        expected = {
            "tanh": np.tanh(exact),
            "lecun_tanh": 1.7159 * np.tanh(exact * 2 / 3),
            "sigmoid": 1 / (1 + np.exp(-exact)),
        }
    w = np.array([1, 0, 1, 0], np.float32)
    for name, y in expected.items():
        plan = _cpu.Plan([1, 1, 1], name, "squared", isa=isa)
        out = plan.forward(w, x[:, None])[0][:, 0]
        assert np.abs(out - y).max() < 5e-7, name
        assert np.isnan(plan.forward(w, np.array([[np.nan]], np.float32))[0]).all()


@pytest.mark.parametrize(("loss", "bad"), [("softmax", np.nan), ("squared", np.nan), ("squared", 1e30)])
def test_a_cost_that_is_not_finite_leaves_the_weights(loss, bad):
    case = Case("20-3", loss=loss, rule="momentum")
    case.x[30, 4] = bad
    w, state = case.w.copy(), np.zeros((1, case.w.size), np.float32)
    plan = case.plan()
    with pytest.raises(NonFinite):
        case.train(plan, np.arange(40), 10, w=w, state=state)
    np.testing.assert_array_equal(w, case.w)
    assert not state.any()


def test_progress_stops_after_a_whole_step():
    case = Case("100-50-10", n=200)
    order = np.tile(np.arange(200), 20000)
    calls = []

    def progress(done, steps):
        calls.append((done, steps))
        return len(calls) == 2

    w, _, result = case.train(case.plan(), order, 50, lr=1e-3, progress=progress)
    assert 0 < result.steps < calls[0][1] == len(order) // 50
    again, _, _ = case.train(case.plan(), order[: result.steps * 50], 50, lr=1e-3)
    np.testing.assert_array_equal(w, again)


@pytest.mark.usefixtures("ctrl_c")
def test_an_error_in_progress_and_ctrl_c_come_through():
    case = Case("100-50-10", n=200)
    order = np.tile(np.arange(200), 20000)
    with pytest.raises(ZeroDivisionError):
        case.train(case.plan(), order, 50, lr=1e-3, progress=lambda done, steps: 1 / 0)
    threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        case.train(case.plan(threads=2), order, 50, lr=1e-3)


def test_errors_say_what_was_expected(monkeypatch):
    case = Case("5-3")
    plan = case.plan()
    with pytest.raises(SpecError, match="label of sample 0 is 3, expected 0 to 2"):
        plan.train(case.w, None, case.x, np.full(40, 3), np.arange(40), 10, 0.1)
    with pytest.raises(SpecError, match=r"order\[1\] is 40"):
        plan.train(case.w, None, case.x, case.y, np.array([0, 40]), 10, 0.1)
    with pytest.raises(SpecError, match="weights has 3 numbers, expected 18"):
        plan.train(case.w[:3], None, case.x, case.y, np.arange(40), 10, 0.1)
    with pytest.raises(SpecError, match=r"x has shape \(40, 4\)"):
        plan.forward(case.w, case.x[:, :4].copy())
    with pytest.raises(SpecError, match="HDL_ISA is 'sse9'"):
        case.plan(isa="sse9")
    with pytest.raises(SpecError, match="indices"):
        plan.forward(case.w, (np.ones(1, np.float32), np.array([0, 1]), np.array([5], np.int32)))
    for isa in set(_cpu.ISAS[1:]) - set(ISAS):
        monkeypatch.setenv("HDL_ISA", isa)
        with pytest.raises(Unavailable, match=f"cannot run the {isa} kernels"):
            case.plan()
    monkeypatch.setenv("HDL_ISA", "generic")
    assert case.plan().isa == "generic"
