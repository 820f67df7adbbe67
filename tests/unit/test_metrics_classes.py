"""Measures of several classes and labels are those of scikit-learn; of a class that is missing they are None."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from hdl.metrics import Task
from hdl.metrics.classes import majority, per_class
from hdl.metrics.measures import MOST_RANKED
from tests.unit.scored import classes, drawn, mcc, measured, weights

EPS = float(np.finfo(np.float32).eps)
RANKED = ("auc", "pr_auc", "auc_weighted", "pr_auc_weighted")


def same(own, other):
    assert own == pytest.approx(other, rel=1e-12, abs=1e-12)


def ovr(function, p, y, weight):
    """Each class's value against the rest, None of a class that has no samples or all."""
    heavy = np.ones(len(y), bool) if weight is None else weight > 0
    both = [0 < (y[heavy] == k).sum() < heavy.sum() for k in range(p.shape[1])]
    return [
        function(y == k, p[:, k].astype(np.float64), sample_weight=weight) if both[k] else None
        for k in range(p.shape[1])
    ]


@settings(max_examples=120, deadline=None)
@given(classes())
def test_measures_of_classes_are_scikit_learns(samples):
    p, y, weight = samples
    count, wide, guess = p.shape[1], p.astype(np.float64), p.argmax(axis=1)
    own, labels = {"sample_weight": weight}, list(range(p.shape[1]))
    seen = measured(Task("classes", "softmax", count), p, y, weight)
    found = seen.metrics()
    same(found["accuracy"], sk.accuracy_score(y, guess, **own))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows of float32 do not sum up to 1 exactly; classes are missing
        same(found["logloss"], sk.log_loss(y, np.clip(wide, EPS, 1 - EPS), labels=labels, **own))
        k = min(5, count - 1)
        same(found["top_k"], sk.top_k_accuracy_score(y, wide, k=k, labels=labels, **own))
        heavy = np.ones(len(y), bool) if weight is None else weight > 0
        same(found["f1"], sk.f1_score(y[heavy], guess[heavy], average="macro", sample_weight=heavy_of(weight, heavy)))
        same(found["f1_weighted"], sk.f1_score(y, guess, average="weighted", **own))
        balanced = sk.balanced_accuracy_score(y[heavy], guess[heavy], sample_weight=heavy_of(weight, heavy))
        same(found["balanced_accuracy"], balanced)
    same(found["mcc"], mcc(y, guess, **own))
    square = ((wide - np.eye(count)[y]) ** 2).sum(axis=1)
    same(found["brier"], np.average(square, weights=weight))
    assert seen.confusion.matrix.tolist() == sk.confusion_matrix(y, guess, labels=labels).tolist()


def heavy_of(weight, heavy):
    return None if weight is None else weight[heavy]


@settings(max_examples=80, deadline=None)
@given(classes())
def test_each_class_is_ranked_against_the_rest(samples):
    p, y, weight = samples
    seen = measured(Task("classes", "softmax", p.shape[1]), p, y, weight)
    found, rows = seen.metrics(), per_class(seen)
    support = [float(np.sum((y == k) * (1.0 if weight is None else weight.astype(float)))) for k in range(p.shape[1])]
    for name, function in (("auc", sk.roc_auc_score), ("pr_auc", sk.average_precision_score)):
        values = ovr(function, p, y, weight)
        assert [row[name] for row in rows] == [None if v is None else pytest.approx(v, abs=1e-12) for v in values]
        known = [(value, size) for value, size in zip(values, support, strict=True) if value is not None]
        if not known:
            assert found[name] is None
            continue
        same(found[name], math.fsum(value for value, _ in known) / len(known))
        same(found[f"{name}_weighted"], np.average([v for v, _ in known], weights=[s for _, s in known]))


@settings(max_examples=60, deadline=None)
@given(classes())
def test_figures_of_each_class_are_scikit_learns(samples):
    p, y, weight = samples
    count, guess = p.shape[1], p.argmax(axis=1)
    seen = measured(Task("classes", "softmax", count), p, y, weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = ("precision", "recall", "f1", "samples")
        columns = sk.precision_recall_fscore_support(
            y, guess, labels=list(range(count)), sample_weight=weight, zero_division=np.nan
        )
    for number, row in enumerate(per_class(seen)):
        assert row["class"] == number
        for name, column in zip(names, columns, strict=True):
            if row[name] is None:
                assert np.isnan(column[number])
            else:
                same(row[name], column[number])
    shares = [0.0 if weight is None else float(weight[y == k].astype(float).sum()) for k in range(count)]
    if weight is None:
        same(majority(seen), np.bincount(y).max() / len(y))
    else:
        same(majority(seen), max(shares) / weight.astype(float).sum())


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 6), weights)
def test_measures_of_labels_are_scikit_learns(seed, n, count, kind):
    rng = np.random.default_rng(seed)
    weight = drawn(rng, n, kind)
    y = (rng.random((n, count)) < rng.random(count)).astype(np.float32)
    p = np.clip(rng.integers(0, 6, (n, count)) / 5, 0, 1).astype(np.float32)
    found = measured(Task("labels", "sigmoid", count), p, y, weight).metrics()
    guess, wide, own = p > 0.5, p.astype(np.float64), {"sample_weight": weight}
    same(found["accuracy"], sk.accuracy_score(y, guess, **own))
    same(found["brier"], np.mean([sk.brier_score_loss(y[:, k], wide[:, k], pos_label=1, **own) for k in range(count)]))
    clipped = np.clip(wide, EPS, 1 - EPS)
    same(found["logloss"], np.mean([sk.log_loss(y[:, k], clipped[:, k], labels=[0, 1], **own) for k in range(count)]))
    f1 = [sk.f1_score(y[:, k], guess[:, k], zero_division=np.nan, **own) for k in range(count)]
    assert (found["f1"] is None) == np.isnan(f1).all()
    if found["f1"] is not None:
        same(found["f1"], np.nanmean(f1))
    heavy = np.ones(n, bool) if weight is None else weight > 0
    both = [k for k in range(count) if len(set(y[heavy, k].tolist())) == 2]
    for name, function in (("auc", sk.roc_auc_score), ("pr_auc", sk.average_precision_score)):
        values = [function(y[:, k], wide[:, k], **own) for k in both]
        assert (found[name] is None) == (not both)
        if both:
            same(found[name], np.mean(values))


def test_a_class_that_never_occurs_is_no_part_of_the_averages():
    p = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.6, 0.3, 0.1]], np.float32)
    seen = measured(Task("classes", "softmax", 3), p, np.array([0, 1, 0], np.int32))
    found, rows = seen.metrics(), per_class(seen)
    assert [found[name] for name in ("auc", "pr_auc", "f1", "balanced_accuracy")] == [1, 1, 1, 1]
    nothing = dict.fromkeys(("precision", "recall", "f1", "auc", "pr_auc"))
    assert rows[2] == {"class": 2, "samples": 0} | nothing
    one = measured(Task("classes", "softmax", 3), p, np.array([0, 0, 0], np.int32)).metrics()
    assert [one[name] for name in RANKED] == [None] * 4


def test_outputs_of_a_sigmoid_that_answer_one_class_are_shares_of_their_sum():
    out = np.array([[0.2, 0.2, 0.1], [0.0, 0.0, 0.0]], np.float32)
    found = measured(Task("classes", "sigmoid", 3), out, np.eye(3, dtype=np.float32)[[0, 2]]).metrics()
    assert found["logloss"] == pytest.approx((-math.log(0.4) - math.log(1 / 3)) / 2, rel=1e-7)


def test_of_too_many_classes_none_is_ranked():
    count = MOST_RANKED + 1
    p = np.full((2, count), 1 / count, np.float32)
    seen = measured(Task("classes", "softmax", count), p, np.array([0, 1], np.int32))
    assert seen.metrics()["auc"] is None
    assert seen.metrics()["accuracy"] == 0.5
    assert len(per_class(seen)) == count
    assert not seen.ranked
