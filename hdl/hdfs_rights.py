"""Tells why HDFS denies permission: which folder's rights are missing, and who we are to it.

A NameNode says so in a Java exception, of which libhdfs hands on an errno alone. So it is asked again, step by step:
which folders may be entered is seen by asking for those below, the rest follows from what was wanted.
"""

from __future__ import annotations

import errno
import stat
from urllib.parse import urlsplit

from hdl import identity
from hdl.hdfs_client import Client, Info

# What was wanted of a path.
ENTER, READ, LIST, WRITE, REMOVE = "enter", "read", "list", "write to", "remove"
_BITS = {ENTER: 0o1, READ: 0o4, LIST: 0o5, WRITE: 0o3}  # the rights that it takes


def denied(client: Client, path: str, wanted: str) -> PermissionError:
    """Make the error of a path to which HDFS denied access.

    Parameters
    ----------
    client : Client
    path : str
    wanted : {'enter', 'read', 'list', 'write to', 'remove'}
        What failed: to enter the folders above the path, to read a file, to list a folder, to make something of this
        name, or to remove it.

    Returns
    -------
    PermissionError
        With the folder whose rights are missing, its owner and rights, and our user.
    """
    user = identity.submitter() or client.user(path)  # in a container tokens decide, which have no name here
    said = _cause(client, path, user, wanted)
    return PermissionError(errno.EACCES, f"permission denied by HDFS as user {user}{said}", path)


def folders(path: str) -> list[str]:
    """List the folders above a path, from the root downwards.

    Examples
    --------
    >>> folders("hdfs:///a/b/c"), folders("hdfs://namenode:8020/a"), folders("hdfs:///")
    (['hdfs:///', 'hdfs:///a', 'hdfs:///a/b'], ['hdfs://namenode:8020/'], [])
    """
    address = urlsplit(path)
    root = f"{address.scheme}://{address.netloc}"
    names = path[len(root) :].strip("/").split("/")
    return [f"{root}/{'/'.join(names[:count])}" for count in range(len(names))] if names != [""] else []


def _cause(client: Client, path: str, user: str, wanted: str) -> str:
    """Find the folder whose rights are missing, and put it into words; empty if it cannot be found."""
    known: dict[str, Info] = {}
    above = folders(path)
    path = path.rstrip("/") if above else path
    for folder in [*above, path]:
        try:
            known[folder] = client.info(folder)
        except FileNotFoundError:
            break
        except OSError as error:
            if error.errno != errno.EACCES:
                return ""
            wanted = ENTER  # a folder that may not be entered does not tell what it holds
            break
    if not known:
        return ""
    last = [*known][-1]
    if wanted == REMOVE and path in known:
        return _unremovable(client, path, user, known)
    if wanted == WRITE and path in known and above:
        last = above[-1]  # what is to be made is there
    return _words(wanted, last, known[last], user)


def _unremovable(client: Client, path: str, user: str, known: dict[str, Info]) -> str:
    parent = [*known][-2] if len(known) > 1 else path
    info, folder = known[path], known[parent]
    if folder.mode & stat.S_ISVTX and user not in (info.owner, folder.owner):
        return f": only user {info.owner} may remove it from the folder {_shown(parent, folder)}"
    if not _may(folder, user) and not folder.mode & 0o20:  # whether we are in its group is not known
        return _words(WRITE, parent, folder, user)
    inside = _closed_inside(client, path, info, user)
    return _words(WRITE, *(inside or (parent, folder)), user)


def _closed_inside(client: Client, path: str, info: Info, user: str) -> tuple[str, Info] | None:
    """Find what keeps a folder from being removed: a folder in it that holds something and is not ours."""
    if not info.isdir:
        return None
    try:
        below = {f"{path}/{name}": client.info(f"{path}/{name}") for name in sorted(client.entries(path))}
    except OSError:
        return path, info
    if below and not _may(info, user, 0o7):
        return path, info
    found = (_closed_inside(client, *each, user) for each in below.items())
    return next(filter(None, found), None)


def _may(info: Info, user: str, bits: int = _BITS[WRITE]) -> bool:
    """Tell whether rights surely let a user do something; who is in a group is not known here."""
    return (info.mode >> 6 if info.owner == user else info.mode) & bits == bits


def _words(wanted: str, path: str, info: Info, user: str) -> str:
    said = f": no right to {wanted} the {'folder' if info.isdir else 'file'} {_shown(path, info)}"
    if _may(info, user, _BITS[wanted]):
        said += f", whose access control list says so (`hadoop fs -getfacl {path}`)"
    return said


def _shown(path: str, info: Info) -> str:
    kind = stat.S_IFDIR if info.isdir else stat.S_IFREG
    return f"{path} ({info.owner}:{info.group} {stat.filemode(kind | info.mode)})"
