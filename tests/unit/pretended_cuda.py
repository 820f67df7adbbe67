"""A PyCUDA that only pretends, for the tests of devices and GPUs.

The pretended driver holds what PyCUDA itself holds: one stack of contexts a thread, memory that is freed in its
context alone, errors of its own kinds.
"""

import sys
import threading
from types import ModuleType

import numpy as np

from hdl import devices

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


def install(monkeypatch, **about):
    """Make this a machine with pretended GPUs, and hdl built for them; returns the driver."""
    driver = Pretended(**about)
    package = ModuleType("pycuda")
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    monkeypatch.setitem(sys.modules, "hdl._cuda", ModuleType("hdl._cuda"))
    monkeypatch.setattr(devices, "_OPEN", {})
    return driver
