"""Draws curves as inline SVG, without a library: a node of the cluster need not have one.

Colours are classes of the page's style, so that a drawing suits its light and its dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 10, 40
LOG_SPREAD = 30  # greatest over least cost, from which on the scale is logarithmic
TICKS = 5  # about so many on each axis

Points = Sequence[tuple[float, float]]  # (round, value), by ascending round


def chart(label: str, lines: Sequence[tuple[Points, int]], percent: bool = False) -> str:
    """Draw lines over rounds.

    Parameters
    ----------
    label : str
        For readers who cannot see the chart; plain text without markup.
    lines : sequence of (points, number of the colour)
    percent : bool
        True where values are shares, from 0 to 1: the axis shows per cent.

    Returns
    -------
    str
        An ``<svg>`` element.

    Examples
    --------
    >>> chart("cost", [([(1, 0.5), (2, 0.25)], 0)]).count("<polyline")
    1
    """
    xs = [x for points, _ in lines for x, _ in points]
    ys = [y for points, _ in lines for _, y in points]
    first, last = min(xs), max(max(xs), min(xs) + 1)
    log = not percent and min(ys) > 0 and max(ys) / min(ys) > LOG_SPREAD
    if log:
        low, high = min(ys), max(ys)
        ticks = _decades(low, high)
    else:
        low, high = _axis_range(min(ys), max(ys), percent)
        ticks = _ticks(low, high)
        low, high = min(low, ticks[0]), max(high, ticks[-1])
    scale = math.log if log else float

    def place(x: float, y: float) -> tuple[float, float]:
        right = (x - first) / (last - first)
        up = (scale(y) - scale(low)) / ((scale(high) - scale(low)) or 1)
        return LEFT + right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    elements = []
    for tick in ticks:
        y = place(first, tick)[1]
        elements.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        elements.append(
            f'<text x="{LEFT - 8}" y="{y + 4.5:.1f}" text-anchor="end">{_tick_label(tick, ticks, percent)}</text>'
        )
    for tick in _ticks(first, last, whole=True):
        if first <= tick <= last:
            x = place(tick, low)[0]
            elements.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{int(tick):,}</text>')
    elements.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">round</text>')
    for points, color in lines:
        corners = [place(x, y) for x, y in points]
        if len(corners) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
            elements.append(f'<polyline class="line c{color}" points="{path}"/>')
        x, y = corners[-1]
        elements.append(f'<circle class="dot c{color}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
    return f'<svg role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(elements)}</svg>'


def _axis_range(low: float, high: float, percent: bool) -> tuple[float, float]:
    """Choose the range of values that an axis shows: costs from 0, shares within 0 and 1; never empty."""
    if not percent:
        low = min(low, 0.0)
        return low, high if high > low else low + 1.0
    room = max(0.08 * (high - low), 0.005)
    return max(0.0, low - room), min(1.0, high + room)


def _ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Choose about `TICKS` ticks within a range, 1, 2 or 5 times a power of ten apart; `whole`: of whole numbers."""
    step = (high - low) / TICKS
    size = 10.0 ** math.floor(math.log10(step))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= step * 0.999)
    step = max(step, 1.0) if whole else step
    start = math.ceil(low / step - 1e-9)
    return [number * step for number in range(start, math.floor(high / step + 1e-9) + 1)] or [low, high]


def _decades(low: float, high: float) -> list[float]:
    """Choose powers of ten within a range as ticks: also 3 times these where they are few, every n-th where many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**power for power in powers if low <= 10.0**power <= high]
    if len(tens) >= 3:
        return tens[:: -(-len(tens) // 6)]
    return sorted([*tens, *(3 * 10.0**power for power in powers if low <= 3 * 10.0**power <= high)])


def _tick_label(tick: float, ticks: Sequence[float], percent: bool) -> str:
    if not percent:
        return f"{round(tick, 12):g}"
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    digits = 0 if step >= 0.0099 else 1 if step >= 0.00099 else 2
    return f"{100 * tick:.{digits}f} %"
