import platform
import shutil
import sys

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


@pytest.fixture(params=["emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request, monkeypatch):
    """A device that counts what is sent to it, and says that as much is free as a test wants."""
    if request.param == "gpu":
        found = emulated.Watched(devices.open("cuda:0"))
    else:
        native = request.getfixturevalue("native")
        monkeypatch.setitem(sys.modules, "hdl._cuda", native)
        monkeypatch.setattr(hdl, "_cuda", native, raising=False)
        monkeypatch.setattr(devices, "code", lambda index=0: "emulated")
        monkeypatch.setattr(devices, "why_not", lambda index=0: None)
        found = emulated.Watched(emulated.Device())
    monkeypatch.setattr(devices, "open", lambda name: found)
    return found


@pytest.fixture
def emulator(device):
    """For tests that turn what only the emulator has."""
    if not isinstance(device.device, emulated.Device):
        pytest.skip("of the emulator alone")
    return device
