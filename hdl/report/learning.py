"""The report's section of learning curves: what was measured round after round, and which version was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hdl.metrics import METRICS
from hdl.report import figures, page

if TYPE_CHECKING:
    from hdl.report import Facts

SHARES = ("accuracy", "balanced_accuracy", "top_k")  # shown in per cent
DRAWN = ("cost", "accuracy")  # always, where they were measured
OTHERS = ("auc", "r2")  # of the validation samples, where no other metric decided; the first that there is


def section(facts: Facts) -> str:
    """Draw cost, accuracy and the metric that decided over rounds, for training and validation.

    A line across marks the version that the page describes, where validation chose it.
    """
    best = chosen(facts)
    drawings = []
    for name in [*DRAWN, *_metric(facts)]:
        lines, series = [], []
        for number, (kind, key) in enumerate((("training", name), ("validation", f"val_{name}"))):
            points = [(row["round"], row[key]) for row in facts.rows if _number(row.get(key))]
            if points:
                x, y = np.array(points, float).T
                lines.append((x, y, number, True))
                series.append((number, kind))
        if lines:
            title = {"cost": "Loss"}.get(name) or METRICS[name].title[:1].upper() + METRICS[name].title[1:]
            svg = figures.curves(f"{title} over rounds", "round", lines, name in SHARES, best, name not in DRAWN)
            drawings.append(page.figure(svg, title, series))
    if not drawings:
        return ""
    return page.section("Learning curves", _note(facts, best), f'<div class="pair">{"".join(drawings)}</div>')


def chosen(facts: Facts) -> int | None:
    """Find the round that made the version of the page; None where there was no validation to choose it by."""
    if not any(_number(row.get("val_cost")) for row in facts.rows):
        return None
    return next((int(row["round"]) for row in facts.rows if row.get("version") == facts.version), None)


def _note(facts: Facts, best: int | None) -> str:
    if best is None:
        return ""
    name = facts.metric or "cost"
    row = next(row for row in facts.rows if row["round"] == best)
    value = row.get(f"val_{name}")
    said = f", {METRICS[name].title} {value:.4g}" if _number(value) and name in METRICS else ""
    by = METRICS[name].title if name in METRICS else name
    return f"The line across is the version of this page: round {best}{said}, the best by the validation's {by}."


def _metric(facts: Facts) -> Sequence[str]:
    """Name the metric to be drawn beside cost and accuracy."""
    if facts.metric and facts.metric not in DRAWN:
        return [facts.metric] if facts.metric in METRICS else []
    return [name for name in OTHERS if any(_number(row.get(f"val_{name}")) for row in facts.rows)][:1]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))
