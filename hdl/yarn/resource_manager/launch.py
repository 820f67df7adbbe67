"""Makes the launch context of the master's or a worker's container: command, environment, files, credentials."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hdl import identity, timeline
from hdl.envpack import PYTHON, UNPACKED
from hdl.errors import SpecError
from hdl.yarn.names import GPU
from hdl.yarn.resource_manager import java
from hdl.yarn.settings import Settings

RECORDS = "org.apache.hadoop.yarn.api.records"
RUNTIME = "YARN_CONTAINER_RUNTIME_"  # how names of variables begin that tell a NodeManager how to run a container
# YARN replaces these wherever they stand in a command or in the environment.
REPLACED = ("{{", "}}", "<LOG_DIR>", "<CPS>", "\n", "\0")


def quoted(word: str) -> str:
    """Quote a word of a command for YARN's launch script.

    Two shells read it: the one that runs the command, and before it the script's, in which the command stands between
    double quotes.

    Raises
    ------
    SpecError
        The word holds a mark that YARN would replace.
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
    """Make a container's command that runs a Python module, its output in the container's log folder.

    Examples
    --------
    >>> command("hdl-env/bin/python", "hdl.yarn.worker", ["it's"])
    'exec hdl-env/bin/python -P -m hdl.yarn.worker \\'it\\'\\\\"\\'\\\\"\\'s\\' 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr'
    """
    words = [quoted(word) for word in (python, "-P", "-m", module, *arguments)]
    return " ".join(["exec", *words, "1><LOG_DIR>/stdout", "2><LOG_DIR>/stderr"])


def python_of(settings: Settings) -> str:
    """Name the Python that a container runs: the user's choice on the nodes, or the archive's."""
    return settings.python or PYTHON


def environment(settings: Settings, archive: bool, threads: int) -> dict[str, str]:
    """Make the environment variables of a container; YARN puts the container's folder for ``{{PWD}}``."""
    variables = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "HDL_THREADS": str(threads),
    }
    for name in "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS":  # NumPy's, as of the local runner's workers
        variables[name] = str(threads)
    if archive:
        variables["PYTHONPATH"] = "{{PWD}}/" + UNPACKED
    # Where nobody has to prove who they are, HDFS takes this name: files are the user's, not the NodeManager's.
    if not java.secure():
        variables["HADOOP_USER_NAME"] = _between_quotes(user())
    for name in (
        "HDL_ISA",
        "HDL_HDFS",
        "HDL_TRACEBACK",
        "HDL_FAULT",
        timeline.VARIABLE,
    ):  # the submitter's, for tests and searching for errors
        if name in os.environ:
            variables[name] = _between_quotes(os.environ[name])
    return variables | passed_on(settings)


def passed_on(settings: Settings) -> dict[str, str]:
    """Return the variables that the user gave for containers, and those that choose YARN's container runtime.

    The latter (``YARN_CONTAINER_RUNTIME_TYPE=docker`` and the like) are the submitter's; the master has them in its own
    environment, from which its workers' get them.
    """
    runtime = {name: value for name, value in sorted(os.environ.items()) if name.startswith(RUNTIME)}
    return {name: _between_quotes(value) for name, value in {**runtime, **settings.environment}.items()}


def user() -> str:
    """Name the user who submits, as Hadoop knows them."""
    if not java.started():
        return identity.user()
    with java.call("the user's name"):
        return identity.user()


def located(conf: Any, path: str) -> dict[str, Any]:
    """Describe a file on HDFS as the nodes are told of it, by plain values: where it is, its size and its time.

    Raises
    ------
    HdlError
        The file cannot be read.
    """
    with java.call(f"{path}: the nodes shall get it"):
        place = java.load_class("org.apache.hadoop.fs.Path")(path)
        system = place.getFileSystem(conf)
        status, where = system.getFileStatus(place), system.resolvePath(place)  # a node needs no view of ours
        return {"path": str(where), "size": int(status.getLen()), "time": int(status.getModificationTime())}
    raise AssertionError


def resource(file: Mapping[str, Any], archive: bool = False, shared: bool = True) -> Any:
    """Make what YARN puts, or unpacks, into a container's folder of a file's description: see `located`.

    A node fetches it once for all of a user's applications; if it is not `shared`, for this one, and removes it then.
    """
    kind = java.load_class(f"{RECORDS}.LocalResourceType")
    visibility = java.load_class(f"{RECORDS}.LocalResourceVisibility")  # neither is for other users
    return java.load_class(f"{RECORDS}.LocalResource").newInstance(
        java.load_class(f"{RECORDS}.URL").fromPath(java.load_class("org.apache.hadoop.fs.Path")(file["path"])),
        kind.ARCHIVE if archive else kind.FILE,
        visibility.PRIVATE if shared else visibility.APPLICATION,
        file["size"],
        file["time"],
    )


def context(
    command: str, variables: Mapping[str, str], files: Mapping[str, Any], credentials: Any, settings: Settings
) -> Any:
    """Make the launch context of a container: command, environment, local resources by name, credentials.

    The application's access control lists are in it, as every NodeManager learns them from the containers it starts.
    """
    hashed, listed = java.load_class("java.util.HashMap"), java.load_class("java.util.ArrayList")
    resources, named = hashed(), hashed()
    for name, file in files.items():
        resources.put(name, file)
    for name, value in variables.items():
        named.put(name, value)
    commands = listed()
    commands.add(command)
    kinds, acls = java.load_class(f"{RECORDS}.ApplicationAccessType"), hashed()
    acls.put(kinds.VIEW_APP, settings.view_acl or " ")  # a blank is the list of nobody
    acls.put(kinds.MODIFY_APP, settings.modify_acl or " ")
    made = java.load_class(f"{RECORDS}.ContainerLaunchContext")
    return made.newInstance(resources, named, commands, None, credentials, acls)


def amounts(size: Any) -> dict[str, int]:
    """Read the resources of a container or a queue, by YARN's names."""
    return {str(entry.getName()): int(entry.getValue()) for entry in size.getResources()}


def capability(memory: int, vcores: int, gpus: int = 0) -> Any:
    """Make a container's size: memory (MiB), virtual cores and GPUs.

    Raises
    ------
    HdlError
        The cluster knows no GPUs.
    """
    size = java.load_class(f"{RECORDS}.Resource").newInstance(memory, vcores)
    if gpus:
        with java.call(f"{gpus} GPUs a worker: {os.environ.get('HADOOP_CONF_DIR', 'the configuration')} has no {GPU}"):
            size.setResourceValue(GPU, gpus)
    return size
