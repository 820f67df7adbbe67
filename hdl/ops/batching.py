"""Trainings that run in threads of their own, and whose mini-batches go side by side on one device.

Each training has a `Seat` in place of the operations. When every training that is still there waits in `train_all`, one
call trains all of their nets; whatever else they ask for is done one after the other. A training that ends, whatever
the reason, leaves: nobody waits for it any more.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from hdl.errors import NonFinite
from hdl.ops import Key, Progress, Result, Samples, Work, rules

if TYPE_CHECKING:
    from hdl.spec import Spec

__all__ = ["BatchingBarrier", "Participant", "alike"]

# Of a spec what a net may have of its own beside its rule: the rest is part of the core's program, or of the data.
_OWN = ("optimizer", "l1", "l2", "max_norm", "seed", "init", "epochs", "patience", "keep")


def alike(spec: Spec) -> str | None:
    """What the specs of trainings that may meet have in common, as text; None for one that meets nobody.

    Only networks that take mini-batch steps have something to do side by side, and stacks are several networks. Rules
    may be different ones if they keep as many vectors of state.
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


class _Asked:
    """What one training waits for."""

    def __init__(self, works: list[Work], batch: int, progress: Progress | None):
        self.works, self.batch, self.progress = works, batch, progress
        self.answer: list[Result] | BaseException | None = None


class BatchingBarrier:
    """Where trainings wait for each other.

    Parameters
    ----------
    members : int
        Trainings that take part; each calls `leave` once, at its end.
    make : function of a Spec
        Gives the operations that all of them use: those of the first one's spec.
    """

    def __init__(self, members: int, make: Callable[[Spec], Any]):
        self._members, self._make = members, make
        self._core: Any = None
        self._alike: str | None = None
        self._using = threading.Lock()  # the core has room for the arrays of one call
        self._changed = threading.Condition()
        self._asked: list[_Asked] = []
        self._together: dict[int, int] = {}

    def seat(self, spec: Spec) -> Participant:
        """The operations of one training, whose spec is filled in.

        Raises
        ------
        ValueError
            It is not `alike` the others.
        """
        with self._using:
            if self._core is None:
                self._core, self._alike = self._make(spec), alike(spec)
        if alike(spec) != self._alike or self._alike is None:
            raise ValueError("only trainings that are alike can be side by side")
        return Participant(self, spec)

    def leave(self) -> None:
        """One training less."""
        with self._changed:
            self._members -= 1
            self._changed.notify_all()

    def together(self, batch: int) -> int:
        """Nets that one call takes. Asked once: later there is less memory free, because of what they use already."""
        with self._using:
            if batch not in self._together:
                self._together[batch] = self._core.together(batch)
        return self._together[batch]

    def one(self, name: str, *given: Any, **more: Any) -> Any:
        """A method of the core, for one training alone."""
        with self._using:
            return getattr(self._core, name)(*given, **more)

    def train_all(self, works: list[Work], batch: int, progress: Progress | None) -> list[Result]:
        """Waits until all have come; whoever finds that they have leads."""
        own = _Asked(works, batch, progress)
        with self._changed:
            self._asked.append(own)
            self._changed.notify_all()
            while own.answer is None:
                if len(self._asked) >= self._members:
                    self._hold()
                else:
                    self._changed.wait()
        if isinstance(own.answer, BaseException):
            raise own.answer
        return own.answer

    def _hold(self) -> None:
        """The meeting: everybody else waits for its end."""
        asked, self._asked = self._asked, []
        try:
            for batch in sorted({own.batch for own in asked}):
                self._answer([own for own in asked if own.batch == batch], batch)
        except BaseException as error:  # told to all: each of them ends by it
            for own in asked:
                own.answer = error if own.answer is None else own.answer
        self._changed.notify_all()

    def _answer(self, asked: Sequence[_Asked], batch: int) -> None:
        def progress(done: int, total: int) -> bool:
            return any([own.progress(done, total) for own in asked if own.progress])  # each is told

        found = self._train([work for own in asked for work in own.works], batch, progress)
        for own in asked:
            answers, found = found[: len(own.works)], found[len(own.works) :]
            failed = next((each for each in answers if isinstance(each, NonFinite)), None)
            own.answer = failed or answers  # type: ignore[assignment]  # none of them failed

    def _train(self, works: Sequence[Work], batch: int, progress: Progress) -> list[Result | NonFinite]:
        """A result of each, or why it has none: a net that fails leaves the others as they were, to be tried again."""
        found: list[Any] = [None] * len(works)
        left, most = list(range(len(works))), self.together(batch)
        while some := left[:most]:
            try:
                with self._using:
                    answers = self._core.train_all([works[number] for number in some], batch, progress)
                done = dict(zip(some, answers, strict=True))
            except NonFinite as error:
                if not error.nets:
                    raise
                done = {some[place]: NonFinite(said) for place, said in error.nets.items()}
            for number, answer in done.items():
                found[number] = answer
                left.remove(number)
        return found


class Participant:
    """The operations of one training of several: as `Cuda`."""

    def __init__(self, meeting: BatchingBarrier, spec: Spec):
        self._meeting, self.spec = meeting, spec

    def together(self, batch: int) -> int:
        return self._meeting.together(batch)

    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
        return self._meeting.train_all([work._replace(spec=self.spec) for work in works], batch, progress)

    def gradient(
        self, w: NDArray, samples: Samples, order: NDArray | None = None, key: Key | None = None,
        progress: Progress | None = None, **more: Any,
    ) -> tuple[NDArray, Result]:  # fmt: skip
        return self._meeting.one("gradient", w, samples, order, key, progress, **more)

    def forward(
        self, w: NDArray, samples: Samples, order: NDArray | None = None, progress: Progress | None = None
    ) -> tuple[NDArray, Result]:
        return self._meeting.one("forward", w, samples, order, progress)
