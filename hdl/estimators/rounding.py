"""Numbers as the core takes them: looked at and rounded in one pass, by parts, on several threads.

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

VALUES = 1 << 20  # of a part, about: it stays in the last cache until the core reads it
ROWS = 1024  # of a part at least, so that columns are read by pages, and a call's own cost is small


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


def parts(shape: tuple[int, ...]) -> deque[slice]:
    """Cut the rows of a matrix [N, I] into parts."""
    size = max(1, VALUES // shape[1] // ROWS) * ROWS
    return deque(slice(start, min(start + size, shape[0])) for start in range(0, shape[0], size))


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


def finite(x: NDArray[np.floating], threads: int) -> bool:
    """Tell whether a matrix [N, I] is finite, also as float32."""
    return _laid(x, None, threads)


def rounded(
    x: NDArray[np.floating], threads: int = 1, room: NDArray[np.float32] | None = None
) -> NDArray[np.float32] | None:
    """Return a matrix [N, I] as contiguous float32, itself where it is that; None where it is not finite then.

    Rows that have `room` are laid there: new memory takes longer to get than to fill.
    """
    out = None
    if not ready(x):
        out = np.empty(x.shape, np.float32) if room is None else room[: len(x)]
    return (x if out is None else out) if _laid(x, out, threads) else None


def _laid(x: NDArray[np.floating], out: NDArray[np.float32] | None, threads: int) -> bool:
    left, good = parts(x.shape), list[bool]()

    def work(mine: Iterator[slice]) -> None:
        for part in mine:
            good.append(rows.lay(x[part], None if out is None else out[part]))
            if not good[-1]:
                left.clear()

    share(left, threads, work)
    return all(good)
