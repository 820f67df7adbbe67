"""Describes a cluster, running or not: what was asked for, where all of it is, and how others use it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from hdl.cluster import folders, kdc
from hdl.cluster.assemble import java_home, locked
from hdl.cluster.config import kerberos, pages
from hdl.cluster.federation import Federation
from hdl.cluster.ha import Pair
from hdl.cluster.masters import Masters
from hdl.cluster.process import Daemon
from hdl.errors import SpecError


@dataclass
class Description:
    """Holds what the file ``cluster.json`` of a cluster's folder says.

    Attributes
    ----------
    root : Path
        The cluster's folder.
    version : str
        Hadoop's.
    home : Path
        HADOOP_HOME.
    ports : dict
        As `config.free_ports` makes it.
    options : dict
        As `Options.kept` returns them.
    daemons : dict
        By name.
    superuser : str
        HDFS's.
    """

    root: Path
    version: str
    home: Path
    ports: dict[str, int]
    options: dict[str, Any]
    daemons: dict[str, Daemon] = field(default_factory=dict)
    superuser: str = field(default_factory=folders.this_user)

    @classmethod
    def load(cls, root: Path) -> Self:
        """Load the cluster of a folder, running or not.

        Raises
        ------
        SpecError
            If the folder holds no cluster.
        """
        root = root.expanduser().resolve()
        try:
            held = json.loads((root / "cluster.json").read_text())
        except FileNotFoundError:
            raise SpecError(f"no cluster in {root}; `hdl cluster start --dir {root}` makes one") from None
        daemons = {name: Daemon(**values) for name, values in held["daemons"].items()}
        superuser = held.get("superuser") or folders.this_user()
        return cls(root, held["version"], Path(held["home"]), held["ports"], held["options"], daemons, superuser)

    @property
    def conf(self) -> Path:
        """The cluster's HADOOP_CONF_DIR."""
        return self.root / "conf"

    @property
    def uri(self) -> str:
        """The default file system, ``hdfs://host:port``; of pairs and federations by its name."""
        return self.masters.uri

    @property
    def masters(self) -> Masters:
        """Name the cluster's NameNodes and ResourceManagers."""
        kinds = {"ha": Pair, "federation": Federation}
        return next((kinds[name] for name in kinds if self.options.get(name)), Masters)(
            self.ports, self.scheme, self.ticket
        )

    @property
    def secure(self) -> bool:
        """Tells whether the cluster has Kerberos."""
        return bool(self.options.get("kerberos"))

    def environment(self, user: str | None = None) -> dict[str, str]:
        """Return the variables that a shell needs to use this cluster; ``PATH`` begins with Hadoop's ``bin``.

        Parameters
        ----------
        user : str, optional
            As whom. With Kerberos ``KRB5CCNAME`` names a cache with a new ticket of that user (None: no ticket, as
            before `kinit`); without, ``HADOOP_USER_NAME`` claims the name.

        Raises
        ------
        SpecError
            The realm has no such user.
        """
        made = {
            "HADOOP_HOME": str(self.home),
            "HADOOP_CONF_DIR": str(self.conf),
            "JAVA_HOME": str(java_home()),
            "PATH": f"{self.home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        if not self.secure:
            return made | ({"HADOOP_USER_NAME": user} if user else {})
        flag = kerberos.java_flag(self.root)
        made |= {kerberos.NAMED: str(kerberos.krb5_conf(self.root)), "HADOOP_OPTS": flag, "LIBHDFS_OPTS": flag}
        return made | ({"KRB5CCNAME": f"FILE:{kdc.ticket(self.root, user)}"} if user else {})

    def keytab(self, user: str) -> Path:
        """Return the keytab of a user on a cluster with Kerberos, or of a service."""
        return kerberos.keytab(self.root, user)

    @property
    def scheme(self) -> str:
        """The scheme of web addresses."""
        return "https" if self.options.get("https") else "http"

    @property
    def authority(self) -> Path | None:
        """The certificate that web pages' are trusted by; None without HTTPS."""
        return pages.tls(self.root) / "ca.pem" if self.options.get("https") else None

    def web(self) -> dict[str, str]:
        """Return the web addresses of the masters, by daemon."""
        return {**self.masters.web(), "historyserver": self.masters.address("history_web")}

    def names(self) -> list[str]:
        """List all daemons of the cluster, in the order they are started in."""
        data = [f"datanode{k}" for k in range(1, self.options["datanodes"] + 1)]
        nodes = [f"nodemanager{k}" for k in range(1, self.options["nodemanagers"] + 1)]
        first, made = [name for name in ("kdc", "kms") if name in self.ports], self.masters
        return [*first, *made.first, *made.resource_managers, *nodes, *made.name_nodes, *data, "historyserver"]

    def ticket(self) -> dict[str, str] | None:
        """Return the variables that name a ticket of the superuser; None without Kerberos.

        Raises
        ------
        HdlError
            The key distribution centre does not answer.
        """
        if not self.secure:
            return None
        cache = kdc.ticket(self.root, self.superuser, reuse=True)
        return {**kdc.environment(self.root), "KRB5CCNAME": f"FILE:{cache}"}

    def save(self, *changed: str) -> None:
        """Write down in the cluster's folder what was asked for and what runs.

        Parameters
        ----------
        *changed : str
            Daemons that were started; of all others it is kept what another process wrote meanwhile. None: all.
        """
        with locked(self.root / "cluster.lock"):
            if changed:
                mine = {name: self.daemons[name] for name in changed}
                self.refresh()
                self.daemons |= mine
            held = {"version": self.version, "home": str(self.home), "ports": self.ports, "options": self.options,
                    "superuser": self.superuser,
                    "daemons": {name: asdict(daemon) for name, daemon in self.daemons.items()}}  # fmt: skip
            new = self.root / "cluster.json.new"
            new.write_text(json.dumps(held, indent=1))
            new.replace(self.root / "cluster.json")

    def refresh(self) -> None:
        """Read which daemons run: another process may have started one again. Nothing, if nothing was written."""
        with suppress(OSError):
            held = json.loads((self.root / "cluster.json").read_text())
            self.options |= {name: value for name, value in held["options"].items() if name == "users"}
            self.daemons = {name: Daemon(**values) for name, values in held["daemons"].items()}
