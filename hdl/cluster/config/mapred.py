"""``mapred-site.xml``: small and quick virtual machines for short jobs, and the history server."""

from __future__ import annotations

from hdl.cluster.assemble import native_folder
from hdl.cluster.config.common import LOOPBACK, TASK_JAVA, Layout, Site


def site(layout: Layout) -> Site:
    """Make the properties of ``mapred-site.xml``."""
    native = f"LD_LIBRARY_PATH={native_folder(layout.home)}"
    return {
        "mapreduce.framework.name": "yarn",
        "mapreduce.application.classpath": f"{layout.home}/share/hadoop/lib/*",
        "mapreduce.shuffle.port": 0,
        "mapreduce.jobhistory.address": f"{LOOPBACK}:{layout.ports['history']}",
        "mapreduce.jobhistory.admin.address": f"{LOOPBACK}:{layout.ports['history_admin']}",
        "mapreduce.jobhistory.webapp.address": f"{LOOPBACK}:{layout.ports['history_web']}",
        "mapreduce.jobhistory.move.interval-ms": 1000,
        "yarn.app.mapreduce.am.admin.user.env": native,
        "mapreduce.admin.user.env": native,
        "yarn.app.mapreduce.am.resource.mb": 512,
        "yarn.app.mapreduce.am.command-opts": f"-Xmx256m {TASK_JAVA}",
        "yarn.app.mapreduce.am.scheduler.heartbeat.interval-ms": 100,
        "mapreduce.map.memory.mb": 512,
        "mapreduce.reduce.memory.mb": 512,
        "mapreduce.map.java.opts": f"-Xmx192m {TASK_JAVA}",
        "mapreduce.reduce.java.opts": f"-Xmx192m {TASK_JAVA}",
        "mapreduce.task.io.sort.mb": 32,
        "mapreduce.client.progressmonitor.pollinterval": 100,
        "mapreduce.client.completion.pollinterval": 100,
    }
