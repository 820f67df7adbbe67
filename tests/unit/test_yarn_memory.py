"""Memory that workers keep from round to round; each case in a process of its own, since the setting is for good."""

import os
import platform
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SCRIPT = """
import sys
import numpy as np
from hdl.yarn.worker.memory import keep_memory

def on_the_heap():
    '''Whether 48 MB that were freed lie where the next 48 MB come from, and not in a map of their own.'''
    for _ in range(2):
        there = np.empty(48_000_000, np.uint8).ctypes.data
    for line in open("/proc/self/maps"):
        lo, hi = (int(end, 16) for end in line.split()[0].split("-"))
        if line.rstrip().endswith("[heap]"):
            return lo <= there < hi

print(on_the_heap(), keep_memory(), on_the_heap())
"""


def told(**environment):
    rest = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**rest, "PYTHONPATH": str(ROOT), **environment},
    ).stdout.split()  # fmt: skip


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not the GNU C library")
def test_large_vectors_come_from_memory_that_is_kept():
    assert told() == ["False", "True", "True"]


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_settings_of_the_user_stay(name):
    assert told(**{name: "glibc.malloc.arena_max=2" if name.startswith("GLIBC") else "2"}) == ["False"] * 3
