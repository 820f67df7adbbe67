"""Holds a cluster's options, beside its folder and version."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hdl.errors import SpecError

KERBEROS_SUPERUSER = "hdfs"
NODES = range(1, 201)


@dataclass(frozen=True)
class Options:
    """Holds what a cluster is asked for.

    Attributes
    ----------
    datanodes, nodemanagers : int
        How many; number k of each goes by the name `config.node_host` (k).
    memory, vcores, gpus : int
        What one NodeManager offers, in MiB, virtual cores and GPUs; these are counted, and need not be there.
    users : tuple of str
        Who may submit applications beside the user who starts the cluster; `Cluster.add_user` adds others.
    kerberos : bool
        Everybody proves who they are to a Kerberos realm of the cluster's own; all that travels is encrypted.
    renew_interval, max_lifetime : int
        Of delegation tokens, in seconds; 0: Hadoop's own, a day and a week.
    spnego : bool
        Every web page asks for a ticket.
    https : bool
        Web pages are spoken to in TLS, with a certificate that ``tls/ca.pem`` in the cluster's folder trusts.
    kms : bool
        A server of keys, for folders that `Cluster.encrypt` makes encryption zones.
    node_user : str
        The name by which nodes know the user who starts the cluster, as whom containers run; see
        `hdl.cluster.known_as`. Empty: the real one.
    ha : bool
        Two NameNodes and two ResourceManagers, of which one is active (`hdl.cluster.ha`).
    federation : bool
        Two NameNodes with a namespace each, and a view of both as default file system (`hdl.cluster.federation`).

    Raises
    ------
    SpecError
        A value is out of its range, or two do not go together.
    """

    datanodes: int = 1
    nodemanagers: int = 1
    memory: int = 4096
    vcores: int = 4
    gpus: int = 0
    users: tuple[str, ...] = ()
    kerberos: bool = False
    renew_interval: int = 0
    max_lifetime: int = 0
    spnego: bool = False
    https: bool = False
    kms: bool = False
    node_user: str = ""
    ha: bool = False
    federation: bool = False

    def __post_init__(self) -> None:
        for name, count in (("datanodes", self.datanodes), ("nodemanagers", self.nodemanagers)):
            if count not in NODES:
                raise SpecError(f"{name} = {count}: expected {NODES[0]} to {NODES[-1]}")
        if self.kerberos + self.ha + self.federation > 1:  # a pair with Kerberos was never tried
            raise SpecError("expected at most one of kerberos, ha and federation")
        if (self.spnego or self.kms) and not self.kerberos:
            raise SpecError("spnego and kms ask for tickets, which only Kerberos has")
        if (self.https or self.spnego) and (self.ha or self.federation):
            raise SpecError("expected https and spnego without ha and federation")
        if (self.renew_interval or self.max_lifetime) and not self.kerberos:
            raise SpecError("renew_interval and max_lifetime are of delegation tokens, which only Kerberos has")

    def superuser(self, asked: str | None, me: str) -> str:
        """Return HDFS's superuser: who starts the cluster, or the one asked for; with Kerberos always the same."""
        if self.kerberos and asked not in (None, KERBEROS_SUPERUSER):
            raise SpecError(f"superuser = {asked!r}: with Kerberos it is {KERBEROS_SUPERUSER!r}")
        return asked or (KERBEROS_SUPERUSER if self.kerberos else me)

    def kept(self) -> dict[str, Any]:
        """Return the options as the cluster's folder keeps them."""
        return asdict(self) | {"users": [*self.users]}
