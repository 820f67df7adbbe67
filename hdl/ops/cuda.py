"""The operations of a dense network carried out on a GPU: weights and results go there and back once a call.

Letters: N samples, B rows of a mini-batch, P parameters, S state vectors, M nets trained side by side.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl import devices, keys
from hdl.errors import Interrupted, NonFinite, SpecError, Unavailable
from hdl.ops import NO_KEY, Key, Progress, Result, Samples, cuda_program, rules, steps
from hdl.ops import layout as layouts
from hdl.ops.cuda_memory import Pool, Resident

if TYPE_CHECKING:
    from hdl.spec import Spec

_BLOCK = 4096  # samples at once where the mini-batch does not say: gradients of a shard, predictions
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
        self._programs: dict[tuple[str, int], tuple[cuda_program.Program, int]] = {}

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
    ) -> Result:
        """As `Reference.train`."""
        count = len(order)
        if not count:
            return Result()
        batch = min(batch, count)
        wanted = steps(count, batch)
        with self.device.active():
            call = self._call("train", w, samples, order, batch, key, state=state, lr=lr, first_step=first_step)
            done, bad = self._run(call, wanted, progress)
            if bad:
                raise NonFinite(f"the cost became not finite at step {first_step + bad - 1}: a smaller lr may help")
            self._pool.get("w", w)
            self._pool.get("state", state)
            result = self._result(min(done * batch, count), batch, done)
        if done < wanted:
            raise Interrupted(f"stopped after {done} of {wanted} steps")
        return result

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
        with self.device.active():
            call = self._call(what, w, samples, order, batch, key, out=out, by_place=True)
            done, bad = self._run(call, wanted, progress)
            if done < wanted and not bad:
                raise Interrupted(f"stopped after {done} of {wanted} blocks")
            self._pool.get("out", out)
            return self._result(count, batch, 0)

    def _program(self, what: str, rows: int) -> cuda_program.Program:
        """The table of `what` for mini-batches of so many rows."""
        return cuda_program.fitted(
            lambda turns: cuda_program.dense(self.spec, self.layout.offsets, rows, what, self.state_vectors, turns)
        )

    def _rows(self, samples: Samples) -> int:
        """Targets in a row of y."""
        return self.layout.widths[-1]

    def _call(
        self,
        what: str,
        w: NDArray,
        samples: Samples,
        order: NDArray,
        batch: int,
        key: Key | None,
        *,
        state: NDArray | None = None,
        lr: NDArray | None = None,
        out: NDArray | None = None,
        first_step: int = 0,
        by_place: bool = False,
    ) -> Any:
        """Everything on the device, and the call that uses it."""
        pool, count = self._pool, len(order)
        if w.dtype != np.float32 or w.shape != (self.layout.size,):
            raise SpecError(f"weights are {w.dtype} {w.shape}, expected float32 ({self.layout.size},)")
        if order.min() < 0 or order.max() >= len(samples):
            raise SpecError(f"order holds {order.min()} … {order.max()}, but there are {len(samples)} samples")
        program, table, bounds = self._packed(what, batch)
        rates = 0
        if lr is not None:
            rates = pool.put("rates", self._rates(lr, first_step, steps(count, batch)))
        low, high = keys.words(*(key or NO_KEY), self._purpose, 0, 2).tolist()
        data = self._data.of(samples, self.layout.widths[0], self._rows(samples))
        state = np.zeros((0, w.size), np.float32) if state is None else state
        arenas = [
            (pool.put("w", w), w.size),
            (pool.put("state", state), state.size),
            (pool.room("memory", 4 * program.memory), program.memory),
            (pool.put("out", out) if out is not None else 0, 0),
        ]
        return self._native.Call(
            ops=table, phase=bounds, phases=len(program.phases), operations=sum(map(len, program.phases)),
            arenas=arenas, data=data, order=pool.put("order", np.ascontiguousarray(order, np.int64)),
            rules=pool.put("rules", np.frombuffer(self._rule((low, high)), np.uint8)),
            cost=pool.zero("cost", 8 * batch), correct=pool.zero("correct", 8 * batch),
            barrier=pool.room("barrier", 8), count=count, batch=batch, rows=batch, tiles=program.tiles,
            inputs=self.layout.widths[0], outputs=self.layout.widths[-1], parameters=w.size,
            state_vectors=len(state), precision=PRECISIONS[self.spec.precision], resident=program.resident,
            first_step=first_step, by_place=by_place, scored=samples.y is not None, rates=rates,
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

    def _rule(self, key: tuple[int, int]) -> bytes:
        spec, rule = self.spec, self.spec.optimizer
        names = list(rules.VECTORS)
        number = names.index(rule.name) if rule.name in names else 0
        return self._native.rule(
            number, spec.l1, spec.l2, spec.max_norm or 0.0, rule.momentum, rule.beta1, rule.beta2, rule.rho,
            rule.epsilon, key,
        )  # fmt: skip

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

    def _run(self, call: Any, count: int, progress: Progress | None) -> tuple[int, int]:
        """Steps that were run, and the one (from 1) at which a cost was not finite, or 0.

        With `progress` the steps go in several kernels, each about as long as it may take to notice a wish to stop.
        """
        done, some, flags = 0, min(count, 8) if progress else count, np.zeros(2, np.uint32)
        while done < count:
            some = min(some, count - done)
            self._pool.zero("barrier", 8)
            began = time.monotonic()
            call.run(done, done + some, self.device.stream)
            self._pool.get("barrier", flags)
            done += some
            if flags[1]:
                return done, int(flags[1])
            took = time.monotonic() - began
            some = max(1, min(4 * some, int(some * _LOOK / max(took, 1e-6))))
            if progress and done < count and progress(done, count):
                break
        return done, 0

    def _result(self, samples: int, rows: int, count: int) -> Result:
        cost, correct = np.empty(rows), np.empty(rows, np.int64)
        self._pool.get("cost", cost)
        self._pool.get("correct", correct)
        return Result(float(cost.sum()), int(correct.sum()), samples, count)
