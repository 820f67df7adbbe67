"""Finds out within seconds whether a ResourceManager listens, before Hadoop's client begins to try for minutes."""

from __future__ import annotations

import socket
import time
from typing import Any

from hdl.errors import DeadlineError

CONNECT_SECONDS = 10.0
FAILOVER_SECONDS = 45.0  # within which one of several ResourceManagers should have become the active one
ADDRESS, ADMIN_ADDRESS = "yarn.resourcemanager.address", "yarn.resourcemanager.admin.address"


def check_listening(conf: Any, name: str = ADDRESS, port: int = 8032) -> None:
    """Fail within seconds if the ResourceManager does not listen.

    Of several the active one listens alone. While there is none, but one that may become it, that is waited for, for
    `FAILOVER_SECONDS`.

    Raises
    ------
    DeadlineError
        Nobody listens at its address.
    """
    if conf.getBoolean("yarn.resourcemanager.ha.enabled", False):
        _check_several(conf, name, port)
        return
    address = conf.getSocketAddr(name, f"0.0.0.0:{port}", port)
    where = str(address.getHostString()), int(address.getPort())
    if wrong := _silent(*where):
        raise DeadlineError(f"YARN's ResourceManager {where[0]}:{where[1]} ({name}) does not answer: {wrong}")


def _silent(host: str, port: int) -> str:
    """Say why nobody answers at an address; empty where somebody does."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""


def _check_several(conf: Any, name: str, port: int) -> None:
    """Check that one of several ResourceManagers listens, or comes to listen."""
    ids = [str(each) for each in conf.getTrimmedStringCollection("yarn.resourcemanager.ha.rm-ids")]
    served, administered = (
        {one: address for one in ids if (address := address_of(conf, key, number, one))}
        for key, number in ((name, port), (ADMIN_ADDRESS, 8033))
    )
    until = time.monotonic() + FAILOVER_SECONDS
    while served:  # where no address is configured, Hadoop's client may know better
        wrong = {one: _silent(*address) for one, address in served.items()}
        if not all(wrong.values()):
            return
        # One that waits for its turn listens to its administrators only.
        waiting = [one for one, address in administered.items() if not _silent(*address)]
        if not waiting or time.monotonic() > until:
            said = "; ".join(f"{one} at {host}:{port}: {wrong[one]}" for one, (host, port) in served.items())
            more = f" ({', '.join(waiting)} did not become active within {FAILOVER_SECONDS:g} s)" if waiting else ""
            raise DeadlineError(f"none of YARN's ResourceManagers answers: {said}{more}")
        time.sleep(0.5)


def address_of(conf: Any, name: str, port: int, one: str) -> tuple[str, int] | None:
    """Return where one of several ResourceManagers listens; None where the configuration does not say."""
    text = str(conf.getTrimmed(f"{name}.{one}", "") or conf.getTrimmed(f"yarn.resourcemanager.hostname.{one}", ""))
    host, separator, number = text.rpartition(":")
    return (host, int(number)) if separator else (text, port) if text else None
