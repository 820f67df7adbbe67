"""What every test shares: the data sets, the switches of slow tests and of those for a GPU, hypothesis' settings."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from hdl import devices

pytest_plugins = ["tests.ahead"]
ROOT = Path(__file__).resolve().parent.parent

# Tests start hundreds of processes, and each would compile all of hdl again, a third of a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The machines that run this are shared: how long an example takes says nothing. In CI a run must repeat exactly.
settings.register_profile("hdl", deadline=None, derandomize=os.environ.get("CI") == "true", print_blob=True)
settings.load_profile("hdl")


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run the tests marked `full` too")
    parser.addoption("--gpu", action="store_true", help="run the tests marked `gpu` too, which need one")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--gpu"):
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU: ./build.sh test --gpu"))
    if config.getoption("--full"):
        return
    slow = [item for item in items if item.get_closest_marker("full")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and item.config.getoption("--gpu"):
        why = devices.why_not()
        if why:
            pytest.fail(f"--gpu, but no GPU can be used: {why}", pytrace=False)


@pytest.fixture(scope="module")
def ctrl_c():
    """SIGINT interrupts this process and those that it starts, also where the shell that started it has it ignored.

    A shell without job control does that to all that it starts with `&`, and children inherit it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def datasets():
    """`datasets("mnist")` is the folder of a real data set; the test is skipped where it is not there."""
    home = Path(os.environ.get("HDL_DATA", ROOT.parent / "shared" / "data"))

    def folder(name: str) -> Path:
        if not (home / name).is_dir():
            pytest.skip(f"no data set {name} in {home}: set HDL_DATA to the folder that holds it")
        return home / name

    return folder
