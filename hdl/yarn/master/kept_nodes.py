"""Keeps which nodes are avoided in the application's folder, for the next attempt of the master.

YARN goes on avoiding them for it, and it could not name them otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hdl import fs
from hdl.errors import HdlError
from hdl.yarn.master.failures import Failures

KEPT = "avoided-{:04d}-{:06d}.json"  # an attempt's changes, from 1


def keep(failures: Failures, folder: str, attempt: int, say: Callable[[str], Any]) -> None:
    """Read what an earlier attempt kept, and write a file whenever other nodes are avoided from now on.

    Parameters
    ----------
    failures : Failures
    folder : str
        The application's.
    attempt : int
        Of the master, from 1.
    say : function of str
        Told what could not be read or written: the training goes on.
    """
    number, prefix = 0, KEPT.partition("{")[0]
    try:
        names = [name for name in fs.list(folder) if name.startswith(prefix)] if attempt > 1 else []
        if names:
            with fs.open(fs.join(folder, max(names))) as file:
                failures.restore(json.loads(file.read()))
    except (OSError, HdlError, ValueError, KeyError, TypeError) as error:
        say(f"the nodes that the master before avoided cannot be read: {error}")

    def changed(fields: dict[str, Any]) -> None:
        nonlocal number
        number += 1
        try:
            content = json.dumps(fields).encode()
            fs.publish(fs.join(folder, KEPT.format(attempt, number)), content, private=True)
        except (OSError, HdlError) as error:
            say(f"a next master will not know which nodes are avoided: {error}")

    failures.changed = changed
