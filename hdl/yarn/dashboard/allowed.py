"""Decides which hosts may ask for the live page, this machine and YARN's proxies, and reads for whom a proxy asks."""

from __future__ import annotations

import ipaddress
import math
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import unquote_plus

PROXY_USER = "proxy-user"  # the cookie of YARN's proxy, which takes no other from whom it asks for
RESOLVE_SECONDS = 30.0  # names may have got other addresses: they are looked up again at most so often


class AllowedHosts:
    """Tells whether a peer may ask: loopback may, and some hosts, by all addresses that their names have.

    Parameters
    ----------
    hosts : iterable of str
        Names or addresses.
    loopback : bool
        Whether this machine may ask though it is none of them.
    """

    def __init__(self, hosts: Iterable[str], loopback: bool = True):
        self._hosts, self._loopback = {str(host) for host in hosts}, loopback
        self._addresses: set[str] = set()
        self._resolved = -math.inf
        self._lock = threading.Lock()
        self._resolve()

    def is_known(self, peer: str) -> bool:
        """Tell whether a peer's address is allowed, by the last look-up of names."""
        address = ipaddress.ip_address(peer.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        return (self._loopback and address.is_loopback) or str(address) in self._addresses

    def __contains__(self, peer: str) -> bool:
        """Tell whether a peer's address is allowed; names are looked up again if need be, which may take seconds."""
        if not self.is_known(peer):
            self._resolve()
        return self.is_known(peer)

    def _resolve(self) -> None:
        with self._lock:
            if time.monotonic() - self._resolved >= RESOLVE_SECONDS:
                self._addresses = {address for host in self._hosts for address in addresses(host)} or self._addresses
                self._resolved = time.monotonic()


def proxy_user(cookies: Iterable[str]) -> str:
    """Read from a request's cookies for whom YARN's proxy asks; empty if nobody or more than one is named.

    Examples
    --------
    >>> proxy_user(["a=b; proxy-user=ada"]), proxy_user([]), proxy_user(["proxy-user=ada; proxy-user=bob"])
    ('ada', '', '')
    """
    pairs = (cookie.partition("=") for header in cookies for cookie in header.split(";"))
    users = [unquote_plus(value.strip().strip('"')) for name, _, value in pairs if name.strip() == PROXY_USER]
    return users[0] if len(users) == 1 else ""


def addresses(host: str) -> set[str]:
    """Look up the addresses of a host; none if its name is unknown."""
    with suppress(OSError):
        return {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, None)}
    return set()
