"""Reads what Kerberos ticket there is, by MIT's klist, and says why Hadoop does not take it."""

from __future__ import annotations

import os
import re
import shutil
import time
from calendar import timegm
from dataclasses import dataclass

from hdl import programs
from hdl.errors import DeadlineError

KLIST_SECONDS = 10.0


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
        return self.left <= 0

    @property
    def left(self) -> float:
        """Return the seconds that are left of it."""
        return self.end - time.time()


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
        done = programs.run([command], KLIST_SECONDS, environment=plain())
    except (OSError, DeadlineError):
        return None
    return read(done.stdout)


def why_refused() -> str:
    """Say why Hadoop did not find, or did not take, a ticket, and what helps."""
    if "CONTAINER_ID" in os.environ:  # a process on the cluster has tokens and no ticket
        return "Kerberos let this process of the cluster not in: it was handed no token for this service"
    found, named = ticket(), os.environ.get("KRB5CCNAME")
    if found is None:
        where = f" in KRB5CCNAME ({named})" if named else ""
        return f"there is no Kerberos ticket{where}: run `kinit`, or give --principal and --keytab"
    if found.ended:
        moment = clock(found.end)
        return (
            f"the Kerberos ticket of {found.principal} ended at {moment}: run `kinit`, or give --principal and --keytab"
        )
    if unread := unread_by_java(found):
        return f"{unread}, then `kinit`"
    return (
        f"Kerberos did not let {found.principal} in, whose ticket is good until {clock(found.end)}: is that the "
        "cluster's realm, and HADOOP_CONF_DIR the cluster's?"
    )


def unread_by_java(found: Ticket) -> str:
    """Say that Java does not look where a ticket is, and what helps; empty where it does."""
    kind, _, place = found.cache.rpartition(":")
    usual = f"/tmp/krb5cc_{os.getuid()}"
    if kind not in ("", "FILE"):
        return (
            f"the Kerberos ticket of {found.principal} is in {found.cache}, which Java cannot read: "
            f"export KRB5CCNAME={usual}"
        )
    if "KRB5CCNAME" not in os.environ and place != usual:
        return (
            f"the Kerberos ticket of {found.principal} is in {place}, where Java does not look: "
            f"export KRB5CCNAME={place}"
        )
    return ""


def clock(moment: float) -> str:
    """Write a Unix time as this machine's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def configuration() -> str:
    """Name the file that says where the KDCs are."""
    return os.environ.get("KRB5_CONFIG", "/etc/krb5.conf")


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
    try:
        return Ticket(owner[1], realm, _time(last), _time(renewable) if renewable else None, cache[1])
    except ValueError:  # no moment of any calendar
        return None


def _time(text: str) -> float:
    return float(timegm(time.strptime(text, "%m/%d/%y %H:%M:%S")))


def plain() -> dict[str, str]:
    """Make an environment in which krb5's commands speak English and UTC."""
    return {**os.environ, "LC_ALL": "C", "LANGUAGE": "", "TZ": "UTC"}
