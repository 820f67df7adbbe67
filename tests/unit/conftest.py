"""What several files of unit tests set up."""

import pytest

from tests.unit import logged


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder to work in, with a small table of data, of those that look at logs."""
    monkeypatch.chdir(tmp_path)
    logged.data()
    return tmp_path


@pytest.fixture
def said():
    """What was warned of."""
    return []
