"""Line searches, one evaluation at a time: numbers in, the next step to try or a verdict out.

A search looks for a step t along a direction where the cost f(t) fell enough and its slope f'(t) is flat enough (the
strong Wolfe conditions): f(t) ≤ f(0) + c₁·t·f'(0) and |f'(t)| ≤ −c₂·f'(0). All numbers are Python floats: they are
the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign, inf, isfinite, nan, sqrt

SEARCH, ACCEPT, NEAR, FAIL = range(4)  # go on at `line.step`; take the trial; take `near`; no descent was found

_ARMIJO, _CURVATURE = 1e-4, 0.9  # c₁, c₂ of `wolfe`: Nocedal & Wright 2006, page 62, for quasi-Newton directions
_RHO, _SIGMA, _INNER, _OUTER = 0.01, 0.5, 0.1, 3.0  # of `powell`


@dataclass
class Line:
    """One line search in progress.

    Attributes
    ----------
    f0, slope0 : float
        At step 0; slope0 < 0.
    step : float
        The trial.
    near, near_f, near_slope : float
        The best step known with enough descent; 0 at first.
    far, far_f, far_slope : float
        The other end of the interval that holds an acceptable step; infinite while unknown.
    tried : float
        Evaluations so far.
    """

    f0: float = 0.0
    slope0: float = 0.0
    step: float = 0.0
    near: float = 0.0
    near_f: float = 0.0
    near_slope: float = 0.0
    far: float = inf
    far_f: float = inf
    far_slope: float = nan
    tried: float = 0.0


def begin(f: float, slope: float, step: float) -> Line:
    """Start a search from cost f and slope < 0 that first tries `step`."""
    return Line(f, slope, step, 0.0, f, slope)


def wolfe(line: Line, f: float, slope: float, budget: int) -> int:
    """Take a step of the strong Wolfe search (Nocedal & Wright 2006, algorithms 3.5, 3.6; cubic steps: equation 3.59).

    Changes `line`; it has just been evaluated at `line.step` with cost f and slope (infinite where undefined).

    Returns
    -------
    {SEARCH, ACCEPT, NEAR, FAIL}
        NEAR and FAIL only after `budget` evaluations.
    """
    line.tried += 1
    t = line.step
    if f > line.f0 + _ARMIJO * t * line.slope0 or f >= line.near_f:
        line.far, line.far_f, line.far_slope = t, f, slope
    elif abs(slope) <= -_CURVATURE * line.slope0:
        return ACCEPT
    else:
        if isfinite(line.far):  # keep the end that lies downhill
            if slope * (line.far - line.near) >= 0:
                line.far, line.far_f, line.far_slope = line.near, line.near_f, line.near_slope
        elif slope >= 0:
            line.far, line.far_f, line.far_slope = line.near, line.near_f, line.near_slope
        else:
            line.step = _beyond(line, t, f, slope)
        line.near, line.near_f, line.near_slope = t, f, slope
    if isfinite(line.far):
        line.step = _between(line.near, line.near_f, line.near_slope, line.far, line.far_f, line.far_slope)
    if line.tried < budget and line.step not in (line.near, line.far):
        return SEARCH
    return NEAR if line.near > 0 else FAIL


def powell(line: Line, f: float, slope: float, budget: int) -> int:
    """Take a step of a Wolfe-Powell search, by interpolation and bounded extrapolation, for conjugate gradients.

    c₁ = 0.01, c₂ = 0.5; steps stay a tenth of the interval away from its ends and at most triple: the scheme of
    C. E. Rasmussen's `minimize`, which Harp's network uses. Arguments and result as for `wolfe`.
    """
    line.tried += 1
    t = line.step
    if f > line.f0 + _RHO * t * line.slope0 or not slope <= -_SIGMA * line.slope0:
        line.far = t
        if f > line.f0:
            target = _quadratic(line.near, line.near_f, line.near_slope, t, f)
        else:
            target = _cubic(line.near, line.near_f, line.near_slope, t, f, slope)
        line.step = _inside(target, line.near, t)
    elif slope >= _SIGMA * line.slope0:
        return ACCEPT
    else:
        line.step = _onward(line, t, f, slope)
        line.near, line.near_f, line.near_slope = t, f, slope
    if line.tried < budget and line.step not in (line.near, line.far):
        return SEARCH
    return NEAR if line.near > 0 else FAIL


def _beyond(line: Line, t: float, f: float, slope: float) -> float:
    """Choose a larger step: the minimum of the cubic through near and t, within [2t, 10t]."""
    target = _cubic(line.near, line.near_f, line.near_slope, t, f, slope)
    return min(max(target, 2 * t), 10 * t) if target > t else 2 * t


def _onward(line: Line, t: float, f: float, slope: float) -> float:
    """Choose a larger step: the cubic's minimum through near and t, at most tripled, or short of a known far end."""
    target = _cubic(line.near, line.near_f, line.near_slope, t, f, slope)
    if isfinite(line.far):
        return _inside(target if t < target < line.far else nan, t, line.far)
    if not t < target < _OUTER * t:
        return _OUTER * t
    return max(target, t + _INNER * (t - line.near))


def _between(a: float, fa: float, sa: float, b: float, fb: float, sb: float) -> float:
    """Choose a step between a and b: the minimum of the cubic, else of the parabola; close to a if f(b) is infinite."""
    if not isfinite(fb):
        return a + 0.1 * (b - a)
    target = _cubic(a, fa, sa, b, fb, sb)
    if not isfinite(target):
        target = _quadratic(a, fa, sa, b, fb)
    return _inside(target, a, b)


def _inside(target: float, a: float, b: float) -> float:
    """Keep the target a tenth of the interval away from its ends; the middle if it is not a number."""
    if not isfinite(target):
        return (a + b) / 2
    low, high = sorted((a + _INNER * (b - a), b - _INNER * (b - a)))
    return min(max(target, low), high)


def _cubic(a: float, fa: float, sa: float, b: float, fb: float, sb: float) -> float:
    """Find the minimum of the cubic with values fa, fb and slopes sa, sb at a, b (Nocedal & Wright, 3.59), or nan."""
    if a == b or not (isfinite(fb) and isfinite(sb)):
        return nan
    d1 = sa + sb - 3 * (fa - fb) / (a - b)
    square = d1 * d1 - sa * sb
    if not square >= 0:
        return nan
    d2 = copysign(sqrt(square), b - a)
    below = sb - sa + 2 * d2
    return b - (b - a) * (sb + d2 - d1) / below if below else nan


def _quadratic(a: float, fa: float, sa: float, b: float, fb: float) -> float:
    """Find the minimum of the parabola with values fa, fb and slope sa at a; nan if none, near a if fb is infinite."""
    h = b - a
    if not isfinite(fb):
        return a + _INNER * h
    below = 2 * (fb - fa - sa * h)
    return a - sa * h * h / below if below > 0 else nan
