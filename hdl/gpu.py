"""A GPU's memory, stream and context, by the PyCUDA that `hdl.devices` has imported; this module imports none."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import DeviceError, DeviceMemory

__all__ = ["Buffer", "Device", "describe"]

_MIB = 1 << 20


def describe(error: Any) -> str:
    """Describe an error of PyCUDA: its kind, CUDA's function and CUDA's own words."""
    return f"{type(error).__name__}: {error}"


class Device:
    """Holds a GPU's primary context: the one that CUDA's runtime, and so hdl's kernels, use too.

    Made by `hdl.devices.open`. Any thread may use it.

    Attributes
    ----------
    name : str
        'cuda:0', ….
    title : str
        The maker's name of the GPU.
    stream : int
        The CUstream that everything is queued on.

    Examples
    --------
    >>> device = hdl.devices.open("cuda:0")  # doctest: +SKIP
    >>> memory = device.buffer(4 * 1000)  # doctest: +SKIP
    >>> device.put(memory.pointer, np.ones(1000, np.float32))  # doctest: +SKIP
    """

    def __init__(self, index: int, cuda: Any, device: Any):
        self.name, self._cuda = f"cuda:{index}", cuda
        with self._errors("opening it"):
            self.title = str(device.name())
            self._context = device.retain_primary_context()
            with self.active():
                self._stream, self._aside = cuda.Stream(), cuda.Stream()
                self.stream = int(self._stream.handle)

    @contextmanager
    def active(self) -> Iterator[Device]:
        """Make the device's context this thread's; calls may nest.

        PyCUDA's memory is freed only where its context is current, and a thread that ends with a context on its stack
        ends the process: hence no other way in.
        """
        with self._errors("making its context current"):
            self._context.push()
        try:
            yield self
        finally:
            with self._errors("leaving its context"):
                self._context.pop()

    def buffer(self, nbytes: int) -> Buffer:
        """Allocate memory on the device, `nbytes` long and not cleared.

        Raises
        ------
        DeviceMemory
            The device has less than that free.
        DeviceError
            CUDA failed otherwise.
        """
        with self._errors(f"allocating {nbytes} bytes"), self.active():
            try:
                return Buffer(self, nbytes, self._cuda.mem_alloc(max(1, nbytes)))
            except self._cuda.MemoryError:
                free, total = self._cuda.mem_get_info()
        raise DeviceMemory(
            f"asked for {nbytes / _MIB:,.1f} MiB on {self.name}, "
            f"{free / _MIB:,.1f} of {total / _MIB:,.1f} MiB are free: "
            "a smaller batch, fewer workers on this GPU or --device cpu needs less"
        )

    def put(self, pointer: int, array: NDArray, aside: bool = False) -> None:
        """Copy an array to the device, and return when it is there.

        Parameters
        ----------
        pointer : int
            Address on the device; as many bytes as the array has must be allocated from it on.
        array : array
        aside : bool
            Copy on a second stream at once; else after all that is queued.

        Raises
        ------
        DeviceError
        """
        source, stream = np.ascontiguousarray(array), self._aside if aside else self._stream
        if source.nbytes:
            with self._queued(f"copying {source.nbytes} bytes to it", stream):
                self._cuda.memcpy_htod_async(int(pointer), source, stream)

    def get(self, array: NDArray, pointer: int) -> None:
        """Fill an array from the device's memory, after all that is queued.

        Parameters
        ----------
        array : array
            Contiguous and writable.
        pointer : int
            Address on the device.

        Raises
        ------
        ValueError
            The array is not contiguous or not writable.
        DeviceError
        """
        if not (array.flags.c_contiguous and array.flags.writeable):
            raise ValueError(f"{self.name}: expected a contiguous, writable array to copy to")
        if array.nbytes:
            with self._queued(f"copying {array.nbytes} bytes from it"):
                self._cuda.memcpy_dtoh_async(array, int(pointer), self._stream)

    def zero(self, pointer: int, nbytes: int) -> None:
        """Set `nbytes` of the device's memory to zero, after all that is queued."""
        if nbytes:
            with self._queued(f"clearing {nbytes} bytes"):
                self._cuda.memset_d8_async(int(pointer), 0, nbytes, self._stream)

    def synchronize(self) -> None:
        """Wait until all that is queued is done.

        Raises
        ------
        DeviceError
            A queued operation failed.
        """
        with self._queued("waiting for it"):
            pass

    def memory(self) -> tuple[int, int]:
        """Return the device's bytes of memory: those that are free, and all."""
        with self._errors("asking for its memory"), self.active():
            free, total = self._cuda.mem_get_info()
        return int(free), int(total)

    @contextmanager
    def _queued(self, doing: str, stream: Any = None) -> Iterator[None]:
        """Wait at the end for what the block has queued on the stream: the array of a copy may be freed then."""
        with self._errors(doing), self.active():
            yield
            (stream or self._stream).synchronize()

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Raise CUDA's errors as `DeviceError`, which says the device, what was being done and CUDA's words."""
        try:
            yield
        except self._cuda.Error as error:
            raise DeviceError(f"{self.name}: {doing}: {describe(error)}") from None


class Buffer:
    """Owns memory on a device, freed by `free` or with the last reference to it.

    Attributes
    ----------
    pointer : int
        Address on the device; 0 once it is freed.
    nbytes : int
    """

    def __init__(self, device: Device, nbytes: int, memory: Any):
        self.device, self.nbytes, self.pointer = device, nbytes, int(memory)
        self._end = weakref.finalize(self, _free, device, memory)
        self._end.atexit = False  # the driver takes everything back when the process ends

    def free(self) -> None:
        """Give the memory back; safe to call twice."""
        self._end()
        self.pointer = 0


def _free(device: Device, memory: Any) -> None:
    """Free memory of a device in its context: the thread that drops the last reference has none of its own."""
    with device._errors("freeing memory"), device.active():
        memory.free()
