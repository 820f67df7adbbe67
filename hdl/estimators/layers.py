"""The weights of a network's layers as lists of arrays that can be set, as scikit-learn has them.

Letters: I inputs, O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Layers(list):
    """A list of arrays, one a layer, that tells where one of them is put in place of another.

    The arrays are copies of what the network computes with, so they cannot be written to: an array is put in its place.

    Parameters
    ----------
    arrays : iterable of ndarray
    put : function of this list
        Called when an item has changed.
    """

    def __init__(self, arrays: Iterable[NDArray], put: Callable[[list[Any]], None]):
        super().__init__(arrays)
        for array in self:
            array.flags.writeable = False
        self._put = put

    def __setitem__(self, place: Any, value: Any) -> None:
        before = list(self)
        super().__setitem__(place, value)
        try:
            self._put(self)
        except ValueError:
            super().__setitem__(slice(None), before)
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def checked(given: Any, shapes: Sequence[tuple[int, ...]], name: str) -> list[NDArray[np.float64]]:
    """Return the arrays that are to be the layers' weights, or biases, in float64.

    Raises
    ------
    ValueError
        Another number of arrays, another shape, or a value that float32 does not hold.
    """
    given = list(given)
    if len(given) != len(shapes):
        raise ValueError(f"{name} has {len(given)} arrays; expected {len(shapes)}, one a layer")
    arrays = [np.asarray(array, np.float64) for array in given]
    for number, (array, shape) in enumerate(zip(arrays, shapes, strict=True)):
        if array.shape != shape:
            raise ValueError(f"{name}[{number}] has shape {array.shape}; expected {shape}")
        with np.errstate(over="ignore"):
            if not np.isfinite(array.astype(np.float32)).all():
                raise ValueError(f"{name}[{number}] holds a value that is no finite float32")
    return arrays
