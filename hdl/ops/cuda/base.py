"""The operations on a GPU, as all models share them: weights and results go there and back once a call.

Letters: N samples, B rows of a mini-batch, P parameters, S state vectors, M nets trained side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hdl.errors import Interrupted, NonFinite, SpecError
from hdl.ops.base import check_chains
from hdl.ops.cuda.calls import Caller
from hdl.ops.schedule import steps
from hdl.ops.types import Key, Progress, Result, Samples, Work, counted

_BLOCK = 4096  # samples at once where the mini-batch does not say: gradients of a shard, predictions
_NETS = 256  # side by side: more than a GPU has blocks for


class Cuda(Caller):
    """The operations of one model on one device; float32 weights, sums in an order that the shapes alone decide.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in; its `precision` is what factors of products are rounded to.
    device : str
        'cuda:0', …
    """

    def together(self, batch: int) -> int:
        """Count the nets that `train_all` takes side by side in half of the memory that is free now, at most 256."""
        with self.device.active():
            free, _ = self.device.memory()
        each = 4 * (self._planned("train", min(batch, _BLOCK)).memory + (2 + self.state_vectors) * self.layout.size)
        return max(1, min(_NETS, free // 2 // each))

    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
        """Train many nets side by side, in as many rounds of kernels as the longest of them takes.

        Each has its own weights, state, samples, order, rates and key, and gets the bytes that it would get alone.

        Raises
        ------
        NonFinite
            Of the first whose cost became NaN or infinite; all are as they were.
        Interrupted
            All hold whole steps, as many as each had time for.
        """
        for work in works:
            self._check_chains(work.chains)
        results = [Result() for _ in works]
        busy = [number for number, work in enumerate(works) if len(work.order)]
        if not busy:
            return results
        works = [works[number] for number in busy]
        for work in works:
            self._check(work, *_overwritten(work)[1:])
        batch = min(batch, max(len(work.order) for work in works))
        if len(works) > 1 and not self._data.fits([work.samples for work in works]):
            return self._one_by_one(works, busy, results, batch, progress)
        wanted = [steps(len(work.order), batch) for work in works]
        chains = [_NONE if work.chains is None else work.chains.ravel() for work in works]
        ended = 0
        with self.device.active():
            for first, parts, data, meanwhile in self._segments(works, batch):
                call = self._call("train", parts, data, batch, np.stack(chains), fresh=not first)
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
                    results[number] += result
                ended = first + done
                if done < count or (progress and ended < max(wanted) and meanwhile and progress(ended, max(wanted))):
                    break
            self._pool.get_all("w", [work.w for work in works])
            self._pool.get_all("state", [work.state for work in works])
            self._pool.get_all("out", [work.chains for work in works if work.chains is not None])
        if ended < max(wanted):
            raise Interrupted(f"stopped after {ended} of {max(wanted)} steps")
        return results

    def _one_by_one(
        self, works: Sequence[Work], busy: list[int], results: list[Result], batch: int, progress: Progress | None
    ) -> list[Result]:
        """Train nets whose samples do not fit on the device together: all are changed at the end, or none."""
        copies = [
            work._replace(
                w=work.w.copy(),
                state=work.state.copy(),
                chains=None if work.chains is None else work.chains.copy(),
            )
            for work in works
        ]
        for number, work in zip(busy, copies, strict=True):
            try:
                results[number] = self.train_all([work], batch, progress)[0]
            except NonFinite as error:
                raise NonFinite(*error.args, nets={number: str(error)}) from None
        for work, copy in zip(works, copies, strict=True):
            for array, trained in zip(_overwritten(work), _overwritten(copy), strict=True):
                array[:] = trained
        return results

    def gradient(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], Result]:
        """Sum the gradient's statistics [Q] over samples: see `Operations.gradient`."""
        self._check_chains(chains)
        out = np.zeros(self.layout.statistics, np.float32)
        return out, self._accumulate("gradient", w, samples, order, key, progress, out)

    def forward(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.float32], Result]:
        """Compute outputs [n, O]: see `Operations.forward`."""
        return self._compute("forward", self.layout.outputs, w, samples, order, progress)

    def _check_chains(self, chains: NDArray[np.float32] | None) -> None:
        check_chains(self.spec, chains)
        if chains is not None and (chains.dtype != np.float32 or not chains.flags.c_contiguous):
            raise SpecError(f"chains is {chains.dtype}, expected float32 in the order of C")

    def _compute(
        self, task: str, width: int, w: NDArray[np.float32], samples: Samples, order: NDArray[np.int64] | None,
        progress: Progress | None,
    ) -> tuple[NDArray[np.float32], Result]:  # fmt: skip
        """Compute a row for each sample: [n, width]."""
        out = np.zeros((len(samples) if order is None else len(order), width), np.float32)
        return out, self._accumulate(task, w, samples, order, None, progress, out)

    def _accumulate(
        self, task: str, w: NDArray[np.float32], samples: Samples, order: NDArray[np.int64] | None, key: Key | None,
        progress: Progress | None, out: NDArray[np.float32],
    ) -> Result:  # fmt: skip
        """Go once over the samples, without an update: `out` is summed up, or where it is 2-D has a row a sample."""
        order = np.arange(len(samples)) if order is None else order
        total = counted(samples, order)
        if not len(order):
            return total
        batch = min(_BLOCK, len(order))
        wanted = steps(len(order), batch)
        work = Work(w, _NONE.reshape(0, 0), samples, order, _NONE, 0, key)
        self._check(work)
        with self.device.active():
            for first, (part,), data, meanwhile in self._segments([work], batch):
                here = out[first * batch : first * batch + len(part.order)] if out.ndim == 2 else out
                part = part._replace(first_step=first * batch)
                call = self._call(task, [part], data, batch, here[None], fresh=not first, by_place=True)
                count = steps(len(part.order), batch)
                done, (bad,) = self._run(call, count, progress, 1, meanwhile)
                if done < count and not bad:
                    raise Interrupted(f"stopped after {first + done} of {wanted} blocks")
                self._pool.get("out", here)
                result = self._results([part], batch, done)[0]
                total += Result(result.cost, result.correct, weight=0)
        return total


def _overwritten(work: Work) -> list[NDArray]:
    """List the arrays that training overwrites, w first."""
    return [array for array in (work.w, work.state, work.chains) if array is not None]


_NONE = np.zeros(0, np.float32)
