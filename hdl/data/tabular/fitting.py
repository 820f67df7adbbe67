"""Fits the encodings of a table's columns to what one pass found, and says what became of each column."""

from __future__ import annotations

from typing import Any

import numpy as np

from hdl.data.summary import Summary
from hdl.data.tabular import categories, dates, numbers
from hdl.data.tabular.encoders import Encodings, Part
from hdl.data.tabular.frame import Column
from hdl.data.tabular.numbers import Cells, Number
from hdl.errors import DataError, SpecError
from hdl.spec import Spec

EXACT = 2.0**24  # whole numbers up to here are exact in float32
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
    if summary.facts is None:
        asked = f"scale {spec.scale.name}" if spec.scale.name in NEW else None
        asked = f"numeric embedding {rules.numeric_embedding}" if rules.numeric_embedding else asked
        if asked:
            given = summary.meta.get("format") or "the data"
            raise SpecError(f"{asked} needs the columns of a table; {given} has {summary.kind or 'no'} features")
        return False
    if spec.scale.name in NEW or rules.numeric_embedding:
        return True
    if any(column.kind != "number" or part.missing for column, part in summary.facts):
        return True
    if spec.scale.name != "auto" or units == "bounded":
        return False
    return any(_outlying(cells) for cells in _all_cells(summary) if cells is not None)


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
        For `Schema.rule`: the scale's `name`, columns scaled as `robust`, what is done about `missing` numbers and how
        many cells of each column are, how many rows that makes `dropped`, the numeric `embedding`.
    dict
        For `Schema.reading`: the columns in use by `kinds`, those `left_out`, and `remarks`.

    Raises
    ------
    DataError
        Numbers are missing and may not be; no column is left.
    """
    facts, rules = summary.facts, spec.preprocessing
    assert facts is not None, "no facts of columns"
    parts: list[Part | None] = []
    reasons: dict[str, str] = {}
    for place, ((column, found), cells) in enumerate(zip(facts, _all_cells(summary), strict=True)):
        reason, part = _fit(column, found, cells, spec, place, units)
        parts.append(part)
        if reason is not None:
            reasons[column.name] = reason
    encodings = Encodings(tuple(facts.columns), tuple(parts), rules.missing, reasons)
    if not encodings.inputs:
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise DataError(f"no column is left as a feature ({listed})")
    lacking = {
        column.name: found.missing
        for (column, found), part in zip(facts, parts, strict=True)
        if column.kind != "category" and part is not None and found.missing
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
    if spec.scale.name == "auto" and (robust := _robust(encodings)):
        rule["robust"] = robust
    if lacking:
        rule["missing"] = {"rule": rules.missing, "columns": lacking}
        if rules.missing == "drop":
            rule["dropped"] = facts.lacking
    if rules.numeric_embedding:
        rule["embedding"] = rules.numeric_embedding
    return encodings, rule, _reading(encodings, summary)


def _fit(
    column: Column, found: Any, cells: Cells | None, spec: Spec, place: int, units: str
) -> tuple[str | None, Part | None]:
    """Fit one column: why it is left out, and its encoding unless it is."""
    rules, indicated = spec.preprocessing, spec.preprocessing.missing in ("mean", "median", "indicator")
    if column.kind == "category":
        if not found.n:
            return EMPTY, None
        if column.by != "flag" and (reason := categories.unfit(found)) is not None:
            return f"{reason} (--columns {column.name}:category takes it all the same)", None
        part = categories.fit(found, rules)
        if part.width > 1:
            return None, part
        return f"always {part.levels[0]!r}" if part.levels else f"no level {rules.min_count:,} times", None
    assert cells is not None
    if not cells.count:
        return EMPTY, None
    if cells.constant:
        said = f"{cells.low:g}" if column.kind == "number" else str(np.datetime64(int(cells.low), "us"))
        if not (found.missing and indicated):
            return f"always {said}", None
        if column.kind == "number":  # all that it says is whether it is there
            return None, Number(center=cells.low, fill=cells.low, indicator=True)
    if column.kind == "number":
        return None, numbers.fit(cells, spec.scale, rules, (spec.seed, place), units)
    return None, dates.fit(cells, found.times, spec.scale, rules, (spec.seed, place), units)


def _all_cells(summary: Summary) -> list[Cells | None]:
    """Make the cells of all columns of numbers and dates; None for a category."""
    assert summary.facts is not None, "no facts of columns"
    moments = iter(zip(*_moments(summary), strict=True))
    made: list[Cells | None] = []
    for column, found in summary.facts:
        if column.kind == "category":
            made.append(None)
        elif column.kind == "number":
            made.append(_cells(*next(moments), found.missing, found.histogram))
        else:
            mean, deviation = found.histogram.moments()
            low, high = found.histogram.low, found.histogram.high
            made.append(_cells(found.n, low, high, mean, deviation, found.missing, found.histogram))
    return made


def _moments(summary: Summary) -> list[list[Any]]:
    """Give count, least, greatest, mean and deviation of the number columns."""
    whole = summary.as_float()
    low, high, mean, m2 = (whole.moments[name] for name in ("low", "high", "mean", "m2"))
    count = np.full(len(low), summary.samples) if summary.present is None else summary.present
    return [part.tolist() for part in (count, low, high, mean, np.sqrt(m2 / np.maximum(count, 1)))]


def _cells(count: int, low: float, high: float, mean: float, deviation: float, missing: int, histogram: Any) -> Cells:
    if deviation == 0 and low < high:  # squares below 1e-308 are 0
        deviation = high / 2 - low / 2
    return Cells(count, missing, low, high, mean, deviation, None if histogram is None else histogram.quantile)


def _outlying(cells: Cells) -> bool:
    return cells.count > 0 and not cells.constant and numbers.outlying(cells)


def _robust(encodings: Encodings) -> list[str]:
    """Name the columns that `auto` scales as `robust` does."""
    named = []
    for column, part in zip(encodings.columns, encodings.parts, strict=True):
        own = [part.age, part.year] if isinstance(part, dates.Date) else [part]
        if any(isinstance(number, Number) and number.rule == "robust" for number in own):
            named.append(column.name)
    return named


def _reading(encodings: Encodings, summary: Summary) -> dict[str, Any]:
    """Say in plain values which columns are in use, which are left out, and what is remarkable."""
    kinds: dict[str, Any] = {"number": [], "category": {}, "date": []}
    for column, part in zip(encodings.columns, encodings.parts, strict=True):
        if isinstance(part, categories.Category):
            kinds["category"][column.name] = part.width
        elif part is not None:
            kinds[column.kind].append(column.name)
    left_out = [f"{name}: {reason}" for name, reason in (encodings.reasons or {}).items()]
    remarks = [remark for column, found in summary.facts or () if (remark := _remark(column, found)) is not None]
    found: dict[str, Any] = {"kinds": {kind: names for kind, names in kinds.items() if names}}
    if left_out:
        found["left_out"] = [*(summary.meta.get("reading") or {}).get("left_out", []), *left_out]
    return found | ({"remarks": remarks} if remarks else {})


def _remark(column: Column, found: Any) -> str | None:
    """Point out a number that looks like an identifier."""
    if column.kind != "number" or found.histogram is None or not looks_like_id(found):
        return None
    largest = max(abs(found.histogram.low), abs(found.histogram.high))
    return (
        f"column {column.name!r} looks like an identifier: whole numbers up to {largest:.0f}, none of them twice "
        f"(--ignore {column.name}, or --columns {column.name}:category)"
    )


def looks_like_id(found: Any) -> bool:
    """Tell whether numbers are whole, beyond float32's exact ones, and as far as the histogram tells never twice."""
    histogram = found.histogram
    if not found.whole or histogram.n < 2 or max(abs(histogram.low), abs(histogram.high)) <= EXACT:
        return False
    if histogram.exact:
        return bool(histogram.distinct == histogram.n)
    low, high = histogram.ends()
    return bool((histogram.counts <= np.floor(high) - np.ceil(low) + 1).all())
