"""The folders of HDFS that ordinary users need before they can work, made by the superuser over WebHDFS.

WebHDFS answers in milliseconds where a Hadoop client starts a Java virtual machine. On a cluster without Kerberos it
takes the user's name from the URL; with Kerberos `curl` shows the superuser's ticket.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from urllib.parse import quote, urlencode

from hdl.cluster import web
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
HISTORY = {"done_intermediate": "1777", "done": "770"}  # of the history server, where it is a user of its own


def this_user() -> str:
    """Name the user that this process runs as, whatever its environment says."""
    return pwd.getpwuid(os.getuid()).pw_name


class Folders:
    """Makes folders as the superuser.

    Parameters
    ----------
    namenode : str
        The NameNode's web address.
    superuser : str
        Whose name the URL says.
    ticket : dict, optional
        With Kerberos, the variables that name the superuser's ticket cache and realm.
    authority : Path, optional
        With HTTPS, the certificate to trust.
    """

    def __init__(
        self,
        namenode: str,
        superuser: str,
        ticket: dict[str, str] | None = None,
        authority: Path | None = None,
    ):
        self.namenode, self.superuser, self.ticket, self.authority = namenode, superuser, ticket, authority

    def make(self, history: str | None = None) -> None:
        """Make the folders that all users share; `history` is the history server's user, where it is no superuser."""
        for path, permission in SHARED.items():
            self._put(path, op="MKDIRS", permission=permission)
            self._put(path, op="SETPERMISSION", permission=permission)
        for name, permission in HISTORY.items() if history else ():
            path = f"/tmp/hadoop-yarn/staging/history/{name}"
            self._put(path, op="MKDIRS", permission=permission)
            self._put(path, op="SETPERMISSION", permission=permission)
            self._put(path, op="SETOWNER", owner=history or "")

    def own(self, path: str, user: str) -> None:
        """Give a folder to a user, closed to all others; it is made where it is missing.

        Raises
        ------
        HdlError
            The NameNode does not answer, or refuses.
        """
        self._put(path, op="MKDIRS", permission="700")
        self._put(path, op="SETOWNER", owner=user)

    def _put(self, path: str, **query: str) -> None:
        who = {} if self.ticket else {"user.name": self.superuser}
        url = f"{self.namenode}/webhdfs/v1{quote(path)}?{urlencode({**query, **who})}"
        try:
            web.send(url, "PUT", self.ticket, self.authority, SECONDS)
        except (OSError, HdlError) as error:
            raise HdlError(f"the NameNode did not {query['op']} {path}: {error}") from error
