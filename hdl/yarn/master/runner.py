"""Runs rounds from inside of the application's master; the workers merge them among themselves.

A round's weights stay with the workers, each of which has the whole; the master pulls them only when a version is
published. Only a line search over all data (`gradient` with gd, cg or lbfgs) lives in the master, which keeps its
history (Dean et al. 2012, "Large Scale Distributed Deep Networks", Sandblaster): it gives each worker a slice of the
trial, which they share, and takes from each its slice of the gradient.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from hdl import fs, optim, step, sync, wire
from hdl.data import FileSplit, Summary
from hdl.data.base import Lines, Piece
from hdl.passes import Partial, Pass
from hdl.runners import counting, platform
from hdl.runners.base import Job, Notify, Plan, RoundRunner, groups
from hdl.runners.messages import open_fields, plan_message
from hdl.spec import Spec
from hdl.sync.schedule import owners, spans
from hdl.wire import Update, Weights
from hdl.yarn.comm import summaries
from hdl.yarn.comm.mailbox import decode_as
from hdl.yarn.master.member import Member
from hdl.yarn.master.membership import Lost
from hdl.yarn.master.periodic_merge import PeriodicMerge
from hdl.yarn.master.remote_weights import RemoteWeights, WeightsLost
from hdl.yarn.master.stretches import DoneRound, Seconds, Stretches
from hdl.yarn.master.worker_group import WorkerGroup
from hdl.yarn.protocol import (
    UPDATE_SLICE,
    Header,
    Measure,
    Open,
    Prepare,
    RunRound,
    Summarise,
    partial_name,
    weights_name,
)
from hdl.yarn.settings import DATA_SHARE

STRAGGLE_ROUNDS, STRAGGLE_SECONDS = 2, 2.0  # how often and by how much a worker is late before it is replaced
TIMED, SLOWEST = 64, 16  # workers whose seconds a row has, each; beyond that those of the slowest alone


class MasterRunner(RoundRunner):
    """Carries rounds out with a worker group.

    Parameters
    ----------
    group : WorkerGroup
        Ended by the caller.
    training : int
        Number of a session's training: workers keep nothing from the one before but decoded data.
    """

    name = "yarn"
    asynchronous = True
    begins_before_zero = True  # closing a file of HDFS may take half a second; the client waits for version 0

    def __init__(self, group: WorkerGroup, training: int = 0):
        self.group, self.settings = group, group.settings
        self.keeps, self.training = self.settings.session, training
        self.device = self.settings.device
        self._stretches = Stretches(group, self._review)
        self._periodic_merge: PeriodicMerge | None = None
        self._slow: tuple[int, int] = -1, 0  # the slowest worker, and in how many rounds it has been too slow
        self._size = 0  # bytes of the weights
        self._members: list[Member] = []  # that did the last round
        self._seconds: Seconds = {}  # of it
        self._phases: dict[str, float] = {}

    def open(self, job: Job, splits: Sequence[Sequence[FileSplit]], notify: Notify) -> None:
        """Ask for the workers' containers, beside the blocks of their shards, unless they are there."""
        self.workers = count = min(self.settings.workers, len(splits))
        shards = groups(len(splits), count)
        memory = self.settings.memory << 20

        def opening(member: Member) -> list[wire.Buffer]:
            threads = self.settings.threads or self.settings.vcores
            fields = open_fields(job, splits, member.shards, threads, self.device, int(memory * DATA_SHARE))
            return wire.parts("open", {**fields, "limit": memory, "training": self.training})

        self.group.shared.pop(Prepare, None)  # of an earlier training
        self.group.notify = notify
        if self.group.places and self.keeps:
            self.group.share_out(shards)
        self.group.share(Open, opening)
        if not self.group.places:
            hosts = self.group.containers.near
            if len(hosts) != count:
                hosts = [_hosts([split for shard in own for split in splits[shard]]) for own in shards]
            self.group.begin(shards, hosts, notify)
        if job.asked is not None:  # no summary comes before the first pass, which all must be able to compute
            self.group.meet()

    def count(self, job: Job, cut: Sequence[Piece], shards: int, notify: Notify) -> list[Lines] | None:
        """Ask for the workers, beside the blocks of the pieces, and have each count those of its shards."""
        if not counting.worth_asking(cut):
            return None
        self.open(job, counting.share(cut, shards), notify)
        return counting.complete(self.measure(counting.asked(shards)), cut)

    def platform(self) -> str:
        offers = [(f"worker {member.rank} ({member.host})", member.offer) for member in self.group.members]
        return platform.negotiate(offers, self.device, self.group.message)

    def summarise(self) -> Summary:
        def collect() -> Summary:
            found = self.group.results(lambda member: member.done.summaries or ())
            return summaries.whole((summaries.read(name, content) for _, name, content in found), self.group.shards)

        return self.group.do(lambda member, header: Summarise(*header), collect=collect, stage="summarise")

    def measure(self, asked: Pass) -> Sequence[Partial | wire.Buffer]:
        message = asked.pack()
        content: list[wire.Buffer] = [message]

        def collect() -> list[wire.Buffer]:
            found = self.group.results(lambda member: map(partial_name, range(member.done.found or 0)))
            return [content for _, _, content in found]

        return self.group.do(
            lambda member, header: Measure(*header), lambda member: (Measure.kind, content), collect, asked.kind
        )

    def prepare(self, plan: Plan) -> None:
        self.settings.check_mode(plan.spec.sync.mode)
        self._plan, self._periodic_merge, self.round_seconds = plan, None, None
        self.group.everybody = plan.spec.sync.mode == "async"
        self._stretches.forget()
        content: list[wire.Buffer] = [plan_message(plan)]
        self.group.share(Prepare, lambda member: content)

    def round(self, weights: Weights, evaluate_only: bool = False) -> list[Update]:
        """Do a round of a line search: the master collects the update, and merges it."""
        self.group.newcomers.settle()
        state = weights.state
        vectors = {"trial": weights.w if evaluate_only else optim.trial(state)}
        if self._plan.spec.validated:
            vectors["w"] = weights.w

        def command(member: Member, header: Header) -> RunRound:
            return RunRound(*header, weights.round, evaluate_only, central=True, given="slice", keep=[])

        size = weights.w.size

        @cache
        def cuts(generation: int) -> dict[int, tuple[int, int]]:
            members = self.group.members
            places = spans(size, len(members), self.group.shards)
            return {member.rank: span for member, span in zip(members, places, strict=True)}

        def payload(member: Member) -> tuple[str, list[wire.Buffer]]:
            lo, hi = cuts(self.group.generation)[member.rank]
            content = {name: vector[lo:hi] for name, vector in vectors.items()}
            return weights_name(weights.round), wire.parts("slice", {"parameters": size}, content)

        def collect() -> list[Update]:
            found = {member.rank: content for member, _, content in self.group.results(lambda member: [UPDATE_SLICE])}
            places = owners(len(self.group.members), self.group.shards)
            return [decode_as(Update, found[self.group.members[at].rank]) for at in places]

        self.group.faults.round = weights.round
        slices_of_update = self.group.do(command, payload, collect, "round", alike=lambda member: None)
        done = DoneRound({}, self.group.members, self.group.seconds(), 0.0)
        self._note_seconds(done)
        self._review(done)
        return [sync.concatenate_updates(slices_of_update)]

    def advance(self, spec: Spec, weights: Weights, evaluate_only: bool = False) -> tuple[Weights, dict[str, Any]]:
        """Do a round that the workers merge; they, and not the master, have the next weights."""
        if spec.sync.mode == "async" and not evaluate_only:
            return self._merge_period(spec, weights)
        if spec.sync.mode == "gradient" and spec.optimizer.line_search:
            return super().advance(spec, weights, evaluate_only)
        number = weights.round

        @cache  # several may have come at once
        def content() -> list[wire.Buffer]:
            if not isinstance(weights, RemoteWeights) or weights._here is not None:
                return wire.encode_parts(weights)
            return [self._pull_weights(number)]

        if not isinstance(weights, RemoteWeights):
            self._size = weights.w.nbytes
        done = self._stretches.round(number, evaluate_only, self._size, content)
        self._note_seconds(done)
        self.merge_seconds = float(self._seconds.get("merge", np.zeros(1)).max())
        self.round_seconds = done.took
        after = number + 1
        return (weights if evaluate_only else RemoteWeights(after, lambda: self._version(after))), done.row

    def _merge_period(self, spec: Spec, weights: Weights) -> tuple[Weights, dict[str, Any]]:
        """Do a period of mode `async`: see `periodic_merge`."""
        if self._periodic_merge is None:
            rounds = step.rounds(spec, self._plan.schema.samples)
            self._periodic_merge = PeriodicMerge(self.group, rounds * spec.sync.equal, self.deviation)
        after, row = self._periodic_merge.advance(spec, weights)
        if after.round * spec.sync.equal >= self._periodic_merge.last:
            self._periodic_merge.stop()
        return after, row

    def keep(self, weights: Weights) -> Weights:
        if isinstance(weights, RemoteWeights):
            self._stretches.keep.append(weights.round)
        return weights

    def timings(self) -> list[dict[str, Any]]:
        return self._timed(self._members, TIMED)

    def all_timings(self) -> list[dict[str, Any]]:
        """Return what `timings` does, of all workers, however many."""
        return self._timed(self._members, len(self._members))

    def _timed(self, members: Sequence[Member], most: int) -> list[dict[str, Any]]:
        """Describe the workers' seconds in the last round; beyond so many workers, of the slowest."""
        compute = self._seconds.get("compute", np.zeros(len(members)))
        places = range(len(members)) if len(members) <= most else sorted(np.argsort(-compute, kind="stable")[:SLOWEST])
        return [
            {"worker": members[at].rank, "shards": members[at].shards, "seconds": float(compute[at]),
             "host": members[at].host}
            for at in places
        ]  # fmt: skip

    def phases(self) -> dict[str, float]:
        """Return the last round's seconds by phase: summed over all shards, but the longest computation of a worker."""
        return self._phases

    def close(self) -> None:
        """Do nothing: the master ends the worker group."""

    def _version(self, number: int) -> Weights:
        """Fetch a round's weights, to be published as a version."""
        weights = decode_as(Weights, self._pull_weights(number))
        self.group.faults.at("publishing", number)
        return weights

    def _pull_weights(self, number: int) -> bytearray:
        """Pull a round's weights from a worker that has them.

        Raises
        ------
        WeightsLost
            No worker has them.
        """
        why = "there are no workers"
        for member in self.group.members:
            if member.incarnation.weights:
                try:
                    return self.group.pull(member, weights_name(number))
                except Lost as lost:
                    why = lost.reason
        raise WeightsLost(f"no worker has the weights of round {number} any more: {why}")

    def _note_seconds(self, done: DoneRound) -> None:
        """Record the seconds of a round from the workers' answers."""
        self._members, self._seconds = done.members, done.seconds
        self._phases = {
            name: float(seconds.sum())
            for name, seconds in sorted(self._seconds.items())
            if name not in ("merge", "compute", "exchange")
        }
        self._phases["compute"] = float(self._seconds["compute"].max())
        self._phases["exchange"] = float(self._seconds["exchange"].min())
        self.when = time.monotonic()

    def _review(self, done: DoneRound) -> None:
        """Look at a round that has just been done: for samples that do not fit into memory, and for stragglers."""
        for member in done.members:
            if member.done.spilled or member.incarnation.spilled:
                self._note_spilled(member)
        self._watch_stragglers(done)

    def _note_spilled(self, member: Member) -> None:
        """Say that a worker holds more than fits into its memory, which is so where it has others' shards."""
        spilled = member.done.spilled or 0
        if spilled > member.incarnation.spilled and self.group.elastic:
            self.group.message(
                f"worker {member.rank} holds {len(member.shards)} shards, {spilled} of them in files on its disk: "
                f"decoded samples may take {DATA_SHARE:.0%} of its {self.settings.memory} MiB"
            )
        member.incarnation.spilled = spilled

    def _watch_stragglers(self, done: DoneRound) -> None:
        """Replace a worker that is much slower than the others: its shards go to another container.

        Sandblaster has stragglers' splits computed again by idle workers (Dean et al. 2012); here shards are
        memory that others lack, so it is the worker that goes.
        """
        seconds, members = done.seconds["compute"], done.members
        if not self.settings.straggler or len(seconds) < 2:
            return
        place = int(seconds.argmax())
        slowest, usual = members[place].rank, float(np.median(np.delete(seconds, place)))
        longest = float(seconds[place])
        late = longest > max(self.settings.straggler * usual, usual + STRAGGLE_SECONDS)
        before, times = self._slow
        self._slow = slowest, (times if slowest == before else 0) + 1 if late else 0
        if self._slow[1] == STRAGGLE_ROUNDS:
            self._slow = -1, 0
            member = self.group.places[slowest]
            member.hosts = [host for host in member.hosts if host != member.host]
            why = f"computes {longest:.1f} s where the others take {usual:.1f} s"
            self.group.evict(Lost([member], f"worker {slowest} on {member.host} {why}: another one gets its shards"))
            self.group.leave_mesh()


def _hosts(splits: Sequence[FileSplit]) -> list[str]:
    """List the hosts of the splits' blocks, those with most bytes first."""
    held: dict[str, int] = {}
    for split in splits:
        for host in fs.hosts(split.path, split.start, split.length):
            held[host] = held.get(host, 0) + split.length
    return sorted(held, key=lambda host: (-held[host], host))
