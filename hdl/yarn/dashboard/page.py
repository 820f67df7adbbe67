"""The live page of an application, served by its master behind YARN's proxy: it shows, and takes no orders.

GET and HEAD of `/`, `/status.json` and `/events.json?since=N`; links in it are relative, because the proxy serves it
under a prefix. As with Hadoop's own pages, only the proxy may ask: who came through it has been let in by YARN.
"""

from __future__ import annotations

import ipaddress
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hdl.yarn.dashboard import markup
from hdl.yarn.dashboard.state import State

__all__ = ["Page", "State"]

REQUEST_BYTES = 16 << 10
REQUEST_SECONDS = 5.0  # until a request is whole
ANSWER_SECONDS = 20.0  # until an answer has been taken
THREADS = 16
STRANGERS = 2  # of them for those who are turned away
FRESH_SECONDS = 0.5  # as long an answer serves all who ask
RESOLVE_SECONDS = 30.0  # names may have got other addresses: asked again at most so often

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": markup.POLICY + "; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}


class Page:
    """The page's server.

    Parameters
    ----------
    state : State
    host : str
        Name or address to listen on; no other.
    allowed_hosts : iterable of str
        Names or addresses of YARN's proxies. This machine itself is always let in.

    Attributes
    ----------
    port : int
        Known from the beginning, for `registerApplicationMaster`.

    Examples
    --------
    >>> page = Page(State("application_1_0001"), "127.0.0.1", ["127.0.0.1"])
    >>> page.start()
    >>> import urllib.request
    >>> urllib.request.urlopen(f"http://127.0.0.1:{page.port}/").status
    200
    >>> page.close()
    """

    def __init__(self, state: State, host: str, allowed_hosts: Iterable[str]):
        self._server = _Server(state, host, _Allowed(allowed_hosts))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="hdl-page", daemon=True)

    def start(self) -> None:
        """Serves from threads of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stops serving: open connections are cut, threads end. Safe to call twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Allowed:
    """Who may ask: loopback, and some hosts by all addresses that their names have."""

    def __init__(self, hosts: Iterable[str]):
        self._hosts = {str(host) for host in hosts}
        self._found: set[str] = set()
        self._asked = -math.inf
        self._lock = threading.Lock()
        self._resolve()

    def known(self, peer: str) -> bool:
        """Whether a peer may ask, as far as is known."""
        address = ipaddress.ip_address(peer.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        return address.is_loopback or str(address) in self._found

    def __contains__(self, peer: str) -> bool:
        """The same, but names are looked up again if need be: that may take its time."""
        if not self.known(peer):
            self._resolve()
        return self.known(peer)

    def _resolve(self) -> None:
        with self._lock:
            if time.monotonic() - self._asked >= RESOLVE_SECONDS:
                self._found = {found for host in self._hosts for found in _addresses(host)} or self._found
                self._asked = time.monotonic()


def _addresses(host: str) -> set[str]:
    with suppress(OSError):
        return {str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(host, None)}
    return set()


class _Server(HTTPServer):
    """A thread a request, but never more than `THREADS`; whoever is slow holds up one of them, and not for long."""

    request_queue_size = 64

    def __init__(self, state: State, host: str, allowed: _Allowed):
        self.state, self.allowed = state, allowed
        self._free = {True: threading.Semaphore(THREADS - STRANGERS), False: threading.Semaphore(STRANGERS)}
        self._open: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._made: dict[str, tuple[float, bytes]] = {}
        self.address_family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
        super().__init__((host, 0), _Handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)  # without the name look-up of HTTPServer: it may take seconds
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        known = self.allowed.known(client_address[0])
        if not self._free[known].acquire(blocking=False):
            self.shutdown_request(request)
            return
        thread = threading.Thread(target=self._serve, args=(request, client_address, known), daemon=True)
        with self._lock:
            self._open[thread] = request
        thread.start()

    def _serve(self, request: Any, client_address: Any, known: bool) -> None:
        try:
            with suppress(OSError):  # the client went away, or was too slow
                _Handler(request, client_address, self)
        finally:
            self.shutdown_request(request)
            with self._lock:
                del self._open[threading.current_thread()]
            self._free[known].release()

    def made(self, name: str, make: Callable[[], bytes]) -> bytes:
        """An answer that was made a moment ago, or now: many who look cost the master no more than one."""
        with self._lock:
            when, content = self._made.get(name, (-math.inf, b""))
        if time.monotonic() - when >= FRESH_SECONDS:
            content = make()
            with self._lock:
                self._made[name] = time.monotonic(), content
        return content

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            left = dict(self._open)
        for thread, request in left.items():
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
            thread.join(ANSWER_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    """One request, one answer."""

    server: _Server
    server_version, sys_version = "hdl", ""

    def handle(self) -> None:
        self.rfile = BytesIO(self._head())  # type: ignore[assignment]
        self.connection.settimeout(ANSWER_SECONDS)  # sendall takes it for the whole
        self.handle_one_request()

    def _head(self) -> bytes:
        """The request up to its empty line; a body is nothing that we wait for."""
        head, until = b"", time.monotonic() + REQUEST_SECONDS
        while b"\r\n\r\n" not in head and b"\n\n" not in head and len(head) < REQUEST_BYTES:
            self.connection.settimeout(max(0.01, until - time.monotonic()))
            more = self.connection.recv(REQUEST_BYTES)
            if not more or time.monotonic() > until:
                return b""
            head += more
        return head

    def do_GET(self) -> None:
        if self.client_address[0] not in self.server.allowed:
            self._answer(403, "Only YARN's proxy may ask here. Open the application's tracking URL instead: "
                              "`yarn application -status ID` tells it.\n")  # fmt: skip
            return
        try:
            url, state = urlsplit(self.path), self.server.state
        except ValueError:
            self.send_error(400)
            return
        if url.path == "/":
            self._answer(200, self.server.made("/", lambda: markup.render(state.shot()).encode()), "text/html")
        elif url.path == "/status.json":
            self._answer(200, self.server.made("status", lambda: _json(state.status())), "application/json")
        elif url.path == "/events.json":
            since = parse_qs(url.query).get("since", ["0"])[-1]
            if not (since.isascii() and since.isdigit() and len(since) < 16):
                self._answer(400, "since: expected a number\n")
                return
            self._answer(200, _json(state.events(int(since))), "application/json")
        else:
            self._answer(404, "There is no such page; there are /, /status.json and /events.json?since=N\n")

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class complains of: another method, a request that is none."""
        if code == 501:
            self._answer(405, "This page only shows: GET and HEAD\n", Allow="GET, HEAD")
        else:
            self._answer(int(code), "Not a request that this page understands\n")

    def _answer(self, code: int, content: str | bytes, kind: str = "text/plain", **headers: str) -> None:
        body = content.encode() if isinstance(content, str) else content
        told = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body)), **HEADERS, **headers}
        lines = [f"HTTP/1.0 {code} {HTTPStatus(code).phrase}", *(f"{name}: {value}" for name, value in told.items())]
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("ascii")
        self.wfile.write(head if self.command == "HEAD" else head + body)

    def log_message(self, format: str, *args: Any) -> None:
        """The container's log is for the training."""


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
