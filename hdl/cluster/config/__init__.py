"""The configuration folder of a small cluster on one machine: quick to start, quick to notice, all on loopback.

One module writes one ``*-site.xml``. What changes several of them, such as Kerberos, is a variation.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.sax.saxutils import escape

from hdl.cluster.config import core, federation, ha, hdfs, kerberos, mapred, yarn
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
)

__all__ = ["LOOPBACK", "NM_STATE", "PORTS", "QUICK_JAVA", "RM_STATE", "TASK_JAVA", "VARIATIONS", "Layout", "Site",
           "Sites", "free_ports", "node_host", "node_ports", "ports_of", "write"]  # fmt: skip

SITES = {"core": core.site, "hdfs": hdfs.site, "yarn": yarn.site, "mapred": mapred.site}
# Each is called as vary(sites, layout) and changes the properties if the layout's options ask for it, in this order.
VARIATIONS = (kerberos.vary, ha.vary, federation.vary)


def ports_of(options: dict) -> tuple[str, ...]:
    """Name all ports that a cluster with these options needs."""
    more = {"kerberos": kerberos.PORTS, "ha": ha.PORTS, "federation": federation.PORTS}
    own = tuple(port for name, ports in more.items() if options.get(name) for port in ports)
    return PORTS + node_ports(options["nodemanagers"]) + own


def write(layout: Layout) -> None:
    """Write a configuration folder: the ``*-site.xml`` files, the scheduler's and the log's."""
    sites = {name: make(layout) for name, make in SITES.items()}
    for vary in VARIATIONS:
        vary(sites, layout)
    layout.conf.mkdir(parents=True, exist_ok=True)
    for name, site in sites.items():
        _write_site(layout.conf / f"{name}-site.xml", site)
    _write_site(layout.conf / "capacity-scheduler.xml", yarn.scheduler(layout.options))
    shutil.copyfile(layout.home / "etc/hadoop/log4j.properties", layout.conf / "log4j.properties")


def _write_site(path: Path, site: Site) -> None:
    properties = "".join(
        f"  <property><name>{escape(name)}</name><value>{escape(str(value))}</value></property>\n"
        for name, value in site.items()
    )
    path.write_text(f'<?xml version="1.0"?>\n<configuration>\n{properties}</configuration>\n')
