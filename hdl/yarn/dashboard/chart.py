"""Curves as inline SVG, drawn without a library: a node of the cluster need not have one.

Colours are classes of the page's style, so that a drawing suits its light and its dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 10, 40
LOG_SPREAD = 30  # from here on a cost is drawn on a logarithmic scale

Points = Sequence[tuple[float, float]]


def chart(label: str, lines: Sequence[tuple[Points, int]], percent: bool = False) -> str:
    """Lines over rounds.

    Parameters
    ----------
    label : str
        For those who cannot see it; plain text without markup.
    lines : sequence of (points, number of the colour)
        Points by ascending round.
    percent : bool
        Whether values are shares.

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
        low, high = _span(min(ys), max(ys), percent)
        ticks = _ticks(low, high, 5)
        low, high = min(low, ticks[0]), max(high, ticks[-1])
    scale = math.log if log else float

    def at(x: float, y: float) -> tuple[float, float]:
        right = (x - first) / (last - first)
        up = (scale(y) - scale(low)) / ((scale(high) - scale(low)) or 1)
        return LEFT + right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in ticks:
        y = at(first, tick)[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4.5:.1f}" text-anchor="end">{_value(tick, ticks, percent)}</text>')
    for tick in _ticks(first, last, 5, whole=True):
        if first <= tick <= last:
            x = at(tick, low)[0]
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{int(tick):,}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">round</text>')
    for points, color in lines:
        places = [at(x, y) for x, y in points]
        if len(places) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline class="line c{color}" points="{path}"/>')
        x, y = places[-1]
        parts.append(f'<circle class="dot c{color}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
    return f'<svg role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg>'


def _span(low: float, high: float, percent: bool) -> tuple[float, float]:
    """The values that an axis shows: costs from 0, shares up to 1 at most, never nothing."""
    if not percent:
        low = min(low, 0.0)
        return low, high if high > low else low + 1.0
    room = max(0.08 * (high - low), 0.005)
    return max(0.0, low - room), min(1.0, high + room)


def _ticks(low: float, high: float, count: int, whole: bool = False) -> list[float]:
    """Some 1, 2, 5, 10, … steps apart, those just outside not included, two at least if there is room."""
    step = (high - low) / count
    size = 10.0 ** math.floor(math.log10(step))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= step * 0.999)
    step = max(step, 1.0) if whole else step
    start = math.ceil(low / step - 1e-9)
    return [number * step for number in range(start, math.floor(high / step + 1e-9) + 1)] or [low, high]


def _decades(low: float, high: float) -> list[float]:
    """1, 10, 100, … between two values: 3 times these, too, where they are few, every n-th where they are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**power for power in powers if low <= 10.0**power <= high]
    if len(tens) >= 3:
        return tens[:: -(-len(tens) // 6)]
    return sorted([*tens, *(3 * 10.0**power for power in powers if low <= 3 * 10.0**power <= high)])


def _value(tick: float, ticks: Sequence[float], percent: bool) -> str:
    if not percent:
        return f"{round(tick, 12):g}"
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    digits = 0 if step >= 0.0099 else 1 if step >= 0.00099 else 2
    return f"{100 * tick:.{digits}f} %"
