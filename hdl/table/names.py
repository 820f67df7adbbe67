"""Names of a table's files: what each is, and by its tag whose.

A tag is the claim of the run that wrote a file (`hdl.table.owner`), such as `3-1f0a9c2e77b4`: its epoch, and a word
that no other claim has. The first run in an empty folder has the empty tag, as have tables without an owner.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TAG = r"(?:\.(\d+-[0-9a-f]{12}))?"
_NAMES = {
    "version": re.compile(rf"v(\d{{8}}){_TAG}\.safetensors"),
    "copy": re.compile(rf"(v00000000-copy){_TAG}\.safetensors"),
    "common": re.compile(rf"(common){_TAG}\.safetensors"),
}
_OWNER = re.compile(r"owner-(\d{8})\.json")
_HALF = re.compile(r"\.(owner-(\d{8})\.json|rows-\d{8}-[0-9a-f]{12}\.jsonl)\.[0-9a-f]{32}\.tmp")
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{32}\.tmp")


class Name(NamedTuple):
    """Holds what the name of a file says.

    Attributes
    ----------
    kind : {'version', 'copy', 'common'}
        A version, the second copy of version 0, or what all rounds have in common.
    number : int
        Of the version.
    tag : str
        Of the run that wrote it.
    temporary : bool
        It has not been published.
    """

    kind: str
    number: int
    tag: str
    temporary: bool = False


def version(number: int, tag: str = "") -> str:
    """Name a version's file.

    Examples
    --------
    >>> version(12), version(12, "3-1f0a9c2e77b4")
    ('v00000012.safetensors', 'v00000012.3-1f0a9c2e77b4.safetensors')
    """
    return f"v{number:08d}{tag and '.' + tag}.safetensors"


def copy(tag: str = "") -> str:
    """Name the second copy of version 0."""
    return f"v00000000-copy{tag and '.' + tag}.safetensors"


def common(tag: str = "") -> str:
    """Name the file of what all rounds have in common."""
    return f"common{tag and '.' + tag}.safetensors"


def tagged(plain: str, tag: str) -> str:
    """Put a tag into the name of a file that has none.

    Examples
    --------
    >>> tagged("common.safetensors", "3-1f0a9c2e77b4")
    'common.3-1f0a9c2e77b4.safetensors'
    """
    return plain.replace(".", f".{tag}.", 1) if tag else plain


def owner(epoch: int) -> str:
    """Name the file by which a run claims a table."""
    return f"owner-{epoch:08d}.json"


def parse(name: str) -> Name | None:
    """Read a name; None if it is none of a version, a copy or a common file.

    Examples
    --------
    >>> parse("v00000012.3-1f0a9c2e77b4.safetensors")
    Name(kind='version', number=12, tag='3-1f0a9c2e77b4', temporary=False)
    >>> parse("common.safetensors"), parse("notes.txt")
    (Name(kind='common', number=0, tag='', temporary=False), None)
    """
    temporary = _TEMPORARY.fullmatch(name)
    for kind, pattern in _NAMES.items():
        if match := pattern.fullmatch(temporary[1] if temporary else name):
            return Name(kind, int(match[1]) if kind == "version" else 0, match[2] or "", bool(temporary))
    return None


def half(name: str) -> int | None:
    """Read of a temporary file that was to become an owner's file its epoch, of one of rows 0; None of any other.

    Examples
    --------
    >>> half(".owner-00000002.json." + 32 * "0" + ".tmp"), half("owner-00000002.json")
    (2, None)
    """
    match = _HALF.fullmatch(name)
    return None if match is None else int(match[2] or 0)


def epoch(tag: str) -> int:
    """Read a tag's epoch: that of the claim by which its files were written; 0 of the empty one."""
    return int(tag.partition("-")[0]) if tag else 0


def owners(names: list[str]) -> list[int]:
    """List the epochs of the owner files among some names, ascending."""
    return sorted(int(match[1]) for match in map(_OWNER.fullmatch, names) if match)
