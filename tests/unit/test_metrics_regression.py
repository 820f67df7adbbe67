"""Measures of regressions are those of scikit-learn, for each loss, with weights, in the targets' own unit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from hdl.metrics import METRICS, Task, better
from hdl.spec import Spec
from tests.unit.scored import drawn, measured, weights


def same(own, other):
    assert own == pytest.approx(other, rel=1e-12, abs=1e-12)


def samples(seed, n, outputs, positive=False):
    rng = np.random.default_rng(seed)
    y, out = rng.normal(size=(2, n, outputs)).round(1)
    if positive:
        y, out = np.abs(y), np.abs(out) + 0.05
    return y.astype(np.float32), out.astype(np.float32), rng


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 3), weights, st.booleans())
def test_errors_are_scikit_learns(seed, n, outputs, kind, scaled):
    y, out, rng = samples(seed, n, outputs)
    weight = drawn(rng, n, kind)
    unit = rng.random(outputs) * 10 + 0.1 if scaled else np.ones(outputs)
    found = measured(Task("regression", "squared", outputs), out, y, weight).metrics(unit if scaled else None)
    true, answer, own = y * unit, out * unit, {"sample_weight": weight}
    same(found["rmse"], sk.root_mean_squared_error(true, answer, **own))
    same(found["mae"], sk.mean_absolute_error(true, answer, **own))
    same(found["deviance"], sk.mean_squared_error(true, answer, **own))
    if np.ptp(y if weight is None else y[weight > 0], axis=0).min() > 0 and kind != "apart":
        assert found["r2"] == pytest.approx(
            sk.r2_score(true, answer, multioutput="variance_weighted", **own), rel=1e-10, abs=1e-12
        )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), weights, st.sampled_from(["poisson", "gamma", "tweedie"]))
def test_deviances_are_scikit_learns(seed, n, kind, loss):
    y, out, rng = samples(seed, n, 1, positive=True)
    y = np.maximum(y, np.float32(0.1)) if loss == "gamma" else y
    weight, power = drawn(rng, n, kind), {"poisson": 1, "gamma": 2, "tweedie": 1.3}[loss]
    found = measured(Task("regression", loss, 1, 1.3 if loss == "tweedie" else 0), out, y, weight)
    own = {"power": power, "sample_weight": weight}
    wide = y[:, 0].astype(np.float64), out[:, 0].astype(np.float64)
    same(found.metrics()["deviance"], sk.mean_tweedie_deviance(*wide, **own))
    assert found.metrics(np.array([7.0]))["deviance"] == pytest.approx(
        sk.mean_tweedie_deviance(7 * wide[0], 7 * wide[1], **own), rel=1e-11, abs=1e-11
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), weights, st.floats(0.05, 0.95))
def test_the_pinball_loss_is_scikit_learns(seed, n, kind, quantile):
    y, out, rng = samples(seed, n, 1)
    weight = drawn(rng, n, kind)
    found = measured(Task.of(Spec(net="3-1", loss="quantile", quantile=quantile)), out, y, weight).metrics()
    wide = y.astype(np.float64), out.astype(np.float64)
    same(found["pinball"], sk.mean_pinball_loss(*wide, alpha=quantile, sample_weight=weight))


def test_targets_that_never_change_have_no_r2():
    out = np.array([[1.0], [2.0]], np.float32)
    found = measured(Task("regression", "squared", 1), out, np.full((2, 1), 0.1, np.float32)).metrics()
    assert found["r2"] is None
    assert found["rmse"] > 0


def test_answers_of_a_log_link_may_have_become_0_or_infinite():
    task, y = Task("regression", "poisson", 1), np.ones((2, 1), np.float32)
    assert measured(task, np.array([[0.0], [1.0]], np.float32), y).metrics()["deviance"] > 10
    assert measured(task, np.array([[np.inf], [1.0]], np.float32), y).metrics()["deviance"] is None


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        ("squared", {"rmse", "mae", "r2", "deviance"}),
        ("absolute", {"rmse", "mae", "r2"}),
        ("quantile", {"rmse", "mae", "r2", "pinball"}),
        ("gamma", {"rmse", "mae", "r2", "deviance"}),
    ],
)
def test_metrics_that_fit_are_those_that_are_measured(loss, names):
    spec = Spec(net="3-1", loss=loss)
    assert {name for name, metric in METRICS.items() if metric.fits(spec)} == names | {"cost"}
    y, out, _ = samples(1, 5, 1, positive=True)
    assert set(measured(Task.of(spec), out, y + np.float32(0.1)).metrics()) == names | {"cost"}


NETS = [("3-1", "sigmoid"), ("3-2", "softmax"), ("3-4", "softmax"), ("3-4", "sigmoid")]


@pytest.mark.parametrize(("net", "loss"), NETS)
def test_metrics_of_classes_that_fit_are_those_that_are_measured(net, loss):
    spec = Spec(net=net, loss=loss)
    task = Task.of(spec)
    y = np.zeros((4, task.outputs), np.float32) if task.kind == "labels" else np.array([0, 1, 1, 0], np.int32)
    out = np.full((4, task.outputs), 0.5, np.float32)
    assert set(measured(task, out, y).metrics()) == {name for name, metric in METRICS.items() if metric.fits(spec)}


def test_every_metric_of_a_spec_has_its_direction():
    from typing import get_args

    from hdl.spec.parts import Metric

    assert set(get_args(Metric)) <= set(METRICS)
    assert {name for name, metric in METRICS.items() if not metric.higher} == {
        "cost", "logloss", "brier", "rmse", "mae", "deviance", "pinball",
    }  # fmt: skip
    assert better("cost", 0.1, 0.2)
    assert not better("cost", 0.2, 0.2)
    assert not better("auc", None, None)
