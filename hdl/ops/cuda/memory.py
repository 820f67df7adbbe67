"""Memory on a device between calls: named pieces that grow, and samples that stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError
from hdl.ops.types import Samples

_X_TYPES = {np.dtype(np.float32): 0, np.dtype(np.uint8): 1}
_CSR, _MIXED = 2, 3
_KEPT = 4  # samples that stay at once: of training, validation and test, and one more


class Pool:
    """Named memory on a device. The next use of a name overwrites its contents.

    Parameters
    ----------
    device : Device
    """

    def __init__(self, device: Any):
        self._device = device
        self._buffers: dict[str, Any] = {}

    def room(self, name: str, size: int) -> int:
        """Give the address of so many bytes, whatever they hold."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.nbytes < size:
            # What grows may grow again, and a device waits for all that runs on it before it gives memory back.
            wanted = max(size, 16) if buffer is None else size * 5 // 4
            self._buffers.pop(name, None)
            del buffer  # or both would have to find room at once
            self._buffers[name] = buffer = self._device.buffer(wanted)
        return buffer.pointer

    def zero(self, name: str, size: int) -> int:
        address = self.room(name, size)
        self._device.zero(address, size)
        return address

    def put(self, name: str, array: NDArray, aside: bool = False) -> int:
        """Copy an array to the device; `aside`: while a kernel runs, which must not use what the name held."""
        address = self.room(name, array.nbytes)
        if array.nbytes:
            self._device.put(address, np.ascontiguousarray(array), aside)
        return address

    def put_all(self, name: str, arrays: Sequence[NDArray]) -> int:
        """Copy arrays of equal size to the device, one after the other."""
        address = self.room(name, sum(array.nbytes for array in arrays))
        for number, array in enumerate(arrays):
            if array.nbytes:
                self._device.put(address + number * array.nbytes, np.ascontiguousarray(array))
        return address

    def get_all(self, name: str, arrays: Sequence[NDArray]) -> None:
        """Overwrite the arrays with what the name holds, one after the other."""
        address = self.at(name)
        for array in arrays:
            if array.nbytes:
                self._device.get(array, address)
                address += array.nbytes

    def get(self, name: str, array: NDArray) -> None:
        """Overwrite the array with what the name holds."""
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
        self._device = device
        # The samples are held too: their arrays' ids stay theirs.
        self._kept: dict[tuple[int, ...], tuple[Samples, Pool, dict[str, int]]] = {}
        self._passing = Pool(device), Pool(device)

    def holds(self, samples: Samples) -> bool:
        """Tell whether samples are on the device."""
        return _name(samples) in self._kept

    def fits(self, samples: Sequence[Samples]) -> bool:
        """Tell whether all of these can lie on the device at once, and leave a quarter of what is free to others."""
        if all(map(self.holds, samples)):
            return True
        free = self._device.memory()[0] + sum(_bytes(kept[0]) for kept in self._kept.values())
        wanted = {_name(each): _bytes(each) for each in samples}
        return sum(wanted.values()) <= free * 3 // 4

    def of(self, samples: Sequence[Samples]) -> list[dict[str, int]]:
        """Send samples: fields of each net's `data`; all of them stay until other samples need their place."""
        free = self._device.memory()[0]
        wanted = [_name(each) for each in samples]
        for name in [name for name in self._kept if name not in wanted]:
            few = len(self._kept) < max(_KEPT, len(set(wanted)) + 1)
            if few and sum(_bytes(each) for each in samples if not self.holds(each)) < free // 2:
                break
            free += _bytes(self._kept.pop(name)[0])
        for name, each in zip(wanted, samples, strict=True):
            if name in self._kept:
                self._kept[name] = self._kept.pop(name)  # the last to go
            else:
                pool = Pool(self._device)
                self._kept[name] = each, pool, self._sent(pool, each)
        return [self._kept[name][2] for name in wanted]

    def passing(self, samples: Samples, order: NDArray[np.int64], number: int, aside: bool) -> dict[str, int]:
        """Send some samples of too many to stay: fields of a net's `data`; the next but one has their place.

        Parameters
        ----------
        number : int
            Of the piece; even and odd ones have a place each.
        aside : bool
            Send them while a kernel runs.
        """
        return self._sent(self._passing[number % 2], samples.take(order), aside)

    @staticmethod
    def _sent(pool: Pool, samples: Samples, aside: bool = False) -> dict[str, int]:
        def sent(name: str, array: Any, kind: Any) -> int:
            return 0 if array is None else pool.put(name, np.asarray(array, kind), aside)

        x, y = samples.x, samples.y
        sparse, encoded = hasattr(x, "indptr"), hasattr(x, "codes")
        values = np.asarray(x.data if sparse else x.numbers, np.float32) if sparse or encoded else x
        classes = y is None or y.ndim == 1
        return {
            "x_type": _CSR if sparse else _MIXED if encoded else _X_TYPES[values.dtype],
            "y_type": 0 if classes else 1,
            "n": len(samples),
            "x": pool.put("x", values, aside),
            "indptr": sent("indptr", x.indptr if sparse else None, np.int64),
            "indices": sent("indices", x.indices if sparse else None, np.int32),
            "scale": sent("scale", samples.scale, np.float32),
            "shift": sent("shift", samples.shift, np.float32),
            "y": sent("y", y, np.int32 if classes else np.float32),
            "weight": sent("weight", samples.weight, np.float32),
            "offset": sent("offset", samples.offset, np.float32),
            "codes": sent("codes", x.codes if encoded else None, np.int32),
            "numbers": x.numbers.shape[1] if encoded else 0,
            "categories": x.codes.shape[1] if encoded else 0,
        }


def _parts(samples: Samples) -> tuple[Any, ...]:
    return samples.x, samples.y, samples.scale, samples.shift, samples.weight, samples.offset


def _name(samples: Samples) -> tuple[int, ...]:
    return tuple(map(id, _parts(samples)))


def _bytes(samples: Samples) -> int:
    """Estimate the bytes that samples take on a device."""
    x = samples.x
    own = len(x.data) * 8 + 8 * x.shape[0] if hasattr(x, "indptr") else x.nbytes
    return own + sum(0 if part is None else part.nbytes for part in (samples.y, samples.weight, samples.offset))


def row_bytes(samples: Samples) -> int:
    """Estimate the bytes that a sample takes on a device."""
    return max(1, _bytes(samples) // max(1, len(samples)))


def check(samples: Samples, inputs: int, outputs: int, ranges: Sequence[tuple[int, int]] = ()) -> None:
    """Refuse samples that a net with so many inputs and outputs cannot read, by SpecError.

    `ranges`: of each embedded category, its first input and the one after its last.
    """
    x, y, n = samples.x, samples.y, len(samples)
    sparse = hasattr(x, "indptr")
    if x.shape != (n, inputs):
        raise SpecError(f"x has shape {x.shape}, expected ({n}, {inputs})")
    if sparse and not ranges:
        if samples.shift is not None:
            raise SpecError("sparse x takes no shift: its zeros would not stay zero")
        _check_sparse(x, n, inputs)
    elif hasattr(x, "codes"):
        if samples.scale is not None or samples.shift is not None:
            raise SpecError("mixed x takes no scale: its numbers are final")
        _check_mixed(x, n, inputs, ranges)
    elif ranges:
        raise SpecError("embeddings need mixed input")
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


def _check_mixed(x: Any, n: int, inputs: int, ranges: Sequence[tuple[int, int]]) -> None:
    numbers, categories = x.numbers.shape[1], x.codes.shape[1]
    if len(x.codes) != n:
        raise SpecError(f"codes of the mixed x have {len(x.codes)} rows, its numbers {n}")
    if ranges and (numbers != ranges[0][0] or categories != len(ranges)):
        raise SpecError(
            f"mixed x has {numbers} numbers and {categories} categories, expected {ranges[0][0]} and {len(ranges)}"
        )
    for category, (low, high) in enumerate(ranges or ((numbers, inputs),) * categories):
        codes = x.codes[:, category]
        if not ((codes == -1) | ((codes >= low) & (codes < high))).all():
            raise SpecError(
                f"codes of category {category} hold {codes.min()} … {codes.max()}, expected -1 or {low} … {high - 1}"
            )
