"""Reads YARN's web pages: without Java those that ask for nothing, all others through Hadoop's own client.

So a page of a secured cluster is asked for as all of Hadoop asks: SPNEGO from the ticket or keytab that the process is
logged in with, the trust stores of ``ssl-client.xml``, whatever ticket caches, encryption types and name rules the
cluster's configuration allows. (Python's own ways, requests-gssapi and pyspnego, read none of those trust stores, want
a compiled ``gssapi`` that no wheel for Linux brings, and would be a second login beside Java's.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any
from urllib.parse import urlencode

from hdl.errors import DeadlineError, HdlError
from hdl.yarn.client import pages
from hdl.yarn.client.interface import Unable
from hdl.yarn.client.pages import PAGE_SECONDS, Headers, NoPage, json_of, origin
from hdl.yarn.resource_manager import java

CLIENT = "org.apache.hadoop.security.authentication.client"


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
    if not java.started():  # which a process has that speaks to YARN by it: then the page is asked for so as well
        with suppress(Unable):
            return _read_plainly(url, seconds)
    return _web().read_json(url, seconds)


def _read_plainly(url: str, seconds: float) -> Any:
    try:
        return json_of(*pages.Plain().get(url, time.monotonic() + seconds))
    except DeadlineError:
        raise NoPage(f"{origin(url)} does not answer within {seconds:g} s") from None


@cache
def _web() -> Web:
    java.start()
    return Web(java.configuration())


class Web(pages.Reader):
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
            where, body = java.call_within(seconds, origin(url), lambda: self.get(_spoken_for(url), until))
        except DeadlineError:
            with suppress(Exception):
                self._open.disconnect()  # the thread that reads gets an error and ends
            raise NoPage(f"{origin(url)} does not answer within {seconds:g} s") from None
        return json_of(where, body)

    def request(self, url: str, until: float) -> tuple[int, Headers, bytes]:
        return self._as_user(partial(self._request, url, until), url)

    def proved(self, url: str, headers: Headers, before: set[str], until: float) -> bool:
        server = origin(url)
        if server in before or not headers["challenge"].lower().startswith("negotiate"):
            return False
        before.add(server)
        self._negotiate(url, until)
        return True

    def _request(self, url: str, until: float) -> tuple[int, Headers, bytes]:
        """Make one request; the caller sees to errors."""
        connection = self._connection(url, until)
        try:
            for name, value in {"Accept": pages.ACCEPTED, **pages.trusting(url)}.items():
                connection.setRequestProperty(name, value)
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
        milliseconds = max(1, int(1000 * pages.left(until)))
        connection.setConnectTimeout(milliseconds)
        connection.setReadTimeout(milliseconds)
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
        server, root = origin(url), " ".join((text or name).split())[: pages.SAID]
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


def _spoken_for(url: str) -> str:
    """Add to an address for whom this process's user asks, where that is somebody else (HADOOP_PROXY_USER)."""
    user = java.load_class("org.apache.hadoop.security.UserGroupInformation").getCurrentUser()
    if user.getRealUser() is None:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'doAs': str(user.getShortUserName())})}"


def _timed_out(error: Any) -> bool:
    """Tell whether Java itself has waited until the deadline, which it does from the connection on."""
    return any(name == "java.net.SocketTimeoutException" for name, _ in java.thrown(error))


def _read(stream: Any, until: float, url: str) -> bytes:
    from jpype import JArray, JByte

    buffer = JArray(JByte)(pages.CHUNK)

    def piece() -> bytes:
        return bytes(buffer[:got]) if (got := int(stream.read(buffer))) > 0 else b""

    try:
        return pages.read_to_end(piece, until, url)
    finally:
        stream.close()
