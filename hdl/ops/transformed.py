"""Operations on transformed samples: a layer on the codes of those below, a network with its own inputs as targets.

Both transform samples on the fly, some mini-batches at a time, from the ones asked for: no copy of the data is kept.

Letters: N samples, n of them asked for, I inputs, O outputs, H codes, Q statistics.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.ops.base import Operations
from hdl.ops.schedule import steps
from hdl.ops.types import Key, Progress, Result, Samples

BLOCK = 4096  # samples transformed at a time


class TransformedInput(Operations):
    """The operations `own` on samples that are made of others; nets are trained one after the other.

    Parameters
    ----------
    own : Operations
    """

    def __init__(self, own: Operations):
        super().__init__(own.spec)
        self.own, self.platform = own, own.platform

    def block(self, samples: Samples) -> int:
        """Count the samples that are transformed at a time."""
        return BLOCK

    @abstractmethod
    def transform(self, samples: Samples, order: NDArray[np.int64]) -> Samples:
        """Make the samples that `own` reads of some [n] of those given."""

    def train(
        self,
        w: NDArray,
        state: NDArray,
        samples: Samples,
        order: NDArray[np.int64],
        batch: int,
        lr: NDArray[np.float32],
        first_step: int = 0,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> Result:
        """Take mini-batch steps over `order`: see `Operations.train`.

        The mini-batches and their streams of random numbers are those of one call.
        """
        total, count = Result(), steps(len(order), batch)
        for low, block in _blocks(order, len(samples), max(1, self.block(samples) // batch) * batch):
            first = low // batch
            transformed = self.transform(samples, block)
            total += self.own.train(
                w,
                state,
                transformed,
                np.arange(len(block)),
                batch,
                lr[first : first + steps(len(block), batch)],
                first_step + first,
                key,
                _shifted(progress, first, count),
                chains,
            )
        return total

    def gradient(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> tuple[NDArray, Result]:
        """Sum the gradient's statistics [Q] over samples: see `Operations.gradient`.

        Each block of samples has a stream of random numbers of its own.
        """
        total, sums = Result(), None
        for low, block in _blocks(order, len(samples), BLOCK):
            block_key = key and key._replace(seed=rng.derive(key.seed, rng.BLOCK, low // BLOCK))
            shifted = _shifted(progress, low, len(samples))
            vector, result = self.own.gradient(w, self.transform(samples, block), None, block_key, shifted, chains)
            sums = vector if sums is None else sums + vector
            total += result
        if sums is None:
            sums = np.zeros(self.layout.statistics, w.dtype)
        return sums, total

    def forward(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray, Result]:
        """Compute outputs [n, O]: see `Operations.forward`."""
        total, outs = Result(), []
        for low, block in _blocks(order, len(samples), BLOCK):
            shifted = _shifted(progress, low, len(samples))
            out, result = self.own.forward(w, self.transform(samples, block), None, shifted)
            total += result
            outs.append(out)
        return (np.concatenate(outs) if outs else np.empty((0, self.spec.widths[-1]), np.float32)), total

    def encode(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> NDArray:
        """Compute codes [n, H]: see `Operations.encode`."""
        blocks = _blocks(order, len(samples), BLOCK)
        outs = [self.own.encode(w, self.transform(samples, block)) for _, block in blocks]
        return np.concatenate(outs) if outs else np.empty((0, self.spec.widths[1]), np.float32)


class StackedInput(TransformedInput):
    """The operations of a layer on the codes of those below.

    Parameters
    ----------
    own : Operations
    below : sequence of (Operations, weights)
        From the data upwards.
    """

    def __init__(self, own: Operations, below: Sequence[tuple[Operations, NDArray]]):
        super().__init__(own)
        self.below = below

    def transform(self, samples: Samples, order: NDArray[np.int64]) -> Samples:
        """Encode some samples [n] by the layers below: [n, H]."""
        return codes(self.below, samples, order)


class ReconstructionTarget(TransformedInput):
    """The operations of a network that answers with its own inputs: the targets are the scaled inputs."""

    def transform(self, samples: Samples, order: NDArray[np.int64]) -> Samples:
        """Scale some samples [n], as inputs and as targets [n, I]."""
        x = scaled(replace(samples, x=samples.x[order], y=None))
        return Samples(x, x)


def scaled(samples: Samples) -> NDArray[np.float32]:
    """Read samples as the net sees them [n, I], whatever they are stored as."""
    x = samples.x.dense() if hasattr(samples.x, "dense") else samples.x
    x = np.asarray(x, np.float32)
    x = x if samples.scale is None else x * samples.scale
    return x if samples.shift is None else x + samples.shift


def codes(
    layers: Sequence[tuple[Operations, NDArray]], samples: Samples, order: NDArray[np.int64] | None = None
) -> Samples:
    """Encode samples [n, I] by layers, one on the other: [n, H]."""
    for ops, w in layers:
        samples, order = Samples(ops.encode(w, samples, order)), None
    return samples


def _blocks(order: NDArray[np.int64] | None, samples: int, size: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Cut an order into blocks: where each begins, and its samples."""
    count = samples if order is None else len(order)
    for low in range(0, count, size):
        high = min(low + size, count)
        yield low, np.arange(low, high) if order is None else order[low:high]


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Make a callback that counts from `done` on."""
    return progress and (lambda steps, _: progress(done + steps, total))
