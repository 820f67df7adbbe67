"""The operations of a dense network carried out on a GPU: weights and results go there and back once a call.

Letters: N samples, B rows of a mini-batch, P parameters, S state vectors, M nets trained side by side.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl import devices, keys
from hdl.errors import Interrupted, NonFinite, SpecError, Unavailable
from hdl.ops import NO_KEY, Key, Progress, Result, Samples, Work, cuda_program, rules, steps
from hdl.ops import layout as layouts
from hdl.ops.cuda_memory import Pool, Resident, check, row_bytes

if TYPE_CHECKING:
    from hdl.spec import Spec

_BLOCK = 4096  # samples at once where the mini-batch does not say: gradients of a shard, predictions
_NETS = 256  # side by side: more than a GPU has blocks for
_SHARE = 8  # of the free memory: what samples that pass through take at a time, of which there are two
_LOOK = 0.05  # seconds between two looks at whether to stop
_DROPOUT = 0x64726F70  # HDL_RNG_DROPOUT of csrc/rng.h
PRECISIONS = {"float32": 0, "tf32": 1, "bf16": 2}


class Cuda:
    """The operations of one net on one device; float32 weights, sums in an order that the shapes alone decide.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in; its `precision` is what factors of products are rounded to.
    device : str
        'cuda:0', …

    Attributes
    ----------
    isa : str
        The device's name: workers of one training must have the same kind.
    """

    def __init__(self, spec: Spec, device: str = "cuda:0"):
        try:
            from hdl import _cuda
        except ImportError as error:
            raise Unavailable(f"the CUDA core is missing ({error}); build it with: ./build.sh cuda") from None
        self.spec, self._native = spec, _cuda
        self.layout = layouts.of(spec)
        self.state_vectors = rules.VECTORS.get(spec.optimizer.name, 0)
        self.device = devices.open(device)
        self.isa = self.device.title
        self._pool = Pool(self.device)
        self._data = Resident(self.device)
        self._programs: dict[str, cuda_program.Program] = {}

    def together(self, batch: int) -> int:
        """How many nets `train_all` takes side by side in half of the memory that is free now, at most 256."""
        with self.device.active():
            free, _ = self.device.memory()
        each = 4 * (self._program("train", min(batch, _BLOCK)).memory + (2 + self.state_vectors) * self.layout.size)
        return max(1, min(_NETS, free // 2 // each))

    def train(
        self,
        w: NDArray[np.float32],
        state: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64],
        batch: int,
        lr: NDArray[np.float32],
        first_step: int = 0,
        key: Key | None = None,
        progress: Progress | None = None,
        **more: NDArray[np.float32],
    ) -> Result:
        """As `Reference.train`."""
        return self.train_all([Work(w, state, samples, order, lr, first_step, key, more)], batch, progress)[0]

    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
        """`train` of many nets side by side, in as many rounds of kernels as the longest of them takes.

        Each has its own weights, state, samples, order, rates and key, and gets the bytes that it would get alone.

        Raises
        ------
        NonFinite
            Of the first whose cost became NaN or infinite; all are as they were.
        Interrupted
            All hold whole steps, as many as each had time for.
        """
        found = [Result() for _ in works]
        busy = [number for number, work in enumerate(works) if len(work.order)]
        if not busy:
            return found
        works = [works[number] for number in busy]
        for work in works:
            self._check(work, work.state, *work.more.values())
        batch = min(batch, max(len(work.order) for work in works))
        if len(works) > 1 and not self._data.fits([work.samples for work in works]):
            return self._in_turn(works, busy, found, batch, progress)
        wanted = [steps(len(work.order), batch) for work in works]
        kept = [np.concatenate([part.ravel() for part in work.more.values()] or [_NONE]) for work in works]
        ended = 0
        with self.device.active():
            for first, parts, data, meanwhile in self._segments(works, batch):
                call = self._call("train", parts, data, batch, np.stack(kept), fresh=not first)
                count = max(steps(len(part.order), batch) for part in parts)
                done, bad = self._run(call, count, progress, len(works), meanwhile)
                failed = {
                    number: f"the cost became not finite at step {part.first_step + step - 1}: a smaller lr may help"
                    for number, part, step in zip(busy, parts, bad, strict=True)
                    if step
                }
                if failed:
                    raise NonFinite(next(iter(failed.values())), nets=failed)
                for number, result in zip(busy, self._results(parts, batch, done), strict=True):
                    found[number] += result
                ended = first + done
                if done < count or (progress and ended < max(wanted) and meanwhile and progress(ended, max(wanted))):
                    break
            self._pool.get_all("w", [work.w for work in works])
            self._pool.get_all("state", [work.state for work in works])
            self._pool.get_all("out", [part for work in works for part in work.more.values()])
        if ended < max(wanted):
            raise Interrupted(f"stopped after {ended} of {max(wanted)} steps")
        return found

    def _in_turn(
        self, works: Sequence[Work], busy: list[int], found: list[Result], batch: int, progress: Progress | None
    ) -> list[Result]:
        """Nets whose samples do not fit on the device together: all are changed at the end, or none."""
        copies = [
            work._replace(w=work.w.copy(), state=work.state.copy(), more={k: v.copy() for k, v in work.more.items()})
            for work in works
        ]
        for number, work in zip(busy, copies, strict=True):
            try:
                found[number] = self.train_all([work], batch, progress)[0]
            except NonFinite as error:
                raise NonFinite(*error.args, nets={number: str(error)}) from None
        for work, copy in zip(works, copies, strict=True):
            work.w[:], work.state[:] = copy.w, copy.state
            for name, part in work.more.items():
                part[:] = copy.more[name]
        return found

    def gradient(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        **more: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], Result]:
        """As `Reference.gradient`."""
        out = np.zeros(self.layout.statistics, np.float32)
        return out, self._pass("gradient", w, samples, order, key, progress, out)

    def forward(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.float32], Result]:
        """As `Reference.forward`."""
        out = np.zeros((len(samples) if order is None else len(order), self.layout.widths[-1]), np.float32)
        return out, self._pass("forward", w, samples, order, None, progress, out)

    def _pass(
        self, what: str, w: NDArray, samples: Samples, order: Any, key: Any, progress: Any, out: NDArray
    ) -> Result:
        """Once over the samples, without an update: `out` is summed up, or where it is 2-D has a row a sample."""
        order = np.arange(len(samples)) if order is None else order
        total = Result(samples=len(order))
        if not len(order):
            return total
        batch = min(_BLOCK, len(order))
        wanted = steps(len(order), batch)
        work = Work(w, _NONE.reshape(0, 0), samples, order, _NONE, 0, key)
        self._check(work)
        with self.device.active():
            for first, (part,), data, meanwhile in self._segments([work], batch):
                rows = slice(first * batch, first * batch + len(part.order))
                here = out[rows] if out.ndim == 2 else out
                part = part._replace(first_step=first * batch)
                call = self._call(what, [part], data, batch, here[None], fresh=not first, by_place=True)
                count = steps(len(part.order), batch)
                done, (bad,) = self._run(call, count, progress, 1, meanwhile)
                if done < count and not bad:
                    raise Interrupted(f"stopped after {first + done} of {wanted} blocks")
                self._pool.get("out", here)
                found = self._results([part], batch, done)[0]
                total += Result(found.cost, found.correct)
        return total

    def _segments(
        self, works: Sequence[Work], batch: int
    ) -> Iterator[tuple[int, Sequence[Work], list[dict[str, int]], Callable[[], None] | None]]:
        """What goes into one call: steps before it, works, where their samples are, what to do while it runs.

        Samples that do not fit on the device come as some mini-batches at a time; while those are computed, the next
        ones are gathered and sent.
        """
        if self._data.fits([work.samples for work in works]):
            yield 0, works, self._data.of([work.samples for work in works]), None
            return
        (work,) = works
        each = max(1, self.device.memory()[0] // _SHARE // max(1, batch * row_bytes(work.samples)))
        cuts = range(0, len(work.order), each * batch)
        parts = [work.order[low : low + each * batch] for low in cuts]
        data = [self._data.passing(work.samples, parts[0], 0, False)]
        for number, part in enumerate(parts):

            def send(number: int = number + 1) -> None:
                if number < len(parts):
                    data.append(self._data.passing(work.samples, parts[number], number, True))

            first = number * each
            here = work._replace(order=np.arange(len(part)), lr=work.lr[first:], first_step=work.first_step + first)
            yield first, [here], [data[number]], send

    def _check(self, work: Work, *overwritten: NDArray) -> None:
        """Whatever a GPU would read or write beyond its end."""
        if not self._data.holds(work.samples):
            check(work.samples, self.layout.widths[0], self.layout.widths[-1])
        size, n = self.layout.size, len(work.samples)
        if work.w.dtype != np.float32 or work.w.shape != (size,):
            raise SpecError(f"weights are {work.w.dtype} {work.w.shape}, expected float32 ({size},)")
        for part in overwritten:
            if part.dtype != np.float32:
                raise SpecError(f"state is {part.dtype}, expected float32")
        if len(work.order) and (work.order.min() < 0 or work.order.max() >= n):
            raise SpecError(f"order holds {work.order.min()} … {work.order.max()}, but there are {n} samples")

    def _program(self, what: str, rows: int) -> cuda_program.Program:
        """The table of `what` for mini-batches of so many rows."""
        return cuda_program.fitted(
            lambda turns: cuda_program.dense(self.spec, self.layout.offsets, rows, what, self.state_vectors, turns)
        )

    def _rows(self, samples: Samples) -> int:
        """Targets in a row of y."""
        return self.layout.widths[-1]

    def _call(
        self, what: str, works: Sequence[Work], data: list[dict[str, int]], batch: int, out: NDArray, fresh: bool,
        by_place: bool = False,
    ) -> Any:  # fmt: skip
        """Everything on the device, and the call that uses it.

        `out` [M, …] is what arena G holds of each net; unless `fresh`, weights, state and sums are there already.
        """
        pool, count, size = self._pool, len(works), self.layout.size
        program, table, bounds = self._packed(what, batch)
        orders, rates = _offsets([work.order for work in works]), [0] * count
        order = pool.put("order", np.concatenate([work.order for work in works]).astype(np.int64, copy=False))
        if not by_place:
            each = [self._rates(work, steps(len(work.order), batch)) for work in works]
            at, ends = pool.put("rates", np.concatenate(each)), _offsets(each)
            rates = [at + 12 * end for end in ends]
        nets = [
            self._native.net(self._rule(work.spec or self.spec), self._words(work.key), own, order + 8 * start,
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
            ops=table, phase=bounds, own=pool.put("nets", np.frombuffer(b"".join(nets), np.uint8)),
            phases=len(program.phases), operations=sum(map(len, program.phases)), arenas=arenas,
            cost=pool.zero("cost", 8 * batch * count), correct=pool.zero("correct", 8 * batch * count),
            barrier=pool.room("barrier", 8 * count), step=pool.room("step", 8), loop=_loop(),
            batch=batch, rows=batch, tiles=program.tiles,
            largest=program.largest, parameters=size, state_vectors=len(works[0].state), nets=count,
            precision=PRECISIONS[self.spec.precision], resident=program.resident, by_place=by_place,
        )  # fmt: skip

    def _words(self, key: Key | None) -> list[int]:
        """Of the key of the draws."""
        return keys.words(*(key or NO_KEY), _DROPOUT, 0, 2).tolist()

    def _packed(self, what: str, rows: int) -> tuple[cuda_program.Program, int, int]:
        name = f"{what} {rows}"
        if name not in self._programs:
            program = self._program(what, rows)
            table, bounds = program.packed(self._native.operation)
            self._programs[name] = program
            self._pool.put(f"{name} table", np.frombuffer(table, np.uint8))
            self._pool.put(f"{name} phases", bounds)
        return self._programs[name], self._pool.at(f"{name} table"), self._pool.at(f"{name} phases")

    def _rule(self, spec: Spec) -> dict[str, float]:
        rule = spec.optimizer
        names = list(rules.VECTORS)
        return {
            "rule": names.index(rule.name) if rule.name in names else 0,
            "l1": spec.l1,
            "l2": spec.l2,
            "max_norm": spec.max_norm or 0.0,
            **{name: getattr(rule, name) for name in ("momentum", "beta1", "beta2", "rho", "epsilon")},
        }

    def _rates(self, work: Work, count: int) -> NDArray[np.float32]:
        """Learning rates, and Adam's corrections of its two means: [steps, 3]."""
        if len(work.lr) < count:
            raise SpecError(f"lr has {len(work.lr)} numbers for {count} steps")
        rule = (work.spec or self.spec).optimizer
        t = np.arange(work.first_step + 1, work.first_step + count + 1, dtype=np.float64)
        found = np.ones((count, 3), np.float32)
        found[:, 0] = work.lr[:count]
        if rule.name == "adam":
            found[:, 1], found[:, 2] = 1 / (1 - rule.beta1**t), 1 / (1 - rule.beta2**t)
        return found

    def _run(
        self, call: Any, count: int, progress: Progress | None, nets: int, meanwhile: Callable[[], None] | None
    ) -> tuple[int, list[int]]:
        """Steps that were run, and for each net the one (from 1) at which its cost was not finite, or 0.

        With `progress` the steps go in several kernels, each about as long as it may take to notice a wish to stop;
        with something to do `meanwhile` in one.
        """
        few = progress and not meanwhile
        done, some, flags = 0, min(count, 8) if few else count, np.zeros((nets, 2), np.uint32)
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
        return done, flags[:, 1].tolist()

    def _results(self, works: Sequence[Work], batch: int, done: int) -> list[Result]:
        cost, correct = np.empty((len(works), batch)), np.empty((len(works), batch), np.int64)
        self._pool.get("cost", cost)
        self._pool.get("correct", correct)
        sizes = [len(work.order) for work in works]
        return [
            Result(float(each.sum()), int(right.sum()), min(done * batch, n), min(done, steps(n, batch)))
            for each, right, n in zip(cost, correct, sizes, strict=True)
        ]


_NONE = np.zeros(0, np.float32)


def _loop() -> int:
    """How mini-batches follow each other, as the environment's HDL_CUDA_LOOP says; hdl_cuda.h has what each means."""
    loops, given = ("auto", "kernel", "graph"), os.environ.get("HDL_CUDA_LOOP", "auto")
    if given not in loops:
        raise SpecError(f"HDL_CUDA_LOOP: expected one of {', '.join(loops)} (given {given!r})")
    return loops.index(given)


def _offsets(parts: Sequence[NDArray]) -> list[int]:
    """Where each part begins when they lie one after the other."""
    return np.cumsum([0] + [len(part) for part in parts])[:-1].tolist()
