"""Listens for requests of the live page: its port is told to YARN before there is a page."""

from __future__ import annotations

import socket

BACKLOG = 64


def listen(host: str) -> socket.socket:
    """Listen on a free port of the one interface with this name or address.

    Examples
    --------
    >>> with listen("127.0.0.1") as listening:
    ...     listening.getsockname()[0]
    '127.0.0.1'
    """
    family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, 0), family=family, backlog=BACKLOG)
