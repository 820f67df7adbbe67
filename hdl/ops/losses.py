"""Losses: which there are, what their answers and targets are, and in which unit they are.

Of a regression, targets are standardised before the net sees them: t = (y - mean)/deviation. With a log link the mean
is 0 and the deviation that of the targets: their mean. So a rate or a `delta` does not depend on the targets' unit, and
e^0 answers the mean.

Letters: O outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.spec.parts import CLASSES, LOG_LINK, REGRESSION

if TYPE_CHECKING:
    from hdl.spec import Spec

__all__ = [
    "CLASSES", "LOG_LINK", "REGRESSION", "answers", "described", "domain", "exponent", "measure", "parameter", "taken",
    "takes", "unit",
]  # fmt: skip
_PARAMETERS = {"huber": "delta", "quantile": "quantile", "tweedie": "power"}  # fields of the spec


def parameter(spec: Spec) -> float:
    """Return the parameter of a spec's loss; 0 of one that has none."""
    name = _PARAMETERS.get(spec.loss or "")
    return getattr(spec, name) if name else 0.0


def described(spec: Spec) -> str:
    """Name a spec's loss with its parameter, such as `huber(delta=1.0)`."""
    name = _PARAMETERS.get(spec.loss or "")
    return f"{spec.loss}({name}={getattr(spec, name)})" if name else str(spec.loss)


def domain(loss: str) -> tuple[float, bool]:
    """Return the lowest target that a loss takes, and whether that one itself is taken.

    Examples
    --------
    >>> domain("poisson"), domain("gamma"), domain("squared")
    ((0.0, True), (0.0, False), (-inf, True))
    """
    return (0.0, loss != "gamma") if loss in LOG_LINK else (-np.inf, True)


def taken(loss: str, targets: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell of each target whether a loss takes it; the shape stays.

    Examples
    --------
    >>> taken("gamma", np.array([0.0, 1.0])).tolist()
    [False, True]
    """
    lowest, included = domain(loss)
    return targets >= lowest if included else targets > lowest


def takes(loss: str) -> str:
    """Say what targets a loss takes that does not take all numbers.

    Examples
    --------
    >>> takes("gamma")
    'the loss gamma takes a number above 0'
    """
    lowest, included = domain(loss)
    return f"the loss {loss} takes {'at least' if included else 'a number above'} {lowest:g}"


def exponent(spec: Spec) -> float:
    """Return the power of the targets' unit in which a regression's cost grows: 2 for squares, 1 for magnitudes, …

    With targets c·t and answers c·p the cost is c^exponent times as large.
    """
    powers = {"absolute": 1.0, "quantile": 1.0, "poisson": 1.0, "gamma": 0.0, "tweedie": 2.0 - spec.power}
    return powers.get(spec.loss or "", 2.0)


def unit(spec: Spec, deviation: NDArray[np.float64] | None) -> float:
    """Return the factor that brings a regression's cost to the unit of the targets as they were given.

    Parameters
    ----------
    spec : Spec
    deviation : float64 [O] or None
        By which targets were divided. Of several targets the mean of their factors is taken.
    """
    return 1.0 if deviation is None else float((np.asarray(deviation) ** exponent(spec)).mean())


def measure(spec: Spec, cost: float, deviation: NDArray[np.float64] | None) -> tuple[str, float]:
    """Name what a regression's mean cost is to statisticians, and compute it in the unit of the targets.

    Examples
    --------
    >>> from hdl.spec import Spec
    >>> measure(Spec(loss="poisson"), 0.25, np.array([3.0])), measure(Spec(loss="absolute"), 0.25, np.array([4.0]))
    (('deviance', 1.5), ('MAE', 1.0))
    """
    names = {"squared": "MSE", "huber": "Huber", "absolute": "MAE", "quantile": "pinball"}
    name = names.get(spec.loss or "", "deviance")
    return name, cost * unit(spec, deviation) * (2 if name in ("MSE", "deviance") else 1)


def answers(loss: str, z: NDArray) -> NDArray:
    """Return a regression's answers of what reaches the output: e^z with a log link, else z."""
    return np.exp(z) if loss in LOG_LINK else z
