"""The runner inside of the application's master: rounds that the workers merge among themselves.

A round's weights stay with the workers, all of which have all of them; the master reads them only when a version is
published. Only a line search over all data (`gradient` with gd, cg or lbfgs) lives in the master, which keeps its
history (Dean et al. 2012, "Large Scale Distributed Deep Networks", Sandblaster): it gives each worker a slice of the
trial, which they share, and takes from each its slice of the gradient.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from hdl import fs, optim, step, sync, wire
from hdl.data import FileSplit, Summary
from hdl.errors import WorkerError
from hdl.runners import platform
from hdl.runners.base import Job, Notify, Plan, RoundRunner
from hdl.runners.messages import plan_message
from hdl.spec import Spec
from hdl.wire import Update, Weights
from hdl.yarn.comm.allreduce import slices
from hdl.yarn.comm.mailbox import decoded
from hdl.yarn.master.periodic_merge import PeriodicMerge
from hdl.yarn.master.worker_group import Lost, Member, WorkerGroup

STRAGGLE_ROUNDS, STRAGGLE_SECONDS = 2, 2.0  # how often and by how much a worker is late before it is replaced
KEPT = 4  # weights for the table that the workers hold, whatever rounds pass meanwhile
DATA_SHARE = 0.5  # of a container's memory that decoded samples may take before they go to its disk


class WeightsLost(WorkerError):
    """No worker has the round's weights any more: training goes on from the table's last version."""


class RemoteWeights(Weights):
    """Weights that the workers have; they are read when somebody looks at them.

    Parameters
    ----------
    round : int
    fetch : function
        Gives the weights.
    """

    _fetch: Callable[[], Weights]
    _lock: threading.Lock
    _here: Weights | None

    def __init__(self, round: int, fetch: Callable[[], Weights]):
        object.__setattr__(self, "round", round)
        object.__setattr__(self, "_fetch", fetch)
        object.__setattr__(self, "_lock", threading.Lock())
        object.__setattr__(self, "_here", None)

    def here(self) -> Weights:
        """The weights themselves, fetched once."""
        with self._lock:
            found = self._here
            if found is None:
                found = self._fetch()
                object.__setattr__(self, "_here", found)
            return found

    @property
    def w(self) -> Any:  # type: ignore[override]
        return self.here().w

    @property
    def state(self) -> Any:  # type: ignore[override]
        return self.here().state


class MasterRunner(RoundRunner):
    """Carries rounds out with a crew.

    Parameters
    ----------
    crew : Crew
        The caller's: it ends it.
    """

    name = "yarn"
    asynchronous = True

    def __init__(self, crew: WorkerGroup):
        self.crew, self.settings = crew, crew.settings
        self.device = self.settings.device
        self._keep: deque[int] = deque(maxlen=KEPT)  # rounds whose weights are being published, or were last
        self._equaliser: PeriodicMerge | None = None
        self._slow: tuple[int, int] = -1, 0  # the slowest worker, and in how many rounds it has been too slow
        self._timings: list[dict[str, Any]] = []
        self._phases: dict[str, float] = {}

    def open(self, job: Job, cuts: Sequence[Sequence[FileSplit]], notify: Notify) -> None:
        """Asks for the containers, beside the blocks of their shards."""
        self.workers = count = min(self.settings.workers, len(cuts))
        # Neighbours in number are siblings in the tree, so each worker joins most of what it makes.
        shards = [range(rank * len(cuts) // count, (rank + 1) * len(cuts) // count) for rank in range(count)]
        memory = self.settings.memory << 20

        def opening(member: Member) -> list[wire.Buffer]:
            fields = {
                "path": job.data,
                "options": job.options.model_dump(mode="json"),
                "cuts": [[shard, cuts[shard]] for shard in member.shards],
                "threads": self.settings.threads or self.settings.vcores,
                "device": self.device,
                "memory": int(memory * DATA_SHARE),
                "limit": memory,
            }
            return wire.parts("open", fields)

        self.crew.share("open", opening)
        if not self.crew.members:
            hosts = [_hosts([portion for shard in own for portion in cuts[shard]]) for own in shards]
            self.crew.begin(shards, hosts, notify)

    def platform(self) -> str:
        offers = [
            (f"worker {member.rank} ({member.host})", {"isa": member.isa, "gpu": member.gpu, "code": member.code})
            for member in self.crew.members
        ]
        return platform.negotiate(offers, self.device, self.crew.message)

    def summarise(self) -> Summary:
        def collect() -> list[Summary]:
            return [
                decoded(Summary, self.crew.take(member, f"summary:{shard}"))
                for member in self.crew.members
                for shard in member.shards
            ]

        found = self.crew.do("summarise", after=collect, stage="summarise")
        return sync.tree_reduce(found, lambda a, b: a.join(b))

    def prepare(self, plan: Plan) -> None:
        self._plan, self._equaliser = plan, None
        self._keep.clear()
        content: list[wire.Buffer] = [plan_message(plan)]
        self.crew.share("plan", lambda member: content)
        for member in self.crew.members:
            member.weights = -1

    def round(self, weights: Weights, evaluate_only: bool = False) -> list[Update]:
        """One round of a line search, whose updates come to the master."""
        state = weights.state
        vectors = {"trial": weights.w if evaluate_only else optim.trial(state)}
        if self._plan.spec.validation:
            vectors["w"] = weights.w
        spans = slices(weights.w.size, len(self.crew.members))

        def gift(member: Member) -> tuple[str, list[wire.Buffer]]:
            lo, hi = spans[member.rank]
            content = {name: vector[lo:hi] for name, vector in vectors.items()}
            return f"weights:{weights.round}", wire.parts("slice", {"rank": member.rank}, content)

        def collect() -> list[Update]:
            return [decoded(Update, self.crew.take(member, "update")) for member in self.crew.members]

        self.crew.faults.round = weights.round
        command: dict[str, Any] = {"round": weights.round, "evaluate_only": evaluate_only}
        command |= {"central": True, "given": "slice", "keep": []}
        pieces = self.crew.do("round", lambda member: command, gift, collect, "round")
        self._told()
        return [sync.concatenate_updates(pieces)]

    def advance(self, spec: Spec, weights: Weights, evaluate_only: bool = False) -> tuple[Weights, dict[str, Any]]:
        """A round that the workers merge; they, and not the master, have its weights."""
        if spec.sync.mode == "async" and not evaluate_only:
            return self._equal(spec, weights)
        if spec.sync.mode == "gradient" and spec.optimizer.line_search:
            return super().advance(spec, weights, evaluate_only)
        self.crew.faults.round = number = weights.round

        def fields(member: Member) -> dict[str, Any]:
            given = "" if member.weights in (number, number + 1) else "whole"
            return {"round": number, "evaluate_only": evaluate_only, "central": False, "given": given,
                    "keep": sorted(self._keep)}  # fmt: skip

        def gift(member: Member) -> tuple[str, list[wire.Buffer]] | None:
            if member.weights in (number, number + 1):
                return None
            return f"weights:{number}", content()

        def content() -> list[wire.Buffer]:
            if not isinstance(weights, RemoteWeights) or weights._here is not None:
                return wire.encode_parts(weights)
            return [self._fetched(number)]

        self.crew.do("round", fields, gift, stage="round")
        after = number if evaluate_only else number + 1
        for member in self.crew.members:
            member.weights = after
        self._told()
        self.merge_seconds = max(member.answer["seconds"].get("merge", 0.0) for member in self.crew.members)
        row = self.crew.members[0].answer["row"]
        return (weights if evaluate_only else RemoteWeights(after, lambda: self._version(after))), row

    def _equal(self, spec: Spec, weights: Weights) -> tuple[Weights, dict[str, Any]]:
        """A period of mode `async`: see `equal`."""
        if self._equaliser is None:
            rounds = step.rounds(spec, self._plan.schema.samples)
            self._equaliser = PeriodicMerge(self.crew, rounds * spec.sync.equal)
        advanced = self._equaliser.advance(spec, weights)
        if advanced[0].round * spec.sync.equal >= self._equaliser.last:
            self._equaliser.stop()
        return advanced

    def keep(self, weights: Weights) -> Weights:
        if isinstance(weights, RemoteWeights):
            self._keep.append(weights.round)
        return weights

    def timings(self) -> list[dict[str, Any]]:
        return self._timings

    def phases(self) -> dict[str, float]:
        """Seconds of loading, measuring and training, each summed over all shards; the longest computation."""
        return self._phases

    def close(self) -> None:
        """The crew is the master's."""

    def _version(self, number: int) -> Weights:
        """A round's weights, for the table."""
        weights = decoded(Weights, self._fetched(number))
        self.crew.faults.at("publishing", number)
        return weights

    def _fetched(self, number: int) -> bytearray:
        """A round's weights from whoever has them.

        Raises
        ------
        WeightsLost
        """
        why = "there are no workers"
        for member in self.crew.members:
            if member.weights >= 0:
                try:
                    return self.crew.take(member, f"weights:{number}")
                except Lost as lost:
                    why = lost.reason
        raise WeightsLost(f"no worker has the weights of round {number} any more: {why}")

    def _told(self) -> None:
        answers = [(member, member.answer["seconds"]) for member in self.crew.members]
        self._timings = [
            {"worker": member.rank, "shards": member.shards, "seconds": seconds["compute"],
             "host": member.host}
            for member, seconds in answers
        ]  # fmt: skip
        names = sorted({name for _, seconds in answers for name in seconds} - {"merge", "compute", "exchange"})
        self._phases = {name: sum(seconds.get(name, 0.0) for _, seconds in answers) for name in names}
        self._phases["compute"] = max(seconds["compute"] for _, seconds in answers)
        self._phases["exchange"] = min(seconds["exchange"] for _, seconds in answers)
        self.when = time.monotonic()
        self._watch_stragglers()

    def _watch_stragglers(self) -> None:
        """Replaces a worker that is much slower than the others: its shards go to another container.

        Sandblaster has stragglers' portions computed again by whoever is free (Dean et al. 2012); here shards are
        memory that others lack, so it is the worker that goes.
        """
        seconds = {member.rank: member.answer["seconds"]["compute"] for member in self.crew.members}
        if not self.settings.straggler or len(seconds) < 2:
            return
        slowest = max(seconds, key=lambda rank: seconds[rank])
        usual = statistics.median(taken for rank, taken in seconds.items() if rank != slowest)
        late = seconds[slowest] > max(self.settings.straggler * usual, usual + STRAGGLE_SECONDS)
        before, times = self._slow
        self._slow = slowest, (times if slowest == before else 0) + 1 if late else 0
        if self._slow[1] == STRAGGLE_ROUNDS:
            self._slow = -1, 0
            member = self.crew.members[slowest]
            member.hosts = [host for host in member.hosts if host != member.host]
            why = f"computes {seconds[slowest]:.1f} s where the others take {usual:.1f} s"
            self.crew.dismiss(Lost([member], f"worker {slowest} on {member.host} {why}: another one gets its shards"))
            self.crew.part()


def _hosts(portions: Sequence[FileSplit]) -> list[str]:
    """Hosts of the blocks of some portions, those with most bytes first."""
    held: dict[str, int] = {}
    for portion in portions:
        for host in fs.hosts(portion.path, portion.start, portion.length):
            held[host] = held.get(host, 0) + portion.length
    return sorted(held, key=lambda host: (-held[host], host))
