"""Serves the live page of an application, from its master and behind YARN's proxy: the page shows, and changes nothing.

GET and HEAD of `/`, `/status.json` and `/events.json?since=N`; links in it are relative, because the proxy serves it
under a prefix. As with Hadoop's own pages, only the proxy may ask: it has asked its users who they are, and tells it.
"""

from __future__ import annotations

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
from hdl.yarn.dashboard.allowed import AllowedHosts, proxy_user
from hdl.yarn.dashboard.assets import POLICY
from hdl.yarn.dashboard.listening import listen
from hdl.yarn.dashboard.state import State

REQUEST_BYTES = 16 << 10
REQUEST_SECONDS = 5.0  # until a request must have arrived whole
ANSWER_SECONDS = 20.0  # until an answer must have been received whole
THREADS = 16  # requests at a time
STRANGER_THREADS = 2  # of THREADS, for hosts that may not ask and are told so
FRESH_SECONDS = 0.5  # for so long an answer is given again to all who ask

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY + "; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}


class PageServer:
    """Serves the page of a `State` in threads of its own.

    Parameters
    ----------
    state : State
    host : str
        Name or address of the one interface to listen on.
    allowed_hosts : iterable of str
        Names or addresses of YARN's proxies. This machine itself may ask too, unless it matters who asks.
    refusal : function of str, optional
        Returns why a user may not look, or an empty string; an unknown user is an empty name. None: everybody may.
    listening : socket, optional
        That listens on this interface already: see `listen`. It is closed with the page.

    Attributes
    ----------
    port : int
        Known before `start`, for `registerApplicationMaster`.

    Examples
    --------
    >>> page = PageServer(State("application_1_0001"), "127.0.0.1", ["127.0.0.1"])
    >>> page.start()
    >>> import urllib.request
    >>> urllib.request.urlopen(f"http://127.0.0.1:{page.port}/").status
    200
    >>> page.close()
    """

    def __init__(
        self, state: State, host: str, allowed_hosts: Iterable[str], refusal: Callable[[str], str] | None = None,
        listening: socket.socket | None = None,
    ):  # fmt: skip
        # Who is on this machine could say to be anybody; the proxy does not let its users.
        allowed = AllowedHosts(allowed_hosts, loopback=refusal is None)
        self._server = _HttpServer(state, listening or listen(host), allowed, refusal)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="hdl-page", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving: open connections are cut, threads end. Safe to call twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _HttpServer(HTTPServer):
    """Answers each request in a thread, at most `THREADS` at a time; a slow client holds up one of them, briefly."""

    def __init__(
        self, state: State, listening: socket.socket, allowed: AllowedHosts, refusal: Callable[[str], str] | None
    ):
        self.state, self.allowed, self.refusal = state, allowed, refusal
        # Free threads, for hosts that may ask and for others.
        self._free = {
            True: threading.Semaphore(THREADS - STRANGER_THREADS),
            False: threading.Semaphore(STRANGER_THREADS),
        }
        self._open: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[float, bytes]] = {}  # by name: when it was made, and content
        # Not by HTTPServer's own binding, whose look-up of the name may take seconds.
        super().__init__(listening.getsockname(), _RequestHandler, bind_and_activate=False)
        self.socket.close()
        self.socket, self.server_address = listening, listening.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        known = self.allowed.is_known(client_address[0])
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
                _RequestHandler(request, client_address, self)
        finally:
            self.shutdown_request(request)
            with self._lock:
                del self._open[threading.current_thread()]
            self._free[known].release()

    def cached(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return an answer that is not older than `FRESH_SECONDS`: many who ask cost the master no more than one."""
        with self._lock:
            when, content = self._answers.get(name, (-math.inf, b""))
        if time.monotonic() - when >= FRESH_SECONDS:
            content = make()
            with self._lock:
                self._answers[name] = time.monotonic(), content
        return content

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            unfinished = dict(self._open)
        for thread, request in unfinished.items():
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
            thread.join(ANSWER_SECONDS)


class _RequestHandler(BaseHTTPRequestHandler):
    """Reads one request and answers it."""

    server: _HttpServer
    server_version, sys_version = "hdl", ""

    def handle(self) -> None:
        self.rfile = BytesIO(self._read_head())  # type: ignore[assignment]
        self.connection.settimeout(ANSWER_SECONDS)  # of sendall as a whole
        self.handle_one_request()

    def _read_head(self) -> bytes:
        """Read the request up to its empty line; a body is not waited for."""
        head, until = b"", time.monotonic() + REQUEST_SECONDS
        while b"\r\n\r\n" not in head and b"\n\n" not in head and len(head) < REQUEST_BYTES:
            self.connection.settimeout(max(0.01, until - time.monotonic()))
            received = self.connection.recv(REQUEST_BYTES)
            if not received or time.monotonic() > until:
                return b""
            head += received
        return head

    def do_GET(self) -> None:
        if self.client_address[0] not in self.server.allowed:
            self._answer(403, "Only YARN's proxy may ask here. Open the application's tracking URL instead: "
                              "`yarn application -status ID` tells it.\n")  # fmt: skip
            return
        if self.server.refusal and (why := self.server.refusal(proxy_user(self.headers.get_all("Cookie") or ()))):
            self._answer(403, f"{why}\n")
            return
        try:
            url, state = urlsplit(self.path), self.server.state
        except ValueError:
            self.send_error(400)
            return
        if url.path == "/":
            self._answer(200, self.server.cached("/", lambda: markup.render(state.snapshot()).encode()), "text/html")
        elif url.path == "/status.json":
            self._answer(200, self.server.cached("status", lambda: _json(state.status())), "application/json")
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
        """Answer the base class's errors: another method, a malformed request."""
        if code == 501:
            self._answer(405, "This page only shows: GET and HEAD\n", Allow="GET, HEAD")
        else:
            self._answer(int(code), "Not a request that this page understands\n")

    def _answer(self, code: int, content: str | bytes, kind: str = "text/plain", **headers: str) -> None:
        body = content.encode() if isinstance(content, str) else content
        fields = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body)), **HEADERS, **headers}
        lines = [f"HTTP/1.0 {code} {HTTPStatus(code).phrase}", *(f"{name}: {value}" for name, value in fields.items())]
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("ascii")
        self.wfile.write(head if self.command == "HEAD" else head + body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the container's log is for the training."""


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
