"""YARN's web pages: what is asked of them and made of their answers, whoever asks.

A page that needs no proof of who reads it is read here, without Java; `web` reads all others by Hadoop's own client.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urljoin, urlsplit

from hdl.errors import DeadlineError, HdlError
from hdl.yarn.client.interface import Unable

PAGE_SECONDS = 10.0  # for a page, from the connection to its last byte; a first negotiation and redirects included
PAGE_BYTES = 64 << 20
CHUNK = 1 << 16
REDIRECTS = 5
SAID = 300  # characters of a page's own words in a message
PROXIED = re.compile(r"/proxy/(application_\d+_\d+)(?:/|$)")
ACCEPTED = "application/json, text/plain;q=0.5, */*;q=0.1"
Headers = dict[str, str]  # ``challenge``, ``location``, ``kind``


class NoPage(HdlError):
    """A page cannot be read; the message says which and why.

    Parameters
    ----------
    message : str
    lasting : bool
        Whether it will stay so until somebody changes something: a ticket, a right, a trust store. What is not lasting
        is a server that starts, ends or is slow.
    """

    def __init__(self, message: str, lasting: bool = False):
        super().__init__(message)
        self.lasting = lasting

    def __reduce__(self):
        return type(self), (str(self), self.lasting)


class Reader:
    """Follows redirects until a page answers; a subclass makes the requests."""

    def get(self, url: str, until: float) -> tuple[str, bytes]:
        """Read a page until a monotonic time; returns its address and body."""
        target, asked = url, set[str]()
        for _ in range(REDIRECTS + 1):
            status, headers, body = self.request(target, until)
            if status == 200:
                return target, body
            if status == 401 and self.proved(target, headers, asked, until):
                continue
            if status in (301, 302, 303, 307, 308) and headers["location"]:
                target = redirected(target, headers["location"])
            else:
                raise refusal(status, target, headers, body)
        raise NoPage(f"{shown(url)} sends from one page to the next, {REDIRECTS} times", lasting=True)

    def request(self, url: str, until: float) -> tuple[int, Headers, bytes]:
        """Make one request."""
        raise NotImplementedError

    def proved(self, url: str, headers: Headers, before: set[str], until: float) -> bool:
        """Prove who we are to a server that asks for it; False if that cannot be, or it is one of those before."""
        raise NotImplementedError


class Plain(Reader):
    """Reads pages that ask for nothing: HTTP alone, from no proxy; all else is Unable."""

    def request(self, url: str, until: float) -> tuple[int, Headers, bytes]:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise Unable(f"{origin(url)}: expected http://")
        sent = {"Accept": ACCEPTED, **trusting(url)}
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=left(until))
        over = threading.Timer(left(until), lambda: _shut(connection))  # each byte may come in time, and all too late
        over.daemon = True
        over.start()
        try:
            connection.request("GET", f"{parts.path or '/'}{f'?{parts.query}' * bool(parts.query)}", headers=sent)
            answer = connection.getresponse()
            body = read_to_end(lambda: answer.read1(CHUNK), until, url)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, TimeoutError) or time.monotonic() >= until:
                raise DeadlineError(f"{origin(url)}: timed out") from None
            raise NoPage(f"{origin(url)} does not answer: {getattr(error, 'strerror', None) or error}") from None
        finally:
            over.cancel()
            connection.close()
        named = {"challenge": "WWW-Authenticate", "location": "Location", "kind": "Content-Type"}
        return answer.status, {name: (answer.getheader(header) or "").strip() for name, header in named.items()}, body

    def proved(self, url: str, headers: Headers, before: set[str], until: float) -> bool:
        raise Unable(f"{origin(url)} asks who we are")


def _shut(connection: http.client.HTTPConnection) -> None:
    with suppress(OSError):
        if connection.sock:
            connection.sock.shutdown(socket.SHUT_RDWR)


def json_of(where: str, body: bytes) -> Any:
    """Read a page's JSON.

    Raises
    ------
    NoPage
    """
    try:
        return json.loads(body)
    except ValueError:
        raise NoPage(
            f"{shown(where)} is no JSON but a page for people: a server that starts, or a sign-in in front of it"
        ) from None


def trusting(url: str) -> Headers:
    """Give the header by which YARN's proxy does not ask whether we trust the page of another's application.

    It asks a person, who opens it; we only parse it.
    """
    application = PROXIED.search(urlsplit(url).path)
    return {"Cookie": f"checked_{application[1]}=true"} if application else {}


def left(until: float) -> float:
    """Return the seconds that are left until a monotonic time, at least a millisecond."""
    return max(0.001, until - time.monotonic())


def read_to_end(piece: Callable[[], bytes], until: float, url: str) -> bytes:
    """Read a body to its end, its deadline or the most that a page may be: piece by piece, until one is empty."""
    parts, total = [], 0
    while got := piece():
        parts.append(got)
        total += len(got)
        if total > PAGE_BYTES:
            raise NoPage(f"{shown(url)} holds more than {PAGE_BYTES >> 20} MiB", lasting=True)
        if time.monotonic() > until:
            raise DeadlineError(f"{shown(url)} is not here in time")
    return b"".join(parts)


def refusal(status: int, url: str, headers: dict[str, str], body: bytes) -> NoPage:
    said = body.decode(errors="replace")[:SAID].strip() if headers["kind"].startswith("text/plain") else ""
    said = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    if status == 401:
        how = headers["challenge"].partition(" ")[0] or "nothing that a client could do"
        if how.lower() == "negotiate":
            return NoPage(f"{origin(url)} refuses the Kerberos ticket (SPNEGO)", lasting=True)
        return NoPage(f"{origin(url)} asks for a sign-in that hdl does not know ({how})", lasting=True)
    if status == 403:
        return NoPage(said or f"{shown(url)} is forbidden (403)", lasting=True)
    return NoPage(f"{shown(url)} answers {status}{': ' * bool(said)}{said}")


def origin(url: str) -> str:
    """Name the server of an address: scheme, host, port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def shown(url: str) -> str:
    """Write an address without its query, for a message."""
    return url.partition("?")[0]


def redirected(url: str, location: str) -> str:
    """Find where a redirect leads: never from HTTPS to HTTP, nor to a file.

    A standby ResourceManager names the same path of the active one; some forget what was asked for behind it.
    """
    target = urljoin(url, location)
    before, after = urlsplit(url), urlsplit(target)
    if after.scheme not in ("http", "https") or (before.scheme == "https" and after.scheme == "http"):
        raise NoPage(f"{shown(url)} sends to {shown(target)}, which is not as safe", lasting=True)
    if before.query and not after.query and after.path == before.path:
        target += f"?{before.query}"
    return target
