"""Schedulers: which trial of a search trains next and how far, as state machines that are asked and told.

All of them but ASHA decide by complete rungs and by trials' numbers: whatever the order in which results come, the same
trials go on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from hdl.errors import SpecError
from hdl.search.population import Population
from hdl.search.tasks import Ready, Scheduler, Task, best

ETA = 3  # of so many trials one goes on
RUNGS = 4  # at most
CHECKS = (0.25, 0.5, 0.75, 1.0)  # shares at which the median is taken


class Listed(Scheduler):
    """Trains every trial to its end, in their order: a grid, or a search without a scheduler."""

    def __init__(self, numbers: Sequence[int]):
        self._left = list(numbers)

    def ask(self, ready: Ready) -> Task | None:
        if self._left and ready(self._left[0]):
            return Task(self._left.pop(0))
        return None


@dataclass
class _Rung:
    """The trials of a rung: those that are still to be asked for, and the losses of those that were told."""

    share: float
    left: list[int] = field(default_factory=list)
    losses: dict[int, float] = field(default_factory=dict)
    size: int = 0  # trials that belong to it, once it is known

    @property
    def full(self) -> bool:
        return bool(self.size) and len(self.losses) == self.size


def _filled(trials: int, eta: int) -> int:
    """Counts the rungs that so many trials fill, at most 4.

    Raises
    ------
    SpecError
        Of `eta` trials none would be left out.
    """
    if eta < 2:
        raise SpecError(f"--eta: expected a whole number from 2 on (given {eta})")
    rungs = 1
    while rungs < RUNGS and eta**rungs <= trials:
        rungs += 1
    return rungs


class Halving(Scheduler):
    """Synchronous successive halving (Jamieson & Talwalkar 2016): of each rung the best one in `eta` trials goes on.

    Parameters
    ----------
    numbers : sequence of int
    eta : int
    rungs : int, optional
        Rung r of R trains up to a share eta^-(R - 1 - r). None: as many as the trials fill, at most 4.
    bracket : int
    """

    def __init__(self, numbers: Sequence[int], eta: int = ETA, rungs: int | None = None, bracket: int = 0):
        self.eta, self.bracket, self._stopped = eta, bracket, set[int]()
        rungs = rungs or _filled(len(numbers), eta)
        self._rungs = [_Rung(float(eta) ** -(rungs - 1 - at)) for at in range(rungs)]
        self._rungs[0].left, self._rungs[0].size = list(numbers), len(numbers)

    def ask(self, ready: Ready) -> Task | None:
        for at in reversed(range(len(self._rungs))):
            rung = self._rungs[at]
            if rung.left and (at or ready(rung.left[0])):
                return Task(rung.left.pop(0), rung.share, at, self.bracket)
        return None

    def tell(self, task: Task, loss: float, curve: Sequence[float] = ()) -> None:
        rung = self._rungs[task.rung]
        rung.losses[task.number] = loss
        if not rung.full or task.rung + 1 == len(self._rungs):
            return
        chosen = best(rung.losses, max(1, rung.size // self.eta))
        after = self._rungs[task.rung + 1]
        after.left, after.size = sorted(chosen), len(chosen)
        self._stopped |= {number for number, loss in rung.losses.items() if math.isfinite(loss)} - set(chosen)

    def stopped(self) -> set[int]:
        return self._stopped


class Hyperband(Scheduler):
    """Hyperband (Li et al. 2018): successive halving in brackets, from many trials cut early to few that train long.

    Brackets are filled one after the other by the trials' numbers, in Hyperband's proportions, until all have one.
    """

    def __init__(self, numbers: Sequence[int], eta: int = ETA, rungs: int = RUNGS):
        left, self._brackets = list(numbers), list[Halving]()
        while left:
            for s in reversed(range(rungs)):
                size = math.ceil(rungs / (s + 1) * eta**s)
                if left:
                    self._brackets.append(Halving(left[:size], eta, s + 1, len(self._brackets)))
                    left = left[size:]

    def ask(self, ready: Ready) -> Task | None:
        return next((task for each in self._brackets if (task := each.ask(ready))), None)

    def tell(self, task: Task, loss: float, curve: Sequence[float] = ()) -> None:
        self._brackets[task.bracket].tell(task, loss, curve)

    def stopped(self) -> set[int]:
        return set[int]().union(*(each.stopped() for each in self._brackets))


class Asha(Scheduler):
    """ASHA (Li et al. 2020): halving that waits for nobody. What goes on depends on which results come first."""

    def __init__(self, numbers: Sequence[int], eta: int = ETA):
        self._left, self.eta = list(numbers), eta
        rungs = _filled(len(self._left), eta)
        self._rungs = [_Rung(float(eta) ** -(rungs - 1 - at)) for at in range(rungs)]
        self._promoted: list[set[int]] = [set() for _ in range(rungs)]

    def ask(self, ready: Ready) -> Task | None:
        for at in reversed(range(len(self._rungs) - 1)):
            losses = self._rungs[at].losses
            for number in best(losses, len(losses) // self.eta):
                if number not in self._promoted[at]:
                    self._promoted[at].add(number)
                    return Task(number, self._rungs[at + 1].share, at + 1)
        if self._left and ready(self._left[0]):
            return Task(self._left.pop(0), self._rungs[0].share)
        return None

    def tell(self, task: Task, loss: float, curve: Sequence[float] = ()) -> None:
        self._rungs[task.rung].losses[task.number] = loss

    def stopped(self) -> set[int]:
        return {number for at, rung in enumerate(self._rungs[:-1]) for number, loss in rung.losses.items()
                if math.isfinite(loss) and number not in self._promoted[at]}  # fmt: skip


class MedianStopping(Scheduler):
    """Median stopping (Golovin et al. 2017): a trial whose best loss is above the median of the running means of all
    trials that came as far is stopped. All trials of a check are waited for, so that the order decides nothing."""

    def __init__(self, numbers: Sequence[int]):
        self._rungs = [_Rung(share) for share in CHECKS]
        self._rungs[0].left, self._rungs[0].size = list(numbers), len(numbers)
        self._means: dict[int, float] = {}
        self._stopped = set[int]()

    def ask(self, ready: Ready) -> Task | None:
        for at in reversed(range(len(self._rungs))):
            rung = self._rungs[at]
            if rung.left and (at or ready(rung.left[0])):
                return Task(rung.left.pop(0), rung.share, at)
        return None

    def tell(self, task: Task, loss: float, curve: Sequence[float] = ()) -> None:
        rung = self._rungs[task.rung]
        rung.losses[task.number] = loss
        finite = [value for value in curve if math.isfinite(value)] or [loss]
        self._means[task.number] = math.fsum(finite) / len(finite)
        if not rung.full or task.rung + 1 == len(self._rungs):
            return
        whole = {number for number, value in rung.losses.items() if math.isfinite(value)}
        means = [self._means[number] for number in whole]
        chosen = sorted(number for number in whole if rung.losses[number] <= median(means))
        after = self._rungs[task.rung + 1]
        after.left, after.size = list(chosen), len(chosen)
        self._stopped |= whole - set(chosen)

    def stopped(self) -> set[int]:
        return self._stopped


NAMES = ("none", "halving", "hyperband", "asha", "median", "pbt")


def make(name: str, trials: int, eta: int = ETA, generations: int = 1, seed: int = 1) -> Scheduler:
    """Makes the scheduler of a name for trials 0 to trials - 1; `generations` and `seed` are those of a population.

    Raises
    ------
    SpecError
        There is no such scheduler.
    """
    numbers = range(trials)
    if name == "none":
        return Listed(numbers)
    if name == "median":
        return MedianStopping(numbers)
    if name == "pbt":
        return Population(trials, eta, generations, seed)
    kinds = {"halving": Halving, "hyperband": Hyperband, "asha": Asha}
    if name not in kinds:
        raise SpecError(f"--scheduler: expected one of {', '.join(NAMES)} (given {name!r})")
    return kinds[name](numbers, eta)
