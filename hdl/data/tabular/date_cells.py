"""Dates and moments as people write them: ISO's, with the day or the month first, with a month's name, or counted."""

from __future__ import annotations

import numpy as np

from hdl.arrow import pa, pc
from hdl.data.tabular.frame import date_type

_TIME = (
    r"(?:[T ]\s*(?P<h>[0-9]{1,2})(?::(?P<i>[0-9]{2})(?::(?P<s>[0-9]{2})(?:[.,](?P<f>[0-9]{1,9}))?)?)?"
    r"\s*(?P<half>[aApP]\.?[mM]\.?)?\s*(?P<zone>[zZ]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$"
)
_YMD = r"^(?P<y>[0-9]{4})(?P<p>[-/.])(?P<m>[0-9]{1,2})(?P<q>[-/.])(?P<d>[0-9]{1,2})" + _TIME
_DMY = r"^(?P<d>[0-9]{1,2})(?P<p>[-/.])(?P<m>[0-9]{1,2})(?P<q>[-/.])(?P<y>[0-9]{4}|[0-9]{2})" + _TIME
_MDY = r"^(?P<m>[0-9]{1,2})(?P<p>[-/.])(?P<d>[0-9]{1,2})(?P<q>[-/.])(?P<y>[0-9]{4}|[0-9]{2})" + _TIME
_DIGITS = r"^(?P<y>[0-9]{4})(?P<p>)(?P<m>[0-9]{2})(?P<q>)(?P<d>[0-9]{2})" + _TIME
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?\.?"  # the rest of a month's name
_TH = "st|[nr]d|th"
_NAMED = (  # 24-Dec-2020, 24 December 2020; Dec 24, 2020
    rf"(?i)^([0-9]{{1,2}})(?:{_TH})?[- /.]?({'|'.join(_MONTHS)}){_MONTH}[- /,]{{0,2}}([0-9]{{4}})",
    rf"(?i)^({'|'.join(_MONTHS)}){_MONTH}[- /]?([0-9]{{1,2}})(?:{_TH})?[-, /]{{1,2}}([0-9]{{4}})",
)
FORMS = {"ymd": _YMD, "dmy": _DMY, "mdy": _MDY}
NAMED = tuple(form + _TIME for form in _NAMED)
_UNITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}  # by the number of digits, of moments since 1970


def moments_of(text: pa.Array, order: str) -> pa.Array:
    """Read distinct dates; null where a text is none."""
    text = _without_names(text)
    out = np.full(len(text), np.datetime64("NaT"), "datetime64[us]")
    for form in (_YMD, _DIGITS, *([FORMS[order]] if order in ("dmy", "mdy") else [])):
        rows = np.flatnonzero(np.isnat(out))
        if len(rows):
            out[rows] = _fields(text.take(pa.array(rows)), form)
    for digits, unit in _UNITS.items():
        counts = pc.match_substring_regex(text, f"^[0-8][0-9]{{{digits - 1}}}$")
        rows = np.flatnonzero(counts.to_numpy(zero_copy_only=False))
        if len(rows):
            counted = text.take(pa.array(rows)).cast(pa.int64()).to_numpy()
            out[rows] = counted.astype(f"datetime64[{unit}]").astype("datetime64[us]")
    return pa.array(out, date_type())


def _without_names(text: pa.Array) -> pa.Array:
    """Write dates whose month has its English name as ISO does."""
    for form, parts in zip(_NAMED, ((r"\1", r"\2"), (r"\2", r"\1")), strict=True):
        if pc.any(pc.match_substring_regex(text, form)).as_py():
            text = pc.replace_substring_regex(text, form, rf"\3-{parts[1]}-{parts[0]}")
    for number, name in enumerate(_MONTHS, 1):
        text = pc.replace_substring_regex(text, rf"(?i)^([0-9]{{4}})-{name}-", rf"\1-{number:02d}-")
    return text


def _fields(text: pa.Array, form: str) -> np.ndarray:
    """Read dates of one form, datetime64[us] [n]; NaT where a text has another, or is a day that does not exist."""
    found = pc.extract_regex(text, form)
    good = found.is_valid().to_numpy(zero_copy_only=False)
    parts = {
        name: pc.struct_field(found, name) for name in ("y", "p", "m", "q", "d", "h", "i", "s", "f", "half", "zone")
    }

    def whole(name: str, empty: str = "0") -> np.ndarray:
        column = pc.fill_null(parts[name], empty)
        return pc.if_else(pc.equal(column, ""), empty, column).cast(pa.int64()).to_numpy()

    year, month, day = whole("y"), whole("m", "1"), whole("d", "1")
    short = pc.fill_null(pc.equal(pc.utf8_length(parts["y"]), 2), False).to_numpy(zero_copy_only=False)
    year = np.where(short, year + np.where(year < 69, 2000, 1900), year)  # as POSIX reads years of two digits
    hour, minute, second = whole("h"), whole("i"), whole("s")
    micro = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.fill_null(parts["f"], ""), 6, "0"), 0, 6)
    micros = micro.cast(pa.int64()).to_numpy()
    half = np.array([str(cell or "")[:1].lower() for cell in parts["half"].to_pylist()])
    good &= np.where(half == "", hour < 24, (hour >= 1) & (hour <= 12)) & (minute < 60) & (second < 60)
    hour = np.where(half == "", hour, hour % 12 + 12 * (half == "p"))
    same = pc.fill_null(pc.equal(parts["p"], parts["q"]), False).to_numpy(zero_copy_only=False)
    good &= same & (month >= 1) & (month <= 12)
    months = ((year - 1970) * 12 + np.clip(month, 1, 12) - 1).astype("datetime64[M]")
    last = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    good &= (day >= 1) & (day <= last)
    zones = np.array([_zone(cell) for cell in parts["zone"].to_pylist()])
    since = (hour * 3600 + minute * 60 + second - zones) * 1_000_000 + micros
    moments = (months.astype("datetime64[D]") + (day - 1)).astype("datetime64[us]") + since.astype("timedelta64[us]")
    return np.where(good, moments, np.datetime64("NaT"))


def _zone(text: str | None) -> int:
    """Give the seconds that a zone is ahead of UTC."""
    if not text or text[0] not in "+-":
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    return (1 if text[0] == "+" else -1) * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)
