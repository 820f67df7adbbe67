"""Curves for pictures: few points, all of them true, the hull among them; gains by groups; calibration by bins."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from hdl.metrics import Curves, Task
from hdl.metrics.curves import SHARES
from tests.unit.scored import BINARY, binary, measured


def curves_of(score, y, weight=None):
    found = measured(BINARY, score[:, None], y, weight).scanned(curves=True)[0]
    return found and found.curves


def hull_area(fpr, tpr):
    """Area under the upper hull, by Andrew's monotone chain."""
    corners = []
    for point in sorted(zip(fpr.tolist(), tpr.tolist(), strict=True)):
        while len(corners) > 1:
            (x0, y0), (x1, y1) = corners[-2:]
            if (x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0) < 0:
                break
            corners.pop()
        corners.append(point)
    x, y = np.array(corners).T
    return np.trapezoid(y, x)


def large(seed, n=200_000, levels=None):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.02).astype(np.int32)
    score = 1 / (1 + np.exp(3 - rng.normal(size=n) - 2 * y))
    score = np.round(score * levels) / levels if levels else score
    return score.astype(np.float32), y, rng.random(n).astype(np.float32)


@pytest.mark.parametrize("levels", [None, 1000, 7])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_roc_curve_is_thinned_without_its_hull(levels, weighted):
    score, y, weight = large(3, levels=levels)
    weight = weight if weighted else None
    roc = curves_of(score, y, weight).roc
    fpr, tpr, threshold = sk.roc_curve(y, score.astype(np.float64), drop_intermediate=False, sample_weight=weight)
    places = np.searchsorted(-threshold, -roc["threshold"])
    assert (threshold[places] == roc["threshold"]).all()
    np.testing.assert_allclose(roc["fpr"], fpr[places], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(roc["tpr"], tpr[places], rtol=1e-9, atol=1e-12)
    assert len(places) <= 500
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
    assert hull_area(roc["fpr"], roc["tpr"]) == pytest.approx(hull_area(fpr, tpr), abs=1e-9)
    gap = np.interp(np.linspace(0, 1, 999), fpr, tpr) - np.interp(np.linspace(0, 1, 999), roc["fpr"], roc["tpr"])
    assert np.abs(gap).max() < 0.02


@settings(max_examples=60, deadline=None)
@given(binary())
def test_of_few_scores_every_corner_is_kept(samples):
    score, y, weight = samples
    curves = curves_of(score, y, weight)
    if curves is None:
        return
    fpr, tpr, _ = sk.roc_curve(y, score.astype(np.float64), drop_intermediate=False, sample_weight=weight)
    assert hull_area(curves.roc["fpr"], curves.roc["tpr"]) == pytest.approx(hull_area(fpr, tpr), abs=1e-9)
    for rising in (curves.roc["fpr"], curves.roc["tpr"], curves.pr["recall"]):
        assert (np.diff(rising) >= 0).all()
    assert json.loads(json.dumps(curves.plain())) == curves.plain()
    assert Curves.from_plain(curves.plain()).plain() == curves.plain()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_curve_of_precision_has_few_points_all_true(weighted):
    score, y, weight = large(5)
    weight = weight if weighted else None
    pr = curves_of(score, y, weight).pr
    precision, recall, threshold = sk.precision_recall_curve(y, score.astype(np.float64), sample_weight=weight)
    places = np.searchsorted(threshold, pr["threshold"])
    np.testing.assert_allclose(pr["precision"], precision[places], rtol=1e-9)
    np.testing.assert_allclose(pr["recall"], recall[places], rtol=1e-9, atol=1e-12)
    assert len(places) <= 500
    assert pr["precision"].max() == pytest.approx(precision[:-1].max())
    assert pr["recall"][-1] == 1


@settings(max_examples=80, deadline=None)
@given(binary(300))
def test_gains_are_of_groups_that_part_no_tie(samples):
    score, y, weight = samples
    curves = curves_of(score, y, weight)
    if curves is None:
        return
    own = np.ones(len(y)) if weight is None else weight.astype(np.float64)
    whole, positive, before, rows = own.sum(), own[y == 1].sum(), 0.0, []
    for share in SHARES:
        for threshold in np.unique(score[own > 0])[::-1]:
            if own[score >= threshold].sum() * 100 >= share * whole * (1 - 1e-12):
                break
        if rows and rows[-1][1] == threshold:
            continue
        above = own[score >= threshold].sum()
        group = (score >= threshold) & ((score < rows[-1][1]) if rows else True)
        captured = own[group & (y == 1)].sum()
        before += captured
        lifts = captured / own[group].sum() / (positive / whole), before / above / (positive / whole)
        rows.append((above / whole, threshold, captured / positive, before / positive, *lifts))
    gains = curves.gains
    names = "share", "threshold", "capture", "cumulative_capture", "lift", "cumulative_lift"
    np.testing.assert_allclose(np.array([gains[name] for name in names]).T, np.array(rows), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(gains["cumulative_rate"], gains["cumulative_lift"] * positive / whole, rtol=1e-9)
    assert gains["share"][-1] == gains["cumulative_capture"][-1] == 1


@settings(max_examples=80, deadline=None)
@given(binary(300))
def test_calibration_is_scikit_learns(samples):
    score, y, weight = samples
    curves = curves_of(score, y)
    if curves is None:
        return
    observed, predicted = calibration_curve(y, score.astype(np.float64), n_bins=10)
    np.testing.assert_allclose(curves.calibration["observed"], observed, rtol=1e-12)
    np.testing.assert_allclose(curves.calibration["predicted"], predicted, rtol=1e-12)
    assert curves.calibration["count"].sum() == len(y)
    if weight is None or (curves := curves_of(score, y, weight)) is None:
        return
    bins = np.searchsorted(np.linspace(0, 1, 11)[1:-1], score.astype(np.float64))
    there = [k for k in range(10) if weight[bins == k].sum() > 0]
    expected = [np.average(y[bins == k], weights=weight[bins == k].astype(np.float64)) for k in there]
    np.testing.assert_allclose(curves.calibration["observed"], expected, rtol=1e-12)


def test_scores_that_are_no_probabilities_are_not_calibrated():
    task = Task("binary", "squared", 1)
    found = measured(task, np.array([[2.0], [-1.0]], np.float32), np.array([1, 0], np.int32)).scanned(curves=True)
    assert found[0].curves.calibration == {}
    assert found[0].curves.roc["tpr"].tolist() == [0, 1, 1]


@pytest.mark.parametrize("value", [None, {}, {"roc": 3, "pr": {}, "calibration": {}, "gains": {}}, {"roc": {}}])
def test_what_is_no_curve_is_refused(value):
    with pytest.raises(ValueError, match="curves"):
        Curves.from_plain(value)
