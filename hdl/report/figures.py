"""Figures of the report: curves as inline SVG whose colours are the page's, weights as small PNG.

matplotlib draws with stand-in colours that become CSS variables afterwards, so that one drawing
suits the light and the dark page.
"""

from __future__ import annotations

import base64
import html
import importlib
import io
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import Unavailable

# stand-in: CSS variable
INK, FAINT = "#010101", "#020202"
SERIES = ["#030301", "#030302", "#030303", "#030304", "#030305", "#030306"]
_VARIABLES = {INK: "--ink-2", FAINT: "--line", **{color: f"--s{n}" for n, color in enumerate(SERIES)}}

_STYLE = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "hdl",  # equal data gives equal pages
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "xtick.major.size": 3,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


def _matplotlib(part: str = "") -> Any:
    """Import matplotlib or a part of it, such as '.ticker'; it is optional."""
    try:
        return importlib.import_module(f"matplotlib{part}")
    except ImportError:
        raise Unavailable("the report needs matplotlib: pip install matplotlib") from None


def warm() -> None:
    """Begin to import matplotlib in the background, where it is: half of a report's time, beside what trains."""

    def begin() -> None:
        with suppress(Exception):  # who draws is told
            for part in (".figure", ".backends.backend_svg"):
                _matplotlib(part)

    threading.Thread(target=begin, name="hdl-report", daemon=True).start()


@contextmanager
def _canvas(width: float, height: float) -> Iterator[tuple[Any, Any]]:
    """Make a figure and its axes, in our style and without pyplot: no global state, no display."""
    with _matplotlib().rc_context(_STYLE):
        figure = _matplotlib(".figure").Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def _svg(figure: Any, label: str) -> str:
    """Write a figure as an inline element: no prolog, no metadata, no namespaces, the page's colours."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)


def curves(
    label: str, x_label: str, lines: Sequence[tuple[NDArray, NDArray, int, bool]], percent: bool = False,
    best: int | None = None, zoomed: bool = False,
) -> str:  # fmt: skip
    """Draw lines over rounds.

    Parameters
    ----------
    label, x_label : str
        Name of the drawing, for those who cannot see it; name of the horizontal axis.
    lines : sequence of (x, y, series, marked)
        `series` is the number of the colour; `marked` puts a dot where the line ends.
    percent : bool
        Whether y is a share.
    best : int, optional
        Where a line across marks the version that was chosen, and a ring its value on the last line.
    zoomed : bool
        Whether the vertical axis may begin above 0.
    """
    ticker = _matplotlib(".ticker")
    with _canvas(5.4, 3.1) as (figure, axes):
        values = [y for _, ys, _, _ in lines for y in ys if np.isfinite(y)]
        for x, y, series, marked in lines:
            few = len(x) <= 1
            axes.plot(x, y, color=SERIES[series], marker="o" if few else None, markersize=4, clip_on=False)
            if marked and len(x) > 1:
                axes.plot(x[-1:], y[-1:], "o", color=SERIES[series], markersize=4.5, clip_on=False)
        if best is not None:
            axes.axvline(best, color=INK, linewidth=1, linestyle=(0, (3, 3)), zorder=0.5)
            for x, y, series, _ in lines[-1:]:
                axes.plot(x[x == best], y[x == best], "o", color=SERIES[series], markersize=9, fillstyle="none",
                          markeredgewidth=1.6, clip_on=False)  # fmt: skip
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        rounds = {float(at) for x, *_ in lines for at in x}
        if len(rounds) == 1:  # no other tick than its own
            axes.set_xlim(min(rounds) - 1, max(rounds) + 1)
            axes.set_xticks([*rounds])
        if zoomed:
            axes.margins(y=0.12)
        elif percent:
            spread = max(values) - min(values) if values else 1
            axes.yaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0 if spread > 0.04 else 1))
            axes.set_ylim(top=min(1.0, max(values, default=1) + 0.08 * (spread or 0.1)))
        elif values and min(values) > 0 and max(values) / min(values) > 30:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter("")
        else:
            axes.set_ylim(bottom=0 if values and min(values) >= 0 else None)
        return _svg(figure, label)


def times(label: str, rounds: NDArray, seconds: NDArray, workers: Sequence[tuple[str, NDArray, NDArray]]) -> str:
    """Draw the rounds' seconds as bars, and each worker's seconds as dots."""
    ticker = _matplotlib(".ticker")
    with _canvas(11, 2.6) as (figure, axes):
        axes.bar(rounds, seconds, color=FAINT, width=0.8 if len(rounds) < 200 else 1.0, linewidth=0)
        for number, (_, x, y) in enumerate(workers):
            size = 5 if len(rounds) <= 60 else 2.5
            axes.plot(x, y, "o", color=SERIES[number % len(SERIES)], markersize=size, markeredgewidth=0)
        axes.set_xlabel("round")
        axes.set_ylabel("seconds")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(10, integer=True))
        return _svg(figure, label)


def weight_tiles(w: NDArray, shape: tuple[int, ...], count: int = 64) -> list[tuple[int, float, str]]:
    """Draw the weights into hidden units as pictures, the strongest units first.

    Parameters
    ----------
    w : array [I, H]
        First layer.
    shape : tuple
        (height, width) or (height, width, 3), with I elements.
    count : int
        Pictures at most.

    Returns
    -------
    list of (unit, norm, data URL)
        Positive weights are blue and negative ones orange, the more opaque the larger; with three
        channels, the weights' colours themselves.
    """
    imsave = _matplotlib(".image").imsave
    norms = np.linalg.norm(w, axis=0)
    tiles = []
    for unit in np.argsort(-norms, kind="stable")[:count]:
        tile = w[:, unit].reshape(shape).astype(np.float64)
        largest = np.abs(tile).max() or 1.0
        if tile.ndim == 3:
            pixels = 0.5 + tile / (2 * largest)
        else:
            pixels = np.empty((*tile.shape, 4))
            pixels[..., :3] = np.where(tile[..., None] > 0, [0.145, 0.42, 0.93], [0.93, 0.45, 0.09])
            pixels[..., 3] = np.abs(tile) / largest
        tiles.append((int(unit), float(norms[unit]), png(pixels, imsave)))
    return tiles


def heat(matrix: NDArray) -> str:
    """Draw a confusion matrix with many classes as a picture: a data URL."""
    imsave = _matplotlib(".image").imsave
    share = np.sqrt(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))
    pixels = np.empty((*share.shape, 4))
    pixels[..., :3] = np.where(np.eye(len(share), dtype=bool)[..., None], [0.145, 0.42, 0.93], [0.93, 0.45, 0.09])
    pixels[..., 3] = share
    return png(pixels, imsave)


def png(pixels: NDArray, imsave: Any) -> str:
    """Write pixels [h, w, 3 or 4] in [0, 1] as a data URL."""
    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
