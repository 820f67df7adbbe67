"""The name by which nodes know the user who runs them: containers run as that user, whoever submits the job.

With Kerberos a NodeManager hands out a container's files (its logs, and what reducers fetch) only if they belong to the
submitting user. On a company's nodes each container runs as its user, by a program that root has installed; here all
containers run as the user who started the cluster, hence only that user's files are handed out. For tests by another
name, Debian's nss_wrapper tells NodeManagers, and what they start, that this user goes by it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
from pathlib import Path

from hdl.errors import Unavailable

LIBRARY = "libnss_wrapper.so"


def why_not() -> str:
    """Say why nodes cannot know their user by another name; empty if they can."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        return str(error)
    return ""


def environment(root: Path, name: str) -> dict[str, str]:
    """Return the variables of a process for which the user who runs it goes by `name`.

    Raises
    ------
    Unavailable
        There is no nss_wrapper.
    """
    if why := why_not():
        raise Unavailable(f"a name for the nodes' user: {why}; on Debian: apt install libnss-wrapper")
    me = os.getuid()
    others = [":".join(map(str, row)) for row in pwd.getpwall() if row.pw_uid != me and row.pw_name != name]
    users = root / "conf/passwd"
    users.write_text("\n".join([f"{name}:x:{me}:{os.getgid()}:{name}:{Path.home()}:/bin/sh", *others]) + "\n")
    return {"LD_PRELOAD": LIBRARY, "NSS_WRAPPER_PASSWD": str(users), "NSS_WRAPPER_GROUP": "/etc/group"}
