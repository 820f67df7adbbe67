"""Reads YARN's web pages: by a plain request where no sign-in is asked for, and else as Hadoop does."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

from hdl.yarn.api import choice
from hdl.yarn.api.interface import Unable
from hdl.yarn.client.pages import NoPage, Pages
from hdl.yarn.resource_manager import java

PAGE_SECONDS = 10.0  # for a page, from the connection to its last byte; a first negotiation and redirects included


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
        JPype, Java or Hadoop is missing, where they are needed.
    """
    if not url.startswith(("http://", "https://")):
        raise NoPage(f"{url or 'no address'}: expected the address of a page, http://… or https://…")
    if choice.yarn().native:
        with suppress(Unable):
            return Pages().read_json(url, seconds)
    return _by_java().read_json(url, seconds)


@cache
def _by_java() -> Pages:
    from hdl.yarn.client.java_web import Web

    java.start()
    return Web(java.configuration())
