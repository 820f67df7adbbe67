"""Learning rates that follow the training itself, as scikit-learn has them for its solver sgd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hdl.spec import Spec

LEAST = 1e-6  # an adaptive rate at most this large is lowered no more
PACES = ("constant", "invscaling", "adaptive")  # scikit-learn's words; of other solvers than sgd they mean constant


@dataclass
class Pace:
    """A learning rate that changes between epochs, by what the training has seen or gained.

    Parameters
    ----------
    name : {'constant', 'invscaling', 'adaptive'}
        `invscaling`: initial/(samples seen + 1)^power from the first epoch's end on. `adaptive`: a fifth of itself each
        time that nothing improves, until it is at most 1e-6.
    initial : float
    power : float
    seen : int
        Samples that were trained on before.
    rate : float
        Of the next epoch.

    Examples
    --------
    >>> pace = Pace("invscaling", 0.1, 0.5, 0, 0.1)
    >>> pace.epoch(99)
    >>> pace.rate
    0.01
    """

    name: str
    initial: float
    power: float
    seen: int
    rate: float

    def epoch(self, samples: int) -> None:
        """Count an epoch over so many samples."""
        self.seen += samples
        if self.name == "invscaling":
            self.rate = self.initial / (self.seen + 1) ** self.power

    def lowered(self) -> bool:
        """Lower the rate, as nothing improves; False: there is none to lower, and the training ends."""
        if self.name != "adaptive" or self.rate <= LEAST:
            return False
        self.rate /= 5
        return True

    def of(self, spec: Spec) -> Spec:
        """Return the spec with the rate of the next epoch."""
        if self.rate == spec.optimizer.rate:
            return spec
        return spec.model_copy(update={"optimizer": spec.optimizer.model_copy(update={"lr": self.rate})})


def of_estimator(estimator: Any, again: bool, partial: bool) -> Pace | None:
    """Return the learning rate that an estimator's training follows; None where a schedule says it beforehand.

    Parameters
    ----------
    again : bool
        Whether the training goes on from the last one: the samples seen count on.
    partial : bool
        Whether it is a `partial_fit`, whose rate goes on too.
    """
    name, initial = estimator.learning_rate, estimator.learning_rate_init
    if estimator.solver != "sgd" or not isinstance(name, str) or name not in PACES:
        return None
    going_on = partial and again and name != "constant"
    rate = getattr(estimator, "learning_rate_", initial) if going_on else initial
    return Pace(name, initial, estimator.power_t, getattr(estimator, "t_", 0) if again else 0, rate)
