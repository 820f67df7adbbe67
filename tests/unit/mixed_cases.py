"""Nets on encoded rows of tables, for the tests of the core."""

import numpy as np

from hdl import _cpu, ops
from hdl import spec as specs
from hdl.data.mixed import Mixed
from hdl.ops import Key, Samples

KEY = Key(3, 1, 2)


def mixed(rng, n, numbers, levels, missing=0.1):
    """Encoded rows with so many numbers and categories of so many levels each, some of whose codes are missing."""
    starts = numbers + np.cumsum([0, *levels])
    codes = np.empty((n, len(levels)), np.int32)
    for c, count in enumerate(levels):
        skewed = (rng.random(n) ** 2 * count).astype(np.int32)  # low levels come often
        codes[:, c] = np.where(rng.random(n) < missing, -1, starts[c] + skewed)
    return Mixed(rng.normal(size=(n, numbers)).astype(np.float32), codes, int(starts[-1]))


class Case:
    """One net on encoded rows; `vectors`: lengths of the categories' embeddings."""

    def __init__(self, hidden="9", numbers=5, levels=(7, 3, 11), vectors=(), n=40, seed=0, rule="sgd", **fields):
        self.rng = rng = np.random.default_rng(seed)
        self.x = mixed(rng, n, numbers, levels, fields.pop("missing", 0.1))
        net = "-".join(filter(None, [str(self.x.columns), hidden, "3"]))
        if vectors:
            fields |= {"embeddings": tuple(zip(levels, vectors, strict=True)), "numbers": numbers}
        rule = {"name": rule, "lr": 0.05, "epsilon": 1e-2}
        self.spec = specs.parse({"net": net, "activation": "tanh", "loss": "softmax", "optimizer": rule, **fields})
        self.samples = Samples(self.x, rng.integers(0, 3, n).astype(np.int32))
        self.reference = ops.make(self.spec, "reference")
        self.w = (rng.normal(size=self.reference.layout.size) * 0.3).astype(np.float32)

    def make(self, isa=None, threads=1):
        return ops.make(self.spec, "cpu", threads, isa)

    def train(self, core, batch, steps=3, w=None, samples=None, real=np.float32, state=None):
        """Train from w on mini-batches drawn with repetition: weights, state, result."""
        w = self.w.astype(real) if w is None else w
        state = np.zeros((core.state_vectors, w.size), real) if state is None else state
        order = np.random.default_rng(1).integers(0, len(self.x), batch * steps - batch // 2).astype(np.int64)
        lr = np.full(steps, 0.05, np.float32)
        return w, state, core.train(w, state, samples or self.samples, order, batch, lr, 5, KEY)

    def check(self, batch=16, **options):
        """Training, gradient and forward agree with the reference in float64."""
        core = self.make(**options)
        expected, state, seen = self.train(self.reference, batch, real=np.float64)
        w, s, result = self.train(core, batch)
        assert np.abs(w - expected).max() < 3e-4 * np.abs(expected - self.w).max() + 2e-7
        np.testing.assert_allclose(s, state, rtol=1e-3, atol=1e-4 * np.abs(state).max() if state.size else 0)
        np.testing.assert_allclose(result.cost, seen.cost, rtol=1e-5, atol=1e-5 * batch)
        assert (result.correct, result.samples, result.steps) == (seen.correct, seen.samples, 3)
        order = self.rng.integers(0, len(self.x), 3 * len(self.x)).astype(np.int64)
        g, seen = self.reference.gradient(self.w.astype(np.float64), self.samples, order, KEY)
        got, result = core.gradient(self.w, self.samples, order, KEY)
        assert np.abs(got - g).max() < 1e-5 * np.abs(g).max() + 3e-6 * len(order) ** 0.5
        out, seen = self.reference.forward(self.w.astype(np.float64), self.samples)
        got, result = core.forward(self.w, self.samples)
        np.testing.assert_allclose(got, out, rtol=2e-4, atol=2e-6)
        assert result.correct == seen.correct


ISAS = _cpu.isas()
