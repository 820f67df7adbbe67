"""``yarn-site.xml`` and ``capacity-scheduler.xml``: quick heartbeats, daemons that come back, one queue."""

from __future__ import annotations

from hdl.cluster.config.common import LOOPBACK, RM_STATE, Layout, Site

RM_STORE = "org.apache.hadoop.yarn.server.resourcemanager.recovery.FileSystemRMStateStore"
GPU = "yarn.io/gpu"


def site(layout: Layout) -> Site:
    """Make the properties of ``yarn-site.xml``."""
    return {
        "yarn.resourcemanager.hostname": LOOPBACK,
        "yarn.resourcemanager.address": f"{LOOPBACK}:{layout.ports['resourcemanager']}",
        "yarn.resourcemanager.scheduler.address": f"{LOOPBACK}:{layout.ports['scheduler']}",
        "yarn.resourcemanager.resource-tracker.address": f"{LOOPBACK}:{layout.ports['tracker']}",
        "yarn.resourcemanager.admin.address": f"{LOOPBACK}:{layout.ports['admin']}",
        "yarn.resourcemanager.webapp.address": f"{LOOPBACK}:{layout.ports['resourcemanager_web']}",
        # A small cluster's jobs are short: what waits for a heartbeat should not wait for a second.
        "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": 100,
        "yarn.nm.liveness-monitor.expiry-interval-ms": 20000,
        "yarn.am.liveness-monitor.expiry-interval-ms": 120000,  # a busy machine unpacks an environment in 40 s
        # Daemons that are killed and come back find what ran before.
        "yarn.resourcemanager.recovery.enabled": "true",
        "yarn.resourcemanager.store.class": RM_STORE,
        "yarn.resourcemanager.fs.state-store.uri": f"file://{layout.root}/data/{RM_STATE}",
        "yarn.resourcemanager.work-preserving-recovery.scheduling-wait-ms": 1000,
        # Not "supervised": a NodeManager that is asked to end still ends its containers, one that is killed does not.
        "yarn.nodemanager.recovery.enabled": "true",
        "yarn.nodemanager.aux-services": "mapreduce_shuffle",
        "yarn.nodemanager.resource.memory-mb": layout.options["memory"],
        "yarn.nodemanager.resource.cpu-vcores": layout.options["vcores"],
        "yarn.nodemanager.vmem-check-enabled": "false",
        # Without cgroups, which "enforced" counts on, containers over their memory are looked for each second.
        "yarn.nodemanager.resource.memory.enforced": "false",
        "yarn.nodemanager.container-monitor.interval-ms": 1000,
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": 99,
        "yarn.nodemanager.disk-health-checker.min-healthy-disks": 0,
        "yarn.nodemanager.env-whitelist": "JAVA_HOME,HADOOP_HOME,HADOOP_CONF_DIR,PATH,LANG,TZ",
        "yarn.nodemanager.localizer.client.thread-count": 2,
        "yarn.nodemanager.delete.debug-delay-sec": 0,
        "yarn.scheduler.minimum-allocation-mb": 128,
        "yarn.scheduler.maximum-allocation-mb": layout.options["memory"],
        "yarn.log-aggregation-enable": "true",
        "yarn.application.classpath": f"{layout.conf},{layout.home}/share/hadoop/lib/*",
        **_gpus(layout.options),
    }


def _gpus(options: dict) -> Site:
    """Declare GPUs as a resource that is only counted: no container is kept from GPUs that it was not given."""
    count = options.get("gpus", 0)
    return {"yarn.resource-types": GPU, f"yarn.nodemanager.resource-type.{GPU}": count} if count else {}


def scheduler(options: dict) -> Site:
    """Make the properties of ``capacity-scheduler.xml``."""
    root = "yarn.scheduler.capacity.root"
    # The usual one counts memory alone, and refuses to start where there is more to count.
    calculator = "DominantResourceCalculator" if options.get("gpus") else "DefaultResourceCalculator"
    return {
        f"{root}.queues": "default",
        f"{root}.default.capacity": 100,
        f"{root}.default.maximum-capacity": 100,
        f"{root}.default.state": "RUNNING",
        # By default everybody administers every queue, and so may see and end all that runs.
        f"{root}.acl_administer_queue": " ",
        # A master of MapReduce lives on for 5 s after its job, and counts: by half, the next one would wait for it.
        "yarn.scheduler.capacity.maximum-am-resource-percent": 0.8,
        "yarn.scheduler.capacity.node-locality-delay": 4,
        "yarn.scheduler.capacity.resource-calculator": f"org.apache.hadoop.yarn.util.resource.{calculator}",
    }
