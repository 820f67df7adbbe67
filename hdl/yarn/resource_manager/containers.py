"""Asks `Resources` for the worker group's containers: a request insists on its hosts for a while, and what is granted
is launched.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from hdl.yarn.comm.control import Server
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.resource_manager.resources import Container, Ended, Resources
from hdl.yarn.settings import CONTROL

POLL_SECONDS = 0.05


class Containers:
    """Requests and launches containers. Containers that an earlier attempt left are admitted from the beginning.

    Used by the master's own thread alone.

    Parameters
    ----------
    resources : Resources
    server : Server
        A worker is admitted when its container is launched.
    secrets : Credentials
    relax_seconds : float
        Wait for a container on the hosts asked for before any other will do.
    left : list of Container
        That an earlier attempt left running.

    Attributes
    ----------
    available : str
        What the cluster could still give.
    progress : float
        Share done, for the heartbeat.
    """

    def __init__(
        self, resources: Resources, server: Server, secrets: Credentials, relax_seconds: float,
        left: Sequence[Container] = (),
    ):  # fmt: skip
        self.resources, self.server, self.secrets = resources, server, secrets
        self.relax_seconds, self.left = relax_seconds, list(left)
        self.available, self.progress = "", 0.0
        self._relax: dict[int, float] = {}  # requests that still insist on their hosts: until when
        self._polled = 0.0
        self._events: deque[Container | Ended] = deque()
        for container in self.left:
            server.admit(container.id)

    def ask(self, number: int, hosts: Sequence[str] = ()) -> None:
        """Ask for a container beside some blocks; after a while any other will do."""
        if hosts:
            self._relax[number] = time.monotonic() + self.relax_seconds
        self.resources.ask(number, hosts, strict=bool(hosts))

    def stop(self, container: str) -> None:
        """End a container."""
        self.resources.stop(container)

    def event(self) -> Container | Ended | None:
        """Get the next container that was launched, or has ended; None if there is none."""
        now = time.monotonic()
        if not self._events and now - self._polled >= POLL_SECONDS:
            self._polled = now
            self._poll(now)
        return self._events.popleft() if self._events else None

    def _poll(self, now: float) -> None:
        for number in [number for number, until in self._relax.items() if now > until]:
            del self._relax[number]
            self.resources.ask(number, (), strict=False)
        changes = self.resources.poll(self.progress)
        self.available = changes.available or self.available
        for container in changes.granted:
            self._relax.pop(container.number, None)
            self.server.admit(container.id)
            keys = self.secrets.worker(container.id)
            self.resources.launch(container, keys | {CONTROL: self.server.address.encode()})
        self._events.extend(changes.granted)
        self._events.extend(changes.ended)
