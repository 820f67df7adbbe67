"""The interface that the driver sees of whatever carries rounds out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from hdl import sync
from hdl.data import FileSplit, Options, Schema, Summary
from hdl.runners.platform import device_class
from hdl.spec import Spec
from hdl.wire import Update, Weights


@dataclass(frozen=True)
class Job:
    """What the user wants trained, on what, and where it is kept.

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
        Go on from the table's last version; without it a table that is there is refused.
    publish_every : int
        Rounds between two versions in the table; 0: as often as the storage keeps up. The last is always published.
    """

    data: str
    table: str
    spec: Spec | None = None
    options: Options = field(default_factory=Options.make)
    resume: bool = False
    publish_every: int = 1


@dataclass(frozen=True)
class Plan:
    """What all rounds of a training share: known once the data has been summarised. Version 0 of the table holds it.

    Parameters
    ----------
    spec : Spec
        Everything filled in.
    schema : Schema
    table : str
        Where genetic mode's common samples are, or the layers below.
    platform : str
        Kind of core that every worker uses, so that the bytes are the same on all: see `hdl.runners.platform`.
    """

    spec: Spec
    schema: Schema
    table: str
    platform: str

    @property
    def device(self) -> str:
        """Class of device that computes: 'cpu' or 'cuda'."""
        return device_class(self.platform)


@dataclass(frozen=True)
class Progress:
    """An event: how far the present stage is.

    Parameters
    ----------
    stage : {'summarise', 'round'}
    done, total : float
        In shards.
    """

    stage: str
    done: float
    total: float


@dataclass(frozen=True)
class Replaced:
    """An event: a worker died and another one does its shards again."""

    worker: int
    shards: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Log:
    """An event: something for people."""

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
        """Train as the job says: what `driver.train` calls, which people call.

        Parameters
        ----------
        job : Job
        drive : function of (job, runner, notify)
            The driver's loop over rounds. A runner whose driver runs elsewhere does without it.
        notify : function of an event

        Returns
        -------
        hdl.driver.Outcome or None
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

    The driver calls `open`, then `summarise` (not when it resumes), then `prepare`, then `round` again and again.

    Attributes
    ----------
    asynchronous : bool
        Whether it can carry out mode `async`.
    merge_seconds : float
        That the merge of the last round took.
    """

    merge_seconds = 0.0
    asynchronous = False  # can carry out mode `async`

    def train(self, job: Job, drive: Callable[[Job, RoundRunner, Notify], Any], notify: Notify) -> Any:
        return drive(job, self, notify)

    @abstractmethod
    def open(self, job: Job, splits: Sequence[Sequence[FileSplit]], notify: Notify) -> None:
        """Gets ready to read the shards; events go to `notify`. Returns before workers are up if it can."""

    @abstractmethod
    def platform(self) -> str:
        """The best kind of core that all its workers have.

        Raises
        ------
        Unavailable
            A GPU was asked for, and some have none.
        """

    @abstractmethod
    def summarise(self) -> Summary:
        """The dataset's summary, joined along the tree."""

    @abstractmethod
    def prepare(self, plan: Plan) -> None:
        """Takes what all rounds share."""

    @abstractmethod
    def round(self, weights: Weights, evaluate_only: bool = False) -> list[Update]:
        """One round over all shards: `train_shard` of each, joined or not, in any order.

        Raises
        ------
        HdlError
            What a worker raised, WorkerError if workers keep dying, DeadlineError if one hangs.
        """

    def advance(self, spec: Spec, weights: Weights, evaluate_only: bool = False) -> tuple[Weights, dict[str, Any]]:
        """One round and its merge: the next weights and the row of metrics, as `sync.advance` gives them."""
        updates = self.round(weights, evaluate_only)
        began = time.perf_counter()
        advanced = sync.advance(spec, weights, updates, evaluate_only)
        self.merge_seconds = time.perf_counter() - began
        return advanced

    def keep(self, weights: Weights) -> Weights:
        """Told before the next round that these will be read while it runs: a runner whose weights are elsewhere
        sees to it that they stay there."""
        return weights

    def timings(self) -> list[dict[str, Any]]:
        """Of the last round, one dictionary a worker: worker, shards, seconds. Never decides anything."""
        return []

    def phases(self) -> dict[str, float]:
        """Seconds of the last round by what they were spent on, where the runner can tell. Never decides anything."""
        return {}
