"""Reads YARN's web pages that are anybody's, by plain requests over HTTP; `web` chooses who reads a page."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import urljoin, urlsplit

from hdl.errors import DeadlineError, HdlError
from hdl.yarn.api.interface import Unable
from hdl.yarn.resource_manager import java

PAGE_BYTES = 64 << 20
CHUNK = 1 << 16
REDIRECTS = 5
SAID = 300  # characters of a page's own words in a message
ACCEPTED = "application/json, text/plain;q=0.5, */*;q=0.1"
PROXIED = re.compile(r"/proxy/(application_\d+_\d+)(?:/|$)")


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


class Pages:
    """Reads pages that are anybody's, over HTTP; another way to ask is another class's."""

    def __init__(self) -> None:
        self._asking: http.client.HTTPConnection | None = None

    def read_json(self, url: str, seconds: float) -> Any:
        """Read a page's JSON: see the function of that name.

        Raises
        ------
        Unable
            The page asks who reads it, or proves who it is.
        """
        until = time.monotonic() + seconds
        try:
            where, body = java.call_within(seconds, origin(url), lambda: self._get(url, until))
        except DeadlineError:
            with suppress(Exception):
                self.disconnect()
            raise NoPage(f"{origin(url)} does not answer within {seconds:g} s") from None
        try:
            return json.loads(body)
        except ValueError:
            raise NoPage(
                f"{shown(where)} is no JSON but a page for people: a server that starts, or a sign-in in front of it"
            ) from None

    def disconnect(self) -> None:
        """Close the connection in use: the thread that reads gets an error and ends."""
        if self._asking is not None and self._asking.sock is not None:
            self._asking.sock.shutdown(socket.SHUT_RDWR)

    def ask(self, url: str, until: float) -> tuple[int, dict[str, str], bytes]:
        """Make one request; returns its status, what matters of its head, and its body.

        Raises
        ------
        DeadlineError
            It is not answered in time.
        NoPage
            It is not answered at all.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise Unable(f"{origin(url)} has a certificate, which Hadoop's trust store is for")
        asking = http.client.HTTPConnection(parts.hostname, parts.port, timeout=max(0.001, until - time.monotonic()))
        self._asking = asking
        try:
            asking.request("GET", parts._replace(scheme="", netloc="", fragment="").geturl() or "/",
                           headers={"Accept": ACCEPTED, "Connection": "close", **cookies(url)})  # fmt: skip
            answer = asking.getresponse()
            headers = {
                "challenge": answer.getheader("WWW-Authenticate", "").strip(),
                "location": answer.getheader("Location", ""),
                "kind": answer.getheader("Content-Type", ""),
            }
            return answer.status, headers, joined(iter(lambda: answer.read1(CHUNK), b""), until, url)
        except TimeoutError:
            raise DeadlineError(f"{shown(url)} is not here in time") from None
        except (OSError, http.client.HTTPException) as error:
            said = " ".join(str(getattr(error, "strerror", None) or error).split())[:SAID]
            raise NoPage(f"{origin(url)} does not answer: {said}") from None
        finally:
            asking.close()

    def negotiate(self, url: str, until: float) -> None:
        """Prove who reads."""
        raise Unable(f"{origin(url)} asks for Kerberos (SPNEGO)")

    def spoken_for(self, url: str) -> str:
        """Add to an address for whom this process's user asks, where that is somebody else."""
        return url

    def _get(self, url: str, until: float) -> tuple[str, bytes]:
        """Follow redirects and negotiate, until a page answers; returns its address and body."""
        negotiated, target = set(), self.spoken_for(url)
        for _ in range(REDIRECTS + 1):
            status, headers, body = self.ask(target, until)
            server = origin(target)
            if status == 200:
                return target, body
            if status == 401 and headers["challenge"].lower().startswith("negotiate") and server not in negotiated:
                negotiated.add(server)
                self.negotiate(target, until)
            elif status in (301, 302, 303, 307, 308) and headers["location"]:
                target = _redirected(target, headers["location"])
            else:
                raise self._refusal(status, target, headers, body)
        raise NoPage(f"{shown(url)} sends from one page to the next, {REDIRECTS} times", lasting=True)

    def _refusal(self, status: int, url: str, headers: dict[str, str], body: bytes) -> NoPage:
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


def _redirected(url: str, location: str) -> str:
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


def cookies(url: str) -> dict[str, str]:
    """Make the header for YARN's proxy, which asks people who do not own an application whether they trust its page."""
    application = PROXIED.search(urlsplit(url).path)
    return {"Cookie": f"checked_{application[1]}=true"} if application else {}  # we only parse


def joined(chunks: Iterable[bytes], until: float, url: str) -> bytes:
    """Join a body's pieces, until its end, its deadline or the most that a page may be."""
    parts, total = [], 0
    for chunk in chunks:
        parts.append(chunk)
        total += len(chunk)
        if total > PAGE_BYTES:
            raise NoPage(f"{shown(url)} holds more than {PAGE_BYTES >> 20} MiB", lasting=True)
        if time.monotonic() > until:
            raise DeadlineError(f"{shown(url)} is not here in time")
    return b"".join(parts)
