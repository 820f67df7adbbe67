"""What YARN is told of an application, and what is refused before: the pieces of `client.submit`."""

from __future__ import annotations

from typing import Any

from hdl.errors import SpecError
from hdl.yarn.resource_manager import java, launch
from hdl.yarn.settings import Settings

KIND = "hdl"  # the applications' type in YARN's lists
ORDER = "order.json"
FAILURES_SECONDS = 600  # a master's failures are forgotten after so long
MASTER_VCORES = 1


def check(settings: Settings, most: Any) -> None:
    """Refuses containers that no node of the cluster can hold."""
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
    """Refuses a queue or a label that the cluster has not."""
    if settings.queue:
        try:
            found = yarn.getQueueInfo(settings.queue)
        except Exception:  # some schedulers answer so
            found = None
        if found is None:
            with java.told("YARN's queues"):
                names = sorted(str(queue.getQueueName()) for queue in yarn.getAllQueues())
            raise SpecError(f"--queue: expected one of {', '.join(names)} (given {settings.queue!r})")
    if settings.label:
        with java.told("YARN's node labels"):
            labels = sorted(str(label.getName()) for label in yarn.getClusterNodeLabels())
        if settings.label not in labels:
            raise SpecError(
                f"--node-label: expected one of {', '.join(labels) or '(this cluster has none)'} "
                f"(given {settings.label!r})"
            )


def put(conf: Any, folder: str, order: bytes) -> None:
    """Makes the application's folder, for its user alone, with the order in it."""
    from jpype import JArray, JByte

    with java.told(folder):
        place = java.of("org.apache.hadoop.fs.Path")(folder)
        system = place.getFileSystem(conf)
        allowed = java.of("org.apache.hadoop.fs.permission.FsPermission")
        java.of("org.apache.hadoop.fs.FileSystem").mkdirs(system, place, allowed("700"))
        file = system.create(java.of("org.apache.hadoop.fs.Path")(place, ORDER))
        try:
            file.write(JArray(JByte)(order))
        finally:
            file.close()


def fill(context: Any, conf: Any, settings: Settings, folder: str) -> None:
    """Everything that YARN is told of the application."""
    from hdl.yarn.comm.credentials import Credentials

    files = {}
    if settings.archive:
        files[launch.ENVIRONMENT] = launch.resource(conf, settings.archive, archive=True)
    variables = launch.environment(settings, bool(settings.archive), 1)
    words = launch.command(launch.python_of(settings), "hdl.yarn.master", [folder])
    credentials = java.secret_bytes(Credentials.make().to_dict(), _file_tokens(conf))
    context.setAMContainerSpec(launch.context(words, variables, files, credentials))
    context.setApplicationName(settings.name)
    context.setApplicationType(KIND)
    context.setResource(launch.capability(settings.master_memory, MASTER_VCORES))
    context.setMaxAppAttempts(settings.attempts)
    context.setKeepContainersAcrossApplicationAttempts(True)
    context.setAttemptFailuresValidityInterval(1000 * FAILURES_SECONDS)
    if settings.queue:
        context.setQueue(settings.queue)
    if settings.label:
        context.setNodeLabelExpression(settings.label)


def _file_tokens(conf: Any) -> Any:
    """On a cluster with Kerberos: tokens with which the application reads and writes HDFS as its user."""
    if not java.of("org.apache.hadoop.security.UserGroupInformation").isSecurityEnabled():
        return None
    tokens = java.of("org.apache.hadoop.security.Credentials")()
    with java.told("tokens for HDFS"):
        renewer = java.of("org.apache.hadoop.yarn.client.util.YarnClientUtils").getRmPrincipal(conf)
        java.of("org.apache.hadoop.fs.FileSystem").get(conf).addDelegationTokens(renewer, tokens)
    return tokens
