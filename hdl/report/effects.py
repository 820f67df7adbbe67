"""The report's section of what the columns of a table do to the answers: importance and partial dependence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.cli.common import count as counted
from hdl.metrics import METRICS
from hdl.report import bars, drawings, figures, page

if TYPE_CHECKING:
    from hdl.report import Facts

SHOWN, DRAWN = 30, 10  # columns whose importance and whose dependence is shown
LINES = 5  # of answers in a drawing, of many outputs those that move most
LEVELS = 12  # of a category
DAY = 86400.0


def sections(facts: Facts) -> list[str]:
    """Show importance as bars and partial dependence as lines and bars, of the first data that has them."""
    score = next((score for score in facts.measured if score.effects), None)
    if score is None or not score.effects:
        return []
    return [_importance(score.effects, score.kind.lower()), _dependence(score.effects, facts.classes)]


def _importance(effects: dict[str, Any], kind: str) -> str:
    listed = effects["importance"]
    if not listed:
        return ""
    rows = listed[:SHOWN]
    most = max((abs(row["drop"]) + row["spread"] for row in rows), default=0.0) or 1.0
    shown = [
        (_named(row["column"]), _value(row["drop"], row["spread"], most), row["drop"] / most, row["spread"] / most)
        for row in rows
    ]
    metric = METRICS[effects["metric"]].title if effects["metric"] in METRICS else effects["metric"]
    note = (
        f"How much {'lower' if effects['higher'] else 'higher'} the {metric} ({effects['baseline']:.4g}) gets where a "
        f"column's cells are shuffled: the mean of {effects['repetitions']} times, and their deviation as a line; "
        f"{effects['rows']:,} of {effects['of']:,} samples of the {kind} data."
    )
    note += f" {SHOWN} of {len(listed):,} columns are shown." if len(listed) > SHOWN else ""
    return page.section("Importance of the columns", note, bars.whiskers(shown))


def _value(drop: float, spread: float, most: float) -> str:
    """Write a drop and its spread with as many decimals as the largest one needs for four digits."""
    places = int(np.clip(3 - np.floor(np.log10(most)), 0, 9))
    return f"{drop:,.{places}f} ± {spread:,.{places}f}"


def _named(column: str) -> str:
    """Name a column of data without names so that it is no number beside numbers."""
    return f"column {column}" if column.isdecimal() else column


def _dependence(effects: dict[str, Any], classes: Sequence[Any] | None) -> str:
    outputs = list(effects["outputs"])
    drawn = [_one(column, outputs) for column in effects["dependence"][:DRAWN]]
    if not any(drawn):
        return ""
    shown = _outputs(outputs)
    one = (
        f"the mean probability of '{page.short(str(classes[1]))}'"
        if classes and len(classes) == 2
        else "the mean answer"
    )
    what = one if len(shown) == 1 else "the mean probability of each class" if classes else "the mean answer"
    note = (
        f"How {what} changes where a column has the same value in all rows; below, how frequent its values are, "
        "in brackets how many rows have a level. An open dot at the right is a missing cell."
    )
    return page.section("What the most important columns do", note, f'<div class="pair">{"".join(drawn)}</div>')


def _outputs(outputs: Sequence[str]) -> list[int]:
    """Number the outputs that are worth a line: of two classes the second one."""
    return [1] if len(outputs) == 2 else list(range(len(outputs)))


def _one(column: dict[str, Any], outputs: Sequence[str]) -> str:
    """Draw one column's partial dependence."""
    means = np.array(column["mean"], float).reshape(len(column["grid"]), -1)
    if not len(means) or not np.isfinite(means).all():
        return ""
    shown = [number for number in _outputs(outputs) if number < means.shape[1]] or [0]
    if len(shown) > LINES:  # those that move most, in their order
        moves = means.max(axis=0) - means.min(axis=0)
        shown = sorted(sorted(shown, key=lambda number: (-moves[number], number))[:LINES])
    means = means[:, shown]
    series = [(at, page.short(outputs[number])) for at, number in enumerate(shown)] if len(outputs) > 2 else []
    if column["kind"] == "category":
        return page.figure(_levels(column, means), _named(column["column"]), series)
    return page.figure(_line(column, means), _named(column["column"]), series)


def _line(column: dict[str, Any], means: NDArray) -> str:
    there = [at for at, value in enumerate(column["grid"]) if value is not None]
    missing = next((means[at].tolist() for at, value in enumerate(column["grid"]) if value is None), None)
    dates = column["kind"] == "date"
    x = np.array([_days(column["grid"][at]) if dates else float(column["grid"][at]) for at in there])
    count = np.array(column["count"], float)[there]
    if not len(x):
        return ""
    order = np.argsort(x, kind="stable")
    x, own = x[order], means[there][order]
    return drawings.dependence("Partial dependence", x, own, density(x, count[order]), missing, dates)


def density(x: NDArray, count: NDArray) -> NDArray:
    """Compute how dense cells lie at ascending values [k], each of which is the nearest of `count` cells."""
    if len(x) < 2 or x[0] == x[-1]:
        return np.ones(len(x))
    middle = (x[1:] + x[:-1]) / 2
    edges = np.concatenate([[x[0] - (middle[0] - x[0])], middle, [x[-1] + (x[-1] - middle[-1])]])
    width = np.maximum(np.diff(edges), 1e-9 * float(edges[-1] - edges[0]))
    return count / width


def _levels(column: dict[str, Any], means: NDArray) -> str:
    """Show the answers to a category's levels as bars, from the least answer to the largest one."""
    count = column["count"]
    listed = list(range(len(column["grid"])))[:LEVELS]
    low, high = (float(edge) for edge in (means[listed].min(), means[listed].max()))
    low, high = min(low, 0.0), max(high, 0.0)  # bars begin at 0
    room = (high - low) or 1.0
    rows = []
    for at in listed:
        name = "missing" if column["grid"][at] is None else page.short(str(column["grid"][at]))
        spans = [((0 - low) / room, (value - low) / room) for value in means[at]]
        rows.append((name, [f"{value:.3g}" for value in means[at]], spans, f"{count[at]:,}"))
    more = len(column["grid"]) - LEVELS
    rest = f"and {counted(more, 'more level')}" if more > 0 else ""
    return bars.levels(rows, rest)


def _days(text: Any) -> float:
    """Turn a date as ISO text to days since 1970."""
    moment = datetime.fromisoformat(str(text))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() / DAY


assert len(figures.SERIES) >= LINES  # each line has a colour of its own
