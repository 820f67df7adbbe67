"""The rule by which several trainings share the workers of a session: first come, first served.

A training has all workers from its beginning to its end; a trial of a search, or an estimator's fit, has one. They
begin in the order in which they came, so who wants all workers waits until those that began before have ended, and
nobody who came later begins before it does: nobody starves. A search has no more trials or fits here than there are
workers, so what comes in between begins after one of each worker.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Turn:
    """Is what waits for workers, or has them.

    Parameters
    ----------
    what : str
        For people: the table that is trained, say.
    whole : bool
        It wants all workers; else one.

    Attributes
    ----------
    workers : tuple of int
        That it has; empty: it waits.
    since : float
        Unix time from which on it has waited, or has had them.
    """

    what: str
    whole: bool
    workers: tuple[int, ...] = ()
    since: float = field(default_factory=time.time)


class Turns:
    """Keeps who waits and who has which workers. One thread uses it, or a lock is held.

    Parameters
    ----------
    workers : int

    Examples
    --------
    >>> turns, (a, b, c) = Turns(2), (Turn("a", False), Turn("b", True), Turn("c", False))
    >>> for each in (a, b, c):
    ...     turns.ask(each)
    >>> turns.begin({0, 1}) is a, turns.begin({0, 1}), turns.before(c)  # b waits for both, and c for b
    (True, None, 2)
    >>> turns.end(a)
    >>> turns.begin({0, 1}) is b, b.workers
    (True, (0, 1))
    """

    def __init__(self, workers: int):
        self.workers = workers
        self.running: list[Turn] = []
        self.waiting: deque[Turn] = deque()

    def ask(self, turn: Turn) -> None:
        """Wait behind all others."""
        turn.since = time.time()
        self.waiting.append(turn)

    def again(self, turn: Turn) -> None:
        """Wait before all others: its worker has died."""
        self.running.remove(turn)
        turn.workers = ()
        self.waiting.appendleft(turn)

    def begin(self, here: Collection[int], liked: Iterable[int] = ()) -> Turn | None:
        """Give the first one that waits its workers, if they are free.

        Parameters
        ----------
        here : collection of int
            Workers that there are: others have died, or have not come yet.
        liked : iterable of int
            Of which it takes one if it can: they have its data.

        Returns
        -------
        Turn or None
            None: nobody waits, or whoever is first has to wait on.
        """
        if not self.waiting:
            return None
        first, busy = self.waiting[0], {worker for turn in self.running for worker in turn.workers}
        free = [worker for worker in (*liked, *sorted(here)) if worker in here and worker not in busy]
        if busy if first.whole else not free:
            return None
        self.waiting.popleft()
        first.workers, first.since = tuple(range(self.workers)) if first.whole else (free[0],), time.time()
        self.running.append(first)
        return first

    def end(self, turn: Turn) -> None:
        """Take one out, whether it waits or has workers."""
        for place in (self.running, self.waiting):
            if turn in place:
                place.remove(turn)

    def before(self, turn: Turn) -> int:
        """Count those that come before one that waits: who has workers, and who waits before it."""
        return len(self.running) + self.waiting.index(turn) if turn in self.waiting else 0

    def describe(self) -> list[dict[str, Any]]:
        """Describe all of them in plain values: those that have workers, then those that wait."""
        return [{"what": turn.what, "whole": turn.whole, "workers": [*turn.workers], "since": turn.since}
                for turn in (*self.running, *self.waiting)]  # fmt: skip
