"""The report's sections of how good a network is: measures, thresholds, curves of two classes, figures of each class.

Letters: C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hdl import majority, thresholds
from hdl.cli import scores
from hdl.cli.common import count, shown_rmse
from hdl.metrics import METRICS
from hdl.report import drawings, page

if TYPE_CHECKING:
    from hdl.report import Facts
    from hdl.report.measured import Measured

FLAGS = {measure: name for name, measure in thresholds.NAMES.items()}  # of a measure's best threshold
SHOWN = 30  # classes in the table of each one's figures
_ABOUT = {
    "auc": "that a {1} is ranked above a {0}; 0.5 by chance",
    "pr_auc": "precision, averaged over the {1} found",
    "logloss": "mean −log of the true class's probability",
    "brier": "mean squared error of the probabilities",
    "top_k": "the true class is among the {k} most probable",
    "r2": "share of the target's variance explained",
    "rmse": "root of the mean squared error",
    "mae": "mean absolute error",
    "deviance": "that the loss belongs to; of squares the mean squared error",
    "mcc": "correlation of the answers with the truth",
    "balanced_accuracy": "mean of the classes' recalls",
    "ks": "largest gain over chance, in shares of both classes",
}


def warning(facts: Facts) -> str:
    """Warn of an accuracy that is about the share of the largest class."""
    for score in facts.measured:
        if said := majority.told(score.accuracy, score.confusion, facts.classes, score.majority):
            return page.warning(f"{score.kind} data: {said}.")
    return ""


def measures(facts: Facts) -> str:
    """List all measures, a column for each data that was measured."""
    listed = [score for score in facts.measured if score.metrics]
    if not listed:
        return ""
    names = [name for name in METRICS if any(score.metrics.get(name) is not None for score in listed)]
    names = [name for name in names if not name.endswith("_weighted")]
    if len(names) < 2:
        return ""
    cells = []
    for name in names:
        values = [score.rmse if name == "rmse" and score.rmse is not None else score.metrics.get(name)
                  for score in listed]  # fmt: skip
        shown = [_shown(name, value) for value in values]
        cells.append((_title(METRICS[name].title), *shown, _about(name, facts, listed)))
    weighted = " Weighted: means by the samples' weights." if any(score.weight for score in listed) else ""
    about = "; ".join(f"{score.kind.lower()}: {count(score.samples, 'sample')} of {score.source}" for score in listed)
    head = ("measure", *(score.kind.lower() for score in listed), "")
    return page.section(
        "Measures", f"{_title(about)}.{weighted}", page.measures(head, cells), _thresholds(facts, listed)
    )


def _shown(name: str, value: Any) -> str:
    if name == "rmse" and value is not None:
        return shown_rmse(value)
    return scores.shown(name, value)


def _about(name: str, facts: Facts, listed: Sequence[Measured]) -> str:
    """Explain a measure in some words."""
    if any(name in score.thresholds for score in listed):
        return "at its best threshold"
    classes = facts.classes or ()
    two = len(classes) == 2
    if name in ("auc", "pr_auc") and not two:
        return "mean over the classes, each against the rest"
    if name == "f1":
        return "mean over the classes"
    names = [_name(each) for each in classes] if two else ["", ""]
    return _ABOUT.get(name, "").format(*names, k=min(5, max(1, len(classes) - 1)))


def _thresholds(facts: Facts, listed: Sequence[Measured]) -> str:
    """List the best thresholds of the first data that has some."""
    score = next((score for score in listed if score.thresholds), None)
    if score is None:
        return ""
    rows = []
    for name, value in score.thresholds.items():
        if name in FLAGS:
            best = _shown(name, score.metrics.get(name))
            flag = FLAGS[name] if score.kind == "Validation" else f"{value:.6g}"  # a name means what validation said
            rows.append((f"best {METRICS[name].title}", best, f"{value:.6g}", f"hdl predict --threshold {flag}"))
    second = _name(facts.classes[1]) if facts.classes and len(facts.classes) == 2 else "1"
    second = second if len(second) < 20 else "second class"
    head = ("to answer for the", f"on {score.kind.lower()} data", f"{second} from", "")
    return page.gap(page.measures(head, rows)) if rows else ""


def curves(facts: Facts) -> str:
    """Draw ROC, precision and recall, calibration, gains and lift of the first data that has them."""
    score = next((score for score in facts.measured if score.curves is not None), None)
    if score is None or score.curves is None:
        return ""
    found, drawn = score.curves, []
    second = _name(facts.classes[1]) if facts.classes and len(facts.classes) == 2 else "1"
    auc, area = (_known(score.metrics.get(name)) for name in ("auc", "pr_auc"))
    if len(found.roc.get("fpr", ())):
        svg = drawings.shares(
            "ROC curve", "false positives, of all negatives", "true positives", (found.roc["fpr"], found.roc["tpr"]),
            ((0, 1), (0, 1)), _marks(found.roc, "fpr", "tpr", score.thresholds),
        )  # fmt: skip
        drawn.append(
            page.figure(svg, f"ROC{auc and f', AUC {auc}'}", [(1, "best thresholds")] * bool(score.thresholds))
        )
    if len(found.pr.get("recall", ())):
        rate = _rate(score)
        chance = ((0, 1), (rate, rate)) if rate is not None else None
        svg = drawings.shares(
            "Precision and recall", "recall", "precision", (found.pr["recall"], found.pr["precision"]), chance,
            _marks(found.pr, "recall", "precision", score.thresholds),
        )  # fmt: skip
        title = f"Precision and recall{area and f', PR-AUC {area}'}"
        drawn.append(page.figure(svg, title, [(1, "best thresholds")] * bool(score.thresholds)))
    if len(found.calibration.get("count", ())):
        table = found.calibration
        svg = drawings.calibration("Calibration", table["predicted"], table["observed"], table["count"])
        drawn.append(page.figure(svg, "Calibration; bars: samples", []))
    gains = found.gains
    if len(gains.get("share", ())):
        share = np.append(0.0, gains["share"])
        capture = np.append(0.0, gains["cumulative_capture"])
        svg = drawings.shares(
            "Gains", "samples, the most probable first", "of the positives found", (share, capture), ((0, 1), (0, 1))
        )
        drawn.append(page.figure(svg, "Cumulative gains", []))
        svg = drawings.lift("Lift", gains["share"], gains["cumulative_lift"])
        drawn.append(page.figure(svg, "Cumulative lift", []))
    if not drawn:
        return ""
    note = f"Of {second} against the other class; broken lines are chance, and of the calibration what is predicted."
    return page.section(
        f"Curves: {score.kind.lower()} data", note, f'<div class="pair">{"".join(drawn)}</div>', _gains(gains)
    )


def _marks(curve: Any, x: str, y: str, thresholds: dict[str, float]) -> list[tuple[float, float]]:
    """Find the points of a curve at some thresholds: the last ones whose threshold is not below."""
    found, at = [], np.asarray(curve["threshold"], float)
    for value in dict.fromkeys(thresholds.values()):
        there = np.flatnonzero(at >= value)
        if len(there):
            place = there[np.argmin(at[there])]
            found.append((float(curve[x][place]), float(curve[y][place])))
    return found


def _gains(gains: Any) -> str:
    if not len(gains.get("share", ())):
        return ""
    head = ("most probable", "from", "rate", "rate so far", "found so far", "lift", "lift so far")
    rows = [
        (
            f"{100 * gains['share'][i]:.4g} %", f"{gains['threshold'][i]:.4g}", f"{100 * gains['rate'][i]:.2f} %",
            f"{100 * gains['cumulative_rate'][i]:.2f} %", f"{100 * gains['cumulative_capture'][i]:.2f} %",
            f"{gains['lift'][i]:.2f}", f"{gains['cumulative_lift'][i]:.2f}",
        )
        for i in range(len(gains["share"]))
    ]  # fmt: skip
    return page.folded("Gains and lift as a table", page.table(head, rows))


def each_class(facts: Facts) -> str:
    """List precision, recall and more of each class or label; of very many those with the lowest F1."""
    score = next((score for score in facts.measured if score.per_class), None)
    if score is None:
        return ""
    rows, names = score.per_class, facts.classes
    labels = names is None and score.confusion is None
    note = ""
    if len(rows) > SHOWN:
        order = sorted(range(len(rows)), key=lambda i: (_least(rows[i].get("f1")), i))[:SHOWN]
        rows = [rows[i] for i in order]
        note = f"The {SHOWN} of {len(score.per_class)} {'labels' if labels else 'classes'} with the lowest F1."
    ranked = any(row.get("auc") is not None for row in rows)
    head = ["label" if labels else "class", "weight" if score.weight else "samples", "precision", "recall", "F1"]
    cells = []
    for row in rows:
        name = page.short(names[row["class"]] if names else row["class"], 60)
        figures = ["precision", "recall", "f1", *(["auc", "pr_auc"] if ranked else [])]
        cells.append((name, f"{row['samples']:,.6g}" if score.weight else f"{row['samples']:,.0f}",
                      *(scores.shown(figure, row.get(figure)) for figure in figures)))  # fmt: skip
    head += ["AUC", "PR-AUC"] if ranked else []
    title = f"Each {'label' if labels else 'class'}: {score.kind.lower()} data"
    return page.section(title, note, page.table(head, cells))


def _rate(score: Measured) -> float | None:
    """Compute the share of the second class, as the gains tell it."""
    gains = score.curves.gains if score.curves is not None else {}
    return float(gains["cumulative_rate"][-1]) if len(gains.get("share", ())) else None


def _least(value: float | None) -> float:
    return -1.0 if value is None else value


def _known(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _name(value: Any) -> str:
    """Put a class's name into quotes, short enough for a heading."""
    return f"'{page.short(value, 40)}'"


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]
