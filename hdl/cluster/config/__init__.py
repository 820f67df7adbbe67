"""The configuration folder of a small cluster on one machine: quick to start, quick to notice, all on loopback.

One module writes one ``*-site.xml``. What changes several of them, such as Kerberos, is a variation.
"""

from __future__ import annotations

import shutil

from hdl.cluster.config import access, core, federation, ha, hdfs, kerberos, kms, mapred, pages, yarn
from hdl.cluster.config.common import (
    LOOPBACK,
    NM_STATE,
    PORTS,
    QUICK_JAVA,
    RM_STATE,
    TASK_JAVA,
    Layout,
    Site,
    Sites,
    free_ports,
    node_host,
    node_ports,
    write_site,
)

__all__ = ["LOOPBACK", "NM_STATE", "PORTS", "QUICK_JAVA", "RM_STATE", "TASK_JAVA", "VARIATIONS", "Layout", "Site",
           "Sites", "free_ports", "node_host", "node_ports", "ports_of", "write", "write_policy"]  # fmt: skip

SITES = {"core": core.site, "hdfs": hdfs.site, "yarn": yarn.site, "mapred": mapred.site}
# Each is called as vary(sites, layout) and changes the properties if the layout's options ask for it, in this order.
VARIATIONS = (access.vary, kerberos.vary, ha.vary, federation.vary, kms.vary, pages.vary)


def ports_of(options: dict) -> tuple[str, ...]:
    """Name all ports that a cluster with these options needs."""
    more = {"kerberos": kerberos.PORTS, "ha": ha.PORTS, "federation": federation.PORTS, "kms": kms.PORTS}
    own = tuple(port for name, ports in more.items() if options.get(name) for port in ports)
    return PORTS + node_ports(options["nodemanagers"]) + own


def write(layout: Layout) -> None:
    """Write a configuration folder: the ``*-site.xml`` files, the scheduler's and the log's."""
    layout.conf.mkdir(mode=0o700, parents=True, exist_ok=True)
    sites = {name: make(layout) for name, make in SITES.items()}
    for vary in VARIATIONS:
        vary(sites, layout)
    for name, site in sites.items():
        write_site(layout.conf / f"{name}-site.xml", site)
    write_policy(layout)
    write_site(layout.conf / "capacity-scheduler.xml", yarn.scheduler(layout.options))
    shutil.copyfile(layout.home / "etc/hadoop/log4j.properties", layout.conf / "log4j.properties")


def write_policy(layout: Layout) -> None:
    """Write the list of who may submit, ``hadoop-policy.xml``."""
    write_site(layout.conf / access.FILE, access.policy(layout.options))
