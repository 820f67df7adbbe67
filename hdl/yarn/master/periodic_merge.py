"""Merges all workers' weights every n rounds of the fastest worker: the master's side of mode `async`.

A round of the driver is such a period. The workers train on while the master pulls, merges and pushes; a worker that
has trained nothing since the last merge does not count.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import sync, wire
from hdl.spec import Spec
from hdl.sync import average, tuned
from hdl.wire import Update, Weights, total_weight
from hdl.yarn.comm.mailbox import decode_as
from hdl.yarn.master.member import Member
from hdl.yarn.master.membership import Lost
from hdl.yarn.master.worker_group import WorkerGroup
from hdl.yarn.protocol import ASYNC_UPDATE, MERGED, AsyncReport, Header, TrainAsync


class PeriodicMerge:
    """Keeps a worker group training, and merges its weights periodically.

    Parameters
    ----------
    group : WorkerGroup
    last : int
        Rounds that a worker may make at most.
    deviation : float64 [O], optional
        By which a regression's targets were divided.
    """

    def __init__(self, group: WorkerGroup, last: int, deviation: NDArray[np.float64] | None = None):
        self.group, self.last, self._deviation = group, last, deviation
        self._running = False
        self._reports: dict[int, AsyncReport] = {}  # the last one of each rank
        self._before: dict[str, dict[str, float]] = {}  # sums at the last merge, by the container's name
        self._begun: dict[int, str] = {}  # by rank, the container of the incarnation that was given weights

    def advance(self, spec: Spec, weights: Weights) -> tuple[Weights, dict[str, Any]]:
        """Wait until the fastest worker has made its next n rounds, and merge all workers' weights.

        Returns
        -------
        Weights, dict
            The merged weights, and the row of metrics.
        """
        first = True
        while True:
            try:
                if not self._running:
                    self._start(weights, weights.round * spec.sync.equal)
                elif first:
                    merged = MERGED, wire.encode_parts(weights)
                    self.group.push_all(lambda member, merged=merged: merged)  # type: ignore[misc]
                first = False
                while self._fastest() < min(self.last, (weights.round + 1) * spec.sync.equal):
                    member, report = self.group.listen(0.1) or (None, None)
                    if member and isinstance(report, AsyncReport):
                        self._reports[member.rank] = report
                return self._merged(spec, weights)
            except Lost as lost:
                self.group.evict(lost)
                self._running = False

    def stop(self) -> None:
        """Note that the next command ends the workers' training, and with it their mesh."""
        self._running = False
        self.group.leave_mesh()

    def _start(self, weights: Weights, done: int) -> None:
        """Give all workers the command to train; newcomers begin at the fastest's round, `done` or more."""
        self.group.leave_mesh()
        self.group.assemble()
        new = {member.rank for member in self.group.members if self._begun.get(member.rank) != member.name}
        self._reports = {rank: report for rank, report in self._reports.items() if rank not in new}
        content = wire.encode_parts(self._present(new, weights) if new else weights)

        done = max(done, self._fastest())

        def command(member: Member, header: Header) -> TrainAsync:
            return TrainAsync(*header, self.last, done, given=member.rank in new)

        def payload(member: Member) -> tuple[str, list[Any]] | None:
            return (ASYNC_UPDATE, content) if member.rank in new else None

        self.group.send_command(command, payload)
        self._begun = {member.rank: member.name for member in self.group.members}
        self._reports |= dict.fromkeys(new, self._silent(done))
        self._running = True

    def _present(self, new: set[int], weights: Weights) -> Weights:
        """Merge the others' present weights, for newcomers to begin from: these may be far from the last merge."""
        updates = []
        for member in self.group.members:
            with suppress(Lost):  # a worker that has not finished a round has nothing to pull
                if member.rank not in new:
                    updates.append(decode_as(Update, self.group.pull(member, ASYNC_UPDATE)))
                    last = self._reports.get(member.rank, self._silent(0))
                    self._reports[member.rank] = replace(last, round=updates[-1].round)
        return (
            Weights(weights.round, reduce(_joined, updates).tensors["w"], tuned.kept(weights)) if updates else weights
        )

    def _silent(self, done: int) -> AsyncReport:
        """Make a report for a worker that has not sent one, and begins after `done` rounds."""
        return AsyncReport(0, done)

    def _fastest(self) -> int:
        return max((report.round for report in self._reports.values()), default=0)

    def _merged(self, spec: Spec, weights: Weights) -> tuple[Weights, dict[str, Any]]:
        now = {member.name: decode_as(Update, self.group.pull(member, ASYNC_UPDATE)) for member in self.group.members}
        total = reduce(_joined, [self._since(name, update) for name, update in now.items()])
        # Only now that all have answered: updates that are pulled again after a loss must count in full.
        self._before = {name: update.sums for name, update in now.items()}
        total = replace(total, round=weights.round, lo=0, hi=spec.shards)
        row = sync.measure(spec, total, self._deviation)
        reports = [self._reports.get(member.rank, self._silent(0)) for member in self.group.members]
        rounds = [report.round for report in reports]
        merged = sum(report.merged for report in reports)
        row["async"] = {
            "rounds": rounds,
            "lag": max(rounds) - min(rounds),
            "merged": merged,
            "staleness": sum(report.staleness for report in reports) / merged if merged else 0.0,
            "stalest": max(report.stalest for report in reports),
            "late": sum(report.late for report in reports),
        }
        w = total.tensors["w"] if total_weight(total.sums) else weights.w  # no worker counts: the weights stay
        state, w = tuned.merged(spec, weights, {}, w)
        return Weights(weights.round + 1, w, state), row

    def _since(self, name: str, update: Update) -> Update:
        """Make the update of a worker's last weights, with the sums of its training since the last merge only.

        What it measured is of the weights that it adopted last; it is not of this period unless samples were measured.
        """
        before = self._before.get(name, {})
        sums = {name: value - before.get(name, 0) for name, value in update.sums.items()}
        measures = update.measures if sums.get("val_samples") else None
        return replace(update, sums={"samples": 0} | sums, measures=measures)


def _joined(a: Update, b: Update) -> Update:
    sums, measures = sync.add_sums(a.sums, b.sums), sync.join_measures(a, b)
    return Update(a.mode, a.round, a.lo, b.hi, average.join(a, b), sums, measures=measures)
