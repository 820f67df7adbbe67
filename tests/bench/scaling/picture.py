"""Draws what the simulation has found, as SVG for docs/scale.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

# By name: colour and line. hdl's own is the thick one.
LINES: dict[str, dict[str, Any]] = {
    "halving and doubling (hdl)": {"color": "#c0392b", "linewidth": 2.2, "zorder": 5},
    "everybody to everybody": {"color": "#e59866", "linestyle": "--"},
    "ring": {"color": "#2471a3"},
    "1 parameter server": {"color": "#6c7a89", "linestyle": ":"},
    "8 parameter servers": {"color": "#1e8449", "linestyle": "-."},
}
OTHERS = ("#c0392b", "-"), ("#2471a3", "--"), ("#1e8449", "-."), ("#7d3c98", ":")  # of curves of one panel alone
SPREAD = 8  # of the values, beyond which their axis is logarithmic
Curves = Mapping[str, Mapping[int, float]]  # by name and number of workers


def draw(panels: Mapping[str, tuple[str, Curves]], measured: Mapping[str, Mapping[int, float]], path: Path) -> None:
    """Draw panels of curves over the number of workers.

    Parameters
    ----------
    panels : by title, the unit and the curves
    measured : by title, points of real runs
    path : Path
        An SVG file.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hdl", "font.size": 9}):
        figure = Figure(figsize=(9.6, 6.4), layout="constrained")
        axes = figure.subplots(2, 3).flat
        shown: dict[str, Any] = {}
        for panel, (title, (unit, curves)) in zip(axes, panels.items(), strict=True):
            own = 0
            for name, points in curves.items():
                style = LINES.get(name)
                if style is None:
                    style = dict(zip(("color", "linestyle"), OTHERS[own % len(OTHERS)], strict=True))
                    own += 1
                (line,) = panel.plot(list(points), list(points.values()), label=name, **style)
                if name in LINES:
                    shown.setdefault(name, line)
            if points := measured.get(title):
                dots = panel.plot(list(points), list(points.values()), "k.", markersize=6, label="real runs", zorder=6)
                shown.setdefault("real runs", dots[0])
            if own:  # the others' names are below all panels
                panel.legend(frameon=False, fontsize=7.5, loc="best")
            panel.set(xscale="log", xlabel="workers")
            if max(max(points.values()) for points in curves.values()) > SPREAD * min(
                min(points.values()) for points in curves.values()
            ):
                panel.set_yscale("log")
            else:
                panel.set_ylim(0, 1.5 * max(max(points.values()) for points in curves.values()))  # names above
            panel.set_title(f"{title}, {unit}", fontsize=9, loc="left")
            panel.set_xticks([2, 8, 64, 1000], ["2", "8", "64", "1000"])
            panel.xaxis.set_minor_locator(NullLocator())
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.spines[["top", "right"]].set_visible(False)
            panel.grid(axis="y", color="#dddddd", linewidth=0.6)
        figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
        figure.savefig(path, metadata={"Date": None})
