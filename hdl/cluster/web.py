"""Requests to the daemons' web addresses on this machine, never through a proxy.

With Kerberos it is `curl` that asks: it shows the ticket of a cache where a page wants one (SPNEGO). Over HTTPS the
cluster's own certificate is trusted, and no other.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from pathlib import Path

from hdl import programs
from hdl.errors import HdlError

CURL = ("curl", "-sS", "--fail-with-body", "--noproxy", "*", "--negotiate", "-u", ":")


def send(
    url: str,
    method: str = "GET",
    ticket: dict[str, str] | None = None,
    authority: Path | None = None,
    seconds: float = 30,
) -> str:
    """Send a request; return the answer's body.

    Parameters
    ----------
    url, method : str
    ticket : dict, optional
        The variables that name a ticket cache and its realm.
    authority : Path, optional
        The certificate to trust, of an address of HTTPS.
    seconds : float
        The time that it may take.

    Raises
    ------
    OSError, HdlError
        There is no answer, or it is a refusal.
    """
    if ticket is None:
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if authority:
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authority)))
        opener = urllib.request.build_opener(*handlers)
        request = urllib.request.Request(url, headers={"Accept": "application/json"}, method=method)
        with opener.open(request, timeout=seconds) as answer:
            return answer.read().decode()
    trusted = ["--cacert", str(authority)] if authority else []
    words = [*CURL, *trusted, "-H", "Accept: application/json", "-X", method, url]
    return programs.check(words, seconds, environment={"PATH": os.environ.get("PATH", os.defpath), **ticket})


def ask(url: str, ticket: dict[str, str] | None = None, authority: Path | None = None) -> dict | None:
    """Ask a daemon for JSON; None while it does not answer."""
    try:
        return json.loads(send(url, ticket=ticket, authority=authority, seconds=5))
    except (OSError, ValueError, HdlError):
        return None
