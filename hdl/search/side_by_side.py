"""Carries a search out: compatible trainings side by side in threads, the others one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from hdl.errors import DataError, Fenced, HdlError, Interrupted, NonFinite, Unavailable
from hdl.events import Outcome
from hdl.ops.batching import BatchingBarrier, compatibility
from hdl.search.grid import Combination, Result, result_of

_NETS = 256  # that one call on a GPU takes
_THREADS = 128


class Search:
    """Trains combinations: compatible ones side by side, if there is a barrier for them, else one after the other.

    Parameters
    ----------
    train : function (combination, barrier or None) -> Outcome
    ended : function of a Result
        Called as each training ends, by one thread at a time.
    make_barrier : function of a number of members, optional
        Makes the barrier at which so many compatible trainings, each in a thread of its own, wait for each other.
        Without it no training goes side by side with another.
    stop : threading.Event
        Set here when all trainings must end; `train` looks at it.
    """

    def __init__(
        self, train: Callable[[Combination, BatchingBarrier | None], Outcome], ended: Callable[[Result], Any],
        make_barrier: Callable[[int], BatchingBarrier] | None, stop: threading.Event,
    ):  # fmt: skip
        self._train, self._ended, self._make_barrier, self._stop = train, ended, make_barrier, stop
        self._lock = threading.Lock()
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
                self._train_together(group, self._make_barrier)
            else:
                self._train_one(group[0], None)

    def _train_one(self, combination: Combination, barrier: BatchingBarrier | None) -> None:
        try:
            result = result_of(combination, self._train(combination, barrier))
        except (Interrupted, DataError, Fenced, Unavailable):
            raise
        except HdlError as error:
            state = "diverged" if isinstance(error, NonFinite) else "failed"
            spec = combination.spec.model_dump(mode="json")
            result = Result(combination.name, combination.values, spec, state, str(error))
        with self._lock:
            self._ended(result)

    def _train_together(self, group: Sequence[Combination], make_barrier: Callable[[int], BatchingBarrier]) -> None:
        """Trains a group of compatible combinations in threads, each of which takes the next one when it has ended."""
        threads = min(len(group), _THREADS, max(1, _NETS // group[0].spec.shards))
        barrier, pending = make_barrier(threads), iter(group)
        finished = [threading.Event() for _ in range(threads)]  # one a thread
        unclaimed = iter(finished)

        def claim() -> threading.Event | None:
            """Takes an event that no thread has: Ctrl-C, which takes the rest, may come before a thread has begun."""
            with self._lock:
                return next(unclaimed, None)

        def leave(event: threading.Event) -> None:
            barrier.leave()
            event.set()

        def work() -> None:
            event = claim()
            if event is None:
                return
            try:
                while not self._stop.is_set():
                    with self._lock:
                        combination = next(pending, None)
                    if combination is None:
                        return
                    self._train_one(combination, barrier)
            except BaseException as error:  # raised again where the threads are waited for
                with self._lock:
                    self._error = self._error or error
                self._stop.set()
            finally:
                leave(event)

        try:
            for number in range(threads):  # daemons: after a second Ctrl-C the process ends without them
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


def _wait(finished: Sequence[threading.Event]) -> None:
    """Waits until all threads have finished; `Thread.join`, interrupted by Ctrl-C, takes its thread for ended."""
    for event in finished:
        while not event.wait(0.2):  # with a limit, so that signals are heard
            pass
