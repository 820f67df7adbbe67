"""Hadoop's class path, and the archive of its classes by which Java starts sooner."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hdl import hadoop_conf, java_archive, programs, scratch
from hdl.errors import HdlError, Unavailable

COMMAND_SECONDS = 30.0
CACHED_SECONDS = 24 * 3600.0
ARCHIVE = "hdl-classes.jsa"  # in a container's folder, and beside it its description, .json


def prepared() -> tuple[list[str], list[str]]:
    """Find the class path, and the flags by which Java takes the archive of its classes where there is one.

    A container has the archive that the client has made, if it fits: see `hdl.java_archive`.

    Raises
    ------
    Unavailable
        There is no Hadoop, or its command fails.
    """
    conf, sent = hadoop_conf.folder(), Path(ARCHIVE)
    if "CONTAINER_ID" in os.environ:
        with suppress(OSError, ValueError, LookupError, TypeError):
            description = json.loads(sent.with_suffix(".json").read_text())
            path = java_archive.class_path(description, conf)
            same = description["files"][0][0] == _machine() and java_archive.fits(description)
            if same and all(map(os.path.exists, path)) and not java_archive.hidden(sent, conf):
                return path, java_archive.flags(sent.absolute())
        return entries(), []
    path = entries()
    if (description := archivable(path)) and (archive := java_archive.kept(description, conf)):
        return java_archive.class_path(description, conf), java_archive.flags(archive)
    return path, []


def archivable(path: Sequence[str]) -> dict[str, Any] | None:
    """Describe the archive of Java's classes for a class path; None where there can be none."""
    return java_archive.described(path, _machine(), hadoop_conf.folder())


def archive_shown() -> tuple[str, str]:
    """Say whether Java starts by an archive of its classes, and if it does not, why; for `hdl doctor`."""
    try:
        path, conf = entries(), hadoop_conf.folder()
    except Unavailable as error:
        return "", str(error)
    if (description := archivable(path)) is None:
        return "", "not archived: the class path does not begin with HADOOP_CONF_DIR, or Java's library was not found"
    return java_archive.shown(description, conf)


def program() -> str:
    """Name the program `java` that belongs to the library by which this process starts Java."""
    return str(Path(_machine()).parents[2] / "bin/java")


def _machine() -> str:
    try:
        import jpype

        return str(jpype.getDefaultJVMPath())
    except Exception:  # JPype's own; that there is no Java is told when it is started
        return ""


def entries() -> list[str]:
    """List Hadoop's class path, as `hadoop classpath --glob` prints it; kept for a day, as the command takes 0.5 s.

    Raises
    ------
    Unavailable
        There is no Hadoop, or its command fails.
    """
    home = os.environ.get("HADOOP_HOME")
    command = (home and shutil.which("hadoop", path=f"{home}/bin")) or shutil.which("hadoop")
    if not command:
        raise Unavailable("--runner yarn needs a Hadoop: set HADOOP_HOME, or try `hdl cluster start`")
    names = sorted(name for name in os.environ if name.startswith(("HADOOP_", "YARN_")) or name == "CLASSPATH_PREFIX")
    state = [command, os.stat(command).st_mtime_ns, [(name, os.environ[name]) for name in names]]
    kept = scratch.cache_folder() / "classpath"
    kept /= hashlib.sha256(json.dumps(state).encode()).hexdigest()
    here = "CONTAINER_ID" not in os.environ  # a container of YARN has no home to keep anything in
    with suppress(OSError):
        if here and time.time() - kept.stat().st_mtime < CACHED_SECONDS:
            path = kept.read_text().split(":")
            if all(os.path.exists(entry) for entry in path):
                return path
    try:
        asked = [command, "classpath", "--glob"]
        printed = programs.check(asked, COMMAND_SECONDS, f"`{' '.join(asked)}` failed")
    except (OSError, HdlError) as error:
        raise Unavailable(str(error)) from None
    path = [entry for entry in printed.strip().split(":") if entry and os.path.exists(entry)]
    with suppress(OSError):
        if not here:
            return path
        scratch.cache("classpath")
        scratch.replace(kept, ":".join(path))
    return path
