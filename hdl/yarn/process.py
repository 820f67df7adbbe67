"""Ends a container's process, of the master or a worker, by one rule."""

from __future__ import annotations

import os
import resource
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from hdl.errors import HdlError


def run_and_exit(role: str, body: Callable[[], object], close: Callable[[], object] = lambda: None) -> NoReturn:
    """Run a process's body and end the process: status 0, or 1 with the error on standard error.

    Threads that wait in sockets or in a Java virtual machine are not waited for: they would keep the container.

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
    except HdlError as error:
        print(f"hdl {role}: {error}", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
