"""Gathers the workers that take part in the rounds, and shares the shards out among them.

All of them have to be there, unless their number may change: then the fewest begin, and who is lost is done without as
long as that many are left.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from hdl.errors import DeadlineError, SpecError
from hdl.yarn.master.assignment import assign
from hdl.yarn.master.listening import Listening
from hdl.yarn.master.member import Member
from hdl.yarn.master.membership import Lost
from hdl.yarn.protocol import MemberState


class Participants(Listening):
    """Knows which members of a worker group take part.

    Parameters are those of `Membership`.

    Attributes
    ----------
    remesh : bool
        Whether they have to be connected anew before the next command.
    """

    remesh = True
    _enough_since: float | None = None  # when as many were here as there have to be, before the first round

    def share_out(self, shards: Sequence[Sequence[int]]) -> None:
        """Give the workers, who are there, the shards of another dataset: the next training of a session.

        Where their number may change, those that are there at the next command take part from then on.
        """
        if len(shards) != len(self.places):
            raise SpecError(
                f"workers: this session has {len(self.places)}; expected at most one a shard, {len(shards)}"
            )
        before, self.shards = self.shards, sum(map(len, shards))
        if not self.elastic:
            for member, own in zip(self.places, shards, strict=True):
                member.shards = list(own)
            return
        self.members = []
        for place in self.places:
            mine = place.incarnation
            mine.trains, mine.joining, mine.loaded = False, None, False
            if self.shards != before:  # else who has decoded them keeps them
                place.shards = []

    def gather(self) -> None:
        """Wait until all workers are here, or enough of them and those that come soon; share the shards out among them.

        Raises
        ------
        DeadlineError
            Workers are missing; the message names them and the resources that the cluster could still give.
        """
        until = time.monotonic() + self.settings.gather_seconds
        while not self._complete():
            missing = [member for member in self.places if not member.incarnation.state.here]
            if time.monotonic() > until and len(self.places) - len(missing) < self.fewest:
                raise DeadlineError(self.missing([each for each in missing if each.rank not in self.closed]))
            if any(not member.name for member in missing):  # nothing is granted on the nodes that are left
                self.avoid(self.failures.standstill(time.monotonic() - until + self.settings.gather_seconds))
            try:
                for member in missing:
                    waited = time.monotonic() - member.incarnation.seen
                    if member.incarnation.inherited and waited > self.settings.silence_seconds:
                        self.lose(member, "lost", "has not found the new master")
                before, look = self.arrivals, time.monotonic() + 0.1
                while self.arrivals == before and time.monotonic() < look:  # signs of life change nothing
                    self.hear(0.1)
            except Lost as lost:
                self.evict(lost)
        if self.elastic:
            here = [member for member in self.places if member.incarnation.state.here]
            training = [member for member in here if member.incarnation.trains]
            others = [member for member in here if member not in training]
            chosen = training if len(training) >= self.fewest else training + others
            self.take(assign({member.rank: member.shards for member in chosen}, self.shards))

    def _complete(self) -> bool:
        """Tell whether the workers that there must be are here; before the first round, for long enough."""
        if self.members is self.places and all(member.incarnation.state is MemberState.READY for member in self.places):
            return True  # as in each round
        here = [member for member in self.places if member.incarnation.state.here]
        training = [member for member in here if member.incarnation.trains]
        if len(here) < self.fewest:
            self._enough_since = None
            return False
        if training or len(here) == len(self.places) - len(self.closed):
            return True
        if self._enough_since is None:
            self._enough_since = time.monotonic()
            wait = self.settings.join_seconds
            self.message(f"{self.number(len(here))} are here; others have {wait:g} s to come before the first round")
        return time.monotonic() - self._enough_since >= self.settings.join_seconds

    def take(self, shares: Mapping[int, Sequence[int]]) -> None:
        """Have these workers, and no others, take part from the next command on, with these shards."""
        before = {member.rank: (member.name, member.shards) for member in self.members}
        for place in self.places:
            mine = place.incarnation
            if place.rank in shares:
                if place.shards != list(shares[place.rank]):
                    place.shards = list(shares[place.rank])
                    place.outdated()
                mine.trains, mine.joining, mine.loaded = True, None, False
            elif mine.trains or not mine.state.here:
                place.shards, mine.trains = [], False
        # Neighbours in the tree over shards are neighbours in the mesh, so that siblings meet early.
        self.members = sorted((place for place in self.places if place.rank in shares), key=lambda place: place.shards)
        now = {member.rank: (member.name, member.shards) for member in self.members}
        if [(rank, name) for rank, (name, _) in now.items()] != [(rank, name) for rank, (name, _) in before.items()]:
            self.leave_mesh()
        if now != before:
            self._tell(before, now)

    def _tell(self, before: Mapping[int, Any], now: Mapping[int, Any]) -> None:
        """Say who takes part from now on."""
        joined = sorted(now.keys() - before.keys()) if before else []
        left = sorted(before.keys() - now.keys())
        changes = [
            f"{verb}: {', '.join(map(str, ranks))}" for verb, ranks in (("joined", joined), ("left", left)) if ranks
        ]
        shared = [] if changes or not before else ["the shards are shared out anew"]
        self.message("; ".join([f"{self.number()} train", *changes, *shared]))

    def leave_mesh(self) -> None:
        """Have the mesh connected anew before the next command: the present one is broken, or given up."""
        self.remesh = True

    def status(
        self, timings: Sequence[dict[str, Any]] = (), progress: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Describe each member for the dashboard: worker, container, host, shards, state, seconds, staleness, log.

        Parameters
        ----------
        timings : list of dict
            Of the last round: see `Runner.timings`.
        progress : dict, optional
            A row's `async`: rounds of each worker.
        """
        seconds = {timing["worker"]: timing["seconds"] for timing in timings}
        rounds = progress["rounds"] if progress else []
        return [
            {
                "worker": member.rank,
                "container": member.name,
                "host": member.host,
                "shards": member.shards,
                "state": member.status,
                "seconds": seconds.get(member.rank),
                "staleness": max(rounds) - rounds[member.rank] if rounds else None,
                "log": member.incarnation.container.log if member.incarnation.container else "",
            }
            for member in self.places
            if member.rank not in self.closed
        ]

    def number(self, count: int | None = None) -> str:
        """Say how many workers there are, of how many there may be.

        Parameters
        ----------
        count : int, optional
            Others than those that take part now.
        """
        count = len(self.members) if count is None else count
        of = f"{self.fewest} to {len(self.places)}" if self.elastic else str(len(self.places))
        return f"{count} of {of} workers"

    def missing(self, members: Sequence[Member]) -> str:
        ranks = ", ".join(str(member.rank) for member in members)
        silent = [member.name for member in members if member.name]
        started = f"; started but silent: {', '.join(silent)}" if silent else ""
        wants = f"{self.settings.memory} MiB, {self.settings.vcores} vcores"
        gpus = f", {self.settings.gpus} GPUs" if self.settings.gpus else ""
        free = self.containers.available or "nothing known"
        of = str(len(self.places))
        if self.elastic:
            here = sum(place.incarnation.state.here for place in self.places)
            of = f"{of}, of which at least {self.fewest} have to be there and {here} are,"
        return (
            f"workers {ranks} of {of} have not come within {self.settings.gather_seconds:g} s: "
            f"each asks for {wants}{gpus}; the cluster could still give {free}{started}"
        )
