"""Trainings that run in threads of their own, and whose mini-batches go side by side on one device.

Each training has a `Participant` in place of the operations. When every training that is still there waits in
`train_all`, one call trains all of their nets; whatever else they ask for is done one after the other. A training that
ends, whatever the reason, leaves: nobody waits for it any more.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.errors import NonFinite
from hdl.ops import rules
from hdl.ops.base import Operations, SideBySide
from hdl.ops.types import Key, Progress, Result, Samples, Work

if TYPE_CHECKING:
    from hdl.spec import Spec

__all__ = ["BatchingBarrier", "Participant", "compatibility"]

# Of a spec what a net may have of its own beside its rule: the rest is part of the core's program, or of the data.
_OWN = ("optimizer", "l1", "l2", "max_norm", "seed", "init", "epochs", "patience", "keep")


def compatibility(spec: Spec) -> str | None:
    """Write down what specs of trainings that go side by side have in common; None for one that goes alone.

    Two specs are compatible if the texts are equal. Only networks that take mini-batch steps have something to do side
    by side, and stacks are several networks. Rules may be different ones if they keep as many vectors of state.
    """
    rule = spec.optimizer
    if (
        spec.model not in ("mlp", "autoencoder", "rbm")
        or rule.line_search
        or spec.sync.mode not in ("average", "genetic")
    ):
        return None
    fields = spec.model_dump(mode="json", exclude=set(_OWN))
    # A limit on norms is a phase of the program, whatever the limit is.
    return json.dumps([fields, rules.VECTORS[rule.name], bool(spec.max_norm)], sort_keys=True)


class _Request:
    """A call of `train_all` by one training, which waits for its answer."""

    def __init__(self, works: Sequence[Work], batch: int, progress: Progress | None):
        self.works, self.batch, self.progress = works, batch, progress
        self.answer: list[Result] | BaseException | None = None


class BatchingBarrier:
    """A barrier at which trainings wait for each other, and their mini-batches become one call.

    Parameters
    ----------
    members : int
        Trainings that take part; each calls `leave` once, at its end.
    make : function of a Spec
        Gives the operations that all of them use: those of the first one's spec.
    """

    def __init__(self, members: int, make: Callable[[Spec], Operations]):
        self._members, self._make = members, make
        self._operations: Operations | None = None
        self._compatibility: str | None = None
        self._using = threading.Lock()  # the core has room for the arrays of one call
        self._changed = threading.Condition()
        self._requests: list[_Request] = []
        self._together: dict[int, int] = {}

    def join(self, spec: Spec) -> Participant:
        """Give the operations of one training, whose spec is filled in.

        Raises
        ------
        ValueError
            The spec is not compatible with the others'.
        """
        with self._using:
            if self._operations is None:
                self._operations, self._compatibility = self._make(spec), compatibility(spec)
            operations = self._operations
        if compatibility(spec) != self._compatibility or self._compatibility is None:
            raise ValueError("only trainings that are alike can be side by side")
        return Participant(self, spec, operations.platform)

    def leave(self) -> None:
        """Take one training less into account."""
        with self._changed:
            self._members -= 1
            self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[Operations]:
        """Lend the shared operations to one training, while no other uses them."""
        with self._using:
            assert self._operations is not None, "nobody has joined"
            yield self._operations

    def together(self, batch: int) -> int:
        """Count the nets that one call takes; asked once: later less memory is free, as they use some already."""
        with self.alone() as operations:
            if batch not in self._together:
                self._together[batch] = operations.together(batch)
        return self._together[batch]

    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None) -> list[Result]:
        """Wait until all have come; one of them makes the call for all."""
        own = _Request(works, batch, progress)
        with self._changed:
            self._requests.append(own)
            self._changed.notify_all()
            while own.answer is None:
                if len(self._requests) >= self._members:
                    self._answer_all()
                else:
                    self._changed.wait()
        if isinstance(own.answer, BaseException):
            raise own.answer
        return own.answer

    def _answer_all(self) -> None:
        """Answer all requests, while their trainings wait."""
        requests, self._requests = self._requests, []
        try:
            for batch in sorted({request.batch for request in requests}):
                self._answer([request for request in requests if request.batch == batch], batch)
        except BaseException as error:  # told to all: each of them ends by it
            for request in requests:
                request.answer = error if request.answer is None else request.answer
        self._changed.notify_all()

    def _answer(self, requests: Sequence[_Request], batch: int) -> None:
        """Train the nets of requests of one batch, and answer each."""

        def progress(done: int, total: int) -> bool:
            return any([request.progress(done, total) for request in requests if request.progress])  # each is told

        left = iter(self._train([work for request in requests for work in request.works], batch, progress))
        for request in requests:
            outcomes = [next(left) for _ in request.works]
            failed = next((outcome for outcome in outcomes if isinstance(outcome, NonFinite)), None)
            request.answer = failed or [outcome for outcome in outcomes if isinstance(outcome, Result)]

    def _train(self, works: Sequence[Work], batch: int, progress: Progress) -> list[Result | NonFinite]:
        """Train nets: a result of each, or why it has none.

        A net that fails leaves the others as they were, to be tried again.
        """
        outcomes: dict[int, Result | NonFinite] = {}
        left, most = list(range(len(works))), self.together(batch)
        while some := left[:most]:
            try:
                with self.alone() as operations:
                    results = operations.train_all([works[number] for number in some], batch, progress)
                outcomes |= zip(some, results, strict=True)
            except NonFinite as error:
                if not error.nets:
                    raise
                outcomes |= {some[place]: NonFinite(message) for place, message in error.nets.items()}
            left = [number for number in left if number not in outcomes]
        return [outcomes[number] for number in range(len(works))]


class Participant(SideBySide):
    """The operations of one training of several, which share a device.

    Parameters
    ----------
    barrier : BatchingBarrier
    spec : Spec
        The training's own.
    platform : str
        Of the shared operations.
    """

    def __init__(self, barrier: BatchingBarrier, spec: Spec, platform: str):
        super().__init__(spec)
        self._barrier, self.platform = barrier, platform

    def together(self, batch: int) -> int:
        """Count the nets that one call takes."""
        return self._barrier.together(batch)

    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
        """Train several nets beside those of the other trainings: see `Operations.train_all`."""
        return self._barrier.train_all([work._replace(spec=self.spec) for work in works], batch, progress)

    def gradient(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> tuple[NDArray, Result]:
        """Sum the gradient's statistics [Q]: see `Operations.gradient`."""
        with self._barrier.alone() as operations:
            return operations.gradient(w, samples, order, key, progress, chains)

    def forward(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray, Result]:
        """Compute outputs [n, O]: see `Operations.forward`."""
        with self._barrier.alone() as operations:
            return operations.forward(w, samples, order, progress)

    def encode(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> NDArray:
        """Compute codes [n, H]: see `Operations.encode`."""
        with self._barrier.alone() as operations:
            return operations.encode(w, samples, order, progress)
