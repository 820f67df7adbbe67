"""The interpreter of a packed environment: program, standard library and shared libraries of a Python that is here."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdl import scratch
from hdl.envpack import elf
from hdl.errors import Unavailable

FOLDER = "python"  # in the archive
FALLBACK = f"{FOLDER}/lib/fallback"  # libraries of the compiler that are used where the node has none
COMPILERS = "libgcc_s.so.1", "libstdc++.so.6"
RPATH = "$ORIGIN/../lib"
SECONDS = 60
# What a Python that is asked says of itself.
ASK = """
import json, os, platform, sys, sysconfig
print(json.dumps({
    "executable": os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable),
    "in_venv": sys.prefix != sys.base_prefix, "name": sys.implementation.name, "tag": sys.implementation.cache_tag,
    "suffix": sysconfig.get_config_var("EXT_SUFFIX"), "version": platform.python_version(),
    "folders": [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")], "libc": platform.libc_ver()[0],
    "below": getattr(sys, "platlibdir", "lib"), "flags": sysconfig.get_config_var("CFLAGS") or "",
}))
"""
# Of the standard library a node needs nothing that has a screen, a terminal, a database or an installer.
LEFT_OUT = (
    *("site-packages", "dist-packages", "test", "tests", "config-*", "__pycache__"),
    *("idlelib", "lib2to3", "ensurepip", "tkinter", "turtle.py", "turtledemo", "pydoc_data", "venv", "curses", "dbm"),
    *("sqlite3", "sitecustomize.py", "usercustomize.py", "__phello__*", "_tkinter.*", "_curses*", "readline.*"),
    *("_dbm.*", "_gdbm.*", "_sqlite3.*", "nis.*", "ossaudiodev.*", "_crypt.*", "_test*", "_ctypes_test.*", "xx*"),
    *("_xxtestfuzz*", "lib.*-linux-*"),
)
_LEFT_OUT = re.compile("|".join(map(fnmatch.translate, LEFT_OUT)))
KINDS = ".py", ".so"


@dataclass(frozen=True)
class Interpreter:
    """Describes a Python that can be packed.

    Parameters
    ----------
    executable : Path
        The program itself, no link and no virtual environment's.
    version : str
    folders : tuple of Path
        Of the standard library.
    below : str
        The folder above ``pythonX.Y`` in an installation: lib or lib64.
    flags : str
        With which its C code was compiled.
    """

    executable: Path
    version: str
    folders: tuple[Path, ...]
    below: str
    flags: str

    @property
    def program(self) -> str:
        """Name the program in the archive."""
        return f"{FOLDER}/bin/{self._short}"

    @property
    def _short(self) -> str:
        return self.folders[0].name  # python3.11, and python3.13t of one without the global lock

    def files(self) -> dict[str, Path]:
        """List program and standard library, without shared libraries: name in the archive to path here."""
        found = {self.program: self.executable}
        for root in reversed(self.folders):
            for folder, folders, names in os.walk(root, followlinks=True):
                folders[:] = filter(_wanted, folders)
                below = os.path.relpath(folder, root)
                for name in filter(_wanted, names):
                    if name.endswith(KINDS):
                        inside = os.path.normpath(f"{FOLDER}/{self.below}/{self._short}/{below}/{name}")
                        found[inside] = Path(folder, name)
        return found


def _wanted(name: str) -> bool:
    return not _LEFT_OUT.match(name)


def here() -> Path:
    """Return the program under this process's environment."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable)


def find(python: Path | None = None) -> Interpreter:
    """Ask a Python what is to be packed of it.

    Parameters
    ----------
    python : Path, optional
        Of the same version and kind as this one, for which the packages were compiled. If not given, the one below this
        process.

    Raises
    ------
    Unavailable
        It cannot be packed; the message says why, and what can be done.
    """
    python = python or here()
    fields = _ask(python)
    if fields["in_venv"]:
        fields = _ask(Path(fields["executable"]))
    import sysconfig

    ours = sys.implementation.cache_tag, sysconfig.get_config_var("EXT_SUFFIX")
    problem = ""
    executable, folders = Path(fields["executable"]), tuple(dict.fromkeys(map(Path, fields["folders"])))
    if fields["name"] != "cpython":
        problem = f"it is {fields['name']}, not CPython"
    elif (fields["tag"], fields["suffix"]) != ours:
        problem = (
            f"it is {fields['tag']} ({fields['suffix']}), and the packages here were made for {ours[0]} ({ours[1]})"
        )
    elif fields["libc"] != "glibc":
        problem = f"its C library is {fields['libc'] or 'unknown'}, not glibc"
    elif not (folders[0] / "os.py").is_file():
        problem = f"its standard library is not the folder {folders[0]}"
    elif not elf.is_elf(executable.read_bytes()[:4]):
        problem = f"{executable} is a script, not the interpreter"
    if problem:
        raise _refused(python, problem)
    return Interpreter(executable, fields["version"], folders, fields["below"], fields["flags"])


def _ask(python: Path) -> dict[str, Any]:
    """Ask a Python what it is; the answer is kept as long as the program is the same, as it takes 50 ms."""
    kept: Path | None = None
    with suppress(OSError, ValueError):
        status = python.stat()
        state = json.dumps([str(python), os.path.realpath(python), status.st_size, status.st_mtime_ns, ASK])
        kept = scratch.cache("python") / hashlib.sha256(state.encode()).hexdigest()
        return json.loads(kept.read_text())
    try:
        done = subprocess.run([python, "-I", "-c", ASK], capture_output=True, text=True, timeout=SECONDS, check=False)
        fields = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        why = done.stderr.strip()[-300:] if isinstance(error, ValueError) else getattr(error, "strerror", None) or error
        raise _refused(python, f"it does not run: {why}") from None
    with suppress(OSError):
        if kept is not None:
            scratch.replace(kept, done.stdout)
    return fields


def _refused(python: Path, problem: str) -> Unavailable:
    return Unavailable(f"{python} cannot be packed for nodes that have no Python: {problem} (--interpreter packs "
                       "another one, --python names one that is on the nodes)")  # fmt: skip


def with_libraries(files: Mapping[str, Path], program: str) -> dict[str, Path]:
    """Add the shared libraries that files of an archive need and that neither glibc nor they themselves bring.

    A module of the standard library that needs a library that is not here either is left out.

    Parameters
    ----------
    files : mapping
        Name in the archive to path here.
    program : str
        Name of the interpreter among them.
    """
    found, placed = dict(files), set()
    brought = {name.rpartition("/")[2] for name in files}  # by packages, for themselves
    first = elf.read(files[program].read_bytes())
    folders = tuple(elf.ORIGIN.sub(str(files[program].parent), folder) for folder in first.folders)
    waiting = [(name, path) for name, path in files.items() if name == program or re.search(r"\.so(\.|$)", name)]
    while waiting:
        name, path = waiting.pop()
        content = path.read_bytes()
        if not elf.is_elf(content):
            continue
        dynamic = elf.read(content)
        for needed in dynamic.needed:
            short = needed.rpartition("/")[2]
            ours = name.startswith(f"{FOLDER}/")
            if elf.GLIBC.match(short) or short in placed or (short in brought and not ours):
                continue
            # Of a package what the system has; what lies elsewhere is its own affair: libjvm.so comes with Java.
            where = elf.find(needed, path, dynamic, folders) if ours else elf.system().get(needed)
            if where is None:
                if "/lib-dynload/" in name:
                    found.pop(name, None)
                elif ours:
                    raise Unavailable(f"{path} needs {needed}, which is not here")
                continue
            placed.add(short)
            added = f"{FALLBACK if short in COMPILERS else f'{FOLDER}/lib'}/{short}"
            found[added] = where
            waiting.append((added, where))
    return found


def content(name: str, path: Path, program: str) -> bytes:
    """Read a file for the archive; of the interpreter and its libraries, changed to run from any folder."""
    if not name.startswith(f"{FOLDER}/") or name.endswith(".py"):
        return path.read_bytes()
    return elf.moved(path, RPATH if name == program else "")
