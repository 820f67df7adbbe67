"""Measures a table's network on a dataset, here or on a cluster: the driver of passes that train nothing.

As a training does, it asks a runner to open the data in parts, and joins what comes of them; `hdl.passes` says why the
result is the same on every runner, to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from hdl import importance, passes, wire
from hdl.errors import Interrupted
from hdl.evaluation import Score
from hdl.importance import REPETITIONS, Effects
from hdl.passes import Partial, Pass
from hdl.predict import Model
from hdl.runners import platform
from hdl.runners.base import Job, Notify, RoundRunner, Runner

MESSAGE = "gathered"


@dataclass(frozen=True)
class Asked:
    """Says what is to be measured.

    Parameters
    ----------
    version : int, optional
        Of the table; None: the best by validation, else the last.
    rows : int
        Rows that importance and partial dependence are computed on, drawn from all; 0: they are not.
    repetitions : int
        Permutations of each column.
    metric : str, optional
        Of importance; None: that of the model's spec, else the cost.
    seed : int, optional
        Of permutations; None: the model's.
    """

    version: int | None = None
    rows: int = 0
    repetitions: int = REPETITIONS
    metric: str | None = None
    seed: int | None = None


class Gathered(NamedTuple):
    """Holds what all parts of the data have given.

    Attributes
    ----------
    version : int
        That was measured.
    whole : Partial
    effects : Effects or None
    """

    version: int
    whole: Partial
    effects: Effects | None

    def pack(self) -> bytes:
        """Pack as a message; `unpack` reads it. Rows that were drawn stay behind."""
        values = {name: value for name, value in self.whole.values.items() if name != "rows"}
        fields = {"version": self.version, "effects": self.effects and self.effects.to_plain()}
        found = b"".join(replace(self.whole, values=values).pack())
        return b"".join(wire.parts(MESSAGE, fields, {"whole": np.frombuffer(found, np.uint8)}))

    @classmethod
    def unpack(cls, message: wire.Buffer) -> Gathered:
        """Read what `pack` gave."""
        kind, fields, tensors = wire.unpack(message)
        if kind != MESSAGE:
            raise wire.WireError(f"a message of kind {kind[:40]!r}; expected {MESSAGE}")
        effects = fields["effects"] and Effects.from_plain(fields["effects"])
        return cls(fields["version"], passes.read(tensors["whole"].tobytes(), passes.make), effects)


class Found(NamedTuple):
    """A network's measures on a dataset.

    Attributes
    ----------
    version : int
        Of the table.
    score : Score
    effects : Effects or None
        Importance and partial dependence, where they were asked for.
    """

    version: int
    score: Score
    effects: Effects | None


def measure(
    job: Job,
    runner: Runner,
    on_event: Callable[[Any], None] | None = None,
    asked: Asked | None = None,
    threshold: float | None = None,
) -> Found:
    """Measure a table's network on a dataset, and close the runner at the end.

    Parameters
    ----------
    job : Job
        Its data, table and options.
    runner : Runner
        With the workers that are wanted: `hdl.passes.workers` tells how many pay.
    on_event : function of an event, optional
        Called with Progress, Replaced and Log in this process's thread.
    asked : Asked, optional
    threshold : float, optional
        Of two classes: the score from which on the second is answered, for accuracy and confusion.

    Raises
    ------
    DataError
        The data has no labels, no samples, others than the model's, or more bad records than the options allow.
    SpecError
        The network makes codes, which have no cost, or what was asked for does not fit it.
    WorkerError, DeadlineError
        Workers failed.
    Interrupted
        Ctrl-C.
    """
    asked = asked or Asked()
    job = replace(job, asked=asdict(asked))
    model = Model(job.table, asked.version)
    _check(model, asked)
    try:
        with runner:
            gathered = runner.train(job, gather, on_event or (lambda event: None))
    except KeyboardInterrupt:
        raise Interrupted("stopped; nothing was measured") from None
    if gathered.version != model.version.number:  # a version was published meanwhile
        model = Model(job.table, gathered.version)
    score = passes.score(model, gathered.whole, job.data, job.options.weights, threshold)
    return Found(gathered.version, score, gathered.effects)


def gather(job: Job, runner: RoundRunner, notify: Notify) -> Gathered:
    """Carry the passes of a job out: `measure` calls it in this process, or YARN's master in its own."""
    asked = Asked(**(job.asked or {}))
    model = Model(job.table, asked.version)
    _check(model, asked)
    job = replace(job, schema=model.schema)
    source = job.source()
    splits = passes.cut(source)
    runner.open(job, splits, notify)
    first = Pass("evaluate", job.table, model.version.number, len(splits), _platform(model, runner),
                 {"rows": asked.rows})  # fmt: skip

    def run(one: Pass) -> Partial:
        return passes.complete(runner.measure(one), passes.make)

    whole, effects = run(first), None
    if asked.rows:
        rows = whole.values["rows"]
        effects = importance.find(run, model, rows, first, asked.repetitions, asked.metric, asked.seed)
    return Gathered(model.version.number, whole, effects)


def _check(model: Model, asked: Asked) -> None:
    """Refuse what cannot be measured, before anything is read or submitted."""
    passes.check(model)
    if asked.rows:
        importance.check(model, asked.metric)


def _platform(model: Model, runner: RoundRunner) -> str:
    """Agree on what all workers compute with: no better instruction set than the model was trained with, since a
    cluster that trained it has that everywhere. Empty: GPUs of tasks that have not told yet which they have."""
    own = runner.platform()
    if not own and platform.device_class(runner.device) == "cpu":
        own = platform.best_isa()
    trained = platform.instruction_set(model.about.get("isa") or "")
    if own in platform.ISAS and trained in platform.ISAS:
        return min(own, trained, key=platform.ISAS.index)
    return own
