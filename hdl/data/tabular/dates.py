"""Dates as inputs: year, month, day of week and hour, the latter three as cycles, and the age since the first day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hdl.arrow import pa
from hdl.data.tabular import scales
from hdl.data.tabular.numbers import Number
from hdl.data.tabular.scales import Cells
from hdl.elementary import sin_cos
from hdl.spec import Preprocessing, Scale

DAY = 86_400_000_000  # microseconds
YEAR = 365.2425  # days
CYCLES = {"month": 12, "weekday": 7, "hour": 24}
MISSING = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Date:
    """One moment as inputs, each there only if it differs in the training data.

    Parameters
    ----------
    origin : int
        First day of the training data, in days since 1970-01-01.
    year, age : Number or None
        Encodings of the year, and of the days since `origin` (with their fraction).
    cycles : tuple of str
        Of `CYCLES`; each is the sine and the cosine of its number's share of a whole turn.
    bounded : bool
        Cycles lie in [0, 1] and not in [-1, 1].
    indicator : bool
        One more input says where the date is missing; all others are then as at their middle.
    """

    origin: int
    year: Number | None = None
    age: Number | None = None
    cycles: tuple[str, ...] = ()
    bounded: bool = False
    indicator: bool = False

    @property
    def width(self) -> int:
        """Count the inputs."""
        own = sum(part.width for part in (self.year, self.age) if part is not None)
        return own + 2 * len(self.cycles) + self.indicator

    def names(self, name: str) -> list[str]:
        """Name the inputs of a date that is called so."""
        out = self.year.names(f"{name}: year") if self.year else []
        out += [f"{name}: {cycle} {wave}" for cycle in self.cycles for wave in ("sin", "cos")]
        out += self.age.names(f"{name}: days since {np.datetime64(self.origin, 'D')}") if self.age else []
        return [*out, f"{name} is missing"] if self.indicator else out

    def encode(self, array: pa.Array) -> np.ndarray:
        """Give the inputs, float32 [n, width], of moments timestamp[us] [n], null where missing."""
        missing = array.is_null().to_numpy(zero_copy_only=False)
        moments = array.cast(pa.int64()).fill_null(self.origin * DAY).to_numpy()
        parts = []
        if self.year:
            parts.append(self.year.encode(np.where(missing, np.nan, calendar(moments)[0].astype(np.float64))))
        for cycle in self.cycles:
            waves = np.stack(sin_cos(np.arange(CYCLES[cycle]) / CYCLES[cycle]), axis=1)
            waves = np.where(missing[:, None], 0, waves[_number(moments, cycle)])
            parts.append(((1 + waves) / 2 if self.bounded else waves).astype(np.float32))
        if self.age:
            parts.append(self.age.encode(np.where(missing, np.nan, moments / DAY - self.origin)))
        if self.indicator:
            parts.append(missing[:, None].astype(np.float32))
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(array), 0), np.float32)

    def to_plain(self) -> dict[str, Any]:
        """Return plain values of JSON."""
        numbers = {name: part.to_plain() for name in ("year", "age") if (part := getattr(self, name)) is not None}
        flags = {name: True for name in ("bounded", "indicator") if getattr(self, name)}
        return {"origin": self.origin, "cycles": [*self.cycles], **numbers, **flags}

    @classmethod
    def from_plain(cls, plain: Any) -> Date:
        """Rebuild a date from what `to_plain` gave.

        Raises
        ------
        ValueError
        """
        known = {"origin", "year", "age", "cycles", "bounded", "indicator"}
        if not isinstance(plain, dict) or set(plain) - known or type(plain.get("origin")) is not int:
            raise ValueError(f"a date's encoding {plain!r}")
        cycles, flags = plain.get("cycles"), [plain.get(name, False) for name in ("bounded", "indicator")]
        if not isinstance(cycles, list) or not set(map(str, cycles)) <= set(CYCLES) or set(map(type, flags)) != {bool}:
            raise ValueError(f"a date's encoding {plain!r}")
        year, age = (Number.from_plain(plain[name]) if name in plain else None for name in ("year", "age"))
        return cls(plain["origin"], year, age, tuple(cycles), *flags)


def fit(cells: Cells, times: bool, scale: Scale, rules: Preprocessing, key: tuple[int, int], units: str) -> Date:
    """Fit the encoding of a column of moments, in microseconds since 1970, that is not constant.

    Parameters
    ----------
    times : bool
        Whether any moment is not a midnight.
    key : (seed, number of the column)
    """
    low, high = int(cells.low), int(cells.high)
    origin = low // DAY
    (first, *_), (last, *_) = years = [tuple(part[0] for part in calendar(np.array([end]))) for end in (low, high)]
    days = cells.affine(1 / DAY, -float(origin))
    age = scales.fit(days, scale, rules, key, units)
    year = None
    if first != last:
        of_days = cells.affine(1 / (DAY * YEAR), 1970.0)
        year_cells = Cells(
            cells.count, cells.missing, float(first), float(last), of_days.mean, of_days.deviation,
            lambda shares: calendar(cells.quantiles(*shares).astype(np.int64))[0].astype(np.float64),
        )  # fmt: skip
        year = scales.fit(year_cells, scale, rules, key, units)
    cycles = []
    if years[0] != years[1]:
        cycles.append("month")
    if low // DAY != high // DAY:
        cycles.append("weekday")
    if times and low // (DAY // 24) != high // (DAY // 24):
        cycles.append("hour")
    indicator, age = age.indicator, replace(age, indicator=False)
    year = None if year is None else replace(year, indicator=False)
    return Date(origin, year, age, tuple(cycles), units == "bounded", indicator)


def calendar(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give year and month, from 1, of moments int64 [n].

    Examples
    --------
    >>> [part.tolist() for part in calendar(np.array([-1, 0, 1_709_208_000_000_000]))]
    [[1969, 1970, 2024], [12, 1, 2]]
    """
    months = np.floor_divide(moments, DAY).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return 1970 + np.floor_divide(months, 12), np.mod(months, 12) + 1


def _number(moments: np.ndarray, cycle: str) -> np.ndarray:
    """Give month, day of week (Monday is 0) or hour of moments int64 [n], from 0."""
    if cycle == "month":
        return calendar(moments)[1] - 1
    if cycle == "weekday":
        return np.mod(np.floor_divide(moments, DAY) + 3, 7)
    return np.floor_divide(np.mod(moments, DAY), DAY // 24)
