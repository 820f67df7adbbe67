"""Fits the encodings of a table's columns to what one pass found, and says what became of each column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hdl.data.names import flag_of
from hdl.data.summary import Summary
from hdl.data.tabular import categories, dates, scales
from hdl.data.tabular.column_facts import Numbers
from hdl.data.tabular.dates import Date
from hdl.data.tabular.encoders import Encodings, Part
from hdl.data.tabular.frame import Column
from hdl.data.tabular.histogram import Histogram
from hdl.data.tabular.numbers import Number
from hdl.data.tabular.scales import Cells
from hdl.errors import DataError, SpecError
from hdl.spec import Spec

EXACT = 2.0**24  # whole numbers up to here are exact in float32
FEW = 50  # rows below which whole numbers that differ say nothing
_NO_NUMBER = "(--ignore {}, or --columns {}:category)"
EMPTY = "no cell has a value"
NEW = ("robust", "quantile", "log")  # scales that tables alone have


def needed(summary: Summary, spec: Spec, units: str) -> bool:
    """Tell whether columns need encodings: some are no numbers, some cells are missing, or a rule asks for it.

    Else a table is a matrix of numbers, as any other.

    Raises
    ------
    SpecError
        A rule asks for it, and the data is no table.
    """
    rules = spec.preprocessing
    asked = f"scale {spec.scale.name}" if spec.scale.name in NEW else None
    asked = f"numeric embedding {rules.numeric_embedding}" if rules.numeric_embedding else asked
    if summary.facts is None and "count" not in summary.moments:
        if asked:
            given = summary.meta.get("format") or "the data"
            raise SpecError(f"{asked} needs the columns of a table; {given} has {summary.kind or 'no'} features")
        return False
    if asked or summary.kind == "frame" or (summary.present < summary.samples).any():
        return True
    if spec.scale.name != "auto" or units == "bounded":
        return False
    return any(cells and not cells.constant and scales.outlying(cells) for _, _, cells in _found(summary))


def fit(summary: Summary, spec: Spec, units: str = "free") -> tuple[Encodings, dict[str, Any], dict[str, Any]]:
    """Fit the encodings of a table.

    Parameters
    ----------
    summary : Summary
        With facts.
    spec : Spec
        Its scale, preprocessing and seed decide.
    units : {'free', 'bounded', 'gaussian'}
        As for `hdl.data.scaling.fit_scale`.

    Returns
    -------
    Encodings
    dict
        For `Schema.rule`: the scale's `name`, columns scaled as `robust`, the `usual` number
        of those that have one, what is done about `missing` numbers and how
        many cells of each column are, the numeric `embedding`.
    dict
        For `Schema.reading`: the columns in use by `kinds`, those `left_out`, and `remarks`.

    Raises
    ------
    DataError
        Numbers are missing and may not be; no column is left.
    """
    rules, found = spec.preprocessing, _found(summary)
    parts: list[Part | None] = []
    reasons: dict[str, str] = {}
    for place, (column, own, cells) in enumerate(found):
        reason, part = _fit(column, own, cells, spec, place, units)
        parts.append(part)
        if reason is not None:
            reasons[column.name] = reason
    encodings = Encodings(tuple(column for column, _, _ in found), tuple(parts), rules.missing, reasons)
    if not encodings.inputs:
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise DataError(f"no column is left as a feature ({listed})")
    lacking = {
        column.name: cells.missing
        for (column, _, cells), part in zip(found, parts, strict=True)
        if cells is not None and part is not None and cells.missing
    }
    if lacking and rules.missing == "error":
        listed = ", ".join(f"{name!r} ({count:,})" for name, count in lacking.items())
        what = f"cells are missing in columns {listed}; expected a number in each"
        raise DataError(f"{what} (--missing mean, median, indicator or drop says what to do)")
    rule: dict[str, Any] = {"name": "standard" if spec.scale.name == "auto" else spec.scale.name}
    if spec.scale.name == "auto" and units == "bounded":
        rule["name"] = "minmax"
    if spec.scale.name == "divide":
        rule["constant"] = spec.scale.constant
    if spec.scale.name == "auto":
        rule |= _exceptions(encodings)
    if lacking:
        rule["missing"] = {"rule": rules.missing, "columns": lacking}
    if rules.numeric_embedding:
        rule["embedding"] = rules.numeric_embedding
    return encodings, rule, _reading(encodings, found, summary)


def _fit(
    column: Column, own: Any, cells: Cells | None, spec: Spec, place: int, units: str
) -> tuple[str | None, Part | None]:
    """Fit one column: why it is left out, and its encoding unless it is."""
    rules, indicated = spec.preprocessing, spec.preprocessing.missing in ("mean", "median", "indicator")
    if cells is None:
        if not own.n:
            return EMPTY, None
        if column.by != "flag" and (reason := categories.unfit(own)) is not None:
            return reason + flag_of(" (--columns {}:category takes it all the same)", column.name), None
        part = categories.fit(own, rules)
        if part.width > 1:
            return None, part
        if part.levels:
            return f"always {part.levels[0]!r}", None
        if not own.exact:
            return f"about {own.distinct:,} different texts, none of them often (--hash-buckets N takes them all)", None
        return f"no text {rules.min_count:,} times or more (--min-count)", None
    if not cells.count:
        return EMPTY, None
    if cells.constant:
        said = f"{cells.low:g}" if column.kind == "number" else str(np.datetime64(int(cells.low), "us"))
        said = said.removesuffix(".000000")
        if not (cells.missing and indicated):
            return f"always {said}", None
        # all that it says is whether it is there
        return None, Number("none", indicator=True) if column.kind == "number" else Date(0, indicator=True)
    if column.kind == "number":
        return None, scales.fit(cells, spec.scale, rules, (spec.seed, place), units)
    return None, dates.fit(cells, own.times, spec.scale, rules, (spec.seed, place), units)


def _found(summary: Summary) -> list[tuple[Column, Any, Cells | None]]:
    """List the columns with their facts, which wide tables have none of, and cells, which categories have none of."""
    listed = [*summary.facts] if summary.facts is not None else [(column, None) for column in _columns(summary)]
    mean, m2 = summary.mean_m2()
    ends, count, number = summary.moments, summary.present, 0
    found: list[tuple[Column, Any, Cells | None]] = []
    for column, own in listed:
        cells, histogram = None, getattr(own, "histogram", None)
        if column.kind == "number":
            present = int(count[number])
            deviation = np.sqrt(m2[number] / max(1, present))
            low, high, center = (float(part[number]) for part in (ends["low"], ends["high"], mean))
            cells = _cells(present, low, high, center, float(deviation), summary.samples, histogram)
            if histogram is not None and (parts := scales.in_two_parts(histogram)) is not None:
                rest = parts[1]
                others = _cells(rest.n, rest.low, rest.high, *_moments(rest), rest.n, rest)
                cells = replace(cells, usual=parts[0], others=others)
            number += 1
        elif histogram is not None:
            cells = _cells(histogram.n, histogram.low, histogram.high, *_moments(histogram), summary.samples, histogram)
        found.append((column, own, cells))
    return found


def _moments(histogram: Histogram) -> tuple[float, float]:
    """Estimate mean and deviation of what a histogram holds: values are at the middle of their bins."""
    if not histogram.n:
        return 0.0, 0.0
    low, high = histogram.ends()
    middle, share = low / 2 + high / 2, histogram.counts / histogram.n
    mean = float((middle * share).sum())
    return mean, float(np.sqrt((np.square(middle - mean) * share).sum()))


def _columns(summary: Summary) -> list[Column]:
    names = summary.meta.get("names") or [str(i) for i in range(summary.features)]
    return [Column(name) for name in names]


def _cells(count: int, low: float, high: float, mean: float, deviation: float, samples: int, histogram: Any) -> Cells:
    if deviation == 0 and low < high:  # squares below 1e-308 are 0
        deviation = high / 2 - low / 2
    quantile = None if histogram is None else histogram.quantile
    return Cells(count, samples - count, low, high, mean, deviation, quantile)


def _exceptions(encodings: Encodings) -> dict[str, Any]:
    """Name the columns that `auto` scales as `robust` does, and the usual number of those that have one."""
    robust, usual = [], {}
    for column, part in encodings.used:
        own = [part.age, part.year] if isinstance(part, Date) else [part]
        if isinstance(part, Number) and part.usual is not None:
            usual[column.name] = part.usual
        elif any(isinstance(number, Number) and number.rule == "robust" for number in own):
            robust.append(column.name)
    return {name: found for name, found in (("robust", robust), ("usual", usual)) if found}


def _reading(encodings: Encodings, found: Sequence[tuple[Column, Any, Any]], summary: Summary) -> dict[str, Any]:
    """Say in plain values which columns are in use, which are left out, and what is remarkable."""
    kinds: dict[str, Any] = {"number": [], "category": {}, "date": []}
    for column, part in zip(encodings.columns, encodings.parts, strict=True):
        if isinstance(part, categories.Category):
            kinds["category"][column.name] = part.width
        elif part is not None:
            kinds[column.kind].append(column.name)
    left_out = [f"{name}: {reason}" for name, reason in (encodings.reasons or {}).items()]
    remarks = [remark for column, own, _ in found if own and (remark := _remark(column, own)) is not None]
    said: dict[str, Any] = {"kinds": {kind: names for kind, names in kinds.items() if names}}
    if left_out:
        said["left_out"] = [*(summary.meta.get("reading") or {}).get("left_out", []), *left_out]
    return said | ({"remarks": remarks} if remarks else {})


def _remark(column: Column, own: Any) -> str | None:
    """Point out a number that looks like an identifier, or numbers the rows."""
    if column.kind != "number" or own.histogram is None:
        return None
    low, high = own.histogram.low, own.histogram.high
    if looks_like_id(own):
        what, mend = f"looks like an identifier: whole numbers up to {max(abs(low), abs(high)):.0f}", _NO_NUMBER
    elif numbers_rows(own):
        what, mend = f"may number the rows: whole numbers from {low:.0f} to {high:.0f}", "(--ignore {})"
    else:
        return None
    return f"column {column.name!r} {what}, none of them twice {flag_of(mend, column.name)}"


def looks_like_id(own: Numbers) -> bool:
    """Tell whether numbers are whole, beyond float32's exact ones, and as far as the histogram tells never twice."""
    histogram = own.histogram
    if histogram is None or not own.whole or histogram.n < 2 or max(abs(histogram.low), abs(histogram.high)) <= EXACT:
        return False
    return _once(histogram)


def numbers_rows(own: Numbers) -> bool:
    """Tell whether numbers are those of rows, some of them held out: whole, never twice, and hardly one not there."""
    histogram = own.histogram
    if histogram is None or not own.whole or own.missing or histogram.n < FEW:
        return False
    return histogram.high - histogram.low < 1.5 * histogram.n and _once(histogram)


def _once(histogram: Histogram) -> bool:
    """Tell whether no whole number is there twice, as far as a histogram tells."""
    if histogram.exact:
        return bool(histogram.distinct == histogram.n)
    low, high = histogram.ends()
    return bool((histogram.counts <= np.floor(high) - np.ceil(low) + 1).all())
