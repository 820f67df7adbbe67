"""What each of hdl's programs does first, so that its imports take less time, and last: it needs nothing of hdl."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn

# Imports make objects by the hundred thousand that all stay: Python's own threshold of 700 has them looked through at
# each step of the way, for 30 ms of a worker's start.
OBJECTS = 50_000
begun = False  # whether this process is one of hdl's programs


def begin() -> None:
    """Look for garbage less often, and spare what others start with: pydantic's look for plug-ins, OpenBLAS's threads.

    NumPy multiplies little here, for which threads that wait for work in a busy loop do not pay.
    """
    global begun
    begun = True
    gc.set_threshold(OBJECTS, 20, 20)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def leave(status: int) -> NoReturn:
    """End the process without its threads that wait in sockets or in Java: what was said goes out, files are closed."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it is gone
            stream.flush()
    if answers := sys.modules.get("hdl.hdfs_answers"):
        answers.settle()  # here, since os._exit calls nobody
    os._exit(status)
