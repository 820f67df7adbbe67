"""Carries a search out: its trainings one after the other, or those that are alike side by side in threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from hdl.driver import Outcome
from hdl.errors import DataError, HdlError, Interrupted, NonFinite, Unavailable
from hdl.ops.batching import BatchingBarrier, compatibility
from hdl.search.grid import Combination, Result, result_of

_NETS = 256  # that one call on a GPU takes
_THREADS = 128


class Search:
    """Trains combinations, one after the other or those that are alike side by side.

    Parameters
    ----------
    train : function (combination, barrier or None) -> Outcome
    ended : function of a Result
        Called as each ends, by one thread at a time.
    make_barrier : function of a number of members, optional
        Gives the barrier of trainings that are alike: then each of them has a thread.
    stop : threading.Event
        Set here where all must end; who trains in a thread looks at it.
    """

    def __init__(
        self, train: Callable[[Combination, BatchingBarrier | None], Outcome], ended: Callable[[Result], Any],
        make_barrier: Callable[[int], BatchingBarrier] | None, stop: threading.Event,
    ):  # fmt: skip
        self._train, self._ended, self._make_barrier, self._stop = train, ended, make_barrier, stop
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def __call__(self, combinations: Sequence[Combination]) -> None:
        """Trains them all.

        Raises
        ------
        DataError, Unavailable
            What is wrong with one is wrong with all.
        Interrupted, KeyboardInterrupt
        """
        groups: dict[Any, list[Combination]] = {}
        for number, one in enumerate(combinations):
            key = compatibility(one.spec) if self._make_barrier else None
            groups.setdefault(number if key is None else key, []).append(one)
        for group in groups.values():
            if len(group) > 1:
                self._side_by_side(group)
            else:
                self._one(group[0], None)

    def _one(self, one: Combination, barrier: BatchingBarrier | None) -> None:
        try:
            result = result_of(one, self._train(one, barrier))
        except (Interrupted, DataError, Unavailable):
            raise
        except HdlError as error:
            state = "diverged" if isinstance(error, NonFinite) else "failed"
            result = Result(one.name, one.values, one.spec.model_dump(mode="json"), state, str(error))
        with self._lock:
            self._ended(result)

    def _side_by_side(self, group: Sequence[Combination]) -> None:
        count = min(len(group), _THREADS, max(1, _NETS // group[0].spec.shards))
        barrier, waiting = self._make_barrier(count), iter(group)  # type: ignore[misc]  # without it there are no groups
        gone = [threading.Event() for _ in range(count)]
        places = iter(gone)

        def place() -> threading.Event | None:  # one that nobody has taken: Ctrl-C may come before a thread has begun
            with self._lock:
                return next(places, None)

        def left(own: threading.Event) -> None:
            barrier.leave()
            own.set()

        def work() -> None:
            own = place()
            if own is None:
                return
            try:
                while not self._stop.is_set():
                    with self._lock:
                        one = next(waiting, None)
                    if one is None:
                        return
                    self._one(one, barrier)
            except BaseException as error:  # raised again where the threads are waited for
                with self._lock:
                    self._error = self._error or error
                self._stop.set()
            finally:
                left(own)

        try:
            for number in range(count):  # daemons: after a second Ctrl-C the process ends without them
                threading.Thread(target=work, name=f"hdl-grid-{number}", daemon=True).start()
            _wait(gone)
        except KeyboardInterrupt:
            self._stop.set()
            for free in iter(place, None):  # nobody is to wait for who would have come
                left(free)
            _wait(gone)
            raise
        if self._error:
            raise self._error


def _wait(gone: Sequence[threading.Event]) -> None:
    """Until the threads have set theirs: `Thread.join` takes one for ended that Ctrl-C finds it waiting for."""
    for event in gone:
        while not event.wait(0.2):  # with a limit, so that signals are heard
            pass
