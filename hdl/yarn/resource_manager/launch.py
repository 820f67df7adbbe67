"""What a container starts with: a Python module, its environment, its files, its secrets; for master and workers."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hdl.errors import SpecError
from hdl.yarn.resource_manager import java
from hdl.yarn.settings import Settings

ENVIRONMENT = "hdl-env"  # the unpacked archive in a container's folder
GPU = "yarn.io/gpu"  # YARN's name of the resource
RECORDS = "org.apache.hadoop.yarn.api.records"
# YARN replaces these wherever they stand in a command or in the environment.
REPLACED = ("{{", "}}", "<LOG_DIR>", "<CPS>", "\n", "\0")


def quoted(word: str) -> str:
    """A word of a command as YARN's launch script takes it: quoted for the shell that runs the command, and once more
    for the one that hands it over between double quotes.

    Raises
    ------
    SpecError
        It holds what YARN would replace.
    """
    return _between_quotes(shlex.quote(word))


def _between_quotes(text: str) -> str:
    for mark in REPLACED:
        if mark in text:
            raise SpecError(f"{text!r}: expected text without {mark!r}, which YARN gives a meaning")
    for mark in '\\"$`':  # the backslash first
        text = text.replace(mark, "\\" + mark)
    return text


def command(python: str, module: str, arguments: Sequence[str] = ()) -> str:
    """A Python module as a container's command, its output in the container's log folder.

    Examples
    --------
    >>> command("python3.11", "hdl.yarn.worker", ["it's"])
    'exec python3.11 -P -m hdl.yarn.worker \\'it\\'\\\\"\\'\\\\"\\'s\\' 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr'
    """
    words = [quoted(word) for word in (python, "-P", "-m", module, *arguments)]
    return " ".join(["exec", *words, "1><LOG_DIR>/stdout", "2><LOG_DIR>/stderr"])


def python_of(settings: Settings) -> str:
    """The Python on the nodes: the user's choice, or a plain one of this version, which the archive was packed for."""
    return settings.python or "python{}.{}".format(*sys.version_info)


def environment(settings: Settings, archive: bool, threads: int) -> dict[str, str]:
    """The environment variables of a container; values are YARN's, which replaces ``{{PWD}}`` by its folder."""
    found = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "HDL_THREADS": str(threads),
    }
    if archive:
        found["PYTHONPATH"] = "{{PWD}}/" + ENVIRONMENT
    # Where nobody has to prove who they are, HDFS takes this name: files are the user's, not the NodeManager's.
    if not java.of("org.apache.hadoop.security.UserGroupInformation").isSecurityEnabled():
        found["HADOOP_USER_NAME"] = _between_quotes(user())
    for name in ("HDL_ISA", "HDL_TRACEBACK", "HDL_FAULT"):  # the submitter's, for tests and searching for errors
        if name in os.environ:
            found[name] = _between_quotes(os.environ[name])
    return found


def user() -> str:
    """Who submits, as Hadoop knows them."""
    return str(java.of("org.apache.hadoop.security.UserGroupInformation").getCurrentUser().getShortUserName())


def resource(conf: Any, path: str, archive: bool = False) -> Any:
    """A file on HDFS for YARN to put, or unpack, into a container's folder; once a node for all applications of a user.

    Raises
    ------
    HdlError
        It cannot be read.
    """
    status = where = None
    with java.told(f"{path}: the nodes shall get it"):
        place = java.of("org.apache.hadoop.fs.Path")(path)
        system = place.getFileSystem(conf)
        status, where = system.getFileStatus(place), system.makeQualified(place)
    kind = java.of(f"{RECORDS}.LocalResourceType")
    return java.of(f"{RECORDS}.LocalResource").newInstance(
        java.of(f"{RECORDS}.URL").fromPath(where),
        kind.ARCHIVE if archive else kind.FILE,
        java.of(f"{RECORDS}.LocalResourceVisibility").PRIVATE,
        status.getLen(),
        status.getModificationTime(),
    )


def context(words: str, variables: Mapping[str, str], files: Mapping[str, Any], credentials: Any) -> Any:
    """The launch context of a container: command, environment, local resources by name, credentials."""
    hashed, listed = java.of("java.util.HashMap"), java.of("java.util.ArrayList")
    resources, named = hashed(), hashed()
    for name, file in files.items():
        resources.put(name, file)
    for name, value in variables.items():
        named.put(name, value)
    commands = listed()
    commands.add(words)
    made = java.of(f"{RECORDS}.ContainerLaunchContext")
    return made.newInstance(resources, named, commands, None, credentials, None)


def amounts(size: Any) -> dict[str, int]:
    """The resources of a container or a queue, by YARN's names."""
    return {str(one.getName()): int(one.getValue()) for one in size.getResources()}


def capability(memory: int, vcores: int, gpus: int = 0) -> Any:
    """A container's size, MiB and processors and GPUs.

    Raises
    ------
    HdlError
        The cluster knows no GPUs.
    """
    size = java.of(f"{RECORDS}.Resource").newInstance(memory, vcores)
    if gpus:
        with java.told(f"{gpus} GPUs a worker: {os.environ.get('HADOOP_CONF_DIR', 'the configuration')} has no {GPU}"):
            size.setResourceValue(GPU, gpus)
    return size
