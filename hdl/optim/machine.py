"""Gradient descent, conjugate gradients and L-BFGS as state machines: given a cost, they choose the next trial point.

The state is a dictionary of NumPy arrays, so that it travels in updates and weight tables between any two evaluations.
No function changes the state it is given. Sums over vectors are NumPy's pairwise sums in float64, never a BLAS's: the
same bytes with any number of threads.

Letters: P parameters, M pairs of L-BFGS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from math import inf, isfinite
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.errors import NonFinite, SpecError
from hdl.optim import line as search
from hdl.optim.line import ACCEPT, FAIL, NEAR, SEARCH, Line

if TYPE_CHECKING:
    from hdl.spec import Spec

State = dict[str, NDArray]
RULES = ("gd", "cg", "lbfgs")
_LINE = [field.name for field in fields(Line)]
# Scalars of a state, in the order of its vector `numbers`; those of the line search follow.
_NUMBERS = ["rule", "budget", "known", "done", "steepest", "cost", "searches", "evaluations", "pairs", *_LINE]
_RATIO = 100.0  # a first step is at most this many times the last one's decrease would make it


def start(spec: Spec, w: NDArray) -> State:
    """Make the state before any evaluation; the first trial is w itself.

    Parameters
    ----------
    spec : Spec
        Its optimizer is one of gd, cg and lbfgs.
    w : ndarray [P]
        float32, or float64; the machine works in its type.
    """
    rule = spec.optimizer
    if rule.name not in RULES:
        raise SpecError(f"optimizer.name: {rule.name!r} takes mini-batch steps; expected one of {', '.join(RULES)}")
    numbers = dict.fromkeys(_NUMBERS, 0.0) | {"rule": RULES.index(rule.name), "budget": rule.max_evaluations}
    zero = np.zeros_like(w)
    state = {"w": w.copy(), "g": zero, "d": zero, "near_g": zero}
    if rule.name == "lbfgs":
        state["s"] = state["y"] = np.zeros((rule.history, w.size), w.dtype)
    return state | _pack(numbers)


def trial(state: State) -> NDArray:
    """Return the weights [P] to evaluate next."""
    numbers = _unpack(state)
    return _at(state, numbers["step"]) if numbers["known"] and not numbers["done"] else state["w"].copy()


def trying(w: NDArray) -> State:
    """Make a state that holds the trial point w alone: all that a worker needs of the driver's."""
    return {"w": w} | _pack(dict.fromkeys(_NUMBERS, 0.0))


def accepted(state: State) -> NDArray:
    """Return the best weights [P] accepted so far: the end of the last line search."""
    return state["w"].copy()


def cost(state: State) -> float:
    """Return the cost at `accepted`; infinite before the first evaluation."""
    numbers = _unpack(state)
    return numbers["cost"] if numbers["known"] else inf


def searches(state: State) -> int:
    """Count the line searches that have ended, well or not: the iterations of these rules."""
    return int(_unpack(state)["searches"])


def evaluations(state: State) -> int:
    """Count the calls of `tell`."""
    return int(_unpack(state)["evaluations"])


def steepness(state: State) -> float:
    """Return the largest magnitude in the gradient at `accepted`; infinite before the first evaluation."""
    return float(np.abs(state["g"]).max(initial=0)) if _unpack(state)["known"] else inf


def done(state: State) -> bool:
    """Tell whether nothing is left to gain: gradient 0, or steepest descent failed. Then `tell` does nothing."""
    return bool(_unpack(state)["done"])


def tell(state: State, cost: float, gradient: NDArray) -> State:
    """Compute the next state from the cost and gradient at `trial(state)`.

    Parameters
    ----------
    cost : float
        Mean cost with its penalty. Not a number or infinite: the step was too long.
    gradient : ndarray [P]
        Of that cost.

    Raises
    ------
    NonFinite
        The first evaluation, at the starting weights, was not finite.
    """
    numbers = _unpack(state)
    if numbers["done"]:
        return state
    gradient = gradient.astype(state["w"].dtype, copy=False)
    numbers["evaluations"] += 1
    fine = isfinite(cost) and bool(np.isfinite(gradient).all())
    if not numbers["known"]:
        if not fine:
            raise NonFinite(f"the cost at the starting weights is {cost}, or its gradient is not finite")
        numbers |= {"known": 1.0, "cost": cost}
        return _steepest({**state, "g": gradient.copy()}, numbers)

    line, step = Line(*(numbers[name] for name in _LINE)), numbers["step"]
    slope = _dot(gradient, state["d"]) if fine else inf
    rule = search.powell if RULES[int(numbers["rule"])] == "cg" else search.wolfe
    verdict = rule(line, cost if fine else inf, slope, int(numbers["budget"]))
    numbers |= dict(zip(_LINE, vars(line).values(), strict=True))
    if line.near == step and verdict in (SEARCH, NEAR):
        state = {**state, "near_g": gradient.copy()}
    if verdict == SEARCH:
        if not np.array_equal(_at(state, line.step), _at(state, line.near)):
            return state | _pack(numbers)
        verdict = NEAR if line.near > 0 else FAIL  # the interval has shrunk below the weights' precision
    numbers["searches"] += 1
    if verdict == ACCEPT:
        return _advance(state, numbers, step, cost, slope, gradient.copy())
    if verdict == NEAR:
        return _advance(state, numbers, line.near, line.near_f, line.near_slope, state["near_g"])
    if numbers["steepest"]:
        return state | _pack(numbers | {"done": 1.0})
    return _steepest(state, numbers)


def minimise(
    spec: Spec, w: NDArray, evaluate: Callable[[NDArray], tuple[float, NDArray]], iterations: int
) -> tuple[NDArray, State]:
    """Search along lines on one cost until `iterations` of them are done, or nothing is left to gain.

    Parameters
    ----------
    evaluate : callable
        Weights [P] to cost and gradient [P], penalty included.

    Returns
    -------
    w : ndarray [P]
    state : dict
        For `cost`, `evaluations` and to go on.
    """
    state = start(spec, w)
    while not done(state) and searches(state) < iterations:
        state = tell(state, *evaluate(trial(state)))
    return accepted(state), state


def _advance(state: State, numbers: dict[str, float], step: float, cost: float, slope: float, g: NDArray) -> State:
    """Accept the point at `step`, with gradient g; choose the next direction and its first step."""
    rule, w = RULES[int(numbers["rule"])], _at(state, step)
    old, before = state["g"], numbers["slope0"]
    new = {**state, "w": w, "g": g}
    numbers = numbers | {"cost": cost, "steepest": 0.0}
    if rule == "gd":
        return _aim(new, numbers, -g, lambda slope: step * min(_RATIO, before / slope))
    if rule == "cg":  # Polak & Ribière 1969; Nocedal & Wright, equation 5.44
        beta = (_dot(g, g) - _dot(old, g)) / _dot(old, old)
        direction = (beta * state["d"] - g).astype(g.dtype, copy=False)
        return _aim(new, numbers, direction, lambda slope: step * min(_RATIO, before / slope))
    s, y = w - state["w"], g - old
    if _dot(s, y) > 1e-10 * _dot(y, y):
        new["s"], new["y"] = _push(state["s"], s), _push(state["y"], y)
        numbers["pairs"] = min(numbers["pairs"] + 1, len(new["s"]))
    return _aim(new, numbers, _two_loops(new, int(numbers["pairs"])), lambda slope: 1.0)


def _aim(state: State, numbers: dict[str, float], direction: NDArray, first: Callable[[float], float]) -> State:
    """Begin a search along a direction, or along steepest descent if it does not lead down."""
    slope = _dot(state["g"], direction)
    if not (slope < 0 and np.isfinite(direction).all()):
        return _steepest(state, numbers)
    line = search.begin(numbers["cost"], slope, first(slope))
    return state | {"d": direction} | _pack(numbers | dict(zip(_LINE, vars(line).values(), strict=True)))


def _steepest(state: State, numbers: dict[str, float]) -> State:
    """Begin anew along the negative gradient; with gradient 0 the machine is done."""
    direction = -state["g"]
    slope = -_dot(direction, direction)
    numbers = numbers | {"steepest": 1.0, "pairs": 0.0}
    if slope == 0:
        return state | _pack(numbers | {"done": 1.0})
    # A step of unit length, or for conjugate gradients of 1/(1 - slope), as Rasmussen's scheme has it.
    step = 1 / (1 - slope) if RULES[int(numbers["rule"])] == "cg" else (-slope) ** -0.5
    line = search.begin(numbers["cost"], slope, step)
    return state | {"d": direction} | _pack(numbers | dict(zip(_LINE, vars(line).values(), strict=True)))


def _two_loops(state: State, pairs: int) -> NDArray:
    """Compute −H·g from the pairs kept, the newest last (Nocedal & Wright, algorithm 7.4, with their scaling 7.20)."""
    q = state["g"].astype(np.float64)
    s, y = state["s"][len(state["s"]) - pairs :], state["y"][len(state["y"]) - pairs :]
    inner = [_dot(a, b) for a, b in zip(s, y, strict=True)]
    alpha = [0.0] * pairs
    for i in reversed(range(pairs)):
        alpha[i] = _dot(s[i], q) / inner[i]
        q -= alpha[i] * y[i]
    if pairs:
        q *= inner[-1] / _dot(y[-1], y[-1])
    for i in range(pairs):
        q += (alpha[i] - _dot(y[i], q) / inner[i]) * s[i]
    return (-q).astype(state["g"].dtype)


def _push(history: NDArray, row: NDArray) -> NDArray:
    """Append a row to the history [M, P], which loses its oldest."""
    return np.concatenate([history[1:], row[None]])


def _at(state: State, step: float) -> NDArray:
    """Compute w + step·d in the type of w."""
    w = state["w"]
    return w + w.dtype.type(step) * state["d"]


def _dot(a: NDArray, b: NDArray) -> float:
    return float(np.multiply(a, b, dtype=np.float64).sum())


def _pack(numbers: dict[str, float]) -> State:
    return {"numbers": np.array([numbers[name] for name in _NUMBERS], np.float64)}


def _unpack(state: State) -> dict[str, float]:
    return dict(zip(_NUMBERS, state["numbers"].tolist(), strict=True))
