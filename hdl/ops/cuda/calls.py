"""Calls of the CUDA core: their arguments are put on the device, they run as some kernels, and their results come back.

Letters: N samples, B rows of a mini-batch, P parameters, S state vectors, M nets trained side by side.
"""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl import devices
from hdl.errors import SpecError, Unavailable
from hdl.ops import rules
from hdl.ops.base import SideBySide, check_weights
from hdl.ops.cuda.memory import Pool, Resident, check, row_bytes
from hdl.ops.cuda.program import Program
from hdl.ops.draws import DROPOUT, key_words
from hdl.ops.schedule import steps
from hdl.ops.types import NO_KEY, Key, Progress, Result, Samples, Work, counted

if TYPE_CHECKING:
    from hdl.spec import Spec

_SHARE = 8  # of the free memory: what samples that pass through take at a time, of which there are two
_LOOK = 0.05  # seconds between two looks at whether to stop
_CONSTANTS = "momentum", "beta1", "beta2", "rho", "epsilon", "weight_decay"  # of a rule
PRECISIONS = {"float32": 0, "tf32": 1, "bf16": 2}


class Caller(SideBySide):
    """One model's programs, memory and samples on one device.

    Parameters
    ----------
    spec : Spec
    device : str
    """

    def __init__(self, spec: Spec, device: str = "cuda:0"):
        try:
            from hdl import _cuda
        except ImportError as error:
            raise Unavailable(f"the CUDA core is missing ({error}); build it with: ./build.sh cuda") from None
        super().__init__(spec)
        self._native = _cuda
        self.device = devices.open(device)
        self.platform = self.device.title
        self._pool = Pool(self.device)
        self._data = Resident(self.device)
        self._programs: dict[tuple[str, int], Program] = {}
        self._tables: dict[tuple[str, int], tuple[int, int]] = {}

    def _segments(
        self, works: Sequence[Work], batch: int
    ) -> Iterator[tuple[int, Sequence[Work], list[dict[str, int]], Callable[[], None] | None]]:
        """Cut works into calls: steps before it, works, where their samples are, what to do while it runs.

        Samples that do not fit on the device come as some mini-batches at a time; while those are computed, the next
        ones are gathered and sent.
        """
        if self._data.fits([work.samples for work in works]):
            yield 0, works, self._data.of([work.samples for work in works]), None
            return
        (work,) = works
        each = max(1, self.device.memory()[0] // _SHARE // max(1, batch * row_bytes(work.samples)))
        starts = range(0, len(work.order), each * batch)
        parts = [work.order[low : low + each * batch] for low in starts]
        data = [self._data.passing(work.samples, parts[0], 0, False)]
        for number, part in enumerate(parts):

            def send(number: int = number + 1) -> None:
                if number < len(parts):
                    data.append(self._data.passing(work.samples, parts[number], number, True))

            first = number * each
            here = work._replace(order=np.arange(len(part)), lr=work.lr[first:], first_step=work.first_step + first)
            if work.samples.weight is not None:  # the only part of the samples that is looked at from here on
                here = here._replace(samples=replace(work.samples, weight=work.samples.weight[part]))
            yield first, [here], [data[number]], send

    def _check(self, work: Work, *overwritten: NDArray) -> None:
        """Refuse arrays that a GPU would read or write beyond their end."""
        if not self._data.holds(work.samples):
            ranges = getattr(self.layout, "ranges", ())
            check(work.samples, self.layout.widths[0], self.layout.widths[-1], ranges)
            check_weights(self.spec, work.samples)
        size, n = self.layout.size, len(work.samples)
        if work.w.dtype != np.float32 or work.w.shape != (size,):
            raise SpecError(f"weights are {work.w.dtype} {work.w.shape}, expected float32 ({size},)")
        for part in overwritten:
            if part.dtype != np.float32:
                raise SpecError(f"state is {part.dtype}, expected float32")
        if len(work.order) and (work.order.min() < 0 or work.order.max() >= n):
            raise SpecError(f"order holds {work.order.min()} … {work.order.max()}, but there are {n} samples")

    @abstractmethod
    def _program(self, task: str, rows: int) -> Program:
        """Make the program of `task` for mini-batches of so many rows."""

    def _call(
        self, task: str, works: Sequence[Work], data: list[dict[str, int]], batch: int, out: NDArray, fresh: bool,
        by_place: bool = False,
    ) -> Any:  # fmt: skip
        """Put everything on the device, and make the call that uses it.

        `out` [M, …] is what arena G holds of each net; unless `fresh`, weights, state and sums are there already.
        """
        pool, count, size = self._pool, len(works), self.layout.size
        program, table, bounds = self._packed(task, batch)
        orders, rates = _offsets([work.order for work in works]), [0] * count
        order = pool.put("order", np.concatenate([work.order for work in works]).astype(np.int64, copy=False))
        if not by_place:
            each = [self._rates(work, steps(len(work.order), batch), batch) for work in works]
            at, ends = pool.put("rates", np.concatenate(each)), _offsets(each)
            rates = [at + 16 * end for end in ends]
        nets = [
            self._native.net(self._rule(work.spec or self.spec), self._key_words(work.key), own, order + 8 * start,
                             len(work.order), work.first_step, rate, work.samples.y is not None)
            for work, own, start, rate in zip(works, data, orders, rates, strict=True)
        ]  # fmt: skip
        if fresh:
            pool.put_all("w", [work.w for work in works])
            pool.put_all("state", [work.state for work in works])
        if fresh or out.ndim == 3:
            pool.put("out", out)
        arenas = [
            (pool.at("w"), size),
            (pool.at("state"), works[0].state.size),
            (pool.room("memory", 4 * program.memory * count), program.memory),
            (pool.at("out"), out[0].size),
        ]
        return self._native.Call(
            ops=table, phase=bounds, net=pool.put("nets", np.frombuffer(b"".join(nets), np.uint8)),
            phases=len(program.phases), operations=sum(map(len, program.phases)), arenas=arenas,
            cost=pool.zero("cost", 8 * batch * count), correct=pool.zero("correct", 8 * batch * count),
            barrier=pool.room("barrier", 8 * count), step=pool.room("step", 8), loop=_loop(),
            batch=batch, rows=batch, tiles=program.tiles,
            largest_tile=program.largest_tile, parameters=size, state_vectors=len(works[0].state), nets=count,
            precision=PRECISIONS[self.spec.precision], resident=program.resident, by_place=by_place,
        )  # fmt: skip

    def _key_words(self, key: Key | None) -> list[int]:
        """Derive the words of the keys that the program's draws take."""
        return key_words(key or NO_KEY, DROPOUT)

    def _planned(self, task: str, rows: int) -> Program:
        """Give the program of `task` for mini-batches of so many rows, made once."""
        if (task, rows) not in self._programs:
            self._programs[task, rows] = self._program(task, rows)
        return self._programs[task, rows]

    def _packed(self, task: str, rows: int) -> tuple[Program, int, int]:
        """Give a program, and where its table and the beginnings of its phases are on the device."""
        program = self._planned(task, rows)
        if (task, rows) not in self._tables:
            table, bounds = program.packed(self._native.operation)
            self._tables[task, rows] = (
                self._pool.put(f"{task} {rows} table", np.frombuffer(table, np.uint8)),
                self._pool.put(f"{task} {rows} phases", bounds),
            )
        return program, *self._tables[task, rows]

    def _rule(self, spec: Spec) -> dict[str, float]:
        """Name the update rule, its constants and the regularisers, as `hdl_cuda_rule` has them."""
        rule = spec.optimizer
        names = list(rules.VECTORS)
        return {
            "rule": names.index(rule.name) if rule.name in names else 0,
            "l1": spec.l1,
            "l2": spec.l2,
            "l2_sp": spec.tuning.l2_sp,
            "max_norm": spec.max_norm or 0.0,
            **{name: getattr(rule, name) for name in _CONSTANTS},
        }

    def _rates(self, work: Work, count: int, batch: int) -> NDArray[np.float32]:
        """Compute learning rates, Adam's corrections of its two means, and the weights of mini-batches: [steps, 4]."""
        if len(work.lr) < count:
            raise SpecError(f"lr has {len(work.lr)} numbers for {count} steps")
        rule = (work.spec or self.spec).optimizer
        t = np.arange(work.first_step + 1, work.first_step + count + 1, dtype=np.float64)
        columns = np.ones((count, 4), np.float32)
        columns[:, 3] = weights_of(work.samples, work.order, batch)
        columns[:, 0] = work.lr[:count]
        if rule.name == "adam":
            columns[:, 1], columns[:, 2] = 1 / (1 - rule.beta1**t), 1 / (1 - rule.beta2**t)
        return columns

    def _run(
        self, call: Any, count: int, progress: Progress | None, nets: int, meanwhile: Callable[[], None] | None
    ) -> tuple[int, list[int]]:
        """Run steps: their number, and for each net the one (from 1) at which its cost was not finite, or 0.

        With `progress` the steps go in several kernels, each about as long as it may take to notice a wish to stop;
        with something to do `meanwhile` in one.
        """
        few = progress and not meanwhile
        done, some, flags = 0, min(count, 8) if few else count, np.zeros((nets, 2), np.uint32)
        try:
            while done < count:
                some = min(some, count - done)
                self._pool.zero("barrier", flags.nbytes)
                began = time.monotonic()
                call.run(done, done + some, self.device.stream)
                if meanwhile:
                    meanwhile()
                self._pool.get("barrier", flags)
                done += some
                if flags[:, 1].any():
                    break
                took = time.monotonic() - began
                some = max(1, min(4 * some, int(some * _LOOK / max(took, 1e-6))))
                if progress and done < count and progress(done, count):
                    break
        finally:
            call.forget()
        return done, flags[:, 1].tolist()

    def _results(self, works: Sequence[Work], batch: int, done: int) -> list[Result]:
        """Fetch the result of each work after so many steps."""
        cost, correct = np.empty((len(works), batch)), np.empty((len(works), batch))
        self._pool.get("cost", cost)
        self._pool.get("correct", correct)
        results = []
        for each, right, work in zip(cost, correct, works, strict=True):
            result = counted(work.samples, work.order[: done * batch])
            result.cost, result.steps = float(each.sum()), min(done, steps(len(work.order), batch))
            result.correct = int(right.sum()) if work.samples.weight is None else float(right.sum())
            results.append(result)
        return results


def _loop() -> int:
    """Read how mini-batches follow each other from the environment's HDL_CUDA_LOOP (hdl_cuda.h explains each)."""
    loops, given = ("auto", "kernel", "graph"), os.environ.get("HDL_CUDA_LOOP", "auto")
    if given not in loops:
        raise SpecError(f"HDL_CUDA_LOOP: expected one of {', '.join(loops)} (given {given!r})")
    return loops.index(given)


def weights_of(samples: Samples, order: NDArray[np.int64], batch: int) -> NDArray[np.float64]:
    """Sum the weights of each mini-batch [steps]."""
    starts = range(0, len(order), batch)
    return np.array([counted(samples, order[low : low + batch]).weight for low in starts], np.float64)


def _offsets(parts: Sequence[NDArray]) -> list[int]:
    """Compute where each part begins when they lie one after the other."""
    return np.cumsum([0] + [len(part) for part in parts])[:-1].tolist()
