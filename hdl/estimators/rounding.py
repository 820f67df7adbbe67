"""Numbers as the core takes them: looked at and rounded in one pass, for a fit by parts, on several threads.

Letters: N samples, I features.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.ops import rows
from hdl.ops.rows import Numbers

VALUES = 1 << 20  # of a part, about
ROWS = 1024  # of a part at least, so that columns are read by pages, and a call's own cost is small
TURNS = 4  # of each thread at least, where several share the rows of an answer: one may be faster than others


@dataclass(frozen=True)
class Rounded:
    """Features that were looked at and rounded in one pass.

    Attributes
    ----------
    x : contiguous float32 [N, I]
    kind : float type
        In which answers to them are given.
    """

    x: NDArray[np.float32]
    kind: type[np.floating]

    def __len__(self) -> int:
        return len(self.x)


def parts(shape: tuple[int, ...], size: int | None = None) -> deque[slice]:
    """Cut the rows of a matrix [N, I] into parts of so many rows, or of about `VALUES` numbers."""
    size = size or max(1, VALUES // shape[1] // ROWS) * ROWS
    return deque(slice(start, min(start + size, shape[0])) for start in range(0, shape[0], size))


def turns(shape: tuple[int, ...], threads: int) -> deque[slice]:
    """Cut the rows of a matrix [N, I] for so many threads that read it where it lies; for one it stays whole."""
    return parts(shape, shape[0] if threads == 1 else max(ROWS, -(-shape[0] // (threads * TURNS))))


def share(left: deque[slice], threads: int, work: Callable[[Iterator[slice]], Any]) -> None:
    """Let some threads, this one among them, take parts until none are left; what one of them raises ends all."""

    def taken() -> Iterator[slice]:
        while left:
            try:
                yield left.popleft()
            except IndexError:  # another thread was faster
                return

    def worked() -> None:
        try:
            work(taken())
        except BaseException:
            left.clear()
            raise

    helpers = min(threads, len(left)) - 1
    if helpers < 1:
        worked()
        return
    with ThreadPoolExecutor(helpers) as pool:
        others = [pool.submit(worked) for _ in range(helpers)]
        worked()
        for each in others:
            each.result()


def ready(x: NDArray) -> bool:
    """Tell whether the core takes a matrix as it lies."""
    return x.dtype in (np.float32, np.uint8) and x.flags.c_contiguous


def finite(x: NDArray, threads: int) -> bool:
    """Tell whether a matrix [N, I] is finite, also as float32."""
    return _laid(x, None, threads)


def rounded(x: NDArray | Numbers, threads: int = 1) -> NDArray[np.float32] | None:
    """Return numbers [N, I] as contiguous float32, themselves if they are that; None where one is not finite then."""
    if isinstance(x, np.ndarray) and ready(x):
        return x if _laid(x, None, threads) else None
    out = np.empty(x.shape, np.float32)
    return out if _laid(x, out, threads) else None


def _laid(x: NDArray | Numbers, out: NDArray[np.float32] | None, threads: int) -> bool:
    left, good = parts(x.shape), list[bool]()

    def work(mine: Iterator[slice]) -> None:
        for part in mine:
            good.append(rows.lay(x[part], None if out is None else out[part]))
            if not good[-1]:
                left.clear()

    share(left, threads, work)
    return all(good)
