"""The picture of a grid: the score of each combination, and its curve over rounds."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hdl.metrics import METRICS
from hdl.report.figures import _matplotlib

if TYPE_CHECKING:
    from hdl.search.grid import Result

DOTS, CURVES = 40, 60  # of the best, at most
BEST, OTHERS, INK, FAINT = "#2563eb", "#9db7e8", "#1f2937", "#d1d5db"
_STYLE = {
    "font.size": 9, "axes.edgecolor": FAINT, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "grid.color": "#e5e7eb", "ytick.major.size": 0,
}  # fmt: skip


def picture(results: Sequence[Result], label: Any) -> bytes:
    """Draw the validation error (or cost) of each, the best on top, and over rounds, as a PNG file.

    Parameters
    ----------
    results : sequence of Result
        The best first.
    label : function of a Result
        Its name for people.

    Raises
    ------
    Unavailable
        matplotlib is not installed.
    """
    shown = results[:DOTS]
    by = results[0].decides
    with _matplotlib().rc_context(_STYLE):
        size = (12, max(3.4, 1.0 + 0.24 * len(shown)))
        figure = _matplotlib(".figure").Figure(figsize=size, layout="constrained")
        left, right = figure.subplots(1, 2)
        _scores(left, shown, len(results), by, label)
        _curves(right, [each for each in results[:CURVES] if each.state == "done"], by)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _error(value: float | None, by: str) -> float:
    """Turn the value of a metric to one of which less is better; NaN of none."""
    if value is None:
        return float("nan")
    return 1 - value if METRICS[by].higher else value


def _named(by: str) -> str:
    """Name what is drawn of a metric."""
    usual = {"accuracy": "validation error", "cost": "validation cost"}
    title = METRICS[by].title
    return usual.get(by, f"validation: 1 − {title}" if METRICS[by].higher else f"validation {title}")


def _scores(axes: Any, shown: Sequence[Result], count: int, by: str, label: Any) -> None:
    share = by == "accuracy"
    errors = np.array([_error(each.score, by) for each in shown])
    known = errors[np.isfinite(errors)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    wide = low > 0 and high / low > 10
    room = (high - low) or 0.1 * abs(high) or 0.1
    start, end = (low / 1.2, high * (high / low) ** 0.3) if wide else (low - 0.1 * room, high + 0.3 * room)
    for place, (each, error) in enumerate(zip(shown, errors, strict=True)):
        color, text = OTHERS if place else BEST, each.state
        if np.isfinite(error):
            axes.hlines(place, start, error, color=color, linewidth=1.2)
            axes.plot(error, place, "o", color=color, markersize=7)
            text = f"{100 * error:.2f} %" if share else f"{error:.4g}"
        at = error if np.isfinite(error) else start
        axes.annotate(text, (at, place), xytext=(8, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xscale("log" if wide else "linear")
    axes.set_yticks(range(len(shown)), [_short(label(each)) for each in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(start, end)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    _numbers(axes.xaxis, share, high / low if wide else 1)
    axes.set_xlabel(_named(by))
    axes.set_title(f"the best {len(shown)} of {count} combinations" if len(shown) < count else f"{count} combinations",
                   loc="left", fontsize=10)  # fmt: skip


def _curves(axes: Any, results: Sequence[Result], by: str) -> None:
    """Draw the curves over rounds, the best on top of the others."""
    ticker, all_values, share = _matplotlib(".ticker"), [], by == "accuracy"
    place_of = {"cost": 2, "accuracy": 3}.get(by, 4)
    for place, each in reversed(list(enumerate(results))):
        points = [(row[0], _error(row[place_of], by)) for row in each.curve if row[place_of] is not None]
        if points:
            x, y = np.array(points, float).T
            all_values.extend(y)
            few = "o" if len(x) == 1 else None
            axes.plot(x, y, color=OTHERS if place else BEST, linewidth=1.0 if place else 2.2, marker=few,
                      alpha=0.75 if place else 1, label=None if place else "the best")  # fmt: skip
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(8, integer=True))
    axes.grid(axis="y")
    wide = max(all_values) / min(all_values) if all_values and min(all_values) > 0 else 1
    axes.set_yscale("log" if wide > 10 else "linear")
    _numbers(axes.yaxis, share, wide if wide > 10 else 1)
    axes.set_title(f"{_named(by)} over rounds", loc="left", fontsize=10)
    if results:
        axes.legend(frameon=False, loc="upper right")


def _numbers(axis: Any, share: bool, wide: float) -> None:
    """Put numbers at the ticks; `wide` is the largest value over the least on a logarithmic axis, 1 on another."""
    ticker = _matplotlib(".ticker")

    def text(value: float, _: Any) -> str:
        if share and value > 1.001:  # there is room for it, but no such share
            return ""
        return f"{100 * value:.3g} %" if share else f"{value:.3g}"

    axis.set_major_formatter(ticker.FuncFormatter(text))
    if wide > 1:
        axis.set_major_locator(ticker.LogLocator(subs=(1,) if wide > 100 else (1, 2, 5)))
        axis.set_minor_formatter("")
    elif axis.axis_name == "x":
        axis.set_major_locator(ticker.MaxNLocator(5))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
