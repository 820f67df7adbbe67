"""Checks an application's settings and describes it and its master's container: the steps of `client.submit`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hdl import kerberos
from hdl.envpack import UNPACKED
from hdl.errors import SpecError
from hdl.yarn.client.interface import Offer, Submission, Yarn
from hdl.yarn.resource_manager import class_path, java, launch
from hdl.yarn.settings import KEYTAB, Settings


def check(settings: Settings, offer: Offer) -> None:
    """Refuse containers that no node of the cluster can hold.

    Raises
    ------
    SpecError
    """
    if settings.gpus and offer.gpus is None:
        raise SpecError(
            f"--worker-gpus: given {settings.gpus} (--device cuda asks for one); this cluster has no resource type "
            f"{launch.GPU}, or its configuration here does not name it: see docs/cuda.md. --worker-gpus 0 asks for none"
        )
    for flag, given, possible, unit in (
        ("--worker-memory", settings.memory, offer.memory, " MiB"),
        ("--master-memory", settings.master_memory, offer.memory, " MiB"),
        ("--worker-vcores", settings.vcores, offer.vcores, ""),
        ("--worker-gpus", settings.gpus, offer.gpus or 0, ""),
    ):
        if given > possible:
            raise SpecError(f"{flag}: given {given}{unit}; a container of this cluster has at most {possible}{unit}")


def check_place(settings: Settings, yarn: Yarn) -> None:
    """Refuse a queue or a label that the cluster does not have.

    Raises
    ------
    SpecError
    """
    if settings.queue and not yarn.has_queue(settings.queue):
        names = sorted(yarn.queues())
        if names:  # the Fair scheduler lists none before it has made one, and makes those that are asked for
            raise SpecError(f"--queue: expected one of {', '.join(names)} (given {settings.queue!r})")
    if settings.label:
        labels = sorted(yarn.labels())
        if settings.label not in labels:
            raise SpecError(
                f"--node-label: expected one of {', '.join(labels) or '(this cluster has none)'} "
                f"(given {settings.label!r})"
            )


def files(yarn: Yarn, settings: Settings, classes: str) -> dict[str, dict[str, Any]]:
    """Describe the files that containers get, by their names there: see `launch.located`.

    Parameters
    ----------
    yarn : Yarn
    settings : Settings
    classes : str
        The archive of Java's classes on HDFS; empty for none.
    """
    found = {UNPACKED: yarn.located(settings.archive)} if settings.archive else {}
    if classes:
        found[class_path.ARCHIVE] = yarn.located(classes)
        described = class_path.ARCHIVE.replace(".jsa", ".json")
        found[described] = yarn.located(classes.removesuffix(".jsa") + ".json")
    return found


def of_workers(files: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Pick the files that workers get: those for Java where they may need it, by the cluster's tokens."""
    return dict(files) if java.secure() else {name: file for name, file in files.items() if name == UNPACKED}


def put_keytab(yarn: Yarn, folder: str) -> str:
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
    yarn.put(f"{folder}/{KEYTAB}", Path(login.keytab).read_bytes())
    return login.principal


def describe(
    application: str, settings: Settings, folder: str, secret_keys: Mapping[str, bytes], tokens: Any,
    files: Mapping[str, Mapping[str, Any]], keytab: Mapping[str, Any] | None,
) -> Submission:  # fmt: skip
    """Describe an application: its master's container, name, queue, label and attempts.

    Parameters
    ----------
    application : str
    settings : Settings
    folder : str
        The application's.
    secret_keys : mapping
        The master's, by alias.
    tokens : Java's Credentials or None
        See `tokens.for_submission`.
    files : mapping
        What the master's container gets, by its name there: see `launch.located`.
    keytab : mapping or None
        The master's keytab, as one of them.
    """
    sent = {name: {**file, "archive": name == UNPACKED, "shared": True} for name, file in files.items()}
    if keytab:
        sent[KEYTAB] = {**keytab, "archive": False, "shared": False}
    variables = launch.environment(settings, bool(settings.archive), 1)
    words = launch.command(launch.python_of(settings), "hdl.yarn.master", [folder])
    return Submission(application, settings, words, variables, sent, secret_keys, tokens)


def rejected(settings: Settings) -> str:
    """Begin the sentence of an application that YARN does not take."""
    return f"YARN rejected the application: name {settings.name!r}, queue {settings.queue or 'default'!r}"
