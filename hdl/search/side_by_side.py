"""Carries a search out: what a plan asks for, in threads; on a GPU compatible trainings of a grid side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hdl.errors import DataError, Fenced, HdlError, Interrupted, NonFinite, SessionEnded, Unavailable
from hdl.events import Outcome
from hdl.ops.batching import BatchingBarrier, compatibility
from hdl.search.grid import Combination, Result, result_of

_NETS = 256  # that one call on a GPU takes
_THREADS = 128


class Planned(Protocol):
    """Says which training is next, and hears of results: the seam to whoever carries them out."""

    def ask(self) -> Combination | None:
        """Gives the next training; None while results must be waited for, and at the end."""

    def tell(self, combination: Combination, result: Result) -> Any:
        """Takes the result of one that was asked for."""


class Pending:
    """Plans trainings that are all known from the start, one after the other: a grid."""

    def __init__(self, combinations: Sequence[Combination]):
        self._left = list(combinations)

    def ask(self) -> Combination | None:
        return self._left.pop(0) if self._left else None

    def tell(self, combination: Combination, result: Result) -> None:
        return


class Search:
    """Trains what a plan asks for, several trainings at a time in threads; of a grid compatible ones side by side.

    Parameters
    ----------
    train : function (combination, barrier or None) -> Outcome, or a Result of several
    ended : function of a Result
        Called as each training ends, by one thread at a time.
    make_barrier : function of a number of members, optional
        Makes the barrier at which so many compatible trainings, each in a thread of its own, wait for each other.
        Without it no training of a grid goes side by side with another.
    stop : threading.Event
        Set here when all trainings must end; `train` looks at it.
    """

    def __init__(
        self, train: Callable[[Combination, BatchingBarrier | None], Outcome | Result], ended: Callable[[Result], Any],
        make_barrier: Callable[[int], BatchingBarrier] | None, stop: threading.Event,
    ):  # fmt: skip
        self._train, self._ended, self._make_barrier, self._stop = train, ended, make_barrier, stop
        self._lock = threading.Condition()
        self._error: BaseException | None = None

    def __call__(self, combinations: Sequence[Combination]) -> None:
        """Trains all combinations.

        Raises
        ------
        DataError, Unavailable
            Wrong with one training, these are wrong with all of them.
        Interrupted, KeyboardInterrupt
        """
        groups: dict[Any, list[Combination]] = {}
        for number, combination in enumerate(combinations):
            key = compatibility(combination.spec) if self._make_barrier else None
            groups.setdefault(number if key is None else key, []).append(combination)
        for group in groups.values():
            if len(group) > 1 and self._make_barrier:
                threads = min(len(group), _THREADS, max(1, _NETS // group[0].spec.shards))
                self._in_threads(Pending(group), threads, self._make_barrier(threads))
            else:
                self._train_one(group[0], None)

    def carry_out(self, plan: Planned, slots: int) -> None:
        """Trains what a plan asks for, until it asks for nothing more; `slots` trainings at a time.

        Raises
        ------
        As of a call.
        """
        self._in_threads(plan, slots, None)

    def _train_one(self, combination: Combination, barrier: BatchingBarrier | None) -> Result:
        def train(one: Combination) -> Result:
            found = self._train(one, barrier)
            return found if isinstance(found, Result) else result_of(one, found)

        result = attempted(combination, train)
        with self._lock:
            self._ended(result)
        return result

    def _in_threads(self, plan: Planned, count: int, barrier: BatchingBarrier | None) -> None:
        """Trains in threads, each of which asks for the next training when it has ended one."""
        running = 0
        finished = [threading.Event() for _ in range(count)]  # one a thread
        unclaimed = iter(finished)

        def claim() -> threading.Event | None:
            """Takes an event that no thread has: Ctrl-C, which takes the rest, may come before a thread has begun."""
            with self._lock:
                return next(unclaimed, None)

        def leave(event: threading.Event) -> None:
            if barrier is not None:
                barrier.leave()
            event.set()

        def following() -> Combination | None:
            """Asks for the next training, and waits where only results of others say which."""
            nonlocal running
            with self._lock:
                while not self._stop.is_set():
                    combination = plan.ask()
                    if combination is not None:
                        running += 1
                        return combination
                    if not running or barrier is not None:  # the others at the barrier would wait for who waits here
                        break
                    self._lock.wait(0.2)  # with a limit: `stop` may be set by others
                self._lock.notify_all()
                return None

        def work() -> None:
            nonlocal running
            event = claim()
            if event is None:
                return
            try:
                while (combination := following()) is not None:
                    try:
                        result = self._train_one(combination, barrier)
                        with self._lock:
                            plan.tell(combination, result)
                    finally:
                        with self._lock:
                            running -= 1
                            self._lock.notify_all()
            except BaseException as error:  # raised again where the threads are waited for
                with self._lock:
                    self._error = self._error or error
                self._stop.set()
            finally:
                leave(event)

        try:
            for number in range(count):  # daemons: after a second Ctrl-C the process ends without them
                threading.Thread(target=work, name=f"hdl-grid-{number}", daemon=True).start()
            _wait(finished)
        except KeyboardInterrupt:
            self._stop.set()
            for event in iter(claim, None):  # of threads that have not begun, for which nobody must wait
                leave(event)
            _wait(finished)
            raise
        if self._error:
            raise self._error


def attempted(combination: Combination, train: Callable[[Combination], Result]) -> Result:
    """Trains, and makes a result of an error that is this training's alone; what is wrong with all of them is raised.

    Raises
    ------
    DataError, Fenced, Interrupted, SessionEnded, Unavailable
    """
    try:
        return train(combination)
    except (Interrupted, DataError, Fenced, SessionEnded, Unavailable):
        raise
    except HdlError as error:
        state = "diverged" if isinstance(error, NonFinite) else "failed"
        spec = combination.spec.model_dump(mode="json")
        return Result(combination.name, combination.values, spec, state, str(error))


def _wait(finished: Sequence[threading.Event]) -> None:
    """Waits until all threads have finished; `Thread.join`, interrupted by Ctrl-C, takes its thread for ended."""
    for event in finished:
        while not event.wait(0.2):  # with a limit, so that signals are heard
            pass
