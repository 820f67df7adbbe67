import platform
import shutil

import pytest

import hdl
from hdl import devices
from tests.cuda import emulated


@pytest.fixture(scope="session")
def native():
    """`hdl._cuda` over the emulator."""
    if platform.machine() != "x86_64" or not shutil.which("g++"):
        pytest.skip("the emulator needs x86-64 and g++")
    return emulated.build()


@pytest.fixture
def device(native, monkeypatch):
    """A device of which hdl sees nothing but that it is slow."""
    monkeypatch.setitem(__import__("sys").modules, "hdl._cuda", native)
    monkeypatch.setattr(hdl, "_cuda", native, raising=False)
    found = emulated.Device()
    monkeypatch.setattr(devices, "open", lambda name: found)
    return found
