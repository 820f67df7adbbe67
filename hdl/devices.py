"""Where the operations are computed: names of devices, and a GPU's memory, stream and context by PyCUDA.

A name is ``cpu``, ``cuda`` (the first GPU), ``cuda:N`` (as CUDA counts them) or ``auto`` (the first GPU where one can
be used, else the CPU). PyCUDA is imported when a GPU is first asked for, and nowhere else: `import hdl` needs neither
it nor a driver.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import DeviceError, DeviceMemory, SpecError, Unavailable

__all__ = ["Buffer", "Device", "code", "cores", "listed", "open", "parse", "resolve", "why_not"]

OLDEST = (8, 0)  # compute capability that hdl's kernels are compiled for, and newer ones
_MIB = 1 << 20
_GIB = 1 << 30
_LOCK = threading.Lock()
_OPEN: dict[int, Device] = {}  # by index


def cores() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse(name: str) -> tuple[str, int]:
    """Kind and index of a device's name.

    Raises
    ------
    SpecError

    Examples
    --------
    >>> parse("cpu"), parse("cuda"), parse("cuda:1"), parse("auto")
    (('cpu', 0), ('cuda', 0), ('cuda', 1), ('auto', 0))
    """
    found = re.fullmatch(r"(cpu|auto|cuda)|cuda:(\d{1,4})", name, re.ASCII) if isinstance(name, str) else None
    if not found:
        raise SpecError(f"device: expected cpu, cuda, cuda:N or auto (given {name!r})")
    return found[1] or "cuda", int(found[2] or 0)


def resolve(name: str, tell: Callable[[str], Any] = lambda text: None) -> str:
    """The device of a name on this machine: 'cpu' or 'cuda:N'.

    Parameters
    ----------
    name : {'cpu', 'cuda', 'cuda:N', 'auto'}
    tell : function of str, optional
        Is told why 'auto' is the CPU.

    Raises
    ------
    SpecError
        That is no device's name.
    Unavailable
        A GPU was asked for by name and cannot be used.
    """
    kind, index = parse(name)
    if kind == "cpu":
        return "cpu"
    why = why_not(index)
    if why is None:
        return f"cuda:{index}"
    if kind == "cuda":
        raise Unavailable(f"device {name}: {why}")
    tell(f"device auto: the CPU, as there is no GPU to use: {why}")
    return "cpu"


def why_not(index: int = 0) -> str | None:
    """Why a GPU of this machine cannot be used, in one line; None if it can."""
    try:
        _driver(index)
    except Unavailable as error:
        return str(error)
    return None


def code(index: int = 0) -> str:
    """Which of the kernels' machine code a GPU runs, such as 'sm_80': other code may round otherwise.

    Raises
    ------
    Unavailable
    """
    major, minor = _driver(index)[1].compute_capability()
    return f"sm_{major}0" if major == OLDEST[0] else f"sm_{major}{minor}"  # 8.6 and 8.9 run what was made for 8.0


def listed() -> list[str]:
    """A line for each GPU that hdl can use here: its name, memory, compute capability and driver."""
    found: list[str] = []
    with suppress(Unavailable):
        while True:
            cuda, device = _driver(len(found))
            version, capability = cuda.get_driver_version(), ".".join(map(str, device.compute_capability()))
            found.append(
                f"{device.name()}, {device.total_memory() / _GIB:.1f} GiB, compute capability {capability}, "
                f"driver for CUDA {version // 1000}.{version % 1000 // 10}"
            )
    return found


def open(name: str) -> Device:
    """A GPU, ready to use; always the same object in one process.

    Raises
    ------
    SpecError
        The name is not a GPU's.
    Unavailable
        It cannot be used; the message says why.
    """
    kind, index = parse(name)
    if kind != "cuda":
        raise SpecError(f"device: expected cuda or cuda:N (given {name!r})")
    with _LOCK:
        if index not in _OPEN:
            _OPEN[index] = Device(index, *_driver(index))
        return _OPEN[index]


def _driver(index: int) -> tuple[Any, Any]:
    """`pycuda.driver`, and its device of an index.

    Raises
    ------
    Unavailable
    """
    try:
        cuda = importlib.import_module("pycuda.driver")
    except ImportError as error:
        raise Unavailable(_missing(error)) from None
    try:
        importlib.import_module("hdl._cuda")
    except ImportError as error:
        raise Unavailable(
            f"this hdl was built without its GPU core ({error}): install it where nvcc is, see docs/cuda.md"
        ) from None
    try:
        cuda.init()
        count = cuda.Device.count()
        if index >= count:
            raise Unavailable(f"there is no GPU cuda:{index}; CUDA finds {count or 'none'} here")
        device = cuda.Device(index)
        capability = device.compute_capability()
    except cuda.Error as error:
        raise Unavailable(f"CUDA does not start: {_said(error)}") from None
    if capability < OLDEST:
        has, needs = (".".join(map(str, numbers)) for numbers in (capability, OLDEST))
        raise Unavailable(f"cuda:{index} ({device.name()}) has compute capability {has}; hdl's kernels need {needs}")
    return cuda, device


def _missing(error: ImportError) -> str:
    """Why PyCUDA cannot be imported: it links to the driver's library, which only a driver brings."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError as lacking:
        return f"no NVIDIA driver ({lacking})"
    if isinstance(error, ModuleNotFoundError):
        return f"no PyCUDA ({error}); `./build.sh cuda` builds it"
    return f"PyCUDA does not load: {error}"


def _said(error: Any) -> str:
    """What PyCUDA says of an error: its kind, CUDA's function and CUDA's own words."""
    return f"{type(error).__name__}: {error}"


class Device:
    """A GPU, in its primary context: the one that CUDA's runtime, and so hdl's kernels, use too.

    Made by `open`. Any thread may use it.

    Attributes
    ----------
    name : str
        'cuda:0', ….
    title : str
        What its maker calls it.
    stream : int
        The CUstream that everything is queued on.

    Examples
    --------
    >>> device = open("cuda:0")  # doctest: +SKIP
    >>> memory = device.buffer(4 * 1000)  # doctest: +SKIP
    >>> device.put(memory.pointer, np.ones(1000, np.float32))  # doctest: +SKIP
    """

    def __init__(self, index: int, cuda: Any, device: Any):
        self.name, self._cuda = f"cuda:{index}", cuda
        with self._told("opening it"):
            self.title = str(device.name())
            self._context = device.retain_primary_context()
            with self.active():
                self._stream, self._aside = cuda.Stream(), cuda.Stream()
                self.stream = int(self._stream.handle)

    @contextmanager
    def active(self) -> Iterator[Device]:
        """Makes the device's context this thread's; calls may nest.

        PyCUDA's memory is freed only where its context is current, and a thread that ends with a context on its stack
        ends the process: hence no other way in.
        """
        with self._told("making its context current"):
            self._context.push()
        try:
            yield self
        finally:
            with self._told("leaving its context"):
                self._context.pop()

    def buffer(self, nbytes: int) -> Buffer:
        """Memory on the device, not cleared.

        Raises
        ------
        DeviceMemory
            So much is not free.
        """
        with self._told(f"allocating {nbytes} bytes"), self.active():
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
        """Copies an array to the device, after what is queued or `aside` of it; returns when it is there."""
        source, stream = np.ascontiguousarray(array), self._aside if aside else self._stream
        if source.nbytes:
            with self._queued(f"copying {source.nbytes} bytes to it", stream):
                self._cuda.memcpy_htod_async(int(pointer), source, stream)

    def get(self, array: NDArray, pointer: int) -> None:
        """Fills an array, contiguous and writable, from the device's memory, after what is queued."""
        if not (array.flags.c_contiguous and array.flags.writeable):
            raise ValueError(f"{self.name}: expected a contiguous, writable array to copy to")
        if array.nbytes:
            with self._queued(f"copying {array.nbytes} bytes from it"):
                self._cuda.memcpy_dtoh_async(array, int(pointer), self._stream)

    def zero(self, pointer: int, nbytes: int) -> None:
        """Clears memory of the device, after what is queued."""
        if nbytes:
            with self._queued(f"clearing {nbytes} bytes"):
                self._cuda.memset_d8_async(int(pointer), 0, nbytes, self._stream)

    def synchronize(self) -> None:
        """Waits until all that is queued is done.

        Raises
        ------
        DeviceError
            Some of it failed.
        """
        with self._queued("waiting for it"):
            pass

    def memory(self) -> tuple[int, int]:
        """Bytes that are free, and all."""
        with self._told("asking for its memory"), self.active():
            free, total = self._cuda.mem_get_info()
        return int(free), int(total)

    @contextmanager
    def _queued(self, doing: str, stream: Any = None) -> Iterator[None]:
        """What is put on the stream here is done at the end: so the array of a copy may go then."""
        with self._told(doing), self.active():
            yield
            (stream or self._stream).synchronize()

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """CUDA's errors as hdl's: on which device, what was being done, what CUDA says."""
        try:
            yield
        except self._cuda.Error as error:
            raise DeviceError(f"{self.name}: {doing}: {_said(error)}") from None


class Buffer:
    """Memory on a device, freed by `free` or when nobody has it any more.

    Attributes
    ----------
    pointer : int
        Its address there.
    nbytes : int
    """

    def __init__(self, device: Device, nbytes: int, memory: Any):
        self.device, self.nbytes, self.pointer = device, nbytes, int(memory)
        self._end = weakref.finalize(self, _free, device, memory)
        self._end.atexit = False  # the driver takes everything back when the process ends

    def free(self) -> None:
        """Gives the memory back; safe to call twice."""
        self._end()
        self.pointer = 0


def _free(device: Device, memory: Any) -> None:
    """Whichever thread drops the last reference has no context of its own."""
    with device._told("freeing memory"), device.active():
        memory.free()
