"""Names of devices, on which operations are computed, and the GPUs that this machine has for them.

A name is ``cpu``, ``cuda`` (the first GPU), ``cuda:N`` (as CUDA counts them) or ``auto`` (the first GPU where one can
be used, else the CPU). PyCUDA is imported when a GPU is first asked for, and nowhere else: `import hdl` needs neither
PyCUDA nor a driver. A GPU that is open is a `hdl.gpu.Device`.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hdl.errors import SpecError, Unavailable
from hdl.gpu import Buffer, Device, describe

__all__ = ["Buffer", "Device", "code", "cores", "listed", "open", "parse", "resolve", "why_not"]

OLDEST = (8, 0)  # compute capability that hdl's kernels are compiled for, and newer ones
_GIB = 1 << 30
_LOCK = threading.Lock()
_OPEN: dict[int, Device] = {}  # by index


def cores() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse(name: str) -> tuple[str, int]:
    """Split a device's name into kind and index.

    Raises
    ------
    SpecError
        The name is not a device's.

    Examples
    --------
    >>> parse("cpu"), parse("cuda"), parse("cuda:1"), parse("auto")
    (('cpu', 0), ('cuda', 0), ('cuda', 1), ('auto', 0))
    """
    match = re.fullmatch(r"(cpu|auto|cuda)|cuda:(\d{1,4})", name, re.ASCII) if isinstance(name, str) else None
    if not match:
        raise SpecError(f"device: expected cpu, cuda, cuda:N or auto (given {name!r})")
    return match[1] or "cuda", int(match[2] or 0)


def resolve(name: str, tell: Callable[[str], Any] = lambda text: None) -> str:
    """Choose the device that a name means on this machine: 'cpu' or 'cuda:N'.

    Parameters
    ----------
    name : {'cpu', 'cuda', 'cuda:N', 'auto'}
    tell : function of str, optional
        Called with the reason where 'auto' is the CPU.

    Raises
    ------
    SpecError
        The name is not a device's.
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
    """Say in one line why a GPU of this machine cannot be used; None if it can."""
    try:
        _driver(index)
    except Unavailable as error:
        return str(error)
    return None


def code(index: int = 0) -> str:
    """Name the kernels' machine code that a GPU runs, such as 'sm_80': other code may round otherwise.

    Raises
    ------
    Unavailable
        The GPU cannot be used.
    """
    major, minor = _driver(index)[1].compute_capability()
    return f"sm_{major}0" if major == OLDEST[0] else f"sm_{major}{minor}"  # 8.6 and 8.9 run what was made for 8.0


def listed() -> list[str]:
    """Describe each GPU that hdl can use here in a line: its name, memory (GiB), compute capability and driver."""
    lines: list[str] = []
    with suppress(Unavailable):
        while True:
            cuda, device = _driver(len(lines))
            version, capability = cuda.get_driver_version(), ".".join(map(str, device.compute_capability()))
            lines.append(
                f"{device.name()}, {device.total_memory() / _GIB:.1f} GiB, compute capability {capability}, "
                f"driver for CUDA {version // 1000}.{version % 1000 // 10}"
            )
    return lines


def open(name: str) -> Device:
    """Open a GPU; in one process always as the same object.

    Raises
    ------
    SpecError
        The name is not a GPU's.
    Unavailable
        The GPU cannot be used; the message says why.
    """
    kind, index = parse(name)
    if kind != "cuda":
        raise SpecError(f"device: expected cuda or cuda:N (given {name!r})")
    with _LOCK:
        if index not in _OPEN:
            _OPEN[index] = Device(index, *_driver(index))
        return _OPEN[index]


def _driver(index: int) -> tuple[Any, Any]:
    """Import `pycuda.driver`; returns it, and its device of an index.

    Raises
    ------
    Unavailable
        PyCUDA, hdl's GPU core, a driver or the GPU is missing, or the GPU is too old.
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
        raise Unavailable(f"CUDA does not start: {describe(error)}") from None
    if capability < OLDEST:
        has, needs = (".".join(map(str, numbers)) for numbers in (capability, OLDEST))
        raise Unavailable(f"cuda:{index} ({device.name()}) has compute capability {has}; hdl's kernels need {needs}")
    return cuda, device


def _missing(error: ImportError) -> str:
    """Say why PyCUDA cannot be imported: it links to the driver's library, which only a driver brings."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError as lacking:
        return f"no NVIDIA driver ({lacking})"
    if isinstance(error, ModuleNotFoundError):
        return f"no PyCUDA ({error}); `./build.sh cuda` builds it"
    return f"PyCUDA does not load: {error}"
