"""Version 0 twice: it alone holds the data's schema, the cuts, the options and the device, which every reader needs.

Its file is written a second time, under another name and as bytes of its own (no second name of one file, in which a
flipped bit would be in both). Who finds version 0 missing or damaged reads the copy and says so; the next run that
claims the table makes two of the whole one again.
"""

from __future__ import annotations

import logging

from hdl import fs
from hdl.table import names
from hdl.table import version as version_file
from hdl.wire import WireError


def both(path: str) -> tuple[str, str]:
    """Give the paths of version 0 and of its copy, by either of them."""
    folder, _, name = path.rpartition("/")
    known = names.parse(name)
    tag = known.tag if known else ""
    return fs.join(folder, names.version(0, tag)), fs.join(folder, names.copy(tag))


_told: set[tuple[str, str]] = set()  # several parts of a command read version 0


def told(path: str, why: object) -> None:
    """Say that the copy is read in place of version 0: once a process, path and reason."""
    text = str(why.strerror if isinstance(why, OSError) and why.strerror else why)
    if (path, text) in _told:
        return
    _told.add((path, text))
    logging.getLogger("hdl").warning("%s: %s; its copy %s is read in its place", path, text, both(path)[1])


def mend(path: str) -> list[str]:
    """Make both files of version 0 whole, if one of them is; only the owner of a table may.

    Parameters
    ----------
    path : str
        Of version 0, whether it is there or not.

    Returns
    -------
    list of str
        The paths that were written. A file that cannot be read for another reason than its content stays.
    """
    places = both(path)
    contents = [_content(place) for place in places]
    whole = next((content for content in contents if content and _is_whole(content)), None)
    if whole is None:
        return []
    mended = []
    for place, content in zip(places, contents, strict=True):
        if content is not None and _is_whole(content):
            continue
        if content is not None:
            fs.remove(place)
        fs.publish(place, whole)
        mended.append(place)
    return mended


def _content(path: str) -> bytes | None:
    """Read a file; None if it is not there."""
    try:
        with fs.open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def _is_whole(content: bytes) -> bool:
    try:
        version_file.decode(0, content, "")
    except WireError:
        return False
    return True
