"""Requests the worker group's containers of `Resources`, for a while only on certain hosts, and launches them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from hdl import timeline
from hdl.yarn.comm.control_server import Server
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.names import CONTROL
from hdl.yarn.resource_manager.resources import Container, Ended, Leaving, Resources

POLL_SECONDS = 0.05


class Containers:
    """Requests and launches containers. Containers that an earlier attempt left are admitted from the beginning.

    Used by the master's own thread alone; before `event` is first called, containers that were asked for early are
    launched by another one.

    Parameters
    ----------
    resources : Resources
    server : Server
        A worker is admitted when its container is launched.
    credentials : Credentials
        Of the application; each worker gets keys of its own.
    relax_seconds : float
        Wait for a container on the hosts asked for before one on any other is taken.
    left : list of Container
        Containers that an earlier attempt left running.

    Attributes
    ----------
    available : str
        Resources that the cluster could still give, as text.
    nodes : int
        Of the cluster; 0: not known yet.
    progress : float
        Share of the training that is done, for the heartbeat.
    near : list of list of str
        The hosts near which each container was asked for early; empty: none was.
    """

    def __init__(
        self, resources: Resources, server: Server, credentials: Credentials, relax_seconds: float,
        left: Sequence[Container] = (),
    ):  # fmt: skip
        self.resources, self.server, self.credentials = resources, server, credentials
        self.relax_seconds, self.left = relax_seconds, list(left)
        self.available, self.nodes, self.progress = "", 0, 0.0
        self.near: list[list[str]] = []
        self._avoided: set[str] = set()
        self._relax: dict[int, float] = {}  # requests that still insist on their hosts: until when
        self._polled = 0.0
        self._events: deque[Container | Ended | Leaving] = deque()
        self._early: set[int] = set()  # asked for before the group was there, which has not asked for them yet
        self._launching: threading.Thread | None = None
        self._settled = threading.Event()
        for container in self.left:
            server.admit(container.id)

    def ask_early(self, hosts: Sequence[Sequence[str]]) -> None:
        """Ask for the containers 0, 1, … each near its hosts, before there is a group that takes them.

        They are launched meanwhile: a worker starts while the master looks at the data. The group's own first requests
        for them ask for nothing.
        """
        self.near = [list(each) for each in hosts]
        for number, near in enumerate(self.near):
            self.ask(number, near)
        self._early = {*range(len(hosts))}
        self._launching = threading.Thread(target=self._launch_early, name="hdl-early", daemon=True)
        self._launching.start()

    def ask(self, number: int, hosts: Sequence[str] = ()) -> None:
        """Ask for a container on one of the hosts; after `relax_seconds` on any that is not avoided."""
        if number in self._early:
            self._early.discard(number)
            return
        hosts = [host for host in hosts if host not in self._avoided]
        if hosts:
            self._relax[number] = time.monotonic() + self.relax_seconds
        self.resources.ask(number, hosts, strict=bool(hosts))
        timeline.reached("master", f"asked {number}")

    def avoid(self, hosts: Sequence[str]) -> None:
        """Get no more containers on these hosts, and on all others again."""
        if {*hosts} != self._avoided:
            self._avoided = {*hosts}
            self.resources.avoid(hosts)

    def stop(self, container: str) -> None:
        """End a container."""
        self.resources.stop(container)

    def event(self) -> Container | Ended | Leaving | None:
        """Get the next container that was launched, has ended or is wanted back; None if there is none."""
        if self._launching:
            self._settled.set()
            self._launching.join()
            self._launching = None
        now = time.monotonic()
        if not self._events and now - self._polled >= POLL_SECONDS:
            self._polled = now
            self._poll(now)
        return self._events.popleft() if self._events else None

    def _launch_early(self) -> None:
        waited = {*self._early}
        with suppress(Exception):  # what is wrong shows at the group's own next step
            while waited and not self._settled.wait(POLL_SECONDS):
                self._poll(time.monotonic())
                waited -= {event.number for event in self._events if isinstance(event, Container)}

    def _poll(self, now: float) -> None:
        for number in [number for number, until in self._relax.items() if now > until]:
            del self._relax[number]
            self.resources.ask(number, (), strict=False)
        changes = self.resources.poll(self.progress)
        self.available = changes.available or self.available
        self.nodes = changes.nodes or self.nodes
        for container in changes.granted:
            timeline.reached("master", f"granted {container.number}")
            self._relax.pop(container.number, None)
            self.server.admit(container.id)
            keys = self.credentials.worker(container.id)
            self.resources.launch(container, keys | {CONTROL: self.server.address.encode()})
        self._events.extend(changes.granted)
        self._events.extend(changes.leaving)
        self._events.extend(changes.ended)
