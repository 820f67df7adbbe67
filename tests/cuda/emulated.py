"""The CUDA core on the CPU: its own sources built with the emulator in place of CUDA, and memory that is NumPy's."""

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.machinery
import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
FLAGS = ["-std=c++17", "-O2", "-g1", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-DHDL_EMULATED"]


def build():
    """The extension `hdl._cuda` over the emulator; what was compiled once serves until a source changes."""
    sources = sorted((ROOT / "csrc/cuda").rglob("*.cu"))
    read = [*sources, *(ROOT / "csrc").glob("*.h"), *(ROOT / "csrc/cuda").rglob("*.*h")]
    read += [ROOT / "hdl/_cuda.pyx", ROOT / "hdl/_header.pxi", *(ROOT / "tests/cuda").glob("*.h"), Path(__file__)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in read) + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / "build" / f"emulated-{digest}"
    module = folder / f"_cuda{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    folder.mkdir(parents=True, exist_ok=True)
    # Processes of one test run come here at the same time: the first one compiles, the others wait for what it made.
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not module.exists():
            compile_into(folder, sources)
            (folder / "part.so").rename(module)
    loader = importlib.machinery.ExtensionFileLoader("hdl._cuda", str(module))
    spec = importlib.util.spec_from_file_location("hdl._cuda", module, loader=loader)
    native = importlib.util.module_from_spec(spec)
    real = sys.modules.get("hdl._cuda")
    loader.exec_module(native)
    # Cython's modules enter themselves in sys.modules: put the real one back.
    if real is None:
        sys.modules.pop("hdl._cuda", None)
    else:
        sys.modules["hdl._cuda"] = real
    return native


def compile_into(folder, sources):
    """Leave `part.so` in a folder: the sources, the emulator and Cython's wrapper as one shared library."""
    from Cython.Compiler.Main import compile as cython  # a machine that has a GPU need not have it

    compiled = cython(str(ROOT / "hdl/_cuda.pyx"), output_file=str(folder / "_cuda.c"), full_module_name="hdl._cuda")
    assert compiled.num_errors == 0
    here = ["-I", ROOT / "csrc", "-I", ROOT / "csrc/cuda", "-I", ROOT / "tests/cuda"]
    python = ["-I", sysconfig.get_path("include")]
    objects = []
    for source in sources:
        objects.append(folder / f"{source.stem}.o")
        run("g++", *FLAGS, *here, "-x", "c++", "-c", source, "-o", objects[-1])
    run("gcc", "-O1", "-fPIC", *here, *python, "-c", folder / "_cuda.c", "-o", folder / "_cuda.o")
    run("g++", "-shared", *objects, folder / "_cuda.o", "-o", folder / "part.so")


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Buffer:
    def __init__(self, nbytes):
        # Asked for to the byte, so that what lies beyond is nobody's; all bits set are NaN: zeros must be written.
        self.memory = np.full(-(-nbytes // 16) * 16, 0xFF, np.uint8)
        self.pointer, self.nbytes = self.memory.ctypes.data, nbytes


class Device:
    """A device of `hdl.devices` whose memory is this process's."""

    name, title, stream = "cuda:0", "an emulated GPU", 0

    @contextlib.contextmanager
    def active(self):
        yield

    def buffer(self, nbytes):
        return Buffer(nbytes)

    def put(self, pointer, array, aside=False):
        ctypes.memmove(pointer, np.ascontiguousarray(array).ctypes.data, array.nbytes)

    def get(self, array, pointer):
        ctypes.memmove(array.ctypes.data, pointer, array.nbytes)

    def zero(self, pointer, nbytes):
        ctypes.memset(pointer, 0, nbytes)

    def memory(self):
        return 1 << 30, 2 << 30

    def synchronize(self):
        pass


def install():
    """Put the emulator in the place of this process's GPU, for good."""
    import hdl
    from hdl import devices

    sys.modules["hdl._cuda"] = hdl._cuda = build()
    found = Device()
    devices.open, devices.code, devices.why_not = lambda name: found, lambda index=0: "emulated", lambda index=0: None


class Watched:
    """A device, emulated or real, that counts what is sent to it; `free` is what it says of its memory."""

    def __init__(self, device):
        self.device, self.sent, self.free = device, 0, 1 << 30  # bytes

    def __getattr__(self, name):
        return getattr(self.device, name)

    def put(self, pointer, array, aside=False):
        self.sent += array.nbytes
        self.device.put(pointer, array, aside)

    def memory(self):
        return self.free, 2 << 30
