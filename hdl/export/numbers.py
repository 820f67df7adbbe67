"""Encodings of numbers and dates as nodes of ONNX, in float64 and int64 as `hdl.data.tabular` computes them.

Letters: N rows.
"""

from __future__ import annotations

import numpy as np

from hdl.data.tabular.dates import CYCLES, DAY, MISSING, Date
from hdl.data.tabular.numbers import CLIP, Number
from hdl.elementary import sin_cos
from hdl.export.graph import Graph

ERA, EPOCH = 146_097, 719_468  # days of 400 years; days from 0000-03-01 to 1970-01-01


def number(graph: Graph, part: Number, x: str, missing: str) -> str:
    """Add a number's encoding: float32 [N, width] of `x` float64 [N, 1], and of `missing` bool [N, 1].

    There is none where the width is 0.
    """
    if part.rule == "none":
        return graph.cast(missing, np.float32)
    x = graph.add("Where", missing, _double(graph, "stand_in", part._stand_in()), x)
    usual = None if part.usual is None else graph.add("Equal", x, _double(graph, "usual", part.usual))
    if part.edges:
        own = _pieces(graph, part, x)
    else:
        z = _scaled(graph, part, x)
        z = z if usual is None else graph.add("Where", usual, _double(graph, "zero", 0.0), z)
        own = _waves(graph, part, z)
    if usual is not None:
        own = graph.add("Concat", own, graph.cast(usual, np.float64), axis=1)
    if part.fill is None:
        own = graph.add("Where", missing, _double(graph, "zero", 0.0), own)
    if part.indicator:
        own = graph.add("Concat", own, graph.cast(missing, np.float64), axis=1)
    return graph.cast(own, np.float32)


def _scaled(graph: Graph, part: Number, x: str) -> str:
    if part.rule == "quantile":
        return _interpolated(graph, part, x)
    if part.rule == "log":
        x = _signed_log(graph, x)
    if part.center:
        x = graph.add("Sub", x, _double(graph, "center", part.center))
    z = graph.add("Div", x, _double(graph, "spread", part.spread)) if part.spread != 1 else x
    if part.rule == "robust":
        ends = (graph.constant(name, np.array(end)) for name, end in (("least", -1e150), ("most", 1e150)))
        z = graph.add("Clip", z, *ends)
        share = graph.add("Div", z, _double(graph, "clip", CLIP))
        square = graph.add("Add", _double(graph, "one_", 1.0), graph.add("Mul", share, share))
        z = graph.add("Div", z, graph.add("Sqrt", square))
    return z


def _signed_log(graph: Graph, x: str) -> str:
    """Add sign(x)·log(1 + |x|), exact for small x too (Kahan's correction)."""
    one, zero = _double(graph, "one_", 1.0), _double(graph, "zero", 0.0)
    size = graph.add("Abs", x)
    above = graph.add("Add", one, size)
    rest = graph.add("Sub", above, one)
    small = graph.add("Equal", rest, zero)
    share = graph.add("Div", size, graph.add("Where", small, one, rest))
    value = graph.add("Where", small, size, graph.add("Mul", graph.add("Log", above), share))
    return graph.add("Mul", graph.add("Sign", x), value)


def _interpolated(graph: Graph, part: Number, x: str) -> str:
    """Add straight lines between knots, level beyond their ends."""
    knots, scores = np.array(part.knots), np.array(part.scores)
    if len(knots) == 1:
        zero = graph.add("Mul", x, _double(graph, "zero", 0.0))
        return graph.add("Add", zero, _double(graph, "score", scores[0]))
    ends = (graph.constant(name, np.array(end)) for name, end in (("least", knots[0]), ("most", knots[-1])))
    x = graph.add("Clip", x, *ends)
    below = graph.add("LessOrEqual", graph.constant("inner", knots[1:-1]), x)  # [N, knots - 2]
    counted = graph.add("ReduceSum", graph.cast(below, np.int64), _axes(graph), keepdims=0)  # 0 to knots - 2
    gathered = (
        graph.add("Unsqueeze", graph.add("Gather", graph.constant(name, values), counted), _axes(graph))
        for name, values in (("knot", knots[:-1]), ("gap", np.diff(knots)), ("score", scores[:-1]),
                             ("rise", np.diff(scores)))
    )  # fmt: skip
    knot, gap, score, rise = gathered
    share = graph.add("Div", graph.add("Sub", x, knot), gap)
    return graph.add("Add", score, graph.add("Mul", share, rise))


def _pieces(graph: Graph, part: Number, x: str) -> str:
    """Add the piecewise linear encoding."""
    edges = np.array(part.edges)
    low, gap = graph.constant("edge", edges[:-1]), graph.constant("gap", np.diff(edges))
    ends = (graph.constant(name, np.array(end)) for name, end in (("least", 0.0), ("most", 1.0)))
    return graph.add("Clip", graph.add("Div", graph.add("Sub", x, low), gap), *ends)


def _waves(graph: Graph, part: Number, z: str) -> str:
    """Add sine and cosine of 2π·f·z behind z, for each frequency f."""
    if not part.frequencies:
        return z
    parts = [z]
    for f in part.frequencies:
        turns = graph.add("Mul", z, _double(graph, "frequency", f))
        turns = graph.add("Sub", turns, graph.add("Round", turns))  # so that angles stay small and exact
        angle = graph.add("Mul", turns, _double(graph, "turn", 2 * np.pi))
        parts += [graph.add("Sin", angle), graph.add("Cos", angle)]
    return graph.add("Concat", *parts, axis=1)


def date(graph: Graph, part: Date, x: str) -> str:
    """Add a date's encoding: float32 [N, width] of `x` int64 [N, 1], microseconds since 1970."""
    missing = graph.add("Equal", x, _whole(graph, MISSING))
    x = graph.add("Where", missing, _whole(graph, part.origin * DAY), x)
    inside, days = _split(graph, x, DAY)
    year, month = _calendar(graph, days)
    parts = []
    if part.year and part.year.width:
        parts.append(number(graph, part.year, graph.cast(year, np.float64), missing))
    for cycle in part.cycles:
        if cycle == "month":
            place = month
        elif cycle == "weekday":
            place = graph.add("Mod", graph.add("Add", days, _whole(graph, 3)), _whole(graph, 7))
        else:
            place = graph.add("Div", inside, _whole(graph, DAY // 24))
        parts.append(_cycle(graph, cycle, part.bounded, place, missing))
    if part.age and part.age.width:
        share = graph.add("Div", graph.cast(x, np.float64), _double(graph, "day", DAY))
        age = graph.add("Sub", share, _double(graph, "origin", part.origin))
        parts.append(number(graph, part.age, age, missing))
    if part.indicator:
        parts.append(graph.cast(missing, np.float32))
    return graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _cycle(graph: Graph, cycle: str, bounded: bool, place: str, missing: str) -> str:
    """Add sine and cosine of a number's share of a turn, from a table whose last row is that of missing."""
    count = CYCLES[cycle]
    table = np.concatenate([np.stack(sin_cos(np.arange(count) / count), axis=1), [[0.0, 0.0]]])
    table = ((1 + table) / 2 if bounded else table).astype(np.float32)
    place = graph.add("Where", missing, _whole(graph, count), place)
    return graph.add("Gather", graph.constant(cycle, table), graph.add("Squeeze", place, _axes(graph)))


def _calendar(graph: Graph, days: str) -> tuple[str, str]:
    """Add year and month, from 0, of days since 1970, in years that begin with March.

    Its steps are those of `days_from_civil`'s inverse (Hinnant 2013, "chrono-compatible low-level date algorithms").
    """

    def whole(value: int) -> str:
        return _whole(graph, value)

    of_era, era = _split(graph, graph.add("Add", days, whole(EPOCH)), ERA)
    leap = graph.add("Sub", of_era, graph.add("Div", of_era, whole(1460)))
    leap = graph.add("Add", leap, graph.add("Div", of_era, whole(36_524)))
    leap = graph.add("Sub", leap, graph.add("Div", of_era, whole(146_096)))
    year = graph.add("Div", leap, whole(365))
    first = graph.add("Add", graph.add("Mul", year, whole(365)), graph.add("Div", year, whole(4)))
    first = graph.add("Sub", first, graph.add("Div", year, whole(100)))
    day = graph.add("Sub", of_era, first)
    from_march = graph.add("Div", graph.add("Add", graph.add("Mul", day, whole(5)), whole(2)), whole(153))
    month = graph.add("Mod", graph.add("Add", from_march, whole(2)), whole(12))
    year = graph.add("Add", year, graph.add("Mul", era, whole(400)))
    next_year = graph.cast(graph.add("GreaterOrEqual", from_march, whole(10)), np.int64)
    return graph.add("Add", year, next_year), month


def _split(graph: Graph, x: str, unit: int) -> tuple[str, str]:
    """Add x mod a unit, of at least 0, and the quotient rounded down."""
    rest = graph.add("Mod", x, _whole(graph, unit))
    return rest, graph.add("Div", graph.add("Sub", x, rest), _whole(graph, unit))


def _double(graph: Graph, name: str, value: float) -> str:
    return graph.number(name, float(value), np.float64)


def _whole(graph: Graph, value: int) -> str:
    return graph.number("whole", int(value), np.int64)


def _axes(graph: Graph) -> str:
    return graph.number("axis", 1, np.int64)
