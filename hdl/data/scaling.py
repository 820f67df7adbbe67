"""Scales features: the net sees x·scale + shift, of columns that float32 cannot hold after they are centred."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hdl.data.summary import Labels, Summary
from hdl.errors import SpecError
from hdl.spec import Scale

FAR = 2.0**12  # a column whose mean is so many deviations from 0 is centred before it is rounded: float32 has 24 bits
NOISE = 2.0**-50  # of the largest value: a deviation below is that of rounding, and the column constant
WHITE = 255.0, 65535.0  # of pixels of 8 and of 16 bits
SMALLEST, LARGEST = 2.0**-114, 2.0**126  # deviations that float32 can be divided by, with bits to spare


@dataclass(frozen=True)
class Scaling:
    """The scaling of I features.

    Attributes
    ----------
    rule : dict
        What was used (`auto` says what it came to): `name`, the `constant` that features are divided by, how many are
        `centred` first, and how many the net does not see, as they are always the same (`unchanging`).
    scale, shift : float32 [I] or None
        The net sees x·scale + shift; None where there is nothing to do.
    center, spread : float64 [I] or None
        x is first replaced by (x − center)/spread, in float64; None where no feature needs it.
    constants : float64 [I] or None
        What features of scale 0 are in training; 0 elsewhere. None where all are 0.
    """

    rule: dict[str, Any] = field(default_factory=lambda: {"name": "none"})
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    center: np.ndarray | None = None
    spread: np.ndarray | None = None
    constants: np.ndarray | None = None


def fit_scale(summary: Summary, scale: Scale, inputs: int, units: str = "free") -> Scaling:
    """Fit a rule to what the features hold.

    `auto` divides images by the value of white: 255 or 65535, or their largest one where that is far below (pixels of
    12 bits, digits of 0 to 16). Of other dense features it standardises each, where units
    are bounded it maps each from least to largest to [0, 1], unless all are there already; of sparse ones it divides
    each by its largest magnitude. Whether they are stored as bytes, booleans, integers or floats does not matter.

    Parameters
    ----------
    inputs : int
        I; of sparse data it may exceed the features seen.
    units : {'free', 'bounded', 'gaussian'}
        What the model's inputs should be, for `auto`: whatever is usual; in [0, 1]; standardised.

    Raises
    ------
    SpecError
        The rule shifts zeros, and the data is sparse.

    Notes
    -----
    A feature that never changes has the scale and the shift 0: the net never sees it, so that it does not matter what
    it is later. Deviations are the population's (divided by n).
    """
    name: str = scale.name
    constant = scale.constant
    if name == "auto" and summary.kind != "sparse":
        name, constant = _automatic(summary, units)
    if name == "none":
        return Scaling()
    if name == "divide":
        return Scaling({"name": "divide", "constant": constant}, np.full(inputs, 1 / constant, np.float32))
    if summary.kind == "sparse":
        if name != "auto":
            raise SpecError(f"scale {name} would fill the zeros of sparse features; expected auto, divide or none")
        return _sparse(summary, inputs)
    low, high = (summary.moments[end].astype(np.float64) for end in ("low", "high"))
    mean, m2 = summary.mean_m2()
    if name == "minmax":
        origin, spread = low, high - low
    else:
        origin, spread = mean, np.sqrt(m2 / summary.samples)
        spread = np.where((spread == 0) & (low < high), (high - low) / 2, spread)  # squares below 1e-308 are 0
    constants = (low == high) | (spread <= NOISE * np.maximum(np.abs(low), np.abs(high)))
    far = np.abs(mean) > FAR * spread if summary.kind != "uint8" else False  # whole numbers up to 255 are exact
    return _scaling("minmax" if name == "minmax" else "standard", origin, spread, constants, far, mean)


def _automatic(summary: Summary, units: str) -> tuple[str, float]:
    """Choose what `auto` comes to for dense features: the rule, and its constant."""
    if units == "gaussian":
        return "standard", 1.0
    low, high = float(summary.moments["low"].min()), float(summary.moments["high"].max())
    if summary.meta.get("image") and low >= 0 and high > 1:
        return "divide", next((white for white in WHITE if white / 4 < high <= white), high)
    if units != "bounded":
        return "standard", 1.0
    return "none" if low >= 0 and high <= 1 else "minmax", 1.0


def _sparse(summary: Summary, inputs: int) -> Scaling:
    """Scale by the largest magnitude; what every sample has may be far from 0 or constant: it fills no zeros."""
    moments, spread, origin, value = summary.moments, np.zeros(inputs), np.zeros(inputs), np.zeros(inputs)
    spread[: summary.features] = moments["largest"]
    unchanging = spread == 0
    full, low, high = (moments[name] for name in ("full", "low", "high"))
    middle, half = low + (high - low) / 2, (high - low) / 2
    still = half <= NOISE * np.abs(middle)
    unchanging[full[still]] = True
    value[full[still]] = middle[still]
    far = ~still & (np.abs(middle) > FAR * half)
    origin[full[far]], spread[full[far]] = middle[far], half[far]
    return _scaling("largest", origin, spread, unchanging, origin != 0, value)


def _scaling(
    name: str, origin: np.ndarray, spread: np.ndarray, unchanging: np.ndarray, far: Any = False, value: Any = None
) -> Scaling:
    """Make the scaling by (x − origin)/spread, without the features that never change."""
    rule: dict[str, Any] = {"name": name}
    far = ~unchanging & (far | (spread < SMALLEST) | (spread > LARGEST))
    plain = ~unchanging & ~far
    factor = np.where(plain, 1 / np.where(plain, spread, 1), np.where(far, 1, 0))
    shift = None if name == "largest" else np.where(plain, -origin * factor, 0).astype(np.float32)
    center = width = constants = None
    if far.any():
        center, width = np.where(far, origin, 0.0), np.where(far, spread, 1.0)
        rule["centred"] = int(far.sum())
    if unchanging.any():
        rule["unchanging"] = int(unchanging.sum())
        if value is not None and value[unchanging].any():
            constants = np.where(unchanging, value, 0.0)
    return Scaling(rule, factor.astype(np.float32), shift, center, width, constants)


def needs_float64(summary: Summary) -> bool:
    """Tell whether float32 would lose what a feature says: its differences, or all of it."""
    if summary.kind == "uint8" or not summary.samples:
        return False
    rule = Scale(name="auto" if summary.kind == "sparse" else "standard")
    return fit_scale(summary, rule, summary.features).center is not None


def targets_need_float64(labels: Labels) -> bool:
    """Tell whether float32 would lose the differences of a target."""
    if labels.mean is None or labels.norm is None:
        return False
    mean, deviation = np.abs(labels.mean), np.array(labels.norm) / np.sqrt(max(1, labels.samples))
    return bool(
        ((mean > FAR * deviation) | (deviation < SMALLEST) | (deviation > LARGEST))[deviation > NOISE * mean].any()
    )
