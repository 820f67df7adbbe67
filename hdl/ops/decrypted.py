"""Operations on samples that lie encrypted on disk (`hdl.sealed`): they are decrypted into memory as they are needed.

The weights are those of samples in memory, byte for byte. Letters: N samples, n of them asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import OutputError
from hdl.ops.base import Operations
from hdl.ops.transformed import TransformedInput
from hdl.ops.types import Key, Progress, Result, Samples, Work
from hdl.sealed import Rows

BYTES = 64 << 20  # of samples that are decrypted at a time


class Decrypted(TransformedInput):
    """The operations `own`, of samples that may be encrypted; those that are not go to `own` as they are.

    Parameters
    ----------
    own : Operations
    most : int
        Bytes of samples that may be decrypted at once, where one call needs them all; `BYTES` are always.
    """

    def __init__(self, own: Operations, most: int):
        super().__init__(own)
        self.layout, self.state_vectors, self._most = own.layout, own.state_vectors, max(most, BYTES)

    def block(self, samples: Samples) -> int:
        """Count the samples that are decrypted at a time: about `BYTES` of them."""
        return max(1, BYTES // max(1, _size(samples) // max(1, len(samples))))

    def transform(self, samples: Samples, order: NDArray[np.int64]) -> Samples:
        """Decrypt some samples [n]."""
        return samples.take(order)

    def together(self, batch: int) -> int:
        """Count the nets that `own` has side by side."""
        return self.own.together(batch)

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
        """Take mini-batch steps over `order`: see `Operations.train`."""
        train = super().train if is_sealed(samples) else self.own.train
        return train(w, state, samples, order, batch, lr, first_step, key, progress, chains)

    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
        """Train several nets, side by side if none of their samples are encrypted: see `Operations.train_all`."""
        if any(is_sealed(work.samples) for work in works):
            return super().train_all(works, batch, progress)
        return self.own.train_all(works, batch, progress)

    def gradient(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> tuple[NDArray, Result]:
        """Sum the gradient's statistics over samples, which are decrypted together: a sum in parts would be another
        one. See `Operations.gradient`.

        Raises
        ------
        OutputError
            They are more than memory is meant for.
        """
        samples, order = self._whole(samples, order)
        return self.own.gradient(w, samples, order, key, progress, chains)

    def forward(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray, Result]:
        """Compute outputs: see `Operations.forward`."""
        samples, order = self._whole(samples, order)
        return self.own.forward(w, samples, order, progress)

    def encode(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> NDArray:
        """Compute codes: see `Operations.encode`."""
        samples, order = self._whole(samples, order)
        return self.own.encode(w, samples, order, progress)

    def _whole(self, samples: Samples, order: NDArray[np.int64] | None) -> tuple[Samples, NDArray[np.int64] | None]:
        """Decrypt all that one call needs."""
        if not is_sealed(samples):
            return samples, order
        n = len(samples) if order is None else len(order)
        if (needed := _size(samples) * n // max(1, len(samples))) > self._most:
            raise OutputError(
                f"--encrypt-spill: {needed >> 20} MiB of samples would be decrypted at once, and a worker keeps "
                f"{self._most >> 20} MiB in memory; give more memory, more shards, or a mode other than gradient"
            )
        return samples.take(slice(None) if order is None else order), None


def is_sealed(samples: Samples) -> bool:
    """Tell whether some part of samples lies encrypted on disk."""
    return any(isinstance(part, Rows) for part in _parts(samples))


def _size(samples: Samples) -> int:
    """Count the bytes of all samples, once they are decrypted."""
    return sum(part.nbytes for part in _parts(samples))


def _parts(samples: Samples) -> list[Any]:
    x = samples.x
    names = ("numbers", "codes") if hasattr(x, "codes") else ("data", "indices") if hasattr(x, "indptr") else ()
    parts = [getattr(x, name) for name in names] or [x]
    return [part for part in (*parts, samples.y, samples.weight, samples.offset) if part is not None]
