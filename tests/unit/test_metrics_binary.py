"""Measures of two classes are those of scikit-learn, with ties, weights and a class that is missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn import metrics as sk

from hdl.metrics import Measures, Task
from hdl.metrics.classes import per_class
from hdl.spec import Spec
from tests.unit.scored import BINARY, binary, mcc, measured

EPS = float(np.finfo(np.float32).eps)
RANKED = ("auc", "pr_auc", "ks", "f1", "mcc", "balanced_accuracy")


def same(own, other):
    assert own == pytest.approx(other, rel=1e-12, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(binary())
def test_measures_are_scikit_learns(samples):
    score, y, weight = samples
    found = measured(BINARY, score[:, None], y, weight).metrics()
    wide, own = score.astype(np.float64), {"sample_weight": weight}
    same(found["accuracy"], sk.accuracy_score(y, score > 0.5, **own))
    same(found["brier"], sk.brier_score_loss(y, wide, pos_label=1, **own))
    same(found["logloss"], sk.log_loss(y, np.clip(wide, EPS, 1 - EPS), labels=[0, 1], **own))
    there = np.ones(len(y), bool) if weight is None else weight > 0
    if len(set(y[there])) < 2:
        assert all(found[name] is None for name in RANKED)
        return
    same(found["auc"], sk.roc_auc_score(y, wide, **own))
    same(found["pr_auc"], sk.average_precision_score(y, wide, **own))
    fpr, tpr, _ = sk.roc_curve(y, wide, drop_intermediate=False, **own)
    same(found["ks"], (tpr - fpr).max())


@settings(max_examples=80, deadline=None)
@given(binary(30))
def test_thresholds_are_the_best_of_all_that_occur(samples):
    score, y, weight = samples
    seen = measured(BINARY, score[:, None], y, weight)
    found, best = seen.metrics(), seen.thresholds()
    if found["auc"] is None:
        assert best == {}
        return
    known = {"f1": sk.f1_score, "mcc": mcc, "balanced_accuracy": sk.balanced_accuracy_score}
    for name, function in known.items():
        of = {t: function(y, score >= np.float32(t), sample_weight=weight) for t in np.unique(score).tolist()}
        same(found[name], max(of.values()))
        same(of[best[name]], found[name])


@settings(max_examples=80, deadline=None)
@given(binary())
def test_each_of_two_classes_has_figures_of_its_own(samples):
    score, y, weight = samples
    seen = measured(BINARY, score[:, None], y, weight)
    rows = per_class(seen)
    if seen.metrics()["auc"] is None:
        assert [row["pr_auc"] for row in rows] == [row["auc"] for row in rows] == [None, None]
        return
    wide, own = score.astype(np.float64), {"sample_weight": weight}
    for number, sign in ((0, -1), (1, 1)):
        same(rows[number]["pr_auc"], sk.average_precision_score(y == number, sign * wide, **own))
        same(rows[number]["auc"], sk.roc_auc_score(y == number, sign * wide, **own))
        same(rows[number]["recall"], sk.recall_score(y == number, (score > 0.5) == number, **own))


@settings(max_examples=60, deadline=None)
@given(binary())
def test_answers_at_a_threshold_are_counted_from_the_ranks(samples):
    score, y, weight = samples
    seen = measured(BINARY, score[:, None], y, weight)
    for threshold in (0.0, float(score[0]), 0.5, 2.0):
        guess = score >= np.float32(threshold)
        at = seen.at(threshold)
        assert at.confusion.matrix.tolist() == sk.confusion_matrix(y, guess, labels=[0, 1]).tolist()
        same(at.metrics()["accuracy"], sk.accuracy_score(y, guess, sample_weight=weight))
    assert seen.metrics() == measured(BINARY, score[:, None], y, weight).metrics()  # it stays as it was


@settings(max_examples=30, deadline=None)
@given(binary())
def test_two_outputs_measure_as_one(samples):
    score, y, weight = samples
    both = np.stack([1 - score, score], axis=1)
    one = measured(BINARY, score[:, None], y, weight)
    two = measured(Task.of(Spec(net="4-2", loss="softmax")), both, y, weight)
    there = one.metrics()
    for name, value in two.metrics().items():
        if name != "accuracy":  # a score of 1/2 is no answer of one output, and the first class's of two
            assert value == there[name]
    assert two.thresholds() == one.thresholds()


def test_labels_may_be_a_column():
    score, y = np.array([[0.5], [0.75], [0.25]], np.float32), np.array([0, 1, 0], np.int32)
    column = y.astype(np.float32)[:, None]
    assert measured(BINARY, score, y).metrics() == measured(BINARY, score, column).metrics()


def test_of_the_best_thresholds_the_greatest_is_told():
    score, y = np.array([[0.8], [0.6], [0.4]], np.float32), np.array([1, 0, 1], np.int32)
    seen = measured(BINARY, score, y)
    assert seen.metrics()["balanced_accuracy"] == 0.75
    assert seen.thresholds()["balanced_accuracy"] == pytest.approx(0.8)


def test_negative_zero_is_zero():
    task = Task.of(Spec(net="4-1", loss="squared"), classes=True)
    seen = measured(task, np.array([[-0.0], [0.0], [-2.0], [3.0]], np.float32), np.array([0, 1, 0, 1], np.int32))
    assert seen.metrics()["auc"] == 0.875


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_output_that_is_not_finite_leaves_nothing_to_be_measured(bad):
    seen = measured(BINARY, np.array([[0.5], [bad], [0.1]], np.float32), np.array([1, 0, 0], np.int32))
    assert seen.broken == 1
    assert set(seen.metrics().values()) == {None}
    assert seen.thresholds() == {}


@pytest.mark.parametrize(
    ("out", "y", "weight"),
    [
        (np.zeros((3, 1)), np.zeros(2, int), None),
        (np.zeros((3, 1)), np.array([0, 1, 2]), None),
        (np.zeros((3, 1)), np.array([0, -1, 1]), None),
        (np.zeros((3, 2)), np.zeros(3, int), None),
        (np.zeros((3, 1)), np.zeros(3, int), np.ones(2, np.float32)),
        (np.zeros((3, 1)), None, None),
    ],
)
def test_samples_that_do_not_fit_are_refused(out, y, weight):
    with pytest.raises(ValueError, match=r"expected|lengths"):
        Measures(BINARY).add(out.astype(np.float32), y, weight)
