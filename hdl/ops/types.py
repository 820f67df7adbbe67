"""The types that the methods of `Operations` take and return.

Letters: N samples, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hdl.spec import Spec

Progress = Callable[[int, int], Any]  # (steps done, steps); a true answer stops the call


@dataclass(frozen=True)
class Samples:
    """Samples as the core reads them.

    Parameters
    ----------
    x : ndarray of uint8 or float32 [N, I], CSR, or rows of a table
        CSR is anything with `data`, `indices`, `indptr` and `shape`, such as SciPy's csr_array. A table's rows have
        `numbers` and `codes`: see `hdl.data.mixed`.
    y : ndarray of int32 [N] or float32 [N, O], optional
        Classes or targets; None for prediction.
    scale, shift : ndarray of float32 [I], optional
        The net sees x·scale + shift. Sparse input takes no shift, a table's rows neither.
    weight : ndarray of float32 [N], optional
        What each sample counts; None: 1.
    offset : ndarray of float32 [N, O], optional
        Added to what reaches the output, before its function.
    """

    x: Any
    y: NDArray | None = None
    scale: NDArray[np.float32] | None = None
    shift: NDArray[np.float32] | None = None
    weight: NDArray[np.float32] | None = None
    offset: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return self.x.shape[0]

    def take(self, rows: Any) -> Samples:
        """Take some samples, by their numbers, a mask or a slice; scale and shift stay."""
        y, weight, offset = (None if part is None else part[rows] for part in (self.y, self.weight, self.offset))
        return Samples(self.x[rows], y, self.scale, self.shift, weight, offset)


@dataclass
class Result:
    """Sums over the samples that a call has seen. Results add up.

    Attributes
    ----------
    cost : float
        Sum over samples of the data cost times the weight, without regulariser; 0 without targets.
    correct : int or float
        Weight of the samples with the right class, or with all outputs on the right side of 1/2.
    samples, steps : int
        How many were seen and taken.
    weight : int or float
        Sum of the weights, which a mean is over: the number of samples where they have none.
    """

    cost: float = 0.0
    correct: float = 0
    samples: int = 0
    steps: int = 0
    weight: float = -1  # the number of samples

    def __post_init__(self) -> None:
        if self.weight == -1:
            self.weight = self.samples

    def __add__(self, other: Result) -> Result:
        return Result(
            self.cost + other.cost,
            self.correct + other.correct,
            self.samples + other.samples,
            self.steps + other.steps,
            self.weight + other.weight,
        )

    def times(self, steps: int) -> Result:
        """Count the same samples once for each of some steps."""
        return Result(self.cost * steps, self.correct * steps, self.samples * steps, steps, self.weight * steps)


def counted(samples: Samples, order: NDArray[np.int64]) -> Result:
    """Count some samples [n], and sum their weights in that order."""
    if samples.weight is None:
        return Result(samples=len(order))
    weights = samples.weight[order].astype(np.float64)
    return Result(samples=len(order), weight=float(weights.cumsum()[-1]) if len(weights) else 0.0)


class Key(NamedTuple):
    """Names the stream of random numbers; step, layer and row are added by the operation."""

    seed: int = 0
    round: int = 0
    shard: int = 0


NO_KEY = Key()


class Work(NamedTuple):
    """The arguments of `Operations.train` for one of the nets that are trained side by side; all have one batch.

    `spec` is the net's own where it is not that of the operations: it may differ in what
    `hdl.ops.batching.compatibility` leaves out.
    """

    w: NDArray
    state: NDArray
    samples: Samples
    order: NDArray[np.int64]
    lr: NDArray[np.float32]
    first_step: int = 0
    key: Key | None = None
    chains: NDArray | None = None
    spec: Spec | None = None
