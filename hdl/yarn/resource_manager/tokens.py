"""Delegation tokens, by which an application reads and writes storage as its user on a cluster with Kerberos.

The client takes the first ones, with the ResourceManager as their renewer. Fresh ones are taken by a Kerberos login:
of the master, where it has a keytab, or of the client (`lifetimes.Renewer`). A process takes them over with `take`,
without opening anything anew: Hadoop's clients look for a token whenever they connect.

YARN needs no token of the kind: the master speaks to it with those that YARN itself gives it and replaces.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hdl.yarn.comm.tokens import VARIABLE, YARN_KINDS
from hdl.yarn.resource_manager import java
from hdl.yarn.resource_manager.lifetimes import Lifetime
from hdl.yarn.settings import Settings

if TYPE_CHECKING:
    from hdl.runners.base import Job

DAY = 24 * 3600.0  # what tokens live at most here, if nothing tells how long they do
FILE = "hdl-tokens"  # in a container's folder: the fresh tokens, where YARN's own file has the first ones
SECURITY = "org.apache.hadoop.security"
_TAKING = threading.Lock()
_files: list[str] = []  # of fresh tokens, all that there have been


def secure() -> bool:
    """Tell whether the cluster asks for Kerberos."""
    return java.secure()


def file_systems(job: Job, settings: Settings, staging: str) -> list[str]:
    """List the file systems that an application reads or writes, each as scheme and address.

    Examples
    --------
    >>> from hdl.runners.base import Job
    >>> job = Job("hdfs://a:1/images,hdfs://b/labels", "viewfs://c/model")
    >>> file_systems(job, Settings(archive="hdfs:///env.tar.gz"), "hdfs:///user/ada/.hdl/apps/application_1_1")
    ['hdfs://', 'hdfs://a:1', 'hdfs://b', 'viewfs://c']
    """
    named = " ".join([job.data, job.table, job.init_from, settings.archive, staging, job.options.model_dump_json()])
    roots = re.findall(r"[A-Za-z][A-Za-z0-9+.-]*://[^/,\s\"]*", named)
    return sorted({root for root in roots if not root.startswith("file:")})


def collect(conf: Any, roots: Sequence[str], renewer: str) -> Any:
    """Get tokens for file systems, and for the key management service of those that have one, by this thread's login.

    Parameters
    ----------
    conf : Java's Configuration
    roots : sequence of str
        See `file_systems`. One of several others, as viewfs, gives a token for each of them.
    renewer : str
        Principal or name of who may renew them.

    Returns
    -------
    Java's Credentials

    Raises
    ------
    HdlError
        A file system gives none.
    """
    tokens = java.load_class(f"{SECURITY}.Credentials")()
    system, place = java.load_class("org.apache.hadoop.fs.FileSystem"), java.load_class("org.apache.hadoop.fs.Path")
    for root in roots:
        with java.call(f"tokens for {root if root.rpartition('//')[2] else root + '/'}"):
            where = system.newInstance(place(f"{root}/").toUri(), conf)  # not one that an earlier login has opened
            try:
                where.addDelegationTokens(renewer, tokens)
            finally:
                where.close()
    return tokens


def for_submission(conf: Any, roots: Sequence[str]) -> Any:
    """Get the tokens that an application is submitted with: the ResourceManager renews them; None without Kerberos."""
    if not secure():
        return None
    with java.call("the ResourceManager's principal, which is to renew the application's tokens"):
        renewer = str(java.load_class("org.apache.hadoop.yarn.client.util.YarnClientUtils").getRmPrincipal(conf))
    return collect(conf, roots, renewer)


def longest(tokens: Any) -> Lifetime | None:
    """Read how long tokens live if they are renewed as often as they can be; None for none that tells."""
    dates = [dates for dates in map(_dates, tokens.getAllTokens()) if dates]
    return Lifetime(min(issued for issued, _ in dates), min(last for _, last in dates)) if dates else None


def take_fresh(conf: Any, roots: Sequence[str]) -> tuple[bytes, Lifetime]:
    """Take fresh tokens by this thread's login, which is their renewer too, and see how long they are good for.

    Returns
    -------
    bytes, Lifetime
        A token file, for `take`; until when it is good, if nobody renews them.

    Raises
    ------
    HdlError
        A file system gives none: the login may be over.
    """
    user = java.load_class(f"{SECURITY}.UserGroupInformation").getCurrentUser()
    taken = time.time()
    tokens = collect(conf, roots, str(user.getShortUserName()))
    return encode(tokens), Lifetime(taken, min((_good_until(token, conf, taken) for token in tokens.getAllTokens()),
                                               default=taken + DAY))  # fmt: skip


def _good_until(token: Any, conf: Any, taken: float) -> float:
    """Return when a token ends that nobody renews: only a renewal tells."""
    _, last = _dates(token) or (taken, taken + DAY)
    with suppress(Exception):
        return min(last, float(token.renew(conf)) / 1000)
    return min(last, taken + DAY)


def _dates(token: Any) -> tuple[float, float] | None:
    """Read when a token was issued, and its last day (Unix time); None for a kind that does not tell."""
    with suppress(Exception):
        identifier = token.decodeIdentifier()
        return float(identifier.getIssueDate()) / 1000, float(identifier.getMaxDate()) / 1000
    return None


class KeytabLogin:
    """Acts by a keytab's login beside this process's own: that one has YARN's tokens, which must stay.

    Parameters
    ----------
    principal, keytab : str

    Raises
    ------
    HdlError
        The KDC refuses it, or does not answer.
    """

    def __init__(self, principal: str, keytab: str):
        users = java.load_class(f"{SECURITY}.UserGroupInformation")
        with java.call(f"logging in as {principal} by the keytab"):
            self._user = users.loginUserFromKeytabAndReturnUGI(principal, keytab)

    def run(self, function: Callable[[], Any]) -> Any:
        """Call a function as the keytab's user; its ticket is renewed before, if it is time."""
        import jpype

        box: dict[str, Any] = {}

        def run(_: Any) -> None:  # an exception of Python that Java carries would lose its class
            try:
                box["value"] = function()
            except BaseException as error:
                box["error"] = error

        action = jpype.JProxy("java.security.PrivilegedExceptionAction", dict={"run": lambda: run(None)})
        with java.call("the keytab's login"):
            self._user.checkTGTAndReloginFromKeytab()
            self._user.doAs(jpype.JObject(action, jpype.JClass("java.security.PrivilegedExceptionAction")))
        if "error" in box:
            raise box["error"]
        return box["value"]


def by_ticket(function: Callable[[], Any]) -> Any:
    """Call a function by the ticket that is in the ticket cache now: `kinit` may have been run since Java read it."""
    user = java.load_class(f"{SECURITY}.UserGroupInformation").getLoginUser()
    with suppress(Exception):  # what is wrong with the ticket shows when it is used
        (user.getRealUser() or user).reloginFromTicketCache()
    return function()


def encode(tokens: Any) -> bytes:
    """Encode the tokens of file systems among Java's Credentials as a token file, in Hadoop's oldest format."""
    kept = java.load_class(f"{SECURITY}.Credentials")()
    for alias in tokens.getTokenMap().keySet():
        token = tokens.getToken(alias)
        if str(token.getKind()) not in YARN_KINDS and not token.isPrivate():
            kept.addToken(alias, token)
    buffer = java.load_class("org.apache.hadoop.io.DataOutputBuffer")()
    kept.writeTokenStorageToStream(buffer)
    return bytes(buffer.getData())[: buffer.getLength()]


def decode(content: bytes) -> Any:
    """Decode a token file to Java's Credentials: the inverse of `encode`."""
    import jpype

    buffer = java.load_class("org.apache.hadoop.io.DataInputBuffer")()
    buffer.reset(jpype.JArray(jpype.JByte)(content), len(content))
    tokens = java.load_class(f"{SECURITY}.Credentials")()
    with java.call("fresh tokens"):
        tokens.readTokenStorageStream(buffer)
    return tokens


def own() -> Any:
    """Return this process's tokens for containers to use: those of file systems, never the master's own for YARN."""
    with java.call("this container's tokens"):
        user = java.load_class(f"{SECURITY}.UserGroupInformation").getLoginUser()
        return decode(encode(user.getCredentials()))


def take(content: bytes) -> None:
    """Use fresh tokens in this process from now on, in place of those for the same services.

    They are written to a file of the container's folder that its user alone can read, for clients without Java and for
    a Java that starts later, and handed to the Java that runs.

    Raises
    ------
    HdlError
        Java does not take them.
    OSError
        The file cannot be written.
    """
    with _TAKING:
        folder = os.path.dirname(os.path.abspath(os.environ.get(VARIABLE) or FILE))
        path = os.path.join(folder, f"{FILE}-{os.getpid()}-{len(_files) + 1}")
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(content)
        os.environ[VARIABLE] = path
        _files.append(path)
        if len(_files) > 2:  # one that somebody may be opening just now stays
            with suppress(FileNotFoundError):
                os.unlink(_files[-3])
        if java.started():
            with java.call("taking over fresh tokens"):
                java.load_class(f"{SECURITY}.UserGroupInformation").getLoginUser().addCredentials(decode(content))


def start_java(flags: Sequence[str] = ()) -> None:
    """Start Java by JPype, with the newest tokens: `take` then reaches the Java that libhdfs uses."""
    with _TAKING:  # fresh tokens come before, and Java finds their file, or after, and are handed to it
        java.start(flags=flags)
        java.load_class(f"{SECURITY}.UserGroupInformation").getLoginUser()  # reads the file
