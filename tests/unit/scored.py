"""Samples as hypothesis makes them for tests of metrics: scores with ties, weights with zeros, missing classes.

Letters: n samples, C classes.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn import metrics as sk

from hdl.metrics import Measures, Task

weights = st.one_of(
    st.none(),
    st.just("random"),
    st.just("zeros"),  # some weigh nothing
    st.just("apart"),  # from 1e-3 to 1e3
)


def drawn(rng, n, kind):
    """Make the weights [n] of a kind; one of them at least is above 0."""
    if kind is None:
        return None
    weight = rng.random(n)
    if kind == "zeros":
        weight *= rng.random(n) < 0.6
        weight[0] = 0.5
    if kind == "apart":
        weight = 10.0 ** rng.integers(-3, 4, n) * (weight + 0.5)
    return weight.astype(np.float32)


@st.composite
def binary(draw, most=60):
    """Scores [n] in [0, 1], classes [n] and weights [n] or None."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, levels = draw(st.integers(1, most)), draw(st.sampled_from([1, 2, 5, 20, 10**6]))
    y = (rng.random(n) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))).astype(np.int32)
    score = np.clip(rng.integers(0, levels + 1, n) / levels * 0.8 + 0.2 * y * rng.random(), 0, 1).astype(np.float32)
    return score, y, drawn(rng, n, draw(weights))


@st.composite
def classes(draw, most=60):
    """Probabilities [n, C], classes [n] and weights [n] or None, of 3 to 8 classes of which some may be missing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, count = draw(st.integers(1, most)), draw(st.integers(3, 8))
    y = rng.integers(0, draw(st.integers(1, count)), n).astype(np.int32)
    p = rng.integers(1, draw(st.sampled_from([2, 4, 10**6])), (n, count)).astype(np.float64)
    p[np.arange(n), y] += rng.integers(0, 3, n)
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32), y, drawn(rng, n, draw(weights))


def mcc(y, guess, sample_weight=None):
    """Matthews' correlation, computed exactly, and beside it scikit-learn's, whose subtractions lose digits."""
    weight = [Fraction(1)] * len(y) if sample_weight is None else [Fraction(float(each)) for each in sample_weight]
    rows = list(zip(np.asarray(y).tolist(), np.asarray(guess).astype(int).tolist(), weight, strict=True))
    labels = {true for true, *_ in rows} | {own for _, own, _ in rows}
    of_true = {k: sum((w for true, _, w in rows if true == k), Fraction(0)) for k in labels}
    of_guess = {k: sum((w for _, own, w in rows if own == k), Fraction(0)) for k in labels}
    whole, hits = sum(weight, Fraction(0)), sum((w for true, own, w in rows if true == own), Fraction(0))
    above = hits * whole - sum(of_true[k] * of_guess[k] for k in labels)
    below = [whole**2 - sum(each**2 for each in of.values()) for of in (of_true, of_guess)]
    roots = [math.sqrt(each / whole**2) for each in below]
    exact = float(above / whole**2) / roots[0] / roots[1] if all(roots) else 0
    assert sk.matthews_corrcoef(y, guess, sample_weight=sample_weight) == pytest.approx(exact, abs=1e-6)
    return exact


def measured(task, out, y, weight=None, **options):
    """Measure samples at once."""
    seen = Measures(task if isinstance(task, Task) else Task(*task), **options)
    seen.add(out, y, weight)
    return seen


BINARY = Task("binary", "sigmoid", 1)
