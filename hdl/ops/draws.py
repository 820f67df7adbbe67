"""Random numbers of dropout and Gibbs sampling in NumPy, from the same counters as the core's (csrc/rng.h has them).

Letters: B rows of a mini-batch or chains, I units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.ops.types import Key

# Purposes of the core's streams: HDL_RNG_DROPOUT, HDL_RNG_GIBBS and HDL_RNG_CHAINS.
DROPOUT, GIBBS, CHAINS = 0x64726F70, 0x67696262, 0x63686169


def key_words(key: Key, purpose: int) -> list[int]:
    """Derive the two words of a purpose's key, the lower one first."""
    return rng.words(key.seed, key.round, key.shard, purpose, 0, 2).tolist()


def dropout(key: Key, step: int, layer: int, shape: tuple[int, int], share: float) -> NDArray[np.float64]:
    """Draw the mask [B, I] of what enters layer `layer` (from 0): 0 with probability `share`, else 1/(1 - share).

    A row of I units takes J blocks of eight 16-bit numbers, and unit u reads number u // J of block u % J.
    """
    low, high = key_words(key, DROPOUT)
    rows, units = shape
    blocks = 16 * -(-units // 128)
    counter = np.empty((4, rows, blocks), np.uint64)
    counter[0] = np.arange(blocks)
    counter[1] = np.arange(rows)[:, None]
    counter[2], counter[3] = step & 0xFFFFFFFF, layer
    draws = rng.philox(high << 32 | low, counter.reshape(4, -1)).astype(np.uint32).reshape(4, rows, blocks)
    halves = np.stack([draws & 0xFFFF, draws >> 16], axis=1)  # [word, half, row, block]
    kept = halves.transpose(2, 0, 1, 3).reshape(rows, -1)[:, :units] >= int(65536 * np.float32(share) + 0.5)
    return kept / (1 - share)


class GibbsDraws:
    """Draws of one step's Gibbs sampling.

    Parameters
    ----------
    key : Key
    purpose : {GIBBS, CHAINS}
        Of samples or of chains.
    step : int
    """

    def __init__(self, key: Key, purpose: int, step: int):
        low, high = key_words(key, purpose)
        self.key, self.step = high << 32 | low, step & 0xFFFFFFFF

    def uniform(self, shape: tuple[int, int], place: int) -> NDArray[np.float64]:
        """Draw uniform numbers [B, I]: (word // 512 + ½) / 2²³, exact in float32.

        Parameters
        ----------
        shape : (B, I)
        place : int
            2·t for the hidden and 2·t + 1 for the visible units of Gibbs step t.
        """
        rows, units = shape
        blocks = 16 * -(-units // 64)
        counter = np.empty((4, rows, blocks), np.uint64)
        counter[0] = np.arange(blocks)
        counter[1] = np.arange(rows)[:, None]
        counter[2], counter[3] = self.step, place
        words = rng.philox(self.key, counter.reshape(4, -1)).reshape(4, rows, blocks)
        numbers = words.transpose(1, 0, 2).reshape(rows, -1)[:, :units] >> np.uint64(9)
        return (numbers.astype(np.float64) + 0.5) * 2.0**-23

    def binary(self, p: NDArray, place: int) -> NDArray:
        """Draw 1 with probability p [B, I], else 0."""
        return (self.uniform(p.shape, place) < p).astype(p.dtype)

    def gaussian(self, mean: NDArray, place: int) -> NDArray:
        """Draw normal numbers [B, I] of variance 1 about `mean`."""
        return mean + rng.normal(self.uniform(mean.shape, place)).astype(mean.dtype)
