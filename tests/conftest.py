"""What every test shares: the data sets, the slow tests' switch, hypothesis' settings."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# The machines that run this are shared: how long an example takes says nothing. In CI a run must repeat exactly.
settings.register_profile("hdl", deadline=None, derandomize=os.environ.get("CI") == "true", print_blob=True)
settings.load_profile("hdl")


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run the tests marked `full` too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--full"):
        return
    slow = [item for item in items if item.get_closest_marker("full")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


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
