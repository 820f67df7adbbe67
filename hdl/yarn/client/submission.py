"""Checks an application's settings and makes its submission context: the steps of `client.submit`."""

from __future__ import annotations

from typing import Any

from hdl.envpack import UNPACKED
from hdl.errors import SpecError
from hdl.yarn.resource_manager import java, launch
from hdl.yarn.settings import TASK_CONFIG, Settings

TYPE = "hdl"  # the applications' type in YARN's lists
FAILURES_SECONDS = 600  # a master's failures are forgotten after so long
MASTER_VCORES = 1


def check(settings: Settings, most: Any) -> None:
    """Refuse containers that no node of the cluster can hold; `most` is the largest container, a Java Resource.

    Raises
    ------
    SpecError
    """
    memory, vcores = int(most.getMemorySize()), int(most.getVirtualCores())
    gpus = launch.amounts(most).get(launch.GPU)
    if settings.gpus and gpus is None:
        raise SpecError(
            f"--worker-gpus: given {settings.gpus} (--device cuda asks for one); this cluster has no resource type "
            f"{launch.GPU}, or its configuration here does not name it: see docs/cuda.md. --worker-gpus 0 asks for none"
        )
    for flag, given, possible, unit in (
        ("--worker-memory", settings.memory, memory, " MiB"),
        ("--master-memory", settings.master_memory, memory, " MiB"),
        ("--worker-vcores", settings.vcores, vcores, ""),
        ("--worker-gpus", settings.gpus, gpus or 0, ""),
    ):
        if given > possible:
            raise SpecError(f"{flag}: given {given}{unit}; a container of this cluster has at most {possible}{unit}")


def check_place(settings: Settings, yarn: Any) -> None:
    """Refuse a queue or a label that the cluster does not have.

    Raises
    ------
    SpecError
    """
    if settings.queue:
        try:
            queue = yarn.getQueueInfo(settings.queue)
        except Exception:  # for an unknown queue some schedulers raise, others return null
            queue = None
        if queue is None:
            with java.call("YARN's queues"):
                names = sorted(str(each.getQueueName()) for each in yarn.getAllQueues())
            raise SpecError(f"--queue: expected one of {', '.join(names)} (given {settings.queue!r})")
    if settings.label:
        with java.call("YARN's node labels"):
            labels = sorted(str(label.getName()) for label in yarn.getClusterNodeLabels())
        if settings.label not in labels:
            raise SpecError(
                f"--node-label: expected one of {', '.join(labels) or '(this cluster has none)'} "
                f"(given {settings.label!r})"
            )


def put_task_config(conf: Any, folder: str, content: bytes) -> None:
    """Make the application's folder, for its user alone, with the task config in it."""
    from jpype import JArray, JByte

    with java.call(folder):
        place = java.load_class("org.apache.hadoop.fs.Path")(folder)
        system = place.getFileSystem(conf)
        allowed = java.load_class("org.apache.hadoop.fs.permission.FsPermission")
        java.load_class("org.apache.hadoop.fs.FileSystem").mkdirs(system, place, allowed("700"))
        file = system.create(java.load_class("org.apache.hadoop.fs.Path")(place, TASK_CONFIG))
        try:
            file.write(JArray(JByte)(content))
        finally:
            file.close()


def fill(context: Any, conf: Any, settings: Settings, folder: str) -> None:
    """Fill in the submission context: the master's container, name, queue, label and attempts."""
    from hdl.yarn.comm.credentials import Credentials

    files = {}
    if settings.archive:
        files[UNPACKED] = launch.resource(conf, settings.archive, archive=True)
    variables = launch.environment(settings, bool(settings.archive), 1)
    words = launch.command(launch.python_of(settings), "hdl.yarn.master", [folder])
    credentials = java.credentials_buffer(Credentials.make().to_dict(), _file_tokens(conf))
    context.setAMContainerSpec(launch.context(words, variables, files, credentials, settings))
    context.setApplicationName(settings.name)
    context.setApplicationType(TYPE)
    if settings.tags:
        tags = java.load_class("java.util.HashSet")()
        for tag in settings.tags:
            tags.add(tag)
        context.setApplicationTags(tags)
    context.setResource(launch.capability(settings.master_memory, MASTER_VCORES))
    context.setMaxAppAttempts(settings.attempts)
    context.setKeepContainersAcrossApplicationAttempts(True)
    context.setAttemptFailuresValidityInterval(1000 * FAILURES_SECONDS)
    if settings.queue:
        context.setQueue(settings.queue)
    if settings.label:
        context.setNodeLabelExpression(settings.label)


def _file_tokens(conf: Any) -> Any:
    """Get the tokens with which the application reads and writes HDFS as its user, on a cluster with Kerberos."""
    if not java.load_class("org.apache.hadoop.security.UserGroupInformation").isSecurityEnabled():
        return None
    tokens = java.load_class("org.apache.hadoop.security.Credentials")()
    with java.call("tokens for HDFS"):
        renewer = java.load_class("org.apache.hadoop.yarn.client.util.YarnClientUtils").getRmPrincipal(conf)
        java.load_class("org.apache.hadoop.fs.FileSystem").get(conf).addDelegationTokens(renewer, tokens)
    return tokens
