"""Devices by name, and a GPU's memory, stream and context through a PyCUDA that only pretends.

The pretended driver holds what PyCUDA itself holds: one stack of contexts a thread, memory that is freed in its
context alone, errors of its own kinds.
"""

import gc
import subprocess
import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from hdl import devices
from hdl.errors import DeviceError, DeviceMemory, SpecError, Unavailable

MIB = 1 << 20


class Pretended:
    """A module like `pycuda.driver`: GPUs of a size, whose memory is this process's."""

    def __init__(self, gpus=1, total=100 * MIB, capability=(9, 0)):
        self.gpus, self.total, self.capability = gpus, total, capability
        self.stacks, self.memory, self.calls = {}, {}, []
        self.fail = {}  # name of a call: the error that it raises
        self.Error = type("Error", (Exception,), {})
        self.MemoryError, self.LogicError, self.RuntimeError = (
            type(name, (self.Error,), {}) for name in ("MemoryError", "LogicError", "RuntimeError")
        )
        pretended = self

        class Device:
            def __init__(self, index):
                self.index = index

            @staticmethod
            def count():
                pretended.call("count")
                return pretended.gpus

            def name(self):
                return f"Pretended GPU {self.index}"

            def compute_capability(self):
                return pretended.capability

            def total_memory(self):
                return pretended.total

            def retain_primary_context(self):
                pretended.call("retain")
                return Context(self.index)

        class Context:
            def __init__(self, index):
                self.index = index

            def push(self):
                pretended.call("push")
                pretended.stack().append(self)

            @staticmethod
            def pop():
                pretended.stack().pop()

        class Stream:
            handle = 4711

            def __init__(self):
                pretended.current("stream")

            def synchronize(self):
                pretended.current("synchronize")

        class Allocation:
            def __init__(self, address):
                self.address, self.context = address, pretended.current("alloc")

            def __int__(self):
                return self.address

            def free(self):
                assert pretended.current("free") is self.context
                del pretended.memory[self.address]

        self.Device, self.Stream, self.Allocation = Device, Stream, Allocation

    def call(self, name):
        self.calls.append(name)
        if name in self.fail:
            raise self.fail[name]

    def stack(self):
        return self.stacks.setdefault(threading.get_ident(), [])

    def current(self, name):
        self.call(name)
        assert self.stack(), f"{name} without a context"
        return self.stack()[-1]

    def balanced(self):
        return not any(self.stacks.values())

    def init(self):
        self.call("init")

    def get_driver_version(self):
        return 13010

    def mem_get_info(self):
        self.current("info")
        return self.total - sum(map(len, self.memory.values())), self.total

    def mem_alloc(self, nbytes):
        if nbytes > self.mem_get_info()[0]:
            raise self.MemoryError("cuMemAlloc failed: out of memory")
        address = 1000 + len(self.calls)
        self.memory[address] = bytearray(nbytes)
        return self.Allocation(address)

    def memcpy_htod_async(self, address, array, stream):
        self.current("put")
        self.memory[address][: array.nbytes] = array.tobytes()

    def memcpy_dtoh_async(self, array, address, stream):
        self.current("get")
        array.view(np.uint8).reshape(-1)[:] = np.frombuffer(self.memory[address], np.uint8)[: array.nbytes]

    def memset_d8_async(self, address, value, nbytes, stream):
        self.current("zero")
        self.memory[address][:nbytes] = bytes([value]) * nbytes


@pytest.fixture
def machine(monkeypatch):
    """`machine(gpus=1, …)`: from now on a machine with such GPUs, and hdl built for them."""

    def make(**about):
        driver = Pretended(**about)
        package = ModuleType("pycuda")
        monkeypatch.setitem(sys.modules, "pycuda", package)
        monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
        monkeypatch.setitem(sys.modules, "hdl._cuda", ModuleType("hdl._cuda"))
        monkeypatch.setattr(devices, "_OPEN", {})
        return driver

    return make


@pytest.fixture
def missing(monkeypatch):
    """`missing(name, why)`: the import of a module fails."""
    real = devices.importlib.import_module

    def make(name, why=None):
        def load(wanted, *rest):
            if wanted == name:
                raise why or ModuleNotFoundError(f"No module named {name!r}")
            return real(wanted, *rest)

        monkeypatch.setattr(devices.importlib, "import_module", load)

    return make


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("cpu", ("cpu", 0)),
        ("cuda", ("cuda", 0)),
        ("cuda:0", ("cuda", 0)),
        ("cuda:12", ("cuda", 12)),
        ("auto", ("auto", 0)),
    ],
)
def test_names(name, parsed):
    assert devices.parse(name) == parsed


@pytest.mark.parametrize(
    "name", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "auto:1", "cuda:1 ", "cuda:٣", 0, None]
)
def test_what_is_no_name_is_told_with_what_is(name):
    with pytest.raises(SpecError) as error:
        devices.parse(name)
    assert str(error.value) == f"device: expected cpu, cuda, cuda:N or auto (given {name!r})"


def test_hdl_itself_imports_no_pycuda():
    code = (
        "import sys, hdl, hdl.devices, hdl.ops, hdl.predict; print('pycuda' in sys.modules, 'hdl._cuda' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False False\n"


def test_the_cpu_asks_for_no_driver(missing):
    missing("pycuda.driver", AssertionError("the CPU needs none"))
    assert devices.resolve("cpu") == "cpu"


def test_where_a_gpu_works(machine):
    machine(gpus=2)
    assert devices.why_not() is None
    assert [devices.resolve(name) for name in ("cuda", "cuda:1", "auto")] == ["cuda:0", "cuda:1", "cuda:0"]
    assert devices.listed()[1] == "Pretended GPU 1, 0.1 GiB, compute capability 9.0, driver for CUDA 13.1"
    assert len(devices.listed()) == 2


def reasons(machine, missing, monkeypatch):
    """Names of faults, with what makes them and what is said of them."""

    def no_driver():
        missing("pycuda.driver", ImportError("libcuda.so.1: cannot open shared object file"))
        monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(f"{name}: not there")))

    def no_pycuda():
        missing("pycuda.driver")
        monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: None)

    def broken_pycuda():
        missing("pycuda.driver", ImportError("undefined symbol: cuFuture"))
        monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: None)

    def no_core():
        machine()
        missing("hdl._cuda")

    def no_start():
        driver = machine()
        driver.fail["init"] = driver.RuntimeError("cuInit failed: no CUDA-capable device is detected")

    return {
        "no driver": (no_driver, "no NVIDIA driver (libcuda.so.1: not there)"),
        "no PyCUDA": (no_pycuda, "no PyCUDA (No module named 'pycuda.driver'); `./build.sh cuda` builds it"),
        "broken PyCUDA": (broken_pycuda, "PyCUDA does not load: undefined symbol: cuFuture"),
        "no core": (no_core, "this hdl was built without its GPU core (No module named 'hdl._cuda')"),
        "no start": (no_start, "CUDA does not start: RuntimeError: cuInit failed: no CUDA-capable device is detected"),
        "no device": (lambda: machine(gpus=0), "there is no GPU cuda:0; CUDA finds none here"),
        "old": (
            lambda: machine(capability=(7, 5)),
            "cuda:0 (Pretended GPU 0) has compute capability 7.5; hdl's kernels need 8.0",
        ),
    }


@pytest.mark.parametrize(
    "fault", ["no driver", "no PyCUDA", "broken PyCUDA", "no core", "no start", "no device", "old"]
)
def test_why_not_is_said_in_one_line_and_auto_is_the_cpu(machine, missing, monkeypatch, fault):
    cause, said = reasons(machine, missing, monkeypatch)[fault]
    cause()
    assert devices.why_not().startswith(said)
    assert "\n" not in devices.why_not()
    with pytest.raises(Unavailable) as error:
        devices.resolve("cuda")
    assert str(error.value).startswith(f"device cuda: {said}")
    with pytest.raises(Unavailable):
        devices.open("cuda:0")
    told = []
    assert devices.resolve("auto", told.append) == "cpu"
    assert told == [f"device auto: the CPU, as there is no GPU to use: {devices.why_not()}"]
    assert devices.listed() == []


def test_an_index_that_is_not_there(machine):
    machine(gpus=2)
    with pytest.raises(Unavailable, match="device cuda:2: there is no GPU cuda:2; CUDA finds 2 here"):
        devices.resolve("cuda:2")


def test_only_a_gpu_can_be_opened(machine):
    machine()
    for name in "cpu", "auto":
        with pytest.raises(SpecError, match=f"expected cuda or cuda:N .given '{name}'"):
            devices.open(name)


def test_one_device_a_process_and_index(machine):
    driver = machine(gpus=2)
    one = devices.open("cuda")
    assert devices.open("cuda:0") is one
    assert devices.open("cuda:1") is not one
    assert (one.name, one.title, one.stream) == ("cuda:0", "Pretended GPU 0", 4711)
    assert driver.calls.count("retain") == 2
    assert driver.balanced()


def test_arrays_go_there_and_come_back_in_the_order_of_the_stream(machine):
    driver = machine()
    device = devices.open("cuda:0")
    buffer = device.buffer(24)
    assert buffer.nbytes == 24
    x = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]  # not contiguous
    driver.calls.clear()
    device.put(buffer.pointer, x)
    out = np.empty((3, 2), np.float32)
    device.get(out, np.uint64(buffer.pointer))
    assert out.tolist() == x.tolist()
    device.zero(buffer.pointer, 8)
    device.get(out, buffer.pointer)
    assert out.reshape(-1).tolist() == [0, 0, 4, 6, 8, 10]
    assert [name for name in driver.calls if name != "push"] == [
        "put", "synchronize", "get", "synchronize", "zero", "synchronize", "get", "synchronize",
    ]  # fmt: skip
    assert driver.balanced()


def test_nothing_to_copy_asks_for_nothing(machine):
    driver = machine()
    device = devices.open("cuda:0")
    empty = device.buffer(0)
    driver.calls.clear()
    device.put(empty.pointer, np.empty(0, np.float32))
    device.get(np.empty(0, np.float32), empty.pointer)
    device.zero(empty.pointer, 0)
    assert driver.calls == []


def test_what_cannot_be_filled_is_refused(machine):
    machine()
    device = devices.open("cuda:0")
    buffer, fixed = device.buffer(64), np.zeros(4, np.float32)
    fixed.flags.writeable = False
    for array in (np.zeros((4, 4), np.float32)[:, ::2], fixed):
        with pytest.raises(ValueError, match="cuda:0: expected a contiguous, writable array"):
            device.get(array, buffer.pointer)


def test_too_little_memory_is_told_with_the_figures(machine):
    driver = machine()
    device = devices.open("cuda:0")
    held = device.buffer(60 * MIB)
    with pytest.raises(DeviceMemory, match=r"asked for 50\.0 MiB on cuda:0, 40\.0 of 100\.0 MiB are free") as error:
        device.buffer(50 * MIB)
    assert isinstance(error.value, MemoryError)
    assert driver.balanced()
    held.free()
    assert device.memory() == (100 * MIB, 100 * MIB)


def test_memory_is_freed_once_and_in_its_context_whoever_drops_it(machine):
    driver = machine(gpus=2)
    device = devices.open("cuda:1")
    buffer = device.buffer(10)
    buffer.free()
    buffer.free()
    assert driver.calls.count("free") == 1
    assert not driver.memory
    holder = [device.buffer(10)]
    with devices.open("cuda:0").active():  # another device is current
        thread = threading.Thread(target=holder.clear)
        thread.start()
        thread.join()
        gc.collect()
    assert not driver.memory
    assert driver.balanced()


def test_contexts_nest_and_every_thread_has_its_own(machine):
    driver = machine()
    device = devices.open("cuda:0")
    deep, seen = [], []

    def work():
        with device.active():
            seen.append(len(driver.stack()))

    with device.active(), device.active():
        deep.append(len(driver.stack()))
        device.buffer(8)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert len(driver.stack()) == 2
    assert (deep, seen) == ([2], [1])
    assert driver.balanced()


def test_what_goes_wrong_leaves_no_context_behind(machine):
    driver = machine()
    device = devices.open("cuda:0")
    buffer = device.buffer(8)
    with pytest.raises(KeyError), device.active():
        raise KeyError
    for call, act, doing in (
        ("put", lambda: device.put(buffer.pointer, np.zeros(2, np.float32)), "copying 8 bytes to it"),
        ("get", lambda: device.get(np.zeros(2, np.float32), buffer.pointer), "copying 8 bytes from it"),
        ("zero", lambda: device.zero(buffer.pointer, 8), "clearing 8 bytes"),
        ("synchronize", device.synchronize, "waiting for it"),
        ("info", device.memory, "asking for its memory"),
        ("push", device.synchronize, "making its context current"),
        ("free", buffer.free, "freeing memory"),
    ):
        driver.fail[call] = driver.LogicError("cuThat failed: an illegal memory access was encountered")
        with pytest.raises(DeviceError) as error:
            act()
        said = "LogicError: cuThat failed: an illegal memory access was encountered"
        assert str(error.value) == f"cuda:0: {doing}: {said}"
        assert not isinstance(error.value, DeviceMemory)
        assert driver.balanced(), call
        driver.fail.clear()


def test_a_device_that_does_not_open_is_told_and_can_be_tried_again(machine):
    driver = machine()
    driver.fail["retain"] = driver.Error("cuDevicePrimaryCtxRetain failed: unknown error")
    with pytest.raises(DeviceError, match="cuda:0: opening it: Error: cuDevicePrimaryCtxRetain failed"):
        devices.open("cuda:0")
    driver.fail.clear()
    assert devices.open("cuda:0").memory() == (100 * MIB, 100 * MIB)


def test_an_error_of_a_device_travels_to_the_driver_as_it_is():
    from hdl import wire
    from hdl.runners.messages import error_from, error_message

    fields = wire.unpack(error_message(DeviceMemory("asked for much")))[1]
    error = error_from(fields, "worker 1")
    assert (type(error), str(error), error.exit_code) == (DeviceMemory, "asked for much", 9)
    assert SimpleNamespace(**fields).type == "DeviceMemory"
