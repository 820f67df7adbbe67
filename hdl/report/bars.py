"""Bars of the report as HTML, which stay readable at any width; every value passes through `page.text`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hdl.report.page import text


def whiskers(rows: Iterable[tuple[str, str, float, float]]) -> str:
    """Make bars with lines of spread.

    Parameters
    ----------
    rows : iterable of (name, value, length, spread)
        Length and half of the line are shares of the whole width; of a length below 0 there is no bar.
    """
    body = []
    for name, value, length, spread in rows:
        low, high = max(0.0, length - spread), max(0.0, min(1.0, length + spread))
        line = f'<s style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></s>' if spread and high > 0 else ""
        bar = f'<i style="width:{100 * max(0.0, length):.2f}%"></i>'
        body.append(f'<div>{_name(name)}<dd class="track">{bar}{line}</dd><dd>{text(value)}</dd></div>')
    return f'<dl class="bars">{"".join(body)}</dl>'


def levels(rows: Iterable[tuple[str, Sequence[str], Sequence[tuple[float, float]], str]], rest: str = "") -> str:
    """Make bars of a category's levels, several a level where there are several answers.

    Parameters
    ----------
    rows : iterable of (name, values, bars, count)
        Each bar has a start and an end, shares of the whole width.
    rest : str
        What is not shown.
    """
    body = []
    for name, values, spans, count in rows:
        drawn = "".join(
            f'<i style="left:{100 * min(span):.2f}%;width:{100 * abs(span[1] - span[0]):.2f}%;'
            f'background:var(--s{at})"></i>'
            for at, span in enumerate(spans)
        )
        track = f'<dd class="track" style="--n:{len(spans)}">{drawn}</dd>'
        value = text(values[0] if len(values) == 1 else "")
        told = f'<dd title="{text(", ".join(values))}">{value} <small>({text(count)})</small></dd>'
        body.append(f"<div>{_name(name)}{track}{told}</div>")
    note = f'<p class="note">{text(rest)}</p>' if rest else ""
    return f'<dl class="bars levels">{"".join(body)}</dl>{note}'


def _name(name: str) -> str:
    return f'<dt title="{text(name)}">{text(name)}</dt>'
