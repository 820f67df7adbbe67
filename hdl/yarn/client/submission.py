"""Checks an application's settings and makes its submission context: the steps of `client.submit`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hdl import kerberos
from hdl.envpack import UNPACKED
from hdl.errors import SpecError
from hdl.yarn.resource_manager import class_path, java, launch, tokens
from hdl.yarn.settings import KEYTAB, Settings

TYPE = "hdl"  # the applications' type in YARN's lists
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
            if names:  # the Fair scheduler lists none before it has made one, and makes those that are asked for
                raise SpecError(f"--queue: expected one of {', '.join(names)} (given {settings.queue!r})")
    if settings.label:
        with java.call("YARN's node labels"):
            labels = sorted(str(label.getName()) for label in yarn.getClusterNodeLabels())
        if settings.label not in labels:
            raise SpecError(
                f"--node-label: expected one of {', '.join(labels) or '(this cluster has none)'} "
                f"(given {settings.label!r})"
            )


def make_folder(conf: Any, folder: str) -> None:
    """Make the application's folder, for its user alone."""
    with java.call(folder):
        place = java.load_class("org.apache.hadoop.fs.Path")(folder)
        allowed = java.load_class("org.apache.hadoop.fs.permission.FsPermission")
        java.load_class("org.apache.hadoop.fs.FileSystem").mkdirs(place.getFileSystem(conf), place, allowed("700"))


def put(conf: Any, path: str, content: bytes) -> None:
    """Write a file into the application's folder, for its user alone."""
    from jpype import JArray, JByte

    with java.call(path):
        place = java.load_class("org.apache.hadoop.fs.Path")(path)
        allowed = java.load_class("org.apache.hadoop.fs.permission.FsPermission")
        system = java.load_class("org.apache.hadoop.fs.FileSystem")
        file = system.create(place.getFileSystem(conf), place, allowed("600"))
        try:
            file.write(JArray(JByte)(content))
        finally:
            file.close()


def files(conf: Any, settings: Settings, classes: str) -> dict[str, dict[str, Any]]:
    """Describe the files that containers get, by their names there: see `launch.located`.

    Parameters
    ----------
    conf : Java's Configuration
    settings : Settings
    classes : str
        The archive of Java's classes on HDFS; empty for none.
    """
    found = {UNPACKED: launch.located(conf, settings.archive)} if settings.archive else {}
    if classes:
        found[class_path.ARCHIVE] = launch.located(conf, classes)
        described = class_path.ARCHIVE.replace(".jsa", ".json")
        found[described] = launch.located(conf, classes.removesuffix(".jsa") + ".json")
    return found


def of_workers(files: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Pick the files that workers get: those for Java where they may need it, by the cluster's tokens."""
    return dict(files) if tokens.secure() else {name: file for name, file in files.items() if name == UNPACKED}


def put_keytab(conf: Any, folder: str) -> str:
    """Write the keytab that the user gave into the application's folder, for the master's container.

    Whoever acts for another user keeps the keys here: they would lie where that user's processes run.

    Returns
    -------
    str
        The principal; empty where there is no keytab to write.
    """
    login = kerberos.given()
    if login is None or os.environ.get("HADOOP_PROXY_USER"):
        return ""
    put(conf, f"{folder}/{KEYTAB}", Path(login.keytab).read_bytes())
    return login.principal


def fill(
    context: Any,
    conf: Any,
    settings: Settings,
    folder: str,
    credentials: Mapping[str, bytes],
    first: Any,
    keytab: bool,
    files: Mapping[str, Mapping[str, Any]],
) -> None:
    """Fill in the submission context: the master's container, name, queue, label and attempts.

    Parameters
    ----------
    context, conf : Java's
    settings : Settings
    folder : str
        The application's.
    credentials : dict
        The master's secret keys, by alias.
    first : Java's Credentials or None
        See `tokens.for_submission`.
    keytab : bool
        The folder has a keytab for the master.
    files : mapping
        What else the master's container gets, by its name there: see `launch.located`.
    """
    sent = {name: launch.resource(file, archive=name == UNPACKED) for name, file in files.items()}
    if keytab:
        sent[KEYTAB] = launch.resource(launch.located(conf, f"{folder}/{KEYTAB}"), shared=False)
    variables = launch.environment(settings, bool(settings.archive), 1)
    words = launch.command(launch.python_of(settings), "hdl.yarn.master", [folder])
    buffer = java.credentials_buffer(dict(credentials), first)
    context.setAMContainerSpec(launch.context(words, variables, sent, buffer, settings))
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
    context.setAttemptFailuresValidityInterval(round(1000 * settings.failures_validity))
    if settings.queue:
        context.setQueue(settings.queue)
    if settings.label:
        context.setNodeLabelExpression(settings.label)
