"""The operations of a dense network carried out on a GPU: weights and results go there and back once a call.

Letters: N samples, B rows of a mini-batch, P parameters, S state vectors, M nets trained side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import Interrupted, NonFinite
from hdl.ops import Key, Progress, Result, Samples, Work, steps
from hdl.ops.cuda.calls import Caller

_BLOCK = 4096  # samples at once where the mini-batch does not say: gradients of a shard, predictions
_NETS = 256  # side by side: more than a GPU has blocks for


class Cuda(Caller):
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

    def together(self, batch: int) -> int:
        """How many nets `train_all` takes side by side in half of the memory that is free now, at most 256."""
        with self.device.active():
            free, _ = self.device.memory()
        each = 4 * (self._planned("train", min(batch, _BLOCK)).memory + (2 + self.state_vectors) * self.layout.size)
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
            return self._one_by_one(works, busy, found, batch, progress)
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

    def _one_by_one(
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
        return self._rows("forward", self.layout.outputs, w, samples, order, progress)

    def _rows(
        self, what: str, width: int, w: NDArray, samples: Samples, order: Any, progress: Any
    ) -> tuple[NDArray[np.float32], Result]:
        """What a pass gives of each sample: [n, width]."""
        out = np.zeros((len(samples) if order is None else len(order), width), np.float32)
        return out, self._pass(what, w, samples, order, None, progress, out)

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


_NONE = np.zeros(0, np.float32)
