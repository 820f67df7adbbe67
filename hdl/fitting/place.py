"""Where the fits of a thread are trained: in this process, or where a backend of joblib has set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdl.fitting.rounds import Trained

# Takes what `rounds.train` takes; None: what is asked for is trained here.
Place = Callable[..., "Trained | None"]
_present: ContextVar[Any] = ContextVar("hdl_place", default=None)


def current() -> Place | None:
    """Return where this thread's fits are trained; None: in this process."""
    return _present.get()


@contextmanager
def at(place: Place | None) -> Iterator[None]:
    """Have the fits of this thread trained elsewhere."""
    before = _present.set(place)
    try:
        yield
    finally:
        _present.reset(before)
