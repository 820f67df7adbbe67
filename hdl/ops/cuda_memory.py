"""What lies on a device between calls: named pieces of memory that grow, and samples that stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError
from hdl.ops import Samples

_X_TYPES = {np.dtype(np.float32): 0, np.dtype(np.uint8): 1}
_CSR = 2
_KEPT = 4  # samples that stay at once: of training, validation and test, and one more


class Pool:
    """Named memory on a device. What a name held is overwritten by the next use of it.

    Parameters
    ----------
    device : Device
    """

    def __init__(self, device: Any):
        self._device = device
        self._buffers: dict[str, Any] = {}

    def room(self, name: str, size: int) -> int:
        """The address of so many bytes, whatever they hold."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.nbytes < size:
            self._buffers.pop(name, None)
            del buffer  # or both would have to find room at once
            self._buffers[name] = buffer = self._device.buffer(max(size, 16))
        return buffer.pointer

    def zero(self, name: str, size: int) -> int:
        address = self.room(name, size)
        self._device.zero(address, size)
        return address

    def put(self, name: str, array: NDArray) -> int:
        address = self.room(name, array.nbytes)
        if array.nbytes:
            self._device.put(address, np.ascontiguousarray(array))
        return address

    def put_all(self, name: str, arrays: Sequence[NDArray]) -> int:
        """Arrays of equal size, one after the other."""
        address = self.room(name, sum(array.nbytes for array in arrays))
        for number, array in enumerate(arrays):
            if array.nbytes:
                self._device.put(address + number * array.nbytes, np.ascontiguousarray(array))
        return address

    def get_all(self, name: str, arrays: Sequence[NDArray]) -> None:
        """Overwrites the arrays with what the name holds, one after the other."""
        address = self.at(name)
        for array in arrays:
            if array.nbytes:
                self._device.get(array, address)
                address += array.nbytes

    def get(self, name: str, array: NDArray) -> None:
        """Overwrites the array with what the name holds."""
        if array.nbytes:
            self._device.get(array, self.at(name))

    def at(self, name: str) -> int:
        return self._buffers[name].pointer


class Resident:
    """Samples on a device, kept from call to call: those whose arrays were there before are not sent again.

    Nobody may change an array that was used; a new one takes the place of the one that was used longest ago.

    Parameters
    ----------
    device : Device
    """

    def __init__(self, device: Any):
        self._device, self._room = device, _KEPT
        self._kept: dict[tuple[int, ...], tuple[tuple[Any, ...], Pool, dict[str, int]]] = {}

    @contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Within it, so many samples that are asked for stay, one and all."""
        self._room = max(_KEPT, count)
        yield

    def of(self, samples: Samples, inputs: int, outputs: int) -> dict[str, int]:
        """Fields of a call's `data`. What is wrong with the samples is found here, before a GPU reads beyond them."""
        parts = (samples.x, samples.y, samples.scale, samples.shift)
        name = tuple(map(id, parts))
        found = self._kept.pop(name, None)
        if found is None:
            check(samples, inputs, outputs)
            while len(self._kept) >= self._room:
                self._kept.pop(next(iter(self._kept)))
            pool = Pool(self._device)
            found = (parts, pool, self._sent(pool, samples))  # the parts are held: their ids stay theirs
        self._kept[name] = found
        return found[2]

    @staticmethod
    def _sent(pool: Pool, samples: Samples) -> dict[str, int]:
        def sent(name: str, array: Any, kind: Any) -> int:
            return 0 if array is None else pool.put(name, np.asarray(array, kind))

        x, y = samples.x, samples.y
        sparse = hasattr(x, "indptr")
        values = np.asarray(x.data, np.float32) if sparse else x
        classes = y is None or y.ndim == 1
        return {
            "x_type": _CSR if sparse else _X_TYPES[values.dtype],
            "y_type": 0 if classes else 1,
            "n": len(samples),
            "x": pool.put("x", values),
            "indptr": sent("indptr", x.indptr if sparse else None, np.int64),
            "indices": sent("indices", x.indices if sparse else None, np.int32),
            "scale": sent("scale", samples.scale, np.float32),
            "shift": sent("shift", samples.shift, np.float32),
            "y": sent("y", y, np.int32 if classes else np.float32),
        }


def check(samples: Samples, inputs: int, outputs: int) -> None:
    """Raises SpecError where samples are not what a net with so many inputs and outputs reads."""
    x, y, n = samples.x, samples.y, len(samples)
    sparse = hasattr(x, "indptr")
    if x.shape != (n, inputs):
        raise SpecError(f"x has shape {x.shape}, expected ({n}, {inputs})")
    if sparse:
        if samples.shift is not None:
            raise SpecError("sparse x takes no shift: its zeros would not stay zero")
        _check_sparse(x, n, inputs)
    elif x.dtype not in _X_TYPES:
        raise SpecError(f"x is {x.dtype}, expected float32 or uint8")
    for name in ("scale", "shift"):
        each = getattr(samples, name)
        if each is not None and each.shape != (inputs,):
            raise SpecError(f"{name} has shape {each.shape}, expected ({inputs},)")
    if y is None:
        return
    if y.ndim == 1:
        if y.shape != (n,):
            raise SpecError(f"y has shape {y.shape}, expected ({n},)")
        if n and (y.min() < 0 or y.max() >= outputs):
            raise SpecError(f"y holds classes {y.min()} … {y.max()}, expected 0 … {outputs - 1}")
    elif y.shape != (n, outputs):
        raise SpecError(f"y has shape {y.shape}, expected ({n}, {outputs})")


def _check_sparse(x: Any, n: int, inputs: int) -> None:
    ends, columns = np.asarray(x.indptr), np.asarray(x.indices)
    if ends.shape != (n + 1,) or ends[0] < 0 or (np.diff(ends) < 0).any() or ends[-1] > min(len(columns), len(x.data)):
        raise SpecError("indptr of the sparse x does not describe its rows")
    if len(columns) and (columns.min() < 0 or columns.max() >= inputs):
        raise SpecError(f"indices of the sparse x hold {columns.min()} … {columns.max()}, expected 0 … {inputs - 1}")
