"""Decides who may look at an application's page, by YARN's access control lists and Hadoop's groups."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from typing import Any

from hdl.yarn.resource_manager import java

ANSWER_SECONDS = 5.0  # that finding a user's groups may take: they may be asked of a directory
KEPT_SECONDS = 30.0  # that an answer holds
MOST = 1000  # answers that are kept


class Viewers:
    """Tells whether a user may see an application: its owner, YARN's administrators, and those of its view list.

    Parameters
    ----------
    conf : Java Configuration
    owner : str
    view_acl : str
        As YARN writes it; see `hdl.runners.access`.
    """

    def __init__(self, conf: Any, owner: str, view_acl: str):
        acl = java.load_class("org.apache.hadoop.security.authorize.AccessControlList")
        self._lists = acl(str(conf.get("yarn.admin.acl", "*"))), acl(view_acl or " ")
        self._owner = owner
        self._nobody = str(conf.get("hadoop.http.staticuser.user", "dr.who"))  # what pages say that ask for no name
        self._answers: dict[str, tuple[float, str]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="hdl-viewers")  # Java keeps each thread that it has seen

    def refusal(self, user: str) -> str:
        """Return the sentence that refuses a user, by Hadoop's short name and empty if unknown; empty if they may look.

        Who cannot be judged in time is refused.
        """
        if user == self._owner:
            return ""
        when, answer = self._answers.get(user, (0.0, ""))
        if when and time.monotonic() - when < KEPT_SECONDS:
            return answer
        try:
            allowed = self._pool.submit(self._is_listed, user).result(ANSWER_SECONDS)
        except Late:
            return f"the groups of {user} were not found within {ANSWER_SECONDS:g} s"
        answer = "" if allowed else self._sentence(user)
        if len(self._answers) >= MOST:
            self._answers.clear()
        self._answers[user] = time.monotonic(), answer
        return answer

    def _is_listed(self, user: str) -> bool:
        if not user:
            return any(bool(acl.isAllAllowed()) for acl in self._lists)
        remote = java.load_class("org.apache.hadoop.security.UserGroupInformation").createRemoteUser(user)
        return any(bool(acl.isUserAllowed(remote)) for acl in self._lists)

    def _sentence(self, user: str) -> str:
        if user in ("", self._nobody):
            return (
                f"YARN's access control lists are on, and its pages ask nobody who they are (hadoop.http.authentication"
                f".type): nobody may look at {self._owner}'s application here"
            )
        return (
            f"this is {self._owner}'s application, and {user} may not look at it: "
            f"its owner lets you by `hdl train --view-acl {user}`"
        )


def viewers(conf: Any, owner: str, view_acl: str) -> Viewers | None:
    """Make what decides who may look, or None where YARN's access control lists are off, and everybody may."""
    return Viewers(conf, owner, view_acl) if conf.getBoolean("yarn.acl.enable", False) else None
