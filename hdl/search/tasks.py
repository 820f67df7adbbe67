"""What a scheduler of a search is asked for, a task, and the interface of schedulers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """Asks for a trial to be trained up to a share of its rounds.

    Parameters
    ----------
    number : int
        Of the trial, from 0.
    share : float
    rung, bracket : int
    parents : (int, int) or None
        Of a population, the trials whose weights and hyper-parameters this one goes on from: itself, twice, where it is
        no child of others.
    """

    number: int
    share: float = 1.0
    rung: int = 0
    bracket: int = 0
    parents: tuple[int, int] | None = None


Ready = Callable[[int], bool]  # whether a trial that has not begun may begin


class Scheduler(ABC):
    """Says which trials go on; `over` once nothing is left but what is running."""

    @abstractmethod
    def ask(self, ready: Ready) -> Task | None:
        """Gives the next task; None while results must be waited for, or at the end."""

    def tell(self, task: Task, loss: float, curve: Sequence[float] = ()) -> None:
        """Takes the loss of a task, of which less is better (inf: none), and the losses of its rounds up to there."""
        return

    def stopped(self) -> set[int]:
        """Names the trials that were not trained to their ends because others were better."""
        return set()


def best(losses: Mapping[int, float], count: int) -> list[int]:
    """Lists the trials with the least losses, of equals the first ones; those without a loss are never among them."""
    finite = [number for number, loss in losses.items() if math.isfinite(loss)]
    return sorted(finite, key=lambda number: (losses[number], number))[:count]
