"""Logs in to Kerberos with a keytab, and fetches the next ticket before each one ends."""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hdl import programs
from hdl.errors import DeadlineError, HdlError, LoginError, SpecError, Unavailable
from hdl.kerberos.cache import KLIST_SECONDS, configuration, plain, ticket

KINIT_SECONDS = 60.0  # it asks one KDC after the other, up to 30 s each
RENEW_AT = 0.75  # share of a ticket's life after which the next one is fetched; Hadoop's own renewer waits for 0.8
RETRY_SECONDS = 60.0
RENEWABLE = "7d"
PREFIX = "hdl-kerberos-"  # of the folder that holds the ticket cache
TOOLS = "apt-get install krb5-user, or dnf install krb5-workstation"
SKEW = "this machine's clock differs from the cluster's by more than Kerberos allows, mostly 5 minutes: set it right"
# What MIT's kinit says, in the C locale: the error, and the end of hdl's sentence about the principal or the keytab.
REFUSALS: list[tuple[str, type[HdlError], str]] = [
    (r"Client '.*' not found in Kerberos database", SpecError,
     "--principal {principal}: the realm's KDC knows no such principal"),
    (r"Keytab contains no suitable keys", SpecError,
     "--keytab {keytab}: holds no key of --principal {principal}; it holds those of {held}"),
    (r"Password incorrect|Preauthentication failed|Decrypt integrity check failed", SpecError,
     "--keytab {keytab}: the KDC refuses its key of {principal}, which was changed since; ask for a new keytab"),
    (r"Unsupported key table format", SpecError, "--keytab {keytab}: is no keytab"),
    (r"entry in database has expired", SpecError, "--principal {principal}: its entry at the KDC has expired"),
    (r"credentials have been revoked", SpecError, "--principal {principal}: is locked at the KDC"),
    (r"Password has expired", SpecError, "--principal {principal}: its password at the KDC has expired"),
    (r"does not specify default realm", SpecError,
     "--principal {principal}: has no realm, and {config} names no default one; write NAME@REALM"),
    (r"Cannot find KDC for realm", SpecError, "--principal {principal}: {config} names no KDC of that realm"),
    (r"Cannot contact any KDC", DeadlineError,
     "no KDC of {principal}'s realm answers; {config} says where they are"),
    (r"Clock skew too great", LoginError, SKEW),
]  # fmt: skip


@dataclass(frozen=True)
class Login:
    """Names a principal and the file of its keys.

    Parameters
    ----------
    principal : str
        As ``ada@EXAMPLE.ORG``; without a realm krb5.conf's default one.
    keytab : str
        A local file.
    """

    principal: str
    keytab: str


@dataclass
class _Cache:
    """This process's own ticket cache."""

    who: Login
    folder: str
    lock: int  # an open file: whoever can lock it knows that this process is gone
    before: str | None  # KRB5CCNAME
    stop: threading.Event
    fetching: threading.Lock

    @property
    def file(self) -> str:
        return f"{self.folder}/cache"


_own: _Cache | None = None


def given() -> Login | None:
    """Return the login of this process, or None where it uses the user's own ticket."""
    return _own.who if _own else None


def login(who: Login, say: Callable[[str], object] = lambda text: None) -> None:
    """Get a ticket into a cache of this process's own, and fetch the next one before it ends, until the process ends.

    Parameters
    ----------
    who : Login
    say : function of str
        Gets warnings, also from the thread that fetches the next ticket.

    Raises
    ------
    SpecError
        Principal or keytab are wrong.
    DeadlineError
        No KDC answers.
    Unavailable
        There is no kinit.
    """
    global _own
    _check(who.keytab, say)
    end()
    cache = _own = _Cache(who, *_private_folder(), os.environ.get("KRB5CCNAME"), threading.Event(), threading.Lock())
    try:
        _fetch(who, cache.file)
    except BaseException:
        end()
        raise
    os.environ["KRB5CCNAME"] = cache.file  # without FILE:, which not all versions of Java understand
    for name in ("KRB5PRINCIPAL", "KRB5KEYTAB"):  # Hadoop's client would log in by these first
        os.environ.pop(name, None)
    threading.Thread(target=_keep, args=(cache, say), name="hdl-kerberos", daemon=True).start()


def end() -> None:
    """Remove this process's own ticket cache, if it has one."""
    global _own
    cache, _own = _own, None
    if cache is None:
        return
    cache.stop.set()
    if cache.fetching.acquire(timeout=5):  # a kinit that runs would write into the folder
        cache.fetching.release()
    if os.environ.get("KRB5CCNAME") == cache.file:
        del os.environ["KRB5CCNAME"]
        if cache.before is not None:
            os.environ["KRB5CCNAME"] = cache.before
    shutil.rmtree(cache.folder, ignore_errors=True)
    os.close(cache.lock)


def _check(keytab: str, say: Callable[[str], object]) -> None:
    """Refuse a keytab that is not there; warn of one that others can read."""
    try:
        with open(keytab, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise SpecError(f"--keytab {keytab}: {error.strerror}; expected a file of the principal's keys") from None
    if mode & stat.S_IRWXO:
        say(f"--keytab {keytab}: every user of this machine can read it; chmod 600 {keytab}")


def _fetch(who: Login, cache: str) -> None:
    """Get a ticket by the keytab, and put it where the one before was in one step: others may be reading that."""
    command = shutil.which("kinit")
    if not command:
        raise Unavailable(f"--keytab needs kinit: {TOOLS}")
    fresh = f"{cache}.new"
    # Renewable where the KDC allows it: Hadoop's client renews a ticket by itself, and complains where it cannot.
    arguments = [command, "-k", "-t", who.keytab, "-r", RENEWABLE, "-c", fresh, "--", who.principal]
    late = (
        f"no KDC of {who.principal}'s realm answers within {KINIT_SECONDS:g} s; {configuration()} says where they are"
    )
    done = programs.run(arguments, KINIT_SECONDS, late, environment=plain())
    if done.returncode:
        raise _refusal(who, done.stderr)
    os.replace(fresh, cache)


def _refusal(who: Login, text: str) -> HdlError:
    """Make the error of what kinit has said."""
    names = {"principal": who.principal, "keytab": who.keytab, "config": configuration()}
    for pattern, kind, sentence in REFUSALS:
        if re.search(pattern, text):
            held = ", ".join(_held(who.keytab)) if "{held}" in sentence else ""
            return kind(sentence.format(**names, held=held or "nobody"))
    said = " ".join(text.split()).removeprefix("kinit: ") or "kinit failed and said nothing"
    return LoginError(f"--principal {who.principal}, --keytab {who.keytab}: {said}")


def _held(keytab: str) -> list[str]:
    """List the principals whose keys a keytab holds."""
    command = shutil.which("klist")
    if not command:
        return []
    with suppress(OSError, DeadlineError):
        done = programs.run([command, "-k", keytab], KLIST_SECONDS, environment=plain())
        return list(dict.fromkeys(re.findall(r"^ *\d+ (\S+@\S+)$", done.stdout, re.M)))
    return []


def _keep(cache: _Cache, say: Callable[[str], object]) -> None:
    """Fetch the next ticket before each one ends; runs in a thread."""
    told = False
    wait = _pause()
    while not cache.stop.wait(wait):
        with cache.fetching:
            if cache.stop.is_set():
                return
            try:
                _fetch(cache.who, cache.file)
                told, wait = False, _pause()
            except (HdlError, OSError) as error:
                if not told:
                    say(f"no new Kerberos ticket yet; hdl goes on trying: {error}")
                told, wait = True, min(RETRY_SECONDS, _pause())


def _pause() -> float:
    """Return the seconds until the next ticket should be fetched."""
    found = ticket()
    return RETRY_SECONDS if found is None else max(1.0, RENEW_AT * (found.end - time.time()))


def _private_folder() -> tuple[str, int]:
    """Make the folder of a cache, 0700, with its lock; remove those that killed processes of this user have left."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        _remove_abandoned(left)
    folder = tempfile.mkdtemp(prefix=PREFIX)
    lock = os.open(f"{folder}/lock.new", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(f"{folder}/lock.new", f"{folder}/lock")  # until it is locked nobody may take the folder for abandoned
    atexit.register(end)
    return folder, lock


def _remove_abandoned(folder: Path) -> None:
    """Remove a folder of this user whose process holds its lock no longer."""
    with suppress(OSError):
        if folder.lstat().st_uid != os.getuid():
            return
        lock = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
