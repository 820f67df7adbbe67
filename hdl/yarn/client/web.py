"""Reads YARN's web pages: through Hadoop's own client, in the Java virtual machine that this process has anyway.

So a page is asked for as all of Hadoop asks: SPNEGO from the ticket or keytab that the process is logged in with, the
trust stores of ``ssl-client.xml``, whatever ticket caches, encryption types and name rules the cluster's configuration
allows. (Python's own ways, requests-gssapi and pyspnego, read none of those trust stores, want a compiled ``gssapi``
that no wheel for Linux brings, and would be a second login beside Java's.)
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from hdl.errors import DeadlineError, HdlError
from hdl.yarn.resource_manager import java

PAGE_SECONDS = 10.0  # for a page, from the connection to its last byte; a first negotiation and redirects included
PAGE_BYTES = 64 << 20
CHUNK = 1 << 16
REDIRECTS = 5
SAID = 300  # characters of a page's own words in a message
CLIENT = "org.apache.hadoop.security.authentication.client"
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


def read_json(url: str, seconds: float = PAGE_SECONDS) -> Any:
    """Read a page's JSON.

    Parameters
    ----------
    url : str
        ``http://…`` or ``https://…``.
    seconds : float
        Until the last byte must be here.

    Raises
    ------
    NoPage
        It cannot be read, or is no JSON.
    Unavailable
        JPype, Java or Hadoop is missing.
    """
    if not url.startswith(("http://", "https://")):
        raise NoPage(f"{url or 'no address'}: expected the address of a page, http://… or https://…")
    return _web().read_json(url, seconds)


@cache
def _web() -> Web:
    java.start()
    return Web(java.configuration())


class Web:
    """Holds what requests share: trust store, and for each server the cookie that a negotiation has earned.

    Parameters
    ----------
    conf : Java Configuration
    """

    def __init__(self, conf: Any):
        self._conf = conf
        self._tokens: dict[str, Any] = {}  # by origin: Java's AuthenticatedURL.Token
        self._trust: Any = None  # Java's SSLFactory
        self._open: Any = None  # the connection in use

    def read_json(self, url: str, seconds: float) -> Any:
        """Read a page's JSON: see the function of that name."""
        until = time.monotonic() + seconds
        try:
            where, body = java.call_within(seconds, origin(url), lambda: self._get(url, until))
        except DeadlineError:
            with suppress(Exception):
                self._open.disconnect()  # the thread that reads gets an error and ends
            raise NoPage(f"{origin(url)} does not answer within {seconds:g} s") from None
        try:
            return json.loads(body)
        except ValueError:
            raise NoPage(
                f"{_shown(where)} is no JSON but a page for people: a server that starts, or a sign-in in front of it"
            ) from None

    def _get(self, url: str, until: float) -> tuple[str, bytes]:
        """Follow redirects and negotiate, until a page answers; returns its address and body."""
        negotiated, target = set(), _spoken_for(url)
        for _ in range(REDIRECTS + 1):
            status, headers, body = self._as_user(partial(self._request, target, until), target)
            server = origin(target)
            if status == 200:
                return target, body
            if status == 401 and headers["challenge"].lower().startswith("negotiate") and server not in negotiated:
                negotiated.add(server)
                self._negotiate(target, until)
            elif status in (301, 302, 303, 307, 308) and headers["location"]:
                target = _redirected(target, headers["location"])
            else:
                raise self._refusal(status, target, headers, body)
        raise NoPage(f"{_shown(url)} sends from one page to the next, {REDIRECTS} times", lasting=True)

    def _request(self, url: str, until: float) -> tuple[int, dict[str, str], bytes]:
        """Make one request; the caller sees to errors."""
        connection = self._connection(url, until)
        try:
            if application := PROXIED.search(urlsplit(url).path):
                # YARN's proxy asks a person who does not own an application whether they trust its page: we only parse.
                connection.setRequestProperty("Cookie", f"checked_{application[1]}=true")
            connection.setRequestProperty("Accept", "application/json, text/plain;q=0.5, */*;q=0.1")
            status = int(connection.getResponseCode())
            headers = {
                "challenge": str(connection.getHeaderField("WWW-Authenticate") or "").strip(),
                "location": str(connection.getHeaderField("Location") or ""),
                "kind": str(connection.getContentType() or ""),
            }
            stream = connection.getInputStream() if status < 400 else connection.getErrorStream()
            return status, headers, _read(stream, until, url) if stream is not None else b""
        finally:
            connection.disconnect()

    def _connection(self, url: str, until: float) -> Any:
        """Open a connection; with the server's cookie, if there is one."""
        address = java.load_class("java.net.URL")(url)
        token = self._tokens.get(origin(url))
        if token is None or not token.isSet():
            connection = address.openConnection()
            self._configure(connection, until)
            return connection
        return self._authenticated(until).openConnection(address, token)

    def _negotiate(self, url: str, until: float) -> None:
        """Earn a server's cookie, with SPNEGO."""
        token = java.load_class(f"{CLIENT}.AuthenticatedURL$Token")()
        address = java.load_class("java.net.URL")(url)
        self._tokens.pop(origin(url), None)  # a cookie that has run out
        self._as_user(lambda: self._authenticated(until).openConnection(address, token).disconnect(), url)
        if not token.isSet():
            raise NoPage(
                f"{origin(url)} took the Kerberos ticket and gave no {'hadoop.auth'!r} cookie: expected Hadoop's own "
                "authentication of web pages",
                lasting=True,
            )
        self._tokens[origin(url)] = token

    def _authenticated(self, until: float) -> Any:
        from jpype import JProxy

        configure = JProxy(f"{CLIENT}.ConnectionConfigurator", dict={"configure": lambda c: self._configure(c, until)})
        return java.load_class(f"{CLIENT}.AuthenticatedURL")(
            java.load_class("org.apache.hadoop.security.authentication.client.KerberosAuthenticator")(), configure
        )

    def _configure(self, connection: Any, until: float) -> Any:
        """Give a connection its deadlines and its trust store."""
        left = max(1, int(1000 * (until - time.monotonic())))
        connection.setConnectTimeout(left)
        connection.setReadTimeout(left)
        connection.setInstanceFollowRedirects(False)  # another server wants a negotiation of its own
        connection.setUseCaches(False)
        if isinstance(connection, java.load_class("javax.net.ssl.HttpsURLConnection")):
            self._trusting().configure(connection)
        self._open = connection
        return connection

    def _trusting(self) -> Any:
        if self._trust is None:
            kind = java.load_class("org.apache.hadoop.security.ssl.SSLFactory")
            factory = kind(java.load_class("org.apache.hadoop.security.ssl.SSLFactory$Mode").CLIENT, self._conf)
            factory.init()
            self._trust = factory
        return self._trust

    def _as_user(self, function: Callable[[], Any], url: str) -> Any:
        """Call a function as the user whom this process is logged in as; Java's exceptions become `NoPage`."""
        from jpype import JException, JProxy

        box: dict[str, Any] = {}

        def act() -> None:
            try:
                box["value"] = function()
            except (JException, HdlError) as error:
                box["error"] = error

        user = java.load_class("org.apache.hadoop.security.UserGroupInformation").getCurrentUser()
        user = user.getRealUser() or user  # the one with the ticket, where another is spoken for
        try:
            user.checkTGTAndReloginFromKeytab()
            user.doAs(JProxy("java.security.PrivilegedExceptionAction", dict={"run": act}))
        except JException as error:
            box["error"] = error
        failed = box.get("error")
        if isinstance(failed, HdlError):
            raise failed
        if failed is not None and _timed_out(failed):
            raise DeadlineError(f"{origin(url)}: {java.message(failed)}") from None
        if failed is not None:
            raise self._failure(failed, url) from None
        return box.get("value")

    def _failure(self, error: Any, url: str) -> NoPage:
        """Say in a sentence why a request has failed."""
        causes = java.thrown(error)
        names, (name, text) = [name for name, _ in causes], causes[-1]
        server, root = origin(url), " ".join((text or name).split())[:SAID]
        if "hostname" in root.lower() and url.startswith("https:"):
            return NoPage(f"{server}: its certificate is for another host ({root})", lasting=True)
        if any(".ssl." in name or "CertPath" in name or "certpath" in name for name in names) or "keystore" in root:
            return NoPage(f"{server}: its certificate is not trusted here ({root}): {self._store()}", lasting=True)
        if self._trust is None and url.startswith("https:") and not any("java.net." in name for name in names):
            return NoPage(f"{server}: the trust store cannot be opened ({root}): {self._store()}", lasting=True)
        if any("GSSException" in name or "KrbException" in name or "LoginException" in name for name in names):
            return NoPage(f"{server} asks for Kerberos (SPNEGO): {java.message(error)}", lasting=True)
        if any("AuthenticationException" in name for name in names):
            return NoPage(f"{server} asks for Kerberos (SPNEGO), and refuses: {java.message(error)}", lasting=True)
        return NoPage(f"{server} does not answer: {root}")

    def _store(self) -> str:
        """Name what has to be set for a certificate to be trusted."""
        file = str(self._conf.get("hadoop.ssl.client.conf", "ssl-client.xml"))
        place = self._conf.getResource(file)
        named = ""
        if place is not None:
            store = java.load_class("org.apache.hadoop.conf.Configuration")(False)
            store.addResource(place)
            named = str(store.get("ssl.client.truststore.location", ""))
        given = f"{place.getPath()!s} names {named or 'none'}" if place is not None else f"there is no {file} here"
        return f"ssl.client.truststore.location in {file} must be a store that holds its issuer, and opens ({given})"

    def _refusal(self, status: int, url: str, headers: dict[str, str], body: bytes) -> NoPage:
        said = body.decode(errors="replace")[:SAID].strip() if headers["kind"].startswith("text/plain") else ""
        said = " ".join("".join(c if c.isprintable() else " " for c in said).split())
        if status == 401:
            how = headers["challenge"].partition(" ")[0] or "nothing that a client could do"
            if how.lower() == "negotiate":
                return NoPage(f"{origin(url)} refuses the Kerberos ticket (SPNEGO)", lasting=True)
            return NoPage(f"{origin(url)} asks for a sign-in that hdl does not know ({how})", lasting=True)
        if status == 403:
            return NoPage(said or f"{_shown(url)} is forbidden (403)", lasting=True)
        return NoPage(f"{_shown(url)} answers {status}{': ' * bool(said)}{said}")


def _spoken_for(url: str) -> str:
    """Add to an address for whom this process's user asks, where that is somebody else (HADOOP_PROXY_USER)."""
    user = java.load_class("org.apache.hadoop.security.UserGroupInformation").getCurrentUser()
    if user.getRealUser() is None:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'doAs': str(user.getShortUserName())})}"


def _timed_out(error: Any) -> bool:
    """Tell whether Java itself has waited until the deadline, which it does from the connection on."""
    return any(name == "java.net.SocketTimeoutException" for name, _ in java.thrown(error))


def origin(url: str) -> str:
    """Name the server of an address: scheme, host, port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _shown(url: str) -> str:
    """Write an address without its query, for a message."""
    return url.partition("?")[0]


def _redirected(url: str, location: str) -> str:
    """Find where a redirect leads: never from HTTPS to HTTP, nor to a file.

    A standby ResourceManager names the same path of the active one; some forget what was asked for behind it.
    """
    target = urljoin(url, location)
    before, after = urlsplit(url), urlsplit(target)
    if after.scheme not in ("http", "https") or (before.scheme == "https" and after.scheme == "http"):
        raise NoPage(f"{_shown(url)} sends to {_shown(target)}, which is not as safe", lasting=True)
    if before.query and not after.query and after.path == before.path:
        target += f"?{before.query}"
    return target


def _read(stream: Any, until: float, url: str) -> bytes:
    """Read a body to its end, its deadline or the most that a page may be."""
    from jpype import JArray, JByte

    parts, total, buffer = [], 0, JArray(JByte)(CHUNK)
    try:
        while (got := int(stream.read(buffer))) >= 0:
            parts.append(bytes(buffer[:got]))
            total += got
            if total > PAGE_BYTES:
                raise NoPage(f"{_shown(url)} holds more than {PAGE_BYTES >> 20} MiB", lasting=True)
            if time.monotonic() > until:
                raise DeadlineError(f"{_shown(url)} is not here in time")
    finally:
        stream.close()
    return b"".join(parts)
