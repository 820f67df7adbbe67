"""Operations of what is learned above something: a layer on the codes of those below, a network on its own inputs.

Both make what the operations below them read on the fly, some mini-batches at a time, from the rows asked for: no copy
of the data is kept.

Letters: N samples, I inputs, O outputs, H codes, Q statistics, B batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.ops import Key, Progress, Result, Samples

ROWS = 4096  # made at a time


class TransformedInput:
    """The operations `own` on samples that are made of others.

    Parameters
    ----------
    own : operations
        As `hdl.ops.make` gives them.
    """

    train_all = None  # one net after the other: what `own` reads is made a block at a time

    def __init__(self, own: Any):
        self.own, self.spec = own, own.spec

    def together(self, batch: int) -> int:
        """Nets that are trained side by side."""
        return 1

    def made(self, samples: Samples, rows: NDArray[np.int64]) -> Samples:
        """What `own` reads of some rows."""
        raise NotImplementedError

    def train(
        self, w: NDArray, state: NDArray, samples: Samples, order: NDArray[np.int64], batch: int, lr: NDArray,
        first_step: int = 0, key: Key | None = None, progress: Progress | None = None, **more: Any,
    ) -> Result:  # fmt: skip
        """As `Reference.train`; the mini-batches and their streams of random numbers are those of one call."""
        total, steps = Result(), -(-len(order) // batch)
        for low, rows in _blocks(order, len(samples), max(1, ROWS // batch) * batch):
            first = low // batch
            own = self.made(samples, rows)
            told = _shifted(progress, first, steps)
            rates = lr[first : first + -(-len(rows) // batch)]
            here = np.arange(len(rows))
            total += self.own.train(w, state, own, here, batch, rates, first_step + first, key, told, **more)
        return total

    def gradient(
        self, w: NDArray, samples: Samples, order: NDArray[np.int64] | None = None, key: Key | None = None,
        progress: Progress | None = None, **more: Any,
    ) -> tuple[NDArray, Result]:  # fmt: skip
        """As `Reference.gradient`; each block of rows has a stream of random numbers of its own."""
        total, sums = Result(), None
        for low, rows in _blocks(order, len(samples), ROWS):
            own_key = key and key._replace(seed=rng.derive(key.seed, rng.BLOCK, low // ROWS))
            told = _shifted(progress, low, len(samples))
            vector, found = self.own.gradient(w, self.made(samples, rows), None, own_key, told, **more)
            sums = vector if sums is None else sums + vector
            total += found
        if sums is None:
            sums = np.zeros(self.own.layout.statistics, w.dtype)
        return sums, total

    def forward(
        self, w: NDArray, samples: Samples, order: NDArray[np.int64] | None = None, progress: Progress | None = None
    ) -> tuple[NDArray, Result]:
        """As `Reference.forward`."""
        total, outs = Result(), []
        for low, rows in _blocks(order, len(samples), ROWS):
            told = _shifted(progress, low, len(samples))
            out, found = self.own.forward(w, self.made(samples, rows), None, told)
            total += found
            outs.append(out)
        return (np.concatenate(outs) if outs else np.empty((0, self.spec.widths[-1]), np.float32)), total

    def encode(
        self, w: NDArray, samples: Samples, order: NDArray[np.int64] | None = None, progress: Progress | None = None
    ) -> NDArray:
        """The codes [n, H] of `own`."""
        found = [self.own.encode(w, self.made(samples, rows)) for _, rows in _blocks(order, len(samples), ROWS)]
        return np.concatenate(found) if found else np.empty((0, self.spec.widths[1]), np.float32)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)


class StackedInput(TransformedInput):
    """A layer on the codes of those below.

    Parameters
    ----------
    own : operations
    below : sequence of (operations, weights)
        From the data upwards.
    """

    def __init__(self, own: Any, below: Sequence[tuple[Any, NDArray]]):
        super().__init__(own)
        self.below = below

    def made(self, samples: Samples, rows: NDArray[np.int64]) -> Samples:
        return codes(self.below, samples, rows)


class ReconstructionTarget(TransformedInput):
    """A network that answers with its own inputs: the targets are the scaled inputs."""

    def made(self, samples: Samples, rows: NDArray[np.int64]) -> Samples:
        x = scaled(replace(samples, x=samples.x[rows], y=None))
        return Samples(x, x)


def scaled(samples: Samples) -> NDArray[np.float32]:
    """What the net sees of samples [n, I], whatever they are stored as."""
    x = samples.x.dense() if hasattr(samples.x, "dense") else samples.x
    x = np.asarray(x, np.float32)
    x = x if samples.scale is None else x * samples.scale
    return x if samples.shift is None else x + samples.shift


def codes(layers: Sequence[tuple[Any, NDArray]], samples: Samples, rows: NDArray[np.int64] | None = None) -> Samples:
    """The codes [n, H] that layers, one on the other, make of samples."""
    for ops, w in layers:
        samples, rows = Samples(ops.encode(w, samples, rows)), None
    return samples


def _blocks(order: NDArray[np.int64] | None, samples: int, size: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Where each block of rows begins, and its rows."""
    count = samples if order is None else len(order)
    for low in range(0, count, size):
        high = min(low + size, count)
        yield low, np.arange(low, high) if order is None else order[low:high]


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    """A callback that counts from `done` on."""
    return progress and (lambda steps, _: progress(done + steps, total))
