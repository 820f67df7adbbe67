"""A Kerberos realm of the cluster's own: its key distribution centre, keytabs and tickets, by MIT's programs.

All of it lies in the folder ``kdc/`` of the cluster, closed to others: ``krb5.conf`` for clients, ``kdc.conf`` and the
database for the centre, ``keytabs/`` and ``tickets/``. Nothing of the machine's own Kerberos is read or changed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import time
from pathlib import Path

from hdl import programs
from hdl.cluster.assemble import locked
from hdl.cluster.config import kerberos
from hdl.cluster.config.common import LOOPBACK
from hdl.errors import DeadlineError, HdlError, SpecError, Unavailable

SECONDS = 30
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
REUSED_SECONDS = 3600.0
TOOLS = {"krb5kdc": "krb5-kdc", "kdb5_util": "krb5-kdc", "kadmin.local": "krb5-admin-server", "kinit": "krb5-user",
         "curl": "curl"}  # fmt: skip
CLIENT = """\
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  ticket_lifetime = 24h
  renew_lifetime = 7d
  forwardable = true

[realms]
  {realm} = {{
    kdc = {host}:{port}
  }}

[domain_realm]
  localhost = {realm}
"""
CENTRE = """\
[kdcdefaults]
  kdc_listen = {host}:{port}
  kdc_tcp_listen = {host}:{port}

[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
    max_life = 24h
    max_renewable_life = 7d
    supported_enctypes = aes256-cts:normal aes128-cts:normal
  }}

[logging]
  kdc = STDERR
"""


def found(name: str) -> str | None:
    """Find a program of MIT's Kerberos, also where administrators have theirs; None if it is not there."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def tool(name: str) -> str:
    """Find a program of MIT's Kerberos.

    Raises
    ------
    Unavailable
        It is not there.
    """
    path = found(name)
    if not path:
        packages = " ".join(dict.fromkeys(TOOLS.values()))
        raise Unavailable(f"a cluster with Kerberos needs {name}; on Debian: apt install {packages}")
    return path


def environment(root: Path) -> dict[str, str]:
    """Return the variables by which MIT's programs find the realm of a cluster, and no other."""
    return {kerberos.NAMED: str(kerberos.krb5_conf(root)), "KRB5_KDC_PROFILE": str(root / "kdc/kdc.conf")}


def command() -> list[str]:
    """Make the command line of the key distribution centre, which stays in the foreground."""
    return [tool("krb5kdc"), "-n"]


def make(root: Path, port: int, web_hosts: list[str]) -> None:
    """Write the realm's configuration, and make its database, services and keytabs where there are none.

    Parameters
    ----------
    root : Path
        The cluster's folder.
    port : int
        At which the centre will listen.
    web_hosts : list of str
        Hosts of web pages; they share one keytab, ``HTTP``.

    Raises
    ------
    Unavailable
        A program is missing.
    HdlError
        One of them fails.
    """
    for name in TOOLS:
        tool(name)
    folder = root / "kdc"
    for made in (folder, folder / "keytabs", folder / "tickets"):
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {"realm": kerberos.REALM, "host": LOOPBACK, "port": port, "folder": folder}
    kerberos.krb5_conf(root).write_text(CLIENT.format(**names))
    (folder / "kdc.conf").write_text(CENTRE.format(**names))
    if not (folder / "principal").exists():
        password = secrets.token_hex(32)  # nobody needs it again: the stash holds the key
        _administer(root, [tool("kdb5_util"), "-r", kerberos.REALM, "create", "-s"], f"{password}\n{password}\n")
    add(root, *kerberos.SERVICES)
    webs = [f"HTTP/{host}@{kerberos.REALM}" for host in dict.fromkeys(web_hosts)]
    _keep(root, kerberos.keytab(root, "HTTP"), webs)


def add(root: Path, *users: str) -> None:
    """Make principals with a keytab each, unless they are there."""
    for user in users:
        if not NAME.fullmatch(user):
            raise SpecError(f"user {user!r}: expected letters, digits, dots, - and _")
        with locked(root / "kdc.lock"):
            _keep(root, kerberos.keytab(root, user), [kerberos.principal(user)])


def _keep(root: Path, keytab: Path, principals: list[str]) -> None:
    if keytab.exists():
        return
    wanted = "".join(f"addprinc -randkey {one}\nktadd -norandkey -k {keytab}.new {one}\n" for one in principals)
    said = _administer(root, [tool("kadmin.local"), "-r", kerberos.REALM], wanted)
    new = keytab.with_name(f"{keytab.name}.new")
    if not new.exists():
        raise HdlError(f"no keytab for {principals[0]}: {said}")
    new.replace(keytab)


def _administer(root: Path, command: list[str], said: str) -> str:
    """Run a program of the realm's administration with what it is told on its standard input: nothing in arguments."""
    try:
        done = subprocess.run(
            command, input=said, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, umask=0o077,
            env={"PATH": os.defpath, **environment(root)}, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DeadlineError(f"{command[0]} took more than {SECONDS} s") from None
    if done.returncode:
        raise HdlError(f"{command[0]} failed:\n{done.stdout[-2000:]}")
    return done.stdout[-2000:]


def ticket(root: Path, user: str, reuse: bool = False) -> Path:
    """Fetch a ticket by a user's keytab; return the ticket cache, which is that user's alone.

    Parameters
    ----------
    root : Path
        The cluster's folder.
    user : str
    reuse : bool
        Take one of the last hour, if there is one.

    Raises
    ------
    SpecError
        The realm has no such user.
    HdlError
        The centre gives no ticket.
    """
    keytab, cache = kerberos.keytab(root, user), root / "kdc/tickets" / user
    if not keytab.exists():
        raise SpecError(f"user {user!r} has no keytab in {keytab.parent}; `Cluster.add_user` makes one")
    if reuse and cache.exists() and time.time() - cache.stat().st_mtime < REUSED_SECONDS:
        return cache
    new = cache.with_name(f".{user}-{secrets.token_hex(4)}")  # who reads the old one meanwhile reads a whole one
    login = [tool("kinit"), "-c", f"FILE:{new}", "-k", "-t", str(keytab), kerberos.principal(user)]
    programs.check(login, SECONDS, f"no ticket for {kerberos.principal(user)}",
                   environment={"PATH": os.defpath, **environment(root)})  # fmt: skip
    new.replace(cache)
    return cache
