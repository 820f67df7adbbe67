"""A space of hyper-parameters: for each parameter the values that it may have, as a function of a number in [0, 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hdl.errors import SpecError

DIGITS = 6  # of a number that is drawn: what is shown is what is trained with


@dataclass(frozen=True)
class Parameter:
    """The values of one hyper-parameter: a list, or a range.

    Parameters
    ----------
    name : str
        Flag of the spec's field, without its dashes.
    kind : {'choice', 'linear', 'log'}
    values : tuple
        Of a choice.
    low, high : float
        Ends of a range, both of which belong to it.
    whole : bool
        The range has whole numbers only.

    Raises
    ------
    SpecError
        The list is empty or has a value twice, or the range's ends are not in order.
    """

    name: str
    kind: Literal["choice", "linear", "log"]
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False

    def __post_init__(self) -> None:
        if self.kind == "choice":
            if not self.values or len(set(map(str, self.values))) < len(self.values):
                raise SpecError(f"{self.name}: expected values that differ (given {list(self.values)})")
            return
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise SpecError(f"{self.name}: expected a range whose first end is below its second "
                            f"(given {self.low:g} and {self.high:g})")  # fmt: skip
        if self.kind == "log" and self.low <= 0:
            raise SpecError(f"{self.name}: a logarithmic range begins above 0 (given {self.low:g})")

    def at(self, share: float) -> Any:
        """Gives the value at a share in [0, 1) of the list or the range.

        Examples
        --------
        >>> Parameter("lr", "log", low=1e-4, high=1e-2).at(0.5), Parameter("batch", "linear", (), 8, 9, True).at(0.5)
        (0.001, 9)
        """
        if self.kind == "choice":
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        # Each whole number has an equal part of the range, those at its ends too.
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)
        if self.kind == "log":
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        if self.whole:
            return min(max(math.floor(value + 0.5), int(self.low)), int(self.high))
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def place(self, value: Any) -> float:
        """Gives the place of a value in [0, 1]: of a choice the middle of its part."""
        if self.kind == "choice":
            at = list(map(str, self.values)).index(str(value))
            return (at + 0.5) / len(self.values)
        if self.kind == "log":
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    @property
    def ends(self) -> tuple[Any, ...]:
        """All values of a choice, the ends of a range: what a spec is tried with before a search begins."""
        if self.kind == "choice":
            return self.values
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


@dataclass(frozen=True)
class Space:
    """A space of hyper-parameters.

    Parameters
    ----------
    parameters : tuple of Parameter
    """

    parameters: tuple[Parameter, ...]

    def at(self, point: Sequence[float]) -> dict[str, Any]:
        """Gives the values at a point of the unit cube, by the parameters' names."""
        return {each.name: each.at(float(share)) for each, share in zip(self.parameters, point, strict=True)}

    def probes(self) -> list[dict[str, Any]]:
        """Lists combinations in which each choice and each end of a range occurs."""
        longest = max(len(each.ends) for each in self.parameters)
        return [{each.name: each.ends[at % len(each.ends)] for each in self.parameters} for at in range(longest)]

    def to_plain(self) -> list[dict[str, Any]]:
        """Gives plain values of JSON."""
        return [asdict(each) | {"values": list(each.values)} for each in self.parameters]

    @classmethod
    def of(cls, plain: Sequence[dict[str, Any]]) -> Space:
        """Makes the space that `to_plain` wrote."""
        return cls(tuple(Parameter(**{**each, "values": tuple(each["values"])}) for each in plain))
