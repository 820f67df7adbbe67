"""A session in the master: one order after the other, by workers that stay with their decoded data."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from hdl import wire
from hdl.data import opened
from hdl.errors import DeadlineError, Interrupted, NodeError, WorkerError
from hdl.runners.base import Job
from hdl.runners.messages import error_message
from hdl.yarn.comm.credentials import SESSION
from hdl.yarn.dashboard.state import State
from hdl.yarn.master.membership import Lost
from hdl.yarn.master.watcher import Watcher
from hdl.yarn.master.worker_group import WorkerGroup
from hdl.yarn.protocol.message import Message, ProtocolError
from hdl.yarn.protocol.session import Ask, Cancel, Order, Stop, Told, read_from_client
from hdl.yarn.settings import Settings

ORPHAN_SECONDS = 86_400.0  # without a word of the client, after which the application ends: it may be a laptop's lid
HEAR_SECONDS = 0.1


class Session:
    """Takes orders of the client that began the application.

    Parameters
    ----------
    settings : Settings
    group : WorkerGroup
    watcher : Watcher
        Is told what happens, beside the client.
    carry_out : function of a task config, a watcher and the order's number
        Trains or measures, and returns the outcome in plain values.
    """

    def __init__(
        self, settings: Settings, group: WorkerGroup, watcher: Watcher,
        carry_out: Callable[[dict[str, Any], Watcher, int], dict[str, Any]],
    ):  # fmt: skip
        self.settings, self.group, self.watcher, self.carry_out = settings, group, watcher, carry_out
        self.done = 0
        self._orders: deque[Order] = deque()
        self._present: Order | None = None
        self._last = 0  # number of the order that came last
        self._stopped = self._cancelled = False
        self._record = State("")
        self._outcome: dict[str, Any] | None = None
        self._heard = self._idle_since = time.monotonic()
        opened.keep()
        group.server.admit(SESSION)
        group.of_client = self._receive

    def serve(self) -> int:
        """Carry out orders until the session is stopped, or idle for too long; returns how many there were.

        Raises
        ------
        WorkerError, DeadlineError, NodeError
            Workers failed too often, or do not come: the session cannot go on.
        """
        while not self._over():
            if self._orders:
                self._carry_out(self._orders.popleft())
                continue
            try:
                self.group.hear(HEAR_SECONDS)
            except Lost as lost:
                self.group.evict(lost)
                self.group.leave_mesh()
        return self.done

    def _over(self) -> bool:
        now = time.monotonic()
        idle = self.settings.session_idle and now - self._idle_since > self.settings.session_idle
        return self._stopped or bool(idle) or now - self._heard > ORPHAN_SECONDS

    def _carry_out(self, order: Order) -> None:
        self._present, self._cancelled = order, False
        watcher = _Both(self.watcher, self._record)
        self.group.message = watcher.message
        self.group.leave_mesh()  # workers that left a command midway have left it, too
        try:
            outcome = self.carry_out(order.config, watcher, order.number)
        except (WorkerError, DeadlineError, NodeError) as error:
            self._end(order, {"error": wire.unpack(error_message(error))[1]})
            self._linger()
            raise
        except KeyboardInterrupt:
            outcome = {"error": wire.unpack(error_message(Interrupted("stopped")))[1]}
        except Exception as error:
            outcome = {"error": wire.unpack(error_message(error))[1]}
            self.watcher.message(f"order {order.number}: {error}")
        self._end(order, outcome)

    def _end(self, order: Order, outcome: dict[str, Any]) -> None:
        self._present, self._outcome, self._idle_since = None, outcome, time.monotonic()
        self.group.stage = ""
        self.done += 1

    def _linger(self) -> None:
        """Let the client ask for the outcome, before the application ends by it."""
        until = time.monotonic() + 10.0
        while time.monotonic() < until and self._outcome is not None:
            received = self.group.server.receive(HEAR_SECONDS)
            if received and received[0] == SESSION:
                self._receive(received[1])
                if read_from_client(received[1]).kind == Ask.kind:
                    return

    # --- the client ---------------------------------------------------------------------------------------------------

    def _receive(self, fields: dict[str, Any]) -> None:
        """Take a message of the client, and answer it.

        Raises
        ------
        KeyboardInterrupt
            What runs is to end: the driver knows how.
        """
        self._heard = time.monotonic()
        try:
            message: Message = read_from_client(fields)
        except ProtocolError as error:
            self.watcher.message(f"a message of the client is not understood: {error}")
            return
        ends = False
        match message:
            case Order() if message.number > self._last:
                self._last, self._outcome = message.number, None
                self._record = State("")
                self._orders.append(message)
            case Cancel():
                ends = self._present is not None and message.number == self._present.number
                self._orders = deque(each for each in self._orders if each.number != message.number)
            case Stop():
                self._stopped, ends = True, self._present is not None
        found: dict[str, Any] = {"next": 0, "events": []}
        if isinstance(message, Ask):
            found = self._record.events(message.since)
        told = Told(self._last, found["next"], found["events"], self._outcome, self.group.kept())
        self.group.server.send(SESSION, told.to_dict())
        if ends and not self._cancelled:
            self._cancelled = True
            raise KeyboardInterrupt


class _Both(Watcher):
    """Tells what happens to the live page and to the client."""

    def __init__(self, page: Watcher, record: State):
        self.page, self.record = page, record

    def begins(self, job: Job) -> None:
        self.page.begins(job)

    def hear(self, event: Any) -> None:
        self.page.hear(event)
        self.record.hear(event)

    def message(self, text: str) -> None:
        self.page.message(text)
        self.record.message(text)

    def workers(self, status: list[dict[str, Any]]) -> None:
        self.page.workers(status)

    def avoided(self, text: str) -> None:
        self.page.avoided(text)
