"""The folders of HDFS that ordinary users need before they can work, made by the superuser over WebHDFS.

WebHDFS answers in milliseconds where a Hadoop client starts a Java virtual machine, and takes the user's name from the
URL: nobody on a cluster of this kind has to prove who they are.
"""

from __future__ import annotations

import os
import pwd
import urllib.request
from urllib.parse import quote, urlencode

from hdl.errors import HdlError

SECONDS = 30
# Permissions are set after they are made, too: a history server that was quicker has made some of them with its own.
SHARED = {
    "/tmp": "1777",
    "/tmp/hadoop-yarn": "755",
    "/tmp/hadoop-yarn/staging": "1777",  # a MapReduce job's files, in a folder of its user
    "/tmp/hadoop-yarn/staging/history": "755",
    "/tmp/logs": "1777",
    "/user": "755",
}


def this_user() -> str:
    """Name the user that this process runs as, whatever its environment says."""
    return pwd.getpwuid(os.getuid()).pw_name


def make(namenode: str, superuser: str) -> None:
    """Make the folders that all users share; `namenode` is the NameNode's web address."""
    for path, permission in SHARED.items():
        _put(namenode, superuser, path, op="MKDIRS", permission=permission)
        _put(namenode, superuser, path, op="SETPERMISSION", permission=permission)


def own(namenode: str, superuser: str, path: str, user: str) -> None:
    """Give a folder to a user, closed to all others; it is made where it is missing.

    Raises
    ------
    HdlError
        The NameNode does not answer, or refuses.
    """
    _put(namenode, superuser, path, op="MKDIRS", permission="700")
    _put(namenode, superuser, path, op="SETOWNER", owner=user)


def _put(namenode: str, superuser: str, path: str, **query: str) -> None:
    url = f"{namenode}/webhdfs/v1{quote(path)}?{urlencode({**query, 'user.name': superuser})}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(urllib.request.Request(url, method="PUT"), timeout=SECONDS).close()
    except OSError as error:
        raise HdlError(f"the NameNode did not {query['op']} {path}: {error}") from error
