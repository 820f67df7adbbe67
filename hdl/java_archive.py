"""Archives Java's classes, parsed and checked once for all (JEP 310, "AppCDS"): Hadoop's start in half of the time.

An archive is made for a class path of jars. Java takes it where these jars come first on the class path, folders behind
them; so it is used only where no file of a folder is hidden by one in a jar, and the order makes no difference. It is
made once for the jars, the virtual machine and its flags, kept in the user's cache, and sent to a cluster's nodes, each
of which compares. Whatever goes wrong with it, Java starts as it does without.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hdl import programs, scratch
from hdl.errors import HdlError

FOLDER = "classes"  # in the user's cache
MADE = 1  # raised whenever archives are made in another way
KEPT = 2  # archives there, of those used last
MAKE_SECONDS = 30.0  # that a submission may wait, once
AGAIN_SECONDS = 24 * 3600.0  # after a failure
MAX_FILES = 5000  # in the class path's folders, that are looked at
# Errors of the archive are told by `hdl doctor`, not on a container's output.
QUIET = ("-Xshare:auto", "-Xlog:disable", "-Xlog:all=error:stderr", "-Xlog:cds=off", "-Xlog:cds+dynamic=off")
LIST = Path(__file__).with_name("java_classes.txt")  # a package and its classes a line


def described(path: Sequence[str], machine: str, conf: str) -> dict[str, Any] | None:
    """Describe what an archive is made for; None where there can be none.

    Parameters
    ----------
    path : sequence of str
        The class path: the configuration's folder, then jars and other folders.
    machine : str
        Java's library, ``libjvm.so``.
    conf : str
        The configuration's folder.

    Returns
    -------
    dict
        Plain values: Java's library and the jars with their sizes and times, by which nodes compare; other folders.
    """
    if not path or not conf or os.path.realpath(path[0]) != os.path.realpath(conf):
        return None
    jars = [entry for entry in path if entry.endswith(".jar")]
    files = _files([machine, *jars])
    return {"files": files, "folders": [each for each in path[1:] if each not in {*jars}]} if jars and files else None


def fits(description: dict[str, Any]) -> bool:
    """Tell whether an archive that another machine has made was made for what is here."""
    return _files([name for name, *_ in description["files"]]) == description["files"]


def key(description: dict[str, Any]) -> str:
    """Name an archive by what it is made for."""
    return hashlib.sha256(json.dumps([description, MADE, LIST.stat().st_size]).encode()).hexdigest()


def class_path(description: dict[str, Any], conf: str) -> list[str]:
    """Order the class path as an archive needs it: jars, then the configuration's folder and others."""
    return [*_jars(description), conf, *description["folders"]]


def kept(description: dict[str, Any], conf: str) -> Path | None:
    """Find the archive in the user's cache; None where it is not there, or must not be used."""
    archive = _place(description)
    with suppress(OSError, ValueError):
        if archive.exists() and not hidden(archive, conf):
            return archive
    return None


def make(description: dict[str, Any], conf: str, java: str) -> Path:
    """Make the archive, unless it is there or could not be made a short while ago.

    Parameters
    ----------
    description : dict
        See `described`.
    conf : str
        The configuration's folder.
    java : str
        The program.

    Returns
    -------
    Path
        ``….jsa``; beside it, ``….json``, lies the description.

    Raises
    ------
    HdlError
        It cannot be made, or not used.
    """
    archive = scratch.cache(FOLDER) / f"{key(description)}.jsa"
    failed = archive.with_suffix(".failed")
    with suppress(OSError):
        if time.time() - failed.stat().st_mtime < AGAIN_SECONDS:
            raise HdlError(failed.read_text())
    try:
        if not archive.exists():
            _make(archive, description, java)
    except (HdlError, OSError, ValueError) as error:
        with suppress(OSError):
            failed.write_text(str(error))
        raise HdlError(f"Java's classes could not be archived: {error}") from error
    if name := hidden(archive, conf):
        raise HdlError(f"Java's archive of classes is not used: a folder of the class path and a jar both hold {name}")
    _thin(archive)
    return archive


def shown(description: dict[str, Any], conf: str) -> tuple[str, str]:
    """Say where the archive is and how large; or, in the second text, why there is none."""
    archive = _place(description)
    if found := kept(description, conf):
        return f"archived, {found.stat().st_size / 1e6:.0f} MB ({found})", ""
    with suppress(OSError, ValueError):
        if archive.exists():
            return (
                "",
                f"not used: a folder of the class path and a jar both hold {hidden(archive, conf)}",
            )
        return "", f"not archived: {archive.with_suffix('.failed').read_text()}; tried again after a day"
    return "", "not archived yet: the next training on YARN with the packed environment does it"


def _place(description: dict[str, Any]) -> Path:
    return scratch.cache_folder() / FOLDER / f"{key(description)}.jsa"


def hidden(archive: Path, conf: str) -> str:
    """Name a file of the class path's folders that would be hidden, were the jars before them; empty for none."""
    description = json.loads(archive.with_suffix(".json").read_text())
    jarred, seen = {*description["resources"]}, 0
    for folder in (conf, *description["folders"]):
        for where, _, names in os.walk(folder):
            for name in names:
                seen += 1
                inside = os.path.relpath(os.path.join(where, name), folder)
                if name.endswith(".class") or inside in jarred or seen > MAX_FILES:
                    return inside
    return ""


def flags(archive: str | os.PathLike) -> list[str]:
    """Return the flags by which Java takes an archive, if it fits."""
    return [*QUIET, f"-XX:SharedArchiveFile={os.fspath(archive)}"]


def class_list() -> list[str]:
    """List the classes that clients and masters load, beside those of Java's own archive."""
    lines = [line.split() for line in LIST.read_text().splitlines()]
    return [f"{package}/{name}" for package, *names in lines for name in names]


def _make(archive: Path, description: dict[str, Any], java: str) -> None:
    jars, own = _jars(description), Path(java).resolve().parent.parent / "lib/classlist"
    unfinished = archive.with_suffix(f".{os.getpid()}")
    listed, described = unfinished.with_suffix(".list"), archive.with_suffix(".json")
    try:
        base = own.read_text().splitlines() if own.exists() else []
        listed.write_text("\n".join([*(line for line in base if line[:1] != "#"), *class_list(), ""]))
        command = [
            java, "-Xshare:dump", f"-XX:SharedClassListFile={listed}", f"-XX:SharedArchiveFile={unfinished}",
            "-XX:+UseSerialGC", "-Xmx512m", *QUIET[1:3], "-cp", ":".join(jars),
        ]  # fmt: skip
        late = f"java -Xshare:dump took more than {MAKE_SECONDS:g} s"
        programs.check(command, MAKE_SECONDS, "java -Xshare:dump failed", late)
        described.write_text(json.dumps({**description, "resources": _resources(jars)}))
        os.chmod(unfinished, scratch.PRIVATE_FILE)
        unfinished.replace(archive)
    finally:
        for left in (unfinished, listed):
            left.unlink(missing_ok=True)


def _files(names: Sequence[str]) -> list[list[Any]]:
    """List files with their sizes and times, as Java compares them; nothing where one is missing."""
    try:
        found = [(name, os.stat(name)) for name in names]
    except OSError:
        return []
    return [[name, status.st_size, int(status.st_mtime)] for name, status in found]


def _resources(jars: Sequence[str]) -> list[str]:
    """List the files in jars that are no classes."""
    import zipfile

    names: set[str] = set()
    for jar in jars:
        try:
            file = zipfile.ZipFile(jar)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{jar}: {error}") from None
        with file:
            names.update(name for name in file.namelist() if not name.endswith((".class", "/")))
    return sorted(names)


def _jars(description: dict[str, Any]) -> list[str]:
    return [name for name, *_ in description["files"][1:]]


def _thin(last: Path) -> None:
    """Remove all archives but the `KEPT` that were used last. Other processes may do so at the same time."""
    used = []
    os.utime(last)
    for path in last.parent.glob("*.jsa"):
        with suppress(FileNotFoundError):
            used.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(used)[:-KEPT]:
        for each in (path, path.with_suffix(".json"), path.with_suffix(".failed")):
            each.unlink(missing_ok=True)
