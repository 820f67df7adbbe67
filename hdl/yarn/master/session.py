"""A session in the master: its orders share workers that stay, with their decoded data, as `hdl.runners.turns` says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hdl.data import opened
from hdl.errors import DeadlineError, Interrupted, NodeError, WorkerError
from hdl.runners.base import Job
from hdl.runners.turns import Turns
from hdl.yarn.comm.credentials import SESSION
from hdl.yarn.master.membership import Lost
from hdl.yarn.master.orders import KEPT, Given, told_of
from hdl.yarn.master.trials import Trials
from hdl.yarn.master.watcher import Watcher
from hdl.yarn.master.worker_group import WorkerGroup
from hdl.yarn.protocol.message import Message, ProtocolError
from hdl.yarn.protocol.session import Ask, Cancel, Order, Stop, Told, read_from_client
from hdl.yarn.settings import Settings

ORPHAN_SECONDS = 86_400.0  # without a word of the client, after which the application ends: it may be a laptop's lid
HEAR_SECONDS = 0.1
SHOW_SECONDS = 1.0  # between two looks of the page


class Session:
    """Takes orders of the client that began the application.

    Parameters
    ----------
    settings : Settings
    group : WorkerGroup
    watcher : Watcher
        Is told what happens, beside the client.
    carry_out : function of a task config, a watcher and the order's number
        Trains or measures with all workers, and returns the outcome in plain values.
    """

    def __init__(
        self, settings: Settings, group: WorkerGroup, watcher: Watcher,
        carry_out: Callable[[dict[str, Any], Watcher, int], dict[str, Any]],
    ):  # fmt: skip
        self.settings, self.group, self.watcher, self.carry_out = settings, group, watcher, carry_out
        self.done = 0
        self.turns = Turns(settings.workers)
        self.trials = Trials(settings, group, self.turns, self._end)
        self._orders: dict[int, Given] = {}  # by number; of those that are over the last ones
        self._present: Given | None = None  # that has all workers
        self._last = 0  # number of the order that came last
        self._stopped = False
        self._shown, self._facts = 0.0, dict[str, str]()
        self._heard = self._idle_since = time.monotonic()
        opened.keep()
        group.server.admit(SESSION)
        group.of_client = self._receive
        group.message = self._tell

    def serve(self) -> int:
        """Carry out orders until the session is stopped, or idle for too long; returns how many there were.

        Raises
        ------
        WorkerError, DeadlineError, NodeError
            Workers failed too often, or do not come: the session cannot go on.
        """
        while not self._over():
            self._begin()
            try:
                heard = self.group.hear(HEAR_SECONDS)
                if heard:
                    self.trials.take(*heard)
                self.trials.watch()
            except Lost as lost:
                self.trials.lost(lost)
            self._show()
        return self.done

    def _over(self) -> bool:
        now = time.monotonic()
        wanted = self.turns.running or self.turns.waiting
        idle = not wanted and now - self._idle_since > self.settings.session_idle > 0
        return self._stopped or idle or now - self._heard > ORPHAN_SECONDS

    def _begin(self) -> None:
        """Begin what may begin."""
        while self.turns.waiting and not self._stopped:
            first = self._of(self.turns.waiting[0])
            if not first.turn.whole:
                self.trials.open_places()
            if self.turns.begin(self.trials.here(), self.trials.liked(first.order)) is None:
                return
            if first.turn.whole:
                self._carry_out(first)
            else:
                self.trials.begin(first)

    def _of(self, turn: Any) -> Given:
        return next(given for given in self._orders.values() if given.turn is turn)

    def _carry_out(self, given: Given) -> None:
        self._present = given
        self._show_facts()
        watcher = _Both(self.watcher, given.record)
        self.group.message = watcher.message
        self.group.leave_mesh()  # workers that left a command midway have left it, too
        try:
            outcome = self.carry_out(given.order.config, watcher, given.order.number)
        except (WorkerError, DeadlineError, NodeError) as error:
            self._end(given, told_of(error))
            self._linger(given)
            raise
        except KeyboardInterrupt:
            outcome = told_of(Interrupted("stopped"))
        except Exception as error:
            outcome = told_of(error)
            self.watcher.message(f"order {given.order.number}: {error}")
        finally:
            self.group.message, self.group.notify = self._tell, lambda event: None
        self._end(given, outcome)

    def _end(self, given: Given, outcome: dict[str, Any]) -> None:
        """Let an order be over, whatever it was at."""
        self.turns.end(given.turn)
        given.outcome, self._idle_since = outcome, time.monotonic()
        if given is self._present:
            self._present, self.group.stage = None, ""
        self.done += 1
        over = [number for number, each in self._orders.items() if each.outcome is not None]
        for number in over[:-KEPT]:
            del self._orders[number]

    def _linger(self, given: Given) -> None:
        """Let the client ask for the outcome, before the application ends by it."""
        until = time.monotonic() + 10.0
        while time.monotonic() < until:
            received = self.group.server.receive(HEAR_SECONDS)
            if received and received[0] == SESSION:
                self._receive(received[1])
                message = read_from_client(received[1])
                if isinstance(message, Ask) and message.number == given.order.number:
                    return

    def _tell(self, text: str) -> None:
        """Tell a message for people: the page, and whoever follows a trial."""
        self.watcher.message(text)
        for turn in self.turns.running:
            self._of(turn).record.message(text)

    def _show(self) -> None:
        """Bring the page up to date."""
        if time.monotonic() - self._shown < SHOW_SECONDS:
            return
        self._shown = time.monotonic()
        self._show_facts()
        self.watcher.workers(self.group.status())

    def _show_facts(self) -> None:
        """Show who has workers, who waits and what is kept, if that has changed."""
        facts = self.trials.facts()
        if facts != self._facts:
            self._facts = facts
            self.watcher.facts(facts)

    # --- the client ---------------------------------------------------------------------------------------------------

    def _receive(self, fields: dict[str, Any]) -> None:
        """Take a message of the client, and answer it.

        Raises
        ------
        KeyboardInterrupt
            What has all workers is to end: the driver knows how.
        """
        self._heard = time.monotonic()
        try:
            message: Message = read_from_client(fields)
        except ProtocolError as error:
            self.watcher.message(f"a message of the client is not understood: {error}")
            return
        ends, number = False, getattr(message, "number", 0)
        match message:
            case Order() if message.number > self._last:
                self._last = message.number
                self._orders[message.number] = new = Given(message)
                self.turns.ask(new.turn)
            case Cancel() if (given := self._orders.get(message.number)) and given.outcome is None:
                ends = self._cancel(given)
            case Stop():
                self._stopped, ends = True, self._ends_present()
        self.group.server.send(SESSION, self._told(number, message).to_dict())
        self._show_facts()  # here too, as a training may have the master to itself for long
        if ends:
            raise KeyboardInterrupt

    def _cancel(self, given: Given) -> bool:
        """End an order; tells whether that has all workers, and a driver here."""
        if given is self._present:
            return self._ends_present()
        self.trials.leave(given)
        self._end(given, told_of(Interrupted("stopped")))
        return False

    def _ends_present(self) -> bool:
        """Tell whether the driver is to be told now that it should end."""
        if self._present is None or self._present.cancelled:
            return False
        self._present.cancelled = True
        return True

    def _told(self, number: int, message: Message) -> Told:
        given, found = self._orders.get(number), dict[str, Any](next=0, events=[])
        if given and isinstance(message, Ask):
            found = given.record.events(message.since)
        rest: dict[str, Any] = {}
        if not number:  # how the session is
            memory = [place.incarnation.memory for place in self.group.places]
            rest = {"kept": self.group.kept(), "turns": self.turns.describe(), "memory": memory}
        before = self.turns.before(given.turn) if given else 0
        return Told(number, found["next"], found["events"], given.outcome if given else None, before, **rest)


class _Both(Watcher):
    """Tells what happens to the live page and to the client."""

    def __init__(self, page: Watcher, record: Any):
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
