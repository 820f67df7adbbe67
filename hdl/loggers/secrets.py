"""Passwords in URIs, and texts in which they must not be seen."""

from __future__ import annotations

import re
from urllib.parse import unquote

MASK = "***"
# Up to the last @: a password may hold any sign unquoted, and masking too much does no harm.
_USER = re.compile(r"(?<=://)([^/?#\s:@]*):(\S*)@")
_LONE = re.compile(r"(?<=://)([^/?#\s:@]+)@")
_FIELD = re.compile(r"([?&;][^=&;#\s]*(?:pass|pwd|token|secret|key|sig|credential)[^=&;#\s]*=)([^&;#\s]+)", re.I)


def masked(uri: str) -> str:
    """Writes *** for the password of a URI, and for those in its query.

    Of a name without a password, as in ``https://TOKEN@host``, it cannot be known whether it is one: it is masked too.

    Examples
    --------
    >>> masked("http://ada:p@ss@host:5000/x?token=abc&page=2")
    'http://ada:***@host:5000/x?token=***&page=2'
    >>> masked("sqlite:///runs.db")
    'sqlite:///runs.db'
    """
    uri = _USER.sub(rf"\1:{MASK}@", uri)
    return _FIELD.sub(rf"\1{MASK}", _LONE.sub(f"{MASK}@", uri))


def hidden(text: str, uri: str) -> str:
    """Masks in any text the passwords of a URI, however they are quoted, and the passwords of any URI in it."""
    found = [match[2] for match in (*_USER.finditer(uri), *_FIELD.finditer(uri))]
    found += [match[1] for match in _LONE.finditer(uri)]
    for secret in sorted({*found, *map(unquote, found)}, key=len, reverse=True):
        if secret:
            text = text.replace(secret, MASK)
    return masked(text)
