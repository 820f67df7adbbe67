"""joblib's threads, in which fits of hdl's estimators go to a session: see `joblib_backend`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from joblib.parallel import SequentialBackend, ThreadingBackend

from hdl.errors import SpecError
from hdl.fitting import place
from hdl.session import client, places
from hdl.session.fits import Fits


class SessionBackend(ThreadingBackend):
    """Runs joblib's tasks in threads of this process, and fits in them by a session's workers.

    Parameters
    ----------
    session : Session or str, optional
        Or its name; None: the only one that there is.

    Raises
    ------
    SpecError, WorkerError
        There is no such session, it is of another version, or it does not answer.
    """

    default_n_jobs = -1  # as many as the session has workers

    def __init__(self, session: Any = None, nesting_level: int | None = None, **rest: Any):
        super().__init__(nesting_level=nesting_level, **rest)
        self.session = _named(session)
        state = client.ask(self.session, "state")
        if state["version"] != places.version():
            raise SpecError(f"session {self.session!r} runs hdl {state['version']}, this is {places.version()}: start "
                            f"it again with: {state['command']}")  # fmt: skip
        settings = state["settings"]
        self.workers, self._device = int(settings["workers"]), str(settings.get("device", "cpu"))
        self._fits: Fits | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Count the tasks side by side: -1 are as many as there are workers."""
        if n_jobs is None or n_jobs >= 0:
            return super().effective_n_jobs(n_jobs)
        return max(1, self.workers + 1 + n_jobs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **rest: Any) -> int:
        """Begin, and return the number of tasks side by side.

        Of one joblib itself would be the thread, and ask no backend: so it is told of two, of which one waits.
        """
        self.parallel, self._n_jobs = parallel, self.effective_n_jobs(n_jobs)
        self._fits = Fits(self.session, self._device, self.workers)
        return max(2, self._n_jobs)

    def submit(self, func: Callable[[], Any], callback: Any = None) -> Any:
        """Run a task in a thread."""
        return super().submit(partial(self._task, func, self._fits), callback)

    def apply_async(self, func: Callable[[], Any], callback: Any = None) -> Any:
        """Run a task in a thread: what `submit` is called in older versions of joblib."""
        return super().apply_async(partial(self._task, func, self._fits), callback)

    @staticmethod
    def _task(func: Callable[[], Any], fits: Fits | None) -> Any:
        """Carry a task out. What ends the session's work ends the search, which would take it for a fit that failed."""
        assert fits is not None, "joblib configures a backend before it submits"
        with place.at(fits.train):
            result = func()
        if fits.error is not None:
            raise fits.error
        return result

    def get_nested_backend(self) -> tuple[SequentialBackend, None]:
        """Run what a task itself would run side by side in its own thread."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End what the session trains, and take back what waits; the session stays."""
        if self._fits is not None:
            self._fits.abort()
        super().abort_everything(ensure_ready)

    def terminate(self) -> None:
        """End the threads, and remove what was written for the session."""
        super().terminate()
        if self._fits is not None:
            self._fits.close()
            self._fits = None


def _named(session: Any) -> str:
    """Return the name of a session, or of the only one.

    Raises
    ------
    SpecError
        There is none, or several.
    """
    if session is not None:
        return str(getattr(session, "name", session))
    names = places.names()
    if len(names) != 1:
        have = f"there are {', '.join(names)}" if names else "there is none: hdl session start --workers N"
        raise SpecError(f"backend hdl: which session is meant? Give session=NAME; {have}")
    return names[0]
