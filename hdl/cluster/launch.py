"""Brings a cluster up: the daemons in their order, what each is told, and the folders that its users need."""

from __future__ import annotations

import os
import secrets
import time
from typing import TYPE_CHECKING

from hdl import programs
from hdl.cluster import certificate, commands, config, folders, kdc, known_as, process
from hdl.cluster.config import kerberos, kms, pages

if TYPE_CHECKING:
    from hdl.cluster.daemons import Cluster


ADMINISTER_SECONDS = 60


def everything(cluster: Cluster, deadline: float) -> None:
    """Start all daemons, make the folders that users need, and wait until all is ready.

    Parameters
    ----------
    cluster : Cluster
        Its configuration is written.
    deadline : float
        Of the monotonic clock.

    Raises
    ------
    HdlError
        A daemon ends.
    DeadlineError
        It takes longer.
    """
    cluster.save()
    # With Kerberos the history server is a user of its own, and finds its folders made.
    late = ["historyserver"] if cluster.secure else []
    for name in cluster.names():
        if name == cluster.masters.name_nodes[0]:
            cluster.masters.format(cluster)
        if name not in late:
            daemon(cluster, name)
    cluster.wait(lambda status: status["writable"], deadline)
    cluster.folders().make("mapred" if late else None)
    for name in late:
        daemon(cluster, name)
    if "kms" in cluster.daemons:
        process.wait_listening(config.LOOPBACK, cluster.ports["kms"], cluster.daemons["kms"], deadline)
    me = folders.this_user()
    for user in dict.fromkeys((os.environ.get("HADOOP_USER_NAME") or me, me, *cluster.options["users"])):
        cluster.add_user(user)
    cluster.wait(lambda status: status["ready"], deadline)


def secrets_of(cluster: Cluster) -> None:
    """Make what the configuration names: realm and keytabs, the pages' certificate, and the key of their cookies."""
    hosts = kerberos.web_hosts(cluster.options)
    if cluster.secure:
        kdc.make(cluster.root, cluster.ports["kdc"], hosts)
    if cluster.options.get("spnego") and not (secret := pages.http_secret(cluster.root)).exists():
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    if cluster.options.get("https"):
        certificate.make(pages.tls(cluster.root), hosts)


def daemon(cluster: Cluster, name: str) -> None:
    """Start one daemon, and write down that it runs."""
    log = cluster.root / "logs" / f"{name}.log"
    if name == "kdc":
        started = process.spawn(name, kdc.command(), log, kdc.environment(cluster.root))
        process.wait_listening(config.LOOPBACK, cluster.ports["kdc"], started, time.monotonic() + kdc.SECONDS)
    else:
        started = process.spawn(name, command(cluster, name), log, environment(cluster, name))
    cluster.daemons[name] = started
    cluster.save(name)


def command(cluster: Cluster, name: str) -> list[str]:
    """Make a daemon's command line."""
    flags = [kerberos.java_flag(cluster.root)] if cluster.secure else []
    flags += kms.java_flags(cluster.root) if name == "kms" else []
    own = commands.own_options(name, cluster.ports, cluster.root, cluster.options)
    return [*commands.java_command(name, cluster.home, cluster.root, flags), *own]


def environment(cluster: Cluster, name: str) -> dict[str, str]:
    """Make a daemon's environment: nothing of the user's virtual environment, as on a real node."""
    made = {name: os.environ[name] for name in ("HOME", "USER", "LANG", "TZ") if name in os.environ}
    made |= cluster.environment() | {"PATH": f"{cluster.home / 'bin'}:/usr/local/bin:/usr/bin:/bin"}
    if not cluster.secure:
        made["HADOOP_USER_NAME"] = cluster.superuser
    if (user := cluster.options.get("node_user")) and commands.kind_of(name) == "nodemanager":
        made |= known_as.environment(cluster.root, user)
    return made


def administer(cluster: Cluster, *words: str) -> str:
    """Run one of Hadoop's commands as the cluster's superuser; return what it says.

    Raises
    ------
    HdlError
        It fails.
    DeadlineError
        It takes longer than a minute.
    """
    command = [str(cluster.home / "bin/hadoop"), *words]
    made = environment(cluster, "client") | (cluster.ticket() or {})
    return programs.check(command, ADMINISTER_SECONDS, environment=made)
