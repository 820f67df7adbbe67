"""Drawings of how good a network is, as inline SVG: curves of two classes, a regression's samples, effects of columns.

Letters: k points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.report.figures import FAINT, INK, SERIES, _canvas, _matplotlib, _svg

DASHES = (0, (4, 3))
SIZE = (5.0, 3.7)
Line = tuple[Sequence[float] | NDArray, Sequence[float] | NDArray]


def shares(
    label: str, x_label: str, y_label: str, line: Line, chance: Line | None = None,
    marks: Sequence[tuple[float, float]] = (), steps: bool = False,
) -> str:  # fmt: skip
    """Draw a curve of shares, both axes from 0 to 1.

    Parameters
    ----------
    label, x_label, y_label : str
    line : (x [k], y [k])
    chance : (x, y), optional
        What a network that knows nothing has, as a broken line.
    marks : sequence of (x, y)
        Points on the curve, in the second colour.
    steps : bool
        Whether the curve keeps its value up to the next point.
    """
    with _canvas(*SIZE) as (figure, axes):
        if chance is not None:
            axes.plot(*chance, color=INK, linewidth=1, linestyle=DASHES, zorder=1)
        x, y = (np.asarray(values, float) for values in line)
        dot = "o" if len(x) == 1 else None
        axes.plot(x, y, color=SERIES[0], drawstyle="steps-post" if steps else None, marker=dot, clip_on=False)
        for at in marks:
            axes.plot(*at, "o", color=SERIES[1], markersize=6, clip_on=False)
        _unit(axes, x_label, y_label)
        return _svg(figure, label)


def calibration(label: str, predicted: NDArray, observed: NDArray, count: NDArray) -> str:
    """Draw observed shares over predicted ones, with the diagonal, and the samples of each bin as bars below."""
    with _canvas(*SIZE) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=DASHES, zorder=1)
        height = 0.16 * count / max(float(np.max(count, initial=1)), 1.0)
        bins = np.searchsorted(np.linspace(0, 1, 11)[1:-1], predicted)
        axes.bar(bins / 10 + 0.05, height, 0.09, color=FAINT, linewidth=0)
        axes.plot(predicted, observed, "o-", color=SERIES[0], markersize=5, clip_on=False)
        _unit(axes, "predicted probability", "observed share")
        return _svg(figure, label)


def lift(label: str, share: NDArray, values: NDArray) -> str:
    """Draw the cumulative lift over the share of samples; 1 is chance."""
    ticker = _matplotlib(".ticker")
    with _canvas(*SIZE) as (figure, axes):
        axes.axhline(1, color=INK, linewidth=1, linestyle=DASHES, zorder=1)
        axes.plot(share, values, "o-", color=SERIES[0], markersize=3.5, clip_on=False)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, max(1.1, 1.08 * float(np.max(values, initial=1))))
        axes.xaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
        axes.set_xlabel("samples, the most probable first")
        axes.set_ylabel("times as many as by chance")
        return _svg(figure, label)


def against(label: str, true: NDArray, predicted: NDArray, count: NDArray) -> str:
    """Draw predicted over true values [k], with the diagonal; larger dots are more samples."""
    with _canvas(*SIZE) as (figure, axes):
        low, high = (float(edge) for edge in (min(true.min(), predicted.min()), max(true.max(), predicted.max())))
        axes.plot([low, high], [low, high], color=INK, linewidth=1, linestyle=DASHES, zorder=3)
        _dots(axes, true, predicted, count)
        _finish(axes, "true", "predicted")
        return _svg(figure, label)


def residuals(label: str, true: NDArray, predicted: NDArray, count: NDArray) -> str:
    """Draw true minus predicted values over the predicted ones [k]."""
    with _canvas(*SIZE) as (figure, axes):
        axes.axhline(0, color=INK, linewidth=1, linestyle=DASHES, zorder=3)
        _dots(axes, predicted, true - predicted, count)
        _finish(axes, "predicted", "true − predicted")
        return _svg(figure, label)


def dependence(
    label: str, x: NDArray, means: NDArray, density: NDArray, missing: Sequence[float] | None, dates: bool = False
) -> str:
    """Draw a network's mean answers over the values of a column, with the density of its cells below.

    Parameters
    ----------
    x : float [k]
        Ascending; of dates days since 1970.
    means : float [k, lines]
    density : float [k]
        Of the cells near each value; only its shape matters.
    missing : sequence of float, optional
        The answers where the cell is missing: open dots at the right.
    """
    with _canvas(4.6, 2.7) as (figure, axes):
        for number in range(means.shape[1]):
            color = SERIES[number % len(SERIES)]
            dot = "o" if len(x) == 1 else None
            axes.plot(x, means[:, number], color=color, marker=dot)
            if missing is not None:
                axes.plot(1.03, missing[number], "o", color=color, fillstyle="none", clip_on=False, markersize=6,
                          transform=axes.get_yaxis_transform())  # fmt: skip
        axes.margins(x=0.02, y=0.12)
        low, high = axes.get_ylim()
        if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):  # a column that changes nothing
            low, high = low - 0.5, high + 0.5
        room = 0.2 * (high - low)
        if len(x) > 1 and density.max() > 0:
            heights = low - 1.2 * room + room * density / density.max()
            axes.fill_between(x, low - 1.2 * room, heights, color=FAINT, linewidth=0, zorder=0.5)
        ticks = _matplotlib(".ticker").MaxNLocator(5).tick_values(low, high)
        axes.set_yticks([tick for tick in ticks if low <= tick <= high])  # none beside the density
        axes.set_ylim(low - 1.2 * room, high)
        if dates:
            _day_axis(axes)
        elif len(x) == 1:
            axes.set_xticks(x, [f"{x[0]:.6g}"])
        else:
            axes.xaxis.set_major_locator(_matplotlib(".ticker").MaxNLocator(5))
            _short_numbers(axes.xaxis)
        _short_numbers(axes.yaxis)
        return _svg(figure, label)


def _dots(axes: Any, x: NDArray, y: NDArray, count: NDArray) -> None:
    size = 9 * np.clip(np.sqrt(count), 1, 6)
    axes.scatter(x, y, s=size, color=SERIES[0], alpha=0.25 if len(x) > 300 else 0.5, linewidths=0)


def _unit(axes: Any, x_label: str, y_label: str) -> None:
    """Set both axes to shares."""
    ticker = _matplotlib(".ticker")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
        axis.set_major_locator(ticker.MultipleLocator(0.2))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)


def _finish(axes: Any, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(_matplotlib(".ticker").MaxNLocator(6))
        _short_numbers(axis)


def _short_numbers(axis: Any) -> None:
    """Write the numbers of an axis short: 250k, 1.5M, 2e-7; apart by as many digits as their step needs."""
    ticker = _matplotlib(".ticker")

    def text(value: float, _: Any) -> str:
        ticks = axis.get_majorticklocs()
        step = abs(float(ticks[1] - ticks[0])) if len(ticks) > 1 else abs(value)
        if abs(value) < 1e-9 * step:
            return "0"
        for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
            if limit <= abs(value) < 1e12:
                scale = 1e3 if unit == "k" else limit
                return f"{value / scale:.{_decimals(step / scale)}f}{unit}"
        if 1e-4 <= abs(value) < 1e4:
            return f"{value:.{_decimals(step)}f}"
        return f"{value:.3g}"

    axis.set_major_formatter(ticker.FuncFormatter(text))


def _decimals(step: float) -> int:
    """Count the decimals that a step between two ticks needs."""
    return next((n for n in range(8) if abs(round(step, n) - step) <= 1e-6 * step), 8) if step > 0 else 2


def _day_axis(axes: Any) -> None:
    """Write days since 1970 as dates."""
    dates = _matplotlib(".dates")
    locator = dates.AutoDateLocator(maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
