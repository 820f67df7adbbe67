"""The master's side of mode `async`: every n rounds of the fastest worker, all are made equal.

An advance of the driver is such a period. The workers run on while the master collects, merges and hands out; one
that has done nothing since the last time does not count.
"""

from __future__ import annotations

from contextlib import suppress
from functools import reduce
from typing import Any

from hdl import sync, wire
from hdl.spec import Spec
from hdl.sync import average
from hdl.wire import Update, Weights
from hdl.yarn.comm.mailbox import decoded
from hdl.yarn.master.worker_group import Lost, Member, WorkerGroup


class PeriodicMerge:
    """Keeps a crew running, and merges it.

    Parameters
    ----------
    crew : Crew
    last : int
        Rounds that a worker may make at most.
    """

    def __init__(self, crew: WorkerGroup, last: int):
        self.crew, self.last = crew, last
        self._running = False
        self._told: dict[int, dict[str, Any]] = {}  # what each rank said last
        self._before: dict[str, dict[str, float]] = {}  # sums at the last merge, by the container's name
        self._lives: dict[int, str] = {}  # who was given weights

    def advance(self, spec: Spec, weights: Weights) -> tuple[Weights, dict[str, Any]]:
        """Until the fastest has made its next n rounds: the merge of all, and its row."""
        first = True
        while True:
            try:
                if not self._running:
                    self._start(weights, weights.round * spec.sync.equal)
                elif first:
                    equal = "equal", wire.encode_parts(weights)
                    self.crew.hand(lambda member, equal=equal: equal)  # type: ignore[misc]
                first = False
                while self._fastest() < min(self.last, (weights.round + 1) * spec.sync.equal):
                    said = self.crew.listen(0.1)
                    if said and said["kind"] == "free":
                        self._told[said["rank"]] = said
                return self._merged(spec, weights)
            except Lost as lost:
                self.crew.dismiss(lost)
                self._running = False

    def stop(self) -> None:
        """The next command ends the workers' running; they lose their mesh with it."""
        self._running = False
        self.crew.part()

    def _start(self, weights: Weights, done: int) -> None:
        """Sets all running, newcomers where the fastest is, after `done` rounds or more."""
        self.crew.part()
        self.crew.assemble()
        new = {member.rank for member in self.crew.members if self._lives.get(member.rank) != member.name}
        self._told = {rank: said for rank, said in self._told.items() if rank not in new}
        content = wire.encode_parts(self._present(new, weights) if new else weights)

        def gift(member: Member) -> tuple[str, list[Any]] | None:
            return ("free", content) if member.rank in new else None

        done = max(done, self._fastest())
        fields = {"last": self.last, "done": done}
        self.crew.tell("free", lambda member: {**fields, "given": member.rank in new}, gift)
        self._lives = {member.rank: member.name for member in self.crew.members}
        self._told |= {rank: {"round": done} for rank in new}
        self._running = True

    def _present(self, new: set[int], weights: Weights) -> Weights:
        """What newcomers begin from: where the others are by now, which may be far from the last merge."""
        found = []
        for member in self.crew.members:
            with suppress(Lost):  # it has not finished a round
                if member.rank not in new:
                    found.append(decoded(Update, self.crew.take(member, "free")))
                    self._told[member.rank] = {**self._told.get(member.rank, {}), "round": found[-1].round}
        return Weights(weights.round, reduce(_joined, found).tensors["w"], {}) if found else weights

    def _fastest(self) -> int:
        return max((said["round"] for said in self._told.values()), default=0)

    def _merged(self, spec: Spec, weights: Weights) -> tuple[Weights, dict[str, Any]]:
        now = {member.name: decoded(Update, self.crew.take(member, "free")) for member in self.crew.members}
        total = reduce(_joined, [self._since(name, update) for name, update in now.items()])
        # Only now that all have answered: what is taken again after a loss must count in full.
        self._before = {name: update.sums for name, update in now.items()}
        total = Update("average", weights.round, 0, spec.shards, total.tensors, total.sums)
        row = sync.measure(spec, total)
        said = [self._told.get(member.rank, {}) for member in self.crew.members]
        rounds = [one.get("round", 0) for one in said]
        merged = sum(one.get("merged", 0) for one in said)
        row["async"] = {
            "rounds": rounds,
            "lag": max(rounds) - min(rounds),
            "merged": merged,
            "staleness": sum(one.get("staleness", 0) for one in said) / merged if merged else 0.0,
            "stalest": max(one.get("stalest", 0) for one in said),
            "late": sum(one.get("late", 0) for one in said),
        }
        w = total.tensors["w"] if total.sums["samples"] else weights.w  # nobody counts: it stays as it was
        return Weights(weights.round + 1, w, {}), row

    def _since(self, name: str, update: Update) -> Update:
        """A worker's last weights, with the sums of what it did since the last merge."""
        before = self._before.get(name, {})
        sums = {name: value - before.get(name, 0) for name, value in update.sums.items()}
        return Update(update.mode, update.round, update.lo, update.hi, update.tensors, {"samples": 0} | sums)


def _joined(a: Update, b: Update) -> Update:
    sums = {name: a.sums.get(name, 0) + b.sums.get(name, 0) for name in {*a.sums, *b.sums}}
    return Update(a.mode, a.round, a.lo, b.hi, average.join(a, b), sums)
