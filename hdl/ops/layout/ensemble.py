"""Layout of an ensemble: the weights of several nets in one flat vector.

Letters: M members, P parameters of one of them, L layers, S state vectors of the update rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from numpy.typing import NDArray

from hdl.ops.layout.dense import Layout


@dataclass(frozen=True)
class EnsembleLayout(Layout):
    """The flat vectors of the members, one after the other [M·P]: layers and tables are those of all, in that order.

    So whatever goes over the layers of a net, such as a limit on norms or a crossover of units, goes over all members'.

    Parameters
    ----------
    widths : tuple of int [L + 1]
        Of each member.
    own : Layout
        Of each member.
    count : int
        M.

    Examples
    --------
    >>> import numpy as np
    >>> layout = EnsembleLayout((4, 3, 2), Layout((4, 3, 2)), 2)
    >>> layout.size, layout.names[:5], len(layout.split(np.zeros(46)))
    (46, ('1.W1', '1.b1', '1.W2', '1.b2', '2.W1'), 4)
    """

    own: Layout
    count: int

    @cached_property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        starts = range(0, self.size, self.own.size)
        return tuple((start + w, start + b) for start in starts for w, b in self.own.offsets)

    @property
    def size(self) -> int:
        return self.count * self.own.size

    @property
    def encoder(self) -> int:
        return self.own.encoder

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{member}.{name}" for member in range(1, self.count + 1) for name in self.own.names)

    def members(self, w: NDArray) -> list[NDArray]:
        """Split w [M·P], or a state [S, M·P], into the members' [P] or [S, P], views."""
        size = self.own.size
        return [w[..., start : start + size] for start in range(0, self.size, size)]

    def split(self, w: NDArray) -> list[tuple[NDArray, NDArray]]:
        """Split w into the (W, b) of all members' layers, views: M·L of them."""
        return [layer for member in self.members(w) for layer in self.own.split(member)]

    def tables(self, w: NDArray) -> list[NDArray]:
        """Split w into the tables of all members' embedded categories, views."""
        return [table for member in self.members(w) for table in self.own.tables(member)]
