"""The interface of runners: a job and a plan, the events of a training, and what a driver asks of a runner."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hdl import sync, wire
from hdl.data import FileSplit, Options, Schema, Source, Summary, open_source
from hdl.data.line_count import Lines, Piece
from hdl.errors import SpecError
from hdl.passes import Partial, Pass
from hdl.runners import platform as platforms
from hdl.runners.platform import device_class
from hdl.spec import Spec
from hdl.wire import Update, Weights


@dataclass(frozen=True)
class Job:
    """Names what the user wants trained: the model's spec, its data, and the table that keeps it.

    Parameters
    ----------
    data : str
        Path of the dataset.
    table : str
        Folder of the weight table.
    spec : Spec or None
        As the user gave it; the driver fills in what only the data can tell. None with `resume`: the table's own.
    options : Options
        How to read the data.
    resume : bool
        Go on from the table's last version that is whole; without it a table that is there is refused.
    strict : bool
        Refuse to resume a table whose last version is damaged.
    publish_every : int
        Rounds between two versions in the table; 0: as often as the storage keeps up. The last is always published.
    asked : dict, optional
        Nothing is trained: the table's network is measured on the data, as these fields of `hdl.measuring.Asked` say.
    schema : Schema, optional
        Of the network that is measured, filled in before a runner opens the data.
    init_from : str
        A network whose weights the training starts from: see `hdl.starting`. Empty: from none.
    until : float
        Share of the rounds after which the training pauses; it resumes to the bytes of one that has not paused.
    marks : dict, optional
        Where the lines of texts are, filled in before a runner opens the data: see `Source.marks`.
    content : str
        What the data's files are, filled in before a runner opens them that keeps what was decoded: see
        `hdl.data.content`. Empty: nothing is kept.
    """

    data: str
    table: str
    spec: Spec | None = None
    options: Options = field(default_factory=Options.make)
    resume: bool = False
    publish_every: int = 1
    asked: dict[str, Any] | None = None
    schema: Schema | None = None
    strict: bool = False
    marks: dict[str, list[list[int]]] | None = None
    init_from: str = ""
    until: float = 1.0
    content: str = ""

    def source(self) -> Source:
        """Open the dataset: to train on, or as the network that is measured sees it."""
        if self.schema is None:
            return open_source(self.data, self.options)
        return open_source(self.data, self.options, self.schema, labels=self.schema.encoding != "none")


@dataclass(frozen=True)
class Plan:
    """Holds what all rounds of a training share, known once the data has been summarised; kept in version 0.

    Parameters
    ----------
    spec : Spec
        Everything filled in.
    schema : Schema
    table : str
        Folder that has genetic mode's common samples, or the layers below.
    platform : str
        That every worker computes with, so that the bytes are the same on all: see `hdl.runners.platform`. Field `isa`
        in files and messages.
    validation : dict or None
        Data of its own that is the validation part: `data`, its path; `options`, how it is read; `cuts`, a list of
        splits a shard.
    """

    spec: Spec
    schema: Schema
    table: str
    platform: str
    validation: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        platforms.check_products(self.spec, self.platform, self.table)

    @property
    def device(self) -> str:
        """Class of device that computes: 'cpu' or 'cuda'."""
        return device_class(self.platform)


@dataclass(frozen=True)
class Progress:
    """Reports how far the present stage is. An event.

    Parameters
    ----------
    stage : {'summarise', 'round', 'evaluate', 'permute', 'vary'}
    done, total : float
        In shards, or parts of the data.
    """

    stage: str
    done: float
    total: float


@dataclass(frozen=True)
class Replaced:
    """Reports that a worker died and another one does its shards again. An event."""

    worker: int
    shards: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Log:
    """Reports something to people. An event."""

    time: float
    text: str


Notify = Callable[[Any], None]


def groups(shards: int, workers: int) -> list[range]:
    """Share shards out: neighbours are siblings in the tree, so that each worker joins most of what it makes."""
    return [range(k * shards // workers, (k + 1) * shards // workers) for k in range(workers)]


class Runner(ABC):
    """Carries a training out, here or elsewhere. Use as a context manager: `close` is called at its end.

    Attributes
    ----------
    name : str
    device : str
        That was asked for: see `hdl.devices`.
    workers : int
    """

    name = ""
    device = "cpu"
    workers = 1

    @abstractmethod
    def train(self, job: Job, drive: Callable[[Job, RoundRunner, Notify], Any], notify: Notify) -> Any:
        """Train as the job says. `driver.train` calls it, which people call.

        Parameters
        ----------
        job : Job
        drive : function of (job, runner, notify)
            The driver's loop over rounds. A runner whose driver runs elsewhere does without it.
        notify : function of an event

        Returns
        -------
        hdl.events.Outcome or None
            None if the training was only handed over.
        """

    @abstractmethod
    def close(self) -> None:
        """End all workers. Safe to call twice, and after an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RoundRunner(Runner):
    """Carries rounds out for a driver in this process.

    The driver calls `open`, then `summarise` (not when it resumes), then `prepare`, then `round` again and again. Who
    measures a network calls `open`, then `measure`.

    Attributes
    ----------
    asynchronous : bool
        Whether it can carry out mode `async`.
    begins_before_zero : bool
        Whether the first round may begin before version 0 is in the table: then who is told of `Started` cannot count
        on finding it there.
    keeps : bool
        Whether its workers keep what they have decoded for the next training: see `hdl.runners.kept`.
    merge_seconds : float
        That the merge of the last round took.
    round_seconds : float or None
        That the last round took with its merge, where that is not the time that `advance` took: it may have been done
        while the driver had others to look at.
    deviation : float64 [O] or None
        By which a regression's targets were divided, so that a round's metrics are told in their unit.
    """

    merge_seconds = 0.0
    round_seconds: float | None = None
    deviation: NDArray[np.float64] | None = None
    asynchronous = False  # can carry out mode `async`
    begins_before_zero = False
    keeps = False

    def train(self, job: Job, drive: Callable[[Job, RoundRunner, Notify], Any], notify: Notify) -> Any:
        return drive(job, self, notify)

    @abstractmethod
    def open(self, job: Job, splits: Sequence[Sequence[FileSplit]], notify: Notify) -> None:
        """Get ready to read the shards; events go to `notify`. Returns before workers are up if it can."""

    def count(self, job: Job, cut: Sequence[Piece], shards: int, notify: Notify) -> list[Lines] | None:
        """Count the lines of texts where the data is, before `open`; None where the driver is to count them itself."""
        return None

    @abstractmethod
    def platform(self) -> str:
        """Agree on the best platform that all workers have.

        Raises
        ------
        Unavailable
            A GPU was asked for, and some have none.
        """

    def platform_of(self, spec: Spec) -> str:
        """Name the platform of a training with a spec, on the one that all workers have.

        Raises
        ------
        SpecError
            The model does not take the spec's precision there.
        Unavailable
            As of `platform`.
        """
        return platforms.of(spec, self.platform())

    @abstractmethod
    def summarise(self) -> Summary:
        """Summarise the dataset: the summaries of its shards, joined along the tree."""

    @abstractmethod
    def prepare(self, plan: Plan) -> None:
        """Take the plan that all rounds share."""

    @abstractmethod
    def round(self, weights: Weights, evaluate_only: bool = False) -> list[Update]:
        """Do one round over all shards: `train_shard` of each. Updates are joined or not, in any order.

        Raises
        ------
        HdlError
            As a worker raised it; WorkerError if workers keep dying, DeadlineError if one hangs.
        """

    def measure(self, asked: Pass) -> Sequence[Partial | wire.Buffer]:
        """Carry a pass out over all shards, which are the parts of the data: see `hdl.passes`.

        Returns
        -------
        sequence of Partial, or messages of them
            Joined or not, in any order; `hdl.passes.complete` joins them.

        Raises
        ------
        HdlError
            As of `round`.
        """
        raise SpecError(f"runner {self.name} cannot measure")

    def advance(self, spec: Spec, weights: Weights, evaluate_only: bool = False) -> tuple[Weights, dict[str, Any]]:
        """Do one round and its merge; return the next weights and the row of metrics, as `sync.advance` does."""
        updates = self.round(weights, evaluate_only)
        began = time.perf_counter()
        advanced = sync.advance(spec, weights, updates, evaluate_only, self.deviation)
        self.merge_seconds = time.perf_counter() - began
        return advanced

    def keep(self, weights: Weights) -> Weights:
        """Keep weights that will be read while the next round runs: a runner whose weights are elsewhere holds them."""
        return weights

    def timings(self) -> list[dict[str, Any]]:
        """Return one dictionary a worker of the last round: worker, shards, seconds. Never decides anything."""
        return []

    def phases(self) -> dict[str, float]:
        """Return seconds of the last round by what they were spent on, if it is known. Never decides anything."""
        return {}
