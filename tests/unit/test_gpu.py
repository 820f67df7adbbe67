"""A GPU's memory, stream and context, through a PyCUDA that only pretends."""

import gc
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from hdl import devices
from hdl.errors import DeviceError, DeviceMemory
from tests.unit.pretended_cuda import MIB, install


@pytest.fixture
def machine(monkeypatch):
    """`machine(gpus=1, …)`: from now on a machine with such GPUs, and hdl built for them."""
    return partial(install, monkeypatch)


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
