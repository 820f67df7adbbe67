"""Weights that the workers have, and the master fetches when somebody reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from hdl.errors import WorkerError
from hdl.wire import Weights


class WeightsLost(WorkerError):
    """Says that no worker has the round's weights any more: training goes on from the table's last version."""


class RemoteWeights(Weights):
    """Stands for weights that the workers have; they are fetched when they are first read.

    Parameters
    ----------
    round : int
    fetch : function
        Fetches the weights.
    """

    _fetch: Callable[[], Weights]
    _lock: threading.Lock
    _here: Weights | None

    def __init__(self, round: int, fetch: Callable[[], Weights]):
        object.__setattr__(self, "round", round)
        object.__setattr__(self, "_fetch", fetch)
        object.__setattr__(self, "_lock", threading.Lock())
        object.__setattr__(self, "_here", None)

    def here(self) -> Weights:
        """Return the weights themselves, fetched once."""
        with self._lock:
            weights = self._here
            if weights is None:
                weights = self._fetch()
                object.__setattr__(self, "_here", weights)
            return weights

    @property
    def w(self) -> Any:  # type: ignore[override]
        return self.here().w

    @property
    def state(self) -> Any:  # type: ignore[override]
        return self.here().state
