"""Trials of a session: each is given to one worker, which carries it out alone.

Who dies is replaced, and its trial, which goes on from its table's last version, is the next that begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hdl.errors import DeadlineError, NodeError, WorkerError
from hdl.runners.base import Replaced
from hdl.runners.messages import error_from
from hdl.runners.turns import Turn, Turns
from hdl.yarn.master.member import Member
from hdl.yarn.master.membership import Lost
from hdl.yarn.master.orders import Given, told_of
from hdl.yarn.master.worker_group import WorkerGroup
from hdl.yarn.protocol import AloneReport, Done, Failed, TrainAlone
from hdl.yarn.protocol.session import Order
from hdl.yarn.settings import DATA_SHARE, Settings

SHOWN = 8  # turns that the page names


class Trials:
    """Gives trials to workers of a group, and hears of them.

    Parameters
    ----------
    settings : Settings
    group : WorkerGroup
    turns : Turns
    end : function of an order and its outcome
    """

    def __init__(
        self, settings: Settings, group: WorkerGroup, turns: Turns, end: Callable[[Given, dict[str, Any]], Any]
    ):
        self.settings, self.group, self.turns, self._end = settings, group, turns, end
        self._given: dict[Turn, Given] = {}  # that workers have
        self._moved: dict[Turn, tuple[int, float]] = {}  # a worker's count of moves, and when it was another one
        self._somebody = time.monotonic()  # when a worker was here last, or nobody was wanted

    def open_places(self) -> None:
        """Ask for the workers' containers, unless that is done."""
        if not self.group.places:
            nothing: list[list[Any]] = [[] for _ in range(self.settings.workers)]
            self.group.begin(nothing, nothing, lambda event: None)  # of a loss its trial is told

    def here(self) -> list[int]:
        """Name the workers to whom something can be given."""
        return [place.rank for place in self.group.places if place.incarnation.state.here]

    def liked(self, order: Order) -> list[int]:
        """Name the workers that keep an order's data."""
        data = order.config["data"]
        return [place.rank for place in self.group.places
                if any(one["data"] == data for one in place.incarnation.kept)]  # fmt: skip

    def begin(self, given: Given) -> None:
        """Have the worker whose turn it is train."""
        member, now = self._member(given.turn), time.monotonic()
        member.order, member.given_up = given.order.number, ""
        self._given[given.turn], self._moved[given.turn] = given, (-1, now)
        given.command_id = self._tell(member, given.order.config)

    def _tell(self, member: Member, config: dict[str, Any] | None) -> int:
        command_id = self.group.next_id()
        header = command_id, self.group.generation, member.rank, member.incarnation.number
        self.group.server.send(member.name, TrainAlone(*header, config).to_dict())
        return command_id

    def take(self, member: Member, report: Any) -> None:
        """Hear what a worker says.

        Raises
        ------
        Lost
            Its node's disk is full or broken.
        """
        given = next((each for each in self._given.values() if each.order.number == member.order), None)
        if given is None or report.command_id != given.command_id:  # of a trial that nobody waits for any more
            return
        match report:
            case AloneReport():
                given.record.take(report.events)
            case Done():
                self._over(given, {"outcome": report.outcome})
            case Failed():
                error = error_from(report.error, f"worker {member.rank}")
                if isinstance(error, NodeError):
                    raise self.group.failed(member, "node", str(error))
                self._over(given, {"error": report.error})

    def _over(self, given: Given, outcome: dict[str, Any]) -> None:
        self._member(given.turn).order = 0
        del self._given[given.turn], self._moved[given.turn]
        self._end(given, outcome)

    def leave(self, given: Given) -> None:
        """Have a trial be left, if a worker has it."""
        if given.turn in self._given:
            member = self._member(given.turn)
            member.order = 0
            del self._given[given.turn], self._moved[given.turn]
            if member.incarnation.state.here:
                self._tell(member, None)

    def lost(self, lost: Lost) -> None:
        """Replace workers that are lost, and have their trials begin before all that waits."""
        for given in [*self._given.values()]:
            member = self._member(given.turn)
            if member in lost.members:
                given.record.hear(Replaced(member.rank, (), lost.reasons[lost.members.index(member)]))
                if member.given_up:
                    self._over(given, told_of(WorkerError(member.given_up)))
                    continue
                member.order = 0
                del self._given[given.turn], self._moved[given.turn]
                self.turns.again(given.turn)
        self.group.evict(lost)
        self.group.leave_mesh()

    def watch(self) -> None:
        """Look whether trials get on.

        Raises
        ------
        Lost
            A worker lives, and its work does not get on.
        DeadlineError
            No worker has come for too long.
        """
        now = time.monotonic()
        for turn, (moves, since) in self._moved.items():
            member = self._member(turn)
            if member.incarnation.moves != moves:
                self._moved[turn] = member.incarnation.moves, now
            elif now - since > self.settings.stall_seconds:
                why = f"no work has got on for {self.settings.stall_seconds:g} s"
                raise self.group.failed(member, "exited", why)
        if not self.turns.waiting or self.turns.running or self.here():
            self._somebody = now
        elif now - self._somebody > self.settings.gather_seconds:
            raise DeadlineError(self.group.missing(self.group.places))

    def _member(self, turn: Turn) -> Member:
        return self.group.places[turn.workers[0]]

    def facts(self) -> dict[str, str]:
        """Describe for the page who has workers, who waits, and what is kept."""

        def named(turn: Turn) -> str:
            wants = "all workers" if turn.whole else "a worker"
            has = "all workers" if turn.whole else f"worker {', '.join(map(str, turn.workers))}"
            return f"{turn.what} ({has if turn.workers else f'wants {wants}'})"

        def listed(turns: Any) -> str:
            each = [named(turn) for turn in turns]
            more = f"; and {len(each) - SHOWN} more" if len(each) > SHOWN else ""
            return "; ".join(each[:SHOWN]) + more or "nobody"

        kept = [f"{one['data']} {one['bytes'] / 2**20:.1f} MiB" for one in self.group.kept()]
        room = int((self.settings.memory << 20) * DATA_SHARE) * self.settings.workers / 2**20
        used = [place.incarnation.memory >> 20 for place in self.group.places]
        return {"trains": listed(self.turns.running), "waits": listed(self.turns.waiting),
                "decoded data": f"{'; '.join(kept) or 'none'} (at most {room:.0f} MiB)",
                "memory used": ", ".join(f"{each} MiB" for each in used) or "none"}  # fmt: skip
