"""The operations of a dense network carried out on a GPU: weights and results go there and back once a call.

Letters: N samples, B rows of a mini-batch, P parameters, S state vectors, M nets trained side by side.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl import devices, keys
from hdl.errors import Interrupted, NonFinite, SpecError, Unavailable
from hdl.ops import NO_KEY, Key, Progress, Result, Samples, Work, cuda_program, rules, steps
from hdl.ops import layout as layouts
from hdl.ops.cuda_memory import Pool, Resident

if TYPE_CHECKING:
    from hdl.spec import Spec

_BLOCK = 4096  # samples at once where the mini-batch does not say: gradients of a shard, predictions
_NETS = 256  # side by side: more than a GPU has blocks for
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
        batch = min(batch, max(len(work.order) for work in works))
        wanted = [steps(len(work.order), batch) for work in works]
        kept = [np.concatenate([part.ravel() for part in work.more.values()] or [_NONE]) for work in works]
        with self.device.active():
            call = self._call("train", works, batch, out=np.stack(kept))
            done, bad = self._run(call, max(wanted), progress, len(works))
            for work, step in zip(works, bad, strict=True):
                if step:
                    at = work.first_step + step - 1
                    raise NonFinite(f"the cost became not finite at step {at}: a smaller lr may help")
            for name, parts in (("w", [work.w for work in works]), ("state", [work.state for work in works])):
                self._pool.get_all(name, parts)
            self._pool.get_all("out", [part for work in works for part in work.more.values()])
            for number, result in zip(busy, self._results(works, batch, done), strict=True):
                found[number] = result
        if done < max(wanted):
            raise Interrupted(f"stopped after {done} of {max(wanted)} steps")
        return found

    def gradient(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
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
        """Once over the samples, without an update; `out` gets what the program leaves."""
        order = np.arange(len(samples)) if order is None else order
        count = len(order)
        if not count:
            return Result()
        batch = min(_BLOCK, count)
        wanted = steps(count, batch)
        work = Work(w, np.zeros((0, w.size), np.float32), samples, order, None, 0, key)
        with self.device.active():
            call = self._call(what, [work], batch, out=out, by_place=True)
            done, (bad,) = self._run(call, wanted, progress, 1)
            if done < wanted and not bad:
                raise Interrupted(f"stopped after {done} of {wanted} blocks")
            self._pool.get("out", out)
            return replace(self._results([work], batch, done)[0], samples=count, steps=0)

    def _program(self, what: str, rows: int) -> cuda_program.Program:
        """The table of `what` for mini-batches of so many rows."""
        return cuda_program.fitted(
            lambda turns: cuda_program.dense(self.spec, self.layout.offsets, rows, what, self.state_vectors, turns)
        )

    def _rows(self, samples: Samples) -> int:
        """Targets in a row of y."""
        return self.layout.widths[-1]

    def _call(self, what: str, works: Sequence[Work], batch: int, out: NDArray, by_place: bool = False) -> Any:
        """Everything on the device, and the call that uses it; `out`: what arena G holds, net after net."""
        pool, count, size = self._pool, len(works), self.layout.size
        program, table, bounds = self._packed(what, batch)
        for work in works:
            if work.w.dtype != np.float32 or work.w.shape != (size,):
                raise SpecError(f"weights are {work.w.dtype} {work.w.shape}, expected float32 ({size},)")
            if len(work.order) and (work.order.min() < 0 or work.order.max() >= len(work.samples)):
                low, high, n = work.order.min(), work.order.max(), len(work.samples)
                raise SpecError(f"order holds {low} … {high}, but there are {n} samples")
        orders, rates = _offsets([work.order for work in works]), [0] * count
        order = pool.put("order", np.concatenate([work.order for work in works]).astype(np.int64, copy=False))
        if works[0].lr is not None:
            each = [self._rates(work.lr, work.first_step, steps(len(work.order), batch)) for work in works]
            at, ends = pool.put("rates", np.concatenate(each)), _offsets(each)
            rates = [at + 12 * end for end in ends]
        with self._data.holding(len(works)):
            data = [self._data.of(work.samples, self.layout.widths[0], self.layout.widths[-1]) for work in works]
        nets = [
            self._native.net(self._rule(), keys.words(*(work.key or NO_KEY), self._purpose, 0, 2).tolist(), own,
                             order + 8 * start, len(work.order), work.first_step, rate, work.samples.y is not None)
            for work, own, start, rate in zip(works, data, orders, rates, strict=True)
        ]  # fmt: skip
        arenas = [
            (pool.put_all("w", [work.w for work in works]), size),
            (pool.put_all("state", [work.state for work in works]), works[0].state.size),
            (pool.room("memory", 4 * program.memory * count), program.memory),
            (pool.put("out", out), out.size // count),
        ]
        return self._native.Call(
            ops=table, phase=bounds, own=pool.put("nets", np.frombuffer(b"".join(nets), np.uint8)),
            phases=len(program.phases), operations=sum(map(len, program.phases)), arenas=arenas,
            cost=pool.zero("cost", 8 * batch * count), correct=pool.zero("correct", 8 * batch * count),
            barrier=pool.room("barrier", 8 * count), batch=batch, rows=batch, tiles=program.tiles, parameters=size,
            state_vectors=len(works[0].state), nets=count, precision=PRECISIONS[self.spec.precision],
            resident=program.resident, by_place=by_place,
        )  # fmt: skip

    _purpose = _DROPOUT

    def _packed(self, what: str, rows: int) -> tuple[cuda_program.Program, int, int]:
        name = f"{what} {rows}"
        if name not in self._programs:
            program = self._program(what, rows)
            table, bounds = program.packed(self._native.operation)
            self._programs[name] = program
            self._pool.put(f"{name} table", np.frombuffer(table, np.uint8))
            self._pool.put(f"{name} phases", bounds)
        return self._programs[name], self._pool.at(f"{name} table"), self._pool.at(f"{name} phases")

    def _rule(self) -> dict[str, float]:
        spec, rule = self.spec, self.spec.optimizer
        names = list(rules.VECTORS)
        return {
            "rule": names.index(rule.name) if rule.name in names else 0,
            "l1": spec.l1,
            "l2": spec.l2,
            "max_norm": spec.max_norm or 0.0,
            **{name: getattr(rule, name) for name in ("momentum", "beta1", "beta2", "rho", "epsilon")},
        }

    def _rates(self, lr: NDArray, first_step: int, count: int) -> NDArray[np.float32]:
        """Learning rates, and Adam's corrections of its two means: [steps, 3]."""
        if len(lr) < count:
            raise SpecError(f"lr has {len(lr)} numbers for {count} steps")
        rule, t = self.spec.optimizer, np.arange(first_step + 1, first_step + count + 1, dtype=np.float64)
        found = np.ones((count, 3), np.float32)
        found[:, 0] = lr[:count]
        if rule.name == "adam":
            found[:, 1], found[:, 2] = 1 / (1 - rule.beta1**t), 1 / (1 - rule.beta2**t)
        return found

    def _run(self, call: Any, count: int, progress: Progress | None, nets: int) -> tuple[int, list[int]]:
        """Steps that were run, and for each net the one (from 1) at which its cost was not finite, or 0.

        With `progress` the steps go in several kernels, each about as long as it may take to notice a wish to stop.
        """
        done, some, flags = 0, min(count, 8) if progress else count, np.zeros((nets, 2), np.uint32)
        while done < count:
            some = min(some, count - done)
            self._pool.zero("barrier", flags.nbytes)
            began = time.monotonic()
            call.run(done, done + some, self.device.stream)
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


def _offsets(parts: Sequence[NDArray]) -> list[int]:
    """Where each part begins when they lie one after the other."""
    return np.cumsum([0] + [len(part) for part in parts])[:-1].tolist()
