"""Sessions: worker processes that stay, with their decoded data, and take one command after the other.

    places.py    where a session is found: its folder, its record, its socket
    client.py    sends a command line to a session, and waits for its end
    server.py    the session's own process: one command after the other, by the order in which they came
    command.py   a command that was sent, and being where its sender is
    local.py     kept worker processes of this machine
    yarn.py      the application of a session on YARN
    starting.py  starts a session's process
    remote.py    its workers, seen from another process
    fits.py      estimators' fits as orders to it: `joblib_backend.py`, `threads.py`
    staged.py    copies of their files for YARN
    api.py       `hdl.Session`, for Python and notebooks

It imports nothing: the command line asks for `current` whenever it makes a runner.
"""

from __future__ import annotations

from typing import Any

name = ""  # of the session whose own process this is
current: Any = None  # in a session's own process: its workers, such as `local.LocalWorkers`
