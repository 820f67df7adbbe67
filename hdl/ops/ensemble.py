"""The operations of an ensemble: several nets on the same samples, whose answers are averaged.

Each member starts from weights of its own and has its own masks of dropout; all see the same mini-batches (deep
ensembles, Lakshminarayanan et al. 2017, trained side by side as those of Gorishniy et al. 2024 are). The first member
is the net that the spec gives without an ensemble, byte for byte.

Letters: M members, P parameters of one of them, N samples, n of them asked for, O outputs, S state vectors.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hdl.errors import NonFinite
from hdl.ops import averaged
from hdl.ops.base import Operations, SideBySide
from hdl.ops.layout import EnsembleLayout
from hdl.ops.members import key_of
from hdl.ops.schedule import steps
from hdl.ops.types import Key, Progress, Result, Samples, Work

if TYPE_CHECKING:
    from hdl.spec import Spec

T = TypeVar("T")
_TICK = 0.05  # seconds between two calls of `progress`
_SMALL = 1e7  # products of all members below which threads take longer to start than they save


class Ensemble(SideBySide):
    """The operations of a spec with several members, by those of one of them.

    Parameters
    ----------
    spec : Spec
    own : sequence of Operations
        Of a spec with one member: as many members are at work at a time as there are such operations. Whatever their
        number, results are the same.
    """

    layout: EnsembleLayout

    def __init__(self, spec: Spec, own: Sequence[Operations]):
        super().__init__(spec)
        self.own, self.platform = own, own[0].platform

    @classmethod
    def of(
        cls, spec: Spec, make: Callable[..., Operations], backend: str = "cpu", threads: int = 1, isa: str | None = None
    ) -> Ensemble:
        """Make the operations of an ensemble: on a CPU a member takes a thread, so that none waits for another."""
        single = spec.with_(members=1)
        side_by_side = min(threads, spec.members) if backend == "cpu" else 1
        return cls(spec, [make(single, backend, max(1, threads // side_by_side), isa) for _ in range(side_by_side)])

    def together(self, batch: int) -> int:
        """Count the ensembles that `train_all` has side by side at most."""
        return max(1, self.own[0].together(batch) // self.spec.members)

    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
        """Train the members of several ensembles over the same orders: see `Operations.train_all`.

        Cost and correct answers are means over the members, as single nets. If the call is stopped, all weights are as
        they were.
        """
        count = self.spec.members
        parts = [self._member(work, number) for work in works for number in range(count)]
        products = 3.0 * self.layout.own.size * sum(len(part.order) for part in parts)
        if len(self.own) > 1 and products >= _SMALL:
            results = self._side_by_side(parts, batch, products, progress)
        else:
            results = self._in_turn(parts, batch, progress)
        for number, part in enumerate(parts):
            work, member = works[number // count], number % count
            self.layout.members(work.w)[member][:] = part.w
            if part.state.size:
                self.layout.members(work.state)[member][:] = part.state
        return [_mean(results[low : low + count]) for low in range(0, len(results), count)]

    def gradient(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> tuple[NDArray, Result]:
        """Sum the members' gradients [M·P] over samples: see `Operations.gradient`.

        They are those of each member's own cost; the result has the mean of these.
        """
        w = np.ascontiguousarray(w)

        def one(own: Operations, member: int, progress: Progress | None) -> tuple[NDArray, Result]:
            part = self.layout.members(w)[member].copy()
            return own.gradient(part, samples, order, key_of(key or Key(), member), progress, chains)

        n = len(samples) if order is None else len(order)
        found = self._each(one, self.spec.members, n, 3.0 * n * self.layout.size, progress)
        return np.concatenate([vector for vector, _ in found]), _mean([result for _, result in found])

    def forward(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray, Result]:
        """Compute outputs [n, O], the mean of the members': see `Operations.forward`.

        Probabilities are averaged, and values; of a log link the means e^z. The cost is that of the averaged answer.
        """
        alone = Samples(samples.x, None, samples.scale, samples.shift, samples.weight, samples.offset)
        n = len(samples) if order is None else len(order)

        def one(own: Operations, member: int, progress: Progress | None) -> NDArray:
            return own.forward(self.layout.members(w)[member].copy(), alone, order, progress)[0]

        total: NDArray = np.zeros((n, self.layout.outputs))
        for out in self._each(one, self.spec.members, n, float(n * self.layout.size), progress):
            total += out
        out = (total / self.spec.members).astype(w.dtype)
        return out, averaged.score(self.spec, out, samples, np.arange(n) if order is None else order)

    def _member(self, work: Work, member: int) -> Work:
        """Make one member's work, with copies of its weights and state, which a failure leaves alone."""
        w, state = self.layout.members(work.w)[member].copy(), self.layout.members(work.state)[member].copy()
        own = work.spec and work.spec.with_(members=1)
        return work._replace(w=w, state=state, key=key_of(work.key or Key(), member), spec=own)

    def _in_turn(self, parts: Sequence[Work], batch: int, progress: Progress | None) -> list[Result]:
        """Train members as many at a time as the operations take."""
        own, results = self.own[0], list[Result]()
        most = own.together(batch)
        for low in range(0, len(parts), most):
            some = parts[low : low + most]
            shifted = progress and _share(progress, low, len(some), len(parts))
            try:
                results += own.train_all(some, batch, shifted)
            except NonFinite as error:
                nets = {
                    (low + place) // self.spec.members: text for place, text in (error.nets or {0: str(error)}).items()
                }
                raise NonFinite(*error.args, nets=nets) from None
        return results

    def _side_by_side(
        self, parts: Sequence[Work], batch: int, products: float, progress: Progress | None
    ) -> list[Result]:
        """Train as many members at a time as there are operations, each in a thread."""

        def one(own: Operations, number: int, progress: Progress | None) -> Result:
            part = parts[number]
            try:
                return own.train(part.w, part.state, part.samples, part.order, batch, part.lr, part.first_step,
                                 part.key, progress)  # fmt: skip
            except NonFinite as error:
                raise NonFinite(*error.args, nets={number // self.spec.members: str(error)}) from None

        total = max(steps(len(part.order), batch) for part in parts)
        return self._each(one, len(parts), total, products, progress)

    def _each(
        self, one: Callable[[Operations, int, Progress | None], T], count: int, total: int, products: float,
        progress: Progress | None,
    ) -> list[T]:  # fmt: skip
        """Call `one` for each number below `count`, on operations that are free; give the answers in their order.

        Parameters
        ----------
        one : function of (operations, number, progress)
        total : int
            Steps of one of them, as `progress` is told.
        products : float
            Multiplications of all of them, about.
        """
        if len(self.own) == 1 or products < _SMALL:
            return [
                one(self.own[0], number, progress and _share(progress, number, 1, count)) for number in range(count)
            ]
        free: queue.SimpleQueue[Operations] = queue.SimpleQueue()
        for own in self.own:
            free.put(own)
        stop, shares = threading.Event(), [0.0] * count

        def run(number: int) -> T:
            def tell(done: int, of: int) -> bool:
                shares[number] = done / max(of, 1)
                return stop.is_set()

            own = free.get()
            try:
                return one(own, number, tell)
            finally:
                shares[number] = 1.0
                free.put(own)

        with ThreadPoolExecutor(len(self.own)) as pool:
            futures: list[Future[T]] = [pool.submit(run, number) for number in range(count)]
            try:
                left: Any = futures
                while left:
                    left = wait(left, _TICK).not_done
                    if left and progress and progress(int(sum(shares) / count * total), total):
                        stop.set()
                return [future.result() for future in futures]
            except BaseException:
                stop.set()
                for future in futures:
                    future.cancel()
                raise


def _share(progress: Progress, done: int, now: int, of: int) -> Progress:
    """Make a callback for `now` of so many members, of which some are done: it counts in steps of one."""
    return lambda step, count: progress((done * count + now * step) // of, count)


def _mean(results: Sequence[Result]) -> Result:
    """Make one result of those of all members: samples and steps are one's, costs and correct answers the means."""
    first, count = results[0], len(results)
    cost = sum(result.cost for result in results) / count
    correct = sum(result.correct for result in results) / count
    return Result(cost, correct, first.samples, first.steps, first.weight)
