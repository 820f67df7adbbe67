"""A relay's connections: two to the worker above, one a direction, and one to each worker below for what it is told."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from hdl.runners import frames
from hdl.wire import Buffer
from hdl.yarn.comm import tls
from hdl.yarn.comm.mesh import CONNECT_SECONDS

UP, DOWN = "up", "down"  # the directions of a connection between two relays


class Links:
    """Holds the connections of one generation; any thread may send by them.

    Attributes
    ----------
    below : dict
        Connection to a worker below, and the lock of who writes to it, by its place.
    """

    def __init__(self) -> None:
        self.below: dict[int, tuple[Any, threading.Lock]] = {}
        self._up: Any = None
        self._from: Any = None
        self._up_lock = threading.Lock()

    @property
    def has_above(self) -> bool:
        """Tell whether the worker above still takes what is said."""
        return self._up is not None

    def connect(self, context: ssl.SSLContext, address: Any, hello: Mapping[str, Any]) -> Any:
        """Connect to the worker above; returns the connection that is read.

        Raises
        ------
        HdlError, OSError
            It cannot be reached.
        """
        self._up = tls.connect(context, address, {**hello, "way": UP}, CONNECT_SECONDS)
        self._from = tls.connect(context, address, {**hello, "way": DOWN}, CONNECT_SECONDS)
        self._from.settimeout(None)
        return self._from

    def say(self, frame: bytes, content: Sequence[Buffer] = ()) -> bool:
        """Send a message to the worker above; returns whether it went: one that does not take it is cut off."""
        with self._up_lock:
            up = self._up
            try:
                if up is not None:
                    _send(up, frame, content)
                    return True
            except (OSError, ValueError):
                self._up = None
        _close(up)
        return False

    def forget_above(self) -> None:
        """Say nothing more to the worker above."""
        self._up = None

    def tell(self, place: int, frame: bytes, content: Sequence[Buffer] = ()) -> None:
        """Send a message to a worker below; one that does not take it is cut off, and turns to the master."""
        channel, lock = self.below.get(place, (None, None))
        if lock is None:
            return
        try:
            with lock:
                _send(channel, frame, content)
        except (OSError, ValueError):
            self.cut(place)

    def cut(self, place: int) -> None:
        """Close the connection to a worker below, if there is one."""
        channel, _ = self.below.pop(place, (None, None))
        _close(channel)

    def close(self) -> None:
        """Close all connections."""
        for channel in [self._up, self._from, *(channel for channel, _ in [*self.below.values()])]:
            _close(channel)


def _send(channel: Any, frame: bytes, content: Sequence[Buffer]) -> None:
    frames.send(channel, frame, *([[*content]] if content else []))


def _close(channel: Any) -> None:
    if channel is not None:
        with suppress(OSError):
            channel.close()
