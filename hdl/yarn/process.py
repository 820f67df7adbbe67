"""Ends a container's process, of the master or a worker, by one rule, and tells a fault of its node from others."""

from __future__ import annotations

import errno
import os
import re
import resource
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NoReturn

from hdl import quick
from hdl.errors import HdlError, NodeError

NODE_STATUS = os.EX_IOERR  # exit status of a process that ends by its node's fault
# What a disk does that is full, broken or mounted read-only; EFBIG is the node's limit of a file's size.
DISK_ERRORS = errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG
# The same as libraries and Java say it, which keep no number.
DISK_WORDS = re.compile("|".join(re.escape(os.strerror(number)) for number in DISK_ERRORS))


def node_fault(error: BaseException) -> NodeError | None:
    """Tell whether an error is the fault of this node's disks, and make the error that says so.

    Errors of files on HDFS are not: they are the same on every node.

    Examples
    --------
    >>> str(node_fault(OSError(errno.ENOSPC, "No space left on device", "/data/1/spill")))
    "its disk: [Errno 28] No space left on device: '/data/1/spill'"
    >>> node_fault(OSError(errno.EIO, "HDFS does not say where the blocks are", "hdfs:///digits/0")) is None
    True
    """
    for each in _causes(error):
        if isinstance(each, NodeError):
            return each
        text = str(each)
        if "://" in text:
            return None
        known = isinstance(each, OSError) and each.errno in DISK_ERRORS
        if known or (not isinstance(each, HdlError) and isinstance(each, OSError) and DISK_WORDS.search(text)):
            return NodeError(f"its disk: {text}")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Walk from an error to what it was raised from, at most so far as errors usually go."""
    for _ in range(16):
        if error is None:
            return
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def say(text: str) -> None:
    """Write a line into the container's log; a log that cannot be written, on a full disk, stops nobody."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def run_and_exit(role: str, body: Callable[[], object], close: Callable[[], object] = lambda: None) -> NoReturn:
    """Run a process's body and end the process: status 0, or 1 with the error on standard error.

    A fault of the node's disks has the status `NODE_STATUS`, by which the application's master knows it. Threads that
    wait in sockets or in a Java virtual machine are not waited for: they would keep the container.

    Parameters
    ----------
    role : str
        'master' or 'worker', for an error's message.
    body, close : functions
        `close` is called whether or not `body` raised.
    """
    status = 1
    with suppress(OSError, ValueError):  # connections cost descriptors: as many as the node allows
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    try:
        body()
        status = 0
    except BaseException as error:
        if fault := node_fault(error):
            status = NODE_STATUS
            say(f"hdl {role}: this node cannot go on: {fault}")
        elif isinstance(error, HdlError):
            say(f"hdl {role}: {error}")
        else:
            say(traceback.format_exc())
    with suppress(Exception):
        close()
    quick.leave(status)
