"""Changes the configuration for Kerberos: who each daemon is, what is encrypted, and lists of who may do what."""

from __future__ import annotations

from pathlib import Path

from hdl.cluster.config.common import Layout, Sites, node_host

REALM = "HDL.TEST"
PORTS = ("kdc",)
SERVICES = ("hdfs", "yarn", "mapred")  # the daemons' users; each is USER/localhost@REALM
WEB = "HTTP"  # who web pages are, by the rules of SPNEGO
RM, NM, HISTORY = "yarn.resourcemanager", "yarn.nodemanager", "mapreduce.jobhistory"
# Who a daemon is: the site, the user, and the properties of principal and keytab.
LOGINS = (
    ("hdfs", "hdfs", "dfs.namenode.kerberos.principal", "dfs.namenode.keytab.file"),
    ("hdfs", "hdfs", "dfs.datanode.kerberos.principal", "dfs.datanode.keytab.file"),
    *(("yarn", "yarn", f"{daemon}.principal", f"{daemon}.keytab") for daemon in (RM, NM)),
    *(("yarn", WEB, f"{daemon}.webapp.spnego-principal", f"{daemon}.webapp.spnego-keytab-file") for daemon in (RM, NM)),
    ("mapred", "mapred", f"{HISTORY}.principal", f"{HISTORY}.keytab"),
    ("mapred", WEB, f"{HISTORY}.webapp.spnego-principal", f"{HISTORY}.webapp.spnego-keytab-file"),
)
GATEWAY = "gateway"  # a user who may act for others, as a workflow service does
# Passes where krb5.conf is; Java looks at no variable for it.
NAMED = "KRB5_CONFIG"


def krb5_conf(root: Path) -> Path:
    """Return the Kerberos configuration of a cluster's clients and daemons."""
    return root / "kdc/krb5.conf"


def keytab(root: Path, user: str) -> Path:
    """Return the keytab of a user or service."""
    return root / f"kdc/keytabs/{user}.keytab"


def principal(user: str) -> str:
    """Return the principal of a user, or of a service: its host is written out, as not every node has a name.

    Examples
    --------
    >>> principal("hdfs"), principal("ada")
    ('hdfs/localhost@HDL.TEST', 'ada@HDL.TEST')
    """
    return f"{user}/localhost@{REALM}" if user in SERVICES else f"{user}@{REALM}"


def web_hosts(options: dict) -> list[str]:
    """List the hosts under which web pages are asked for; each has a principal HTTP/HOST."""
    nodes = max(options["datanodes"], options["nodemanagers"], 1)
    return ["127.0.0.1", *(node_host(k) for k in range(1, nodes + 1))]


def java_flag(root: Path) -> str:
    """Return the flag that tells Java of the cluster's realm."""
    return f"-Djava.security.krb5.conf={krb5_conf(root)}"


def vary(sites: Sites, layout: Layout) -> None:
    """Add Kerberos to the properties, if the cluster is to have it.

    Parameters
    ----------
    sites : dict
        Properties by site; they are changed in place.
    layout : Layout
        Its options may have ``kerberos``, and of delegation tokens ``renew_interval`` and ``max_lifetime`` in seconds.
    """
    if not layout.options.get("kerberos"):
        return
    root, web = layout.root, keytab(layout.root, WEB)
    sites["core"] |= {
        "hadoop.security.authentication": "kerberos",
        "hadoop.rpc.protection": "privacy",
        "hadoop.http.authentication.kerberos.principal": "*",
        "hadoop.http.authentication.kerberos.keytab": web,
        f"hadoop.proxyuser.{GATEWAY}.hosts": "*",
        f"hadoop.proxyuser.{GATEWAY}.users": "*",
    }
    sites["hdfs"] |= {
        "dfs.block.access.token.enable": "true",
        "ignore.secure.ports.for.testing": "true",  # else DataNodes want ports below 1024, or HTTPS
        "dfs.data.transfer.protection": "privacy",
        "dfs.encrypt.data.transfer": "true",
        "dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding",  # without, 3DES: 10 MB/s of a processor
        "dfs.permissions.superusergroup": "supergroup",
        # Whatever host of the keytab is asked for.
        "dfs.web.authentication.kerberos.principal": "*",
        "dfs.web.authentication.kerberos.keytab": web,
        "dfs.namenode.kerberos.internal.spnego.principal": "*",
    }
    sites["yarn"] |= {
        "yarn.acl.enable": "true",
        "yarn.admin.acl": "yarn,hdfs",
        "yarn.log-aggregation-enable": "true",
        # Containers find the realm as on a company's nodes, where it is in /etc.
        "yarn.nodemanager.env-whitelist": f"{sites['yarn']['yarn.nodemanager.env-whitelist']},{NAMED}",
    }
    sites["mapred"]["mapreduce.cluster.acls.enabled"] = "true"
    for site, user, of_principal, of_keytab in LOGINS:
        # Of the pages' any: it depends on the host by which one is asked for.
        sites[site] |= {of_principal: "*" if user == WEB else principal(user), of_keytab: keytab(root, user)}
    for name in ("yarn.app.mapreduce.am.command-opts", "mapreduce.map.java.opts", "mapreduce.reduce.java.opts"):
        sites["mapred"][name] += f" {java_flag(root)}"
    for option, daemons in (("renew_interval", "renew-interval"), ("max_lifetime", "max-lifetime")):
        if seconds := layout.options.get(option):
            sites["hdfs"][f"dfs.namenode.delegation.token.{daemons}"] = 1000 * seconds
            sites["yarn"][f"yarn.resourcemanager.delegation.token.{daemons}"] = 1000 * seconds
            sites["mapred"][f"mapreduce.cluster.delegation.token.{daemons}"] = 1000 * seconds
