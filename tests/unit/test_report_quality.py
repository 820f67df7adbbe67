"""The report of how good a network is: its measures, curves, classes, and what the columns do."""

import html.parser
import json
import re

import numpy as np
import pytest

from hdl import cli, report
from hdl.report import Measured, drawings, effects, gather, learning
from hdl.report.measured import _FIRST
from tests.unit import reported
from tests.unit.reported import EVIL, binary, facts, measured, several

pytest.importorskip("matplotlib", reason="hdl-hadoop[plot] is not installed")


class Page(html.parser.HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.labels, self.words, self._skip = [], [], [], False
        self.feed(source)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.labels += [value for name, value in attributes if name == "aria-label"]
        self._skip = tag in ("style", "script")

    def handle_endtag(self, tag):
        self._skip = False

    def handle_data(self, data):
        if not self._skip:
            self.words.append(data)


def page_of(*scores, **changes):
    return Page(report.render(facts(list(scores), **changes)))


def test_two_classes_have_measures_thresholds_and_curves():
    seen = binary()
    page = page_of(measured(seen))
    for title in ("ROC curve", "Precision and recall", "Calibration", "Gains", "Lift"):
        assert title in page.labels
    assert f"AUC {seen.metrics['auc']:.4f} that a 'yes' is ranked above a 'no'" in page.text
    assert f"best F1 {seen.metrics['f1']:.4f} {seen.thresholds['f1']:.6g}" in page.text
    assert f"hdl predict --threshold {seen.thresholds['mcc']:.6g}" in page.text
    gains = seen.curves.gains
    assert f"{100 * gains['cumulative_capture'][3]:.2f} %" in page.text
    assert "Each class: test data" in page.text


def test_the_names_of_thresholds_are_those_of_the_validation():
    score = Measured("held out", "Validation", 9, 0.3, 0.9, metrics={"f1": 0.5, "auc": 0.8},
                     thresholds={"f1": 0.25, "balanced_accuracy": 0.5})  # fmt: skip
    text = page_of(score).text
    assert "0.25 hdl predict --threshold f1" in text
    assert "0.5 hdl predict --threshold balanced" in text


def test_an_accuracy_that_is_the_largest_class_is_warned_of():
    assert "Beware Test data: the accuracy of" in page_of(measured(binary(constant=True))).text
    assert "Beware" not in page_of(measured(binary(rate=0.5))).text


def test_scores_that_are_all_equal_and_classes_that_are_missing_leave_a_page():
    page = page_of(measured(binary(constant=True)))
    assert "AUC 0.5000" in page.text
    none = page_of(measured(binary(rate=0)))
    assert "ROC curve" not in none.labels
    assert "Log loss" in none.text
    one = page_of(measured(binary(n=1, rate=1)), rounds=1)
    assert "1 sample of a.csv" in one.text


@pytest.mark.parametrize("count", [3, 30, 150, 1000])
def test_many_classes(count):
    seen = several(count)
    names = [f"class {k}" for k in range(count)]
    page = page_of(measured(seen, columns=reported.effects(outputs=names[:40])), classes=names)
    assert "ROC curve" not in page.labels
    assert "Balanced accuracy" in page.text
    if count == 1000:
        assert "Each class" not in page.text
        assert "taken for" in page.text
    else:
        assert f"class {count - 1}" in page.text or "with the lowest F1" in page.text
    if count == 150:
        assert "The 30 of 150 classes with the lowest F1" in page.text


def test_weights_are_told():
    text = page_of(measured(binary(weighted=True))).text
    assert "Weighted: means by the samples' weights." in text
    assert "class weight precision" in text


def test_nothing_that_users_name_is_markup():
    seen = binary(classes=(EVIL, EVIL + "2"))
    columns = reported.effects((EVIL, EVIL + "a", EVIL + "b"), (EVIL, EVIL + "2"))
    source = report.render(facts([measured(seen, source=EVIL, columns=columns)], classes=(EVIL, EVIL + "2")))
    assert "<script" not in source
    assert "script" not in Page(source).tags
    assert source.count("<section>") == source.count("</section>")
    assert EVIL in Page(source).text


def test_the_version_that_was_chosen_is_marked():
    shown = facts([], metric="auc")
    assert learning.chosen(shown) == 5
    text = Page(report.render(shown)).text
    assert "round 5, AUC 0.9, the best by the validation's AUC" in text
    assert "AUC over rounds" in Page(report.render(shown)).labels
    bare = facts([])
    bare.rows = [{"round": 1, "cost": 1.0, "version": 1}]
    assert learning.chosen(bare) is None
    assert "line across" not in Page(report.render(bare)).text


def test_a_regression_shows_its_predictions():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(500, 1)).astype(np.float32)
    seen = reported.score((y + 0.1 * rng.normal(size=y.shape)).astype(np.float32), y, (), loss="squared")
    page = page_of(measured(seen), classes=None)
    assert {"Predicted over true values", "Residuals"} <= {*page.labels}
    assert "500 samples; on the broken line" in page.text
    assert f"R² {seen.r2:.4f} share of the target's variance explained" in page.text
    strange = Measured("d", "Test", 3, 0.1, pairs=np.array([[1.0, np.nan, 1], [2, 2, 1]]))
    assert "1 of 3 samples" in page_of(strange, classes=None).text
    assert "Predictions" not in page_of(Measured("d", "Test", 3, 0.1, pairs=np.empty((0, 3)))).text


def test_importance_and_dependence():
    page = page_of(measured(binary(), columns=reported.effects()))
    assert "How much lower the AUC (0.9) gets where a column's cells are shuffled: the mean of 5 times" in page.text
    assert "age 0.1800 ± 0.0100" in page.text
    assert page.labels.count("Partial dependence") == 3  # two numbers and a date; the category has bars
    assert "colour 11" in page.text
    assert "and 3 more levels" in page.text
    assert "the mean probability of 'yes'" in page.text
    numbered = page_of(measured(binary(), columns=reported.effects(("0", "1"))))
    assert "column 0 0.1800" in numbered.text


def test_columns_that_change_nothing_or_have_one_value():
    flat = reported.effects(("a",))
    flat["importance"] = [{"column": "a", "drop": 0.0, "spread": 0.0}]
    flat["dependence"][0]["mean"] = [[0.5, 0.5]] * 13
    assert page_of(measured(binary(), columns=flat)).labels.count("Partial dependence") == 1
    for grid in ([3.0], [None], [1e300, 1e-300]):
        flat["dependence"][0] |= {"grid": grid, "count": [5] * len(grid), "mean": [[0.5, 0.5]] * len(grid)}
        drawn = page_of(measured(binary(), columns=flat)).labels.count("Partial dependence")
        assert drawn == (grid != [None])
    assert "Importance" not in page_of(measured(binary(), columns=flat | {"importance": [], "dependence": []})).text


def test_density_is_cells_by_their_width():
    x = np.array([0.0, 1.0, 2.0, 4.0])
    np.testing.assert_allclose(effects.density(x, np.array([10.0, 10.0, 15.0, 20.0])), [10, 10, 10, 10])
    assert np.isfinite(effects.density(np.array([1.0, 1.0]), np.array([1.0, 2.0]))).all()
    assert effects.density(np.array([7.0]), np.array([3.0])).tolist() == [1.0]


@pytest.mark.parametrize(("step", "decimals"), [(1.0, 0), (0.5, 1), (0.25, 2), (2000.0, 0), (0.002, 3)])
def test_ticks_have_the_decimals_that_they_need(step, decimals):
    assert drawings._decimals(step) == decimals


def test_measured_json_is_read_by_and_from_other_versions(tmp_path):
    score = measured(binary(), columns=reported.effects())
    gather.save_measured(str(tmp_path), "abc", [score, Measured("d", "Training", 4, 0.5)])
    (again, plain) = gather.load_measured(str(tmp_path), "abc")
    assert report.render(facts([again])) == report.render(facts([score]))
    assert plain == Measured("d", "Training", 4, 0.5)
    written = json.loads((tmp_path / "measured.json").read_text())
    assert all(set(each) == {*_FIRST} for each in written["scores"])  # an older one takes no other field
    for each in written["more"]:
        each["of a later version"] = 1
    (tmp_path / "measured.json").write_text(json.dumps(written))
    assert gather.load_measured(str(tmp_path), "abc")[0].curves is not None
    del written["more"]
    (tmp_path / "measured.json").write_text(json.dumps(written))
    older = gather.load_measured(str(tmp_path), "abc")[0]
    assert (older.accuracy, older.curves) == (score.accuracy, None)


def test_a_score_is_kept_in_place_of_that_of_the_same_data(tmp_path):
    path, columns = str(tmp_path), reported.effects()
    gather.keep(path, "abc", measured(binary(), "Training"))
    gather.keep(path, "abc", measured(binary(), columns=columns))
    gather.keep(path, "abc", measured(binary(n=100)))
    first, second = gather.load_measured(path, "abc")
    assert (first.kind, second.kind, second.samples, second.effects) == ("Training", "Test", 100, columns)
    gather.keep(path, "other", measured(binary()))
    assert len(gather.load_measured(path, "other")) == 1


def test_the_report_of_a_training_has_it_all(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    lines = ["age,colour,label"]
    for _ in range(300):
        age, colour = rng.normal(40, 9), rng.choice(["red", "blue"])
        lines.append(f"{age:.2f},{colour},{'yes' if age + 9 * (colour == 'red') + rng.normal() > 46 else 'no'}")
    (tmp_path / "a.csv").write_text("\n".join(lines))
    assert cli.run(["train", "a.csv", "--label", "label", "--out", "m", "--epochs", "8", "--validation", "0.2",
                     "--metric", "auc", "-q"]) == 0  # fmt: skip
    page = Page((tmp_path / "m" / "report.html").read_text())
    assert {"AUC over rounds", "ROC curve", "Lift", "Partial dependence"} <= {*page.labels}
    assert re.search(
        r"Validation: \d+ samples of the training data, held out; training: 300 samples of a.csv", page.text
    )
    assert "red" in page.text
    assert "Importance of the columns" in page.text


@pytest.mark.skipif(reported.CHROMIUM is None, reason="no chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [pytest.param(1200, marks=pytest.mark.full), 430])  # the less room, the sooner
def test_nothing_runs_out_of_the_page_in_a_browser(tmp_path, width):
    columns = reported.effects((EVIL, EVIL + "a", "day"), (EVIL, EVIL + "2"))
    seen = measured(binary(classes=(EVIL, EVIL + "2"), constant=True), source=EVIL, columns=columns)
    page = report.render(facts([seen], classes=(EVIL, EVIL + "2")))
    pixels = reported.look(page, tmp_path, width, 9000 if width < 600 else 7000)
    drawn = np.abs(pixels - pixels[2, 2]).max(axis=2) > 0.02
    assert not drawn[:, -8:].any()
    assert drawn.mean() > 0.2
