"""Logs in to Kerberos with a keytab, keeps that ticket fresh, and reads what ticket there is.

Without a keytab hdl uses the ticket that `kinit` has left, as all of Hadoop's commands do. With one it gets a ticket
of its own, in a folder that nobody else can enter, and names that to all that it starts by KRB5CCNAME: Java, Hadoop's
own commands and hdfs-native. MIT's `kinit` and `klist` do the work.
"""

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
from calendar import timegm
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hdl import programs
from hdl.errors import DeadlineError, HdlError, SpecError, Unavailable

KINIT_SECONDS = 60.0  # it asks one KDC after the other, up to 30 s each
KLIST_SECONDS = 10.0
RENEW_AT = 0.75  # share of a ticket's life after which the next one is fetched; Hadoop's own renewer waits for 0.8
RETRY_SECONDS = 60.0
PREFIX = "hdl-kerberos-"  # of the folder that holds the ticket cache
TOOLS = "apt-get install krb5-user, or dnf install krb5-workstation"
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
    (r"Clock skew too great", HdlError,
     "this machine's clock differs from the KDC's by more than Kerberos allows, mostly 5 minutes: synchronise it"),
]  # fmt: skip


@dataclass(frozen=True)
class Login:
    """Who logs in with which keys.

    Parameters
    ----------
    principal : str
        As ``ada@EXAMPLE.ORG``; without a realm krb5.conf's default one.
    keytab : str
        A local file.
    """

    principal: str
    keytab: str


@dataclass(frozen=True)
class Ticket:
    """A ticket-granting ticket, as the ticket cache holds it.

    Parameters
    ----------
    principal, realm : str
    end : float
        Unix time at which it ends; it may have ended.
    renewable_until : float or None
        Unix time until which `kinit -R` renews it; None: never.
    cache : str
        The ticket cache with its kind: ``FILE:/tmp/krb5cc_1000``.
    """

    principal: str
    realm: str
    end: float
    renewable_until: float | None
    cache: str

    @property
    def ended(self) -> bool:
        """Tell whether it is of no use any more."""
        return self.end <= time.time()


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


def ticket() -> Ticket | None:
    """Read the ticket-granting ticket in the ticket cache that KRB5CCNAME or krb5.conf names.

    Returns
    -------
    Ticket or None
        The one of the principal's own realm, ended or not; None where there is none, or no `klist` to read it.
    """
    command = shutil.which("klist")
    if not command:
        return None
    try:
        done = programs.run([command], KLIST_SECONDS, environment=_plain())
    except (OSError, DeadlineError):
        return None
    return read(done.stdout)


def read(text: str) -> Ticket | None:
    """Read what MIT's klist prints in the C locale, in UTC.

    Examples
    --------
    >>> text = '''Ticket cache: FILE:/tmp/krb5cc_1000
    ... Default principal: ada@EXAMPLE.ORG
    ...
    ... Valid starting     Expires            Service principal
    ... 11/29/26 12:00:00  11/29/26 22:00:00  krbtgt/EXAMPLE.ORG@EXAMPLE.ORG
    ...     renew until 12/06/26 12:00:00
    ... '''
    >>> found = read(text)
    >>> found.principal, found.realm, int(found.renewable_until - found.end) // 3600
    ('ada@EXAMPLE.ORG', 'EXAMPLE.ORG', 158)
    """
    cache = re.search(r"^Ticket cache: (.+)$", text, re.M)
    owner = re.search(r"^Default principal: (.+)$", text, re.M)
    if not cache or not owner:
        return None
    realm = owner[1].rpartition("@")[2]
    moment = r"(\d\d/\d\d/\d\d \d\d:\d\d:\d\d)"
    pattern = rf"^{moment}  {moment}  krbtgt/(\S+)@\S+(?:\n\s+.*renew until {moment})?"
    tickets = sorted(re.finditer(pattern, text, re.M), key=lambda match: match[3] != realm)  # its own realm's first
    if not tickets:
        return None
    _, last, _, renewable = tickets[0].groups()
    return Ticket(owner[1], realm, _time(last), _time(renewable) if renewable else None, cache[1])


def _time(text: str) -> float:
    return float(timegm(time.strptime(text, "%m/%d/%y %H:%M:%S")))


def _plain() -> dict[str, str]:
    """Make an environment in which krb5's commands speak English and UTC."""
    return {**os.environ, "LC_ALL": "C", "LANGUAGE": "", "TZ": "UTC"}


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
    arguments = [command, "-k", "-t", who.keytab, "-c", fresh, "--", who.principal]
    late = f"no KDC of {who.principal}'s realm answers within {KINIT_SECONDS:g} s; {_config()} says where they are"
    done = programs.run(arguments, KINIT_SECONDS, late, environment=_plain())
    if done.returncode:
        raise _refusal(who, done.stderr)
    os.replace(fresh, cache)


def _refusal(who: Login, text: str) -> HdlError:
    """Make the error of what kinit has said."""
    names = {"principal": who.principal, "keytab": who.keytab, "config": _config()}
    for pattern, kind, sentence in REFUSALS:
        if re.search(pattern, text):
            held = ", ".join(_held(who.keytab)) if "{held}" in sentence else ""
            return kind(sentence.format(**names, held=held or "nobody"))
    said = " ".join(text.split()).removeprefix("kinit: ") or "kinit failed and said nothing"
    return HdlError(f"--principal {who.principal}, --keytab {who.keytab}: {said}")


def _held(keytab: str) -> list[str]:
    """List the principals whose keys a keytab holds."""
    command = shutil.which("klist")
    if not command:
        return []
    with suppress(OSError, DeadlineError):
        done = programs.run([command, "-k", keytab], KLIST_SECONDS, environment=_plain())
        return list(dict.fromkeys(re.findall(r"^ *\d+ (\S+@\S+)$", done.stdout, re.M)))
    return []


def _config() -> str:
    return os.environ.get("KRB5_CONFIG", "/etc/krb5.conf")


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
