"""The packed environment: one archive with all that a node needs beside a Python of the same version.

The archive's root is a folder of packages: with it on PYTHONPATH, a task imports hdl, its core and their
requirements, and nothing is installed on the nodes. Its name is the SHA-256 of its content, so that the same
environment is packed once and uploaded once, and a task can never run with another one than the driver's.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import re
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hdl import fs, identity, scratch
from hdl.errors import Unavailable

# hdl's requirements but rich, which only a terminal needs; pydoop names setuptools, for its own setup.py.
ROOTS = ("click", "numpy", "pillow", "pyarrow", "pydantic", "pydoop", "safetensors")
NOT_ON_NODES = frozenset({"setuptools", "argcomplete", "fsspec"})  # of hdfs-native its command line needs the latter
# For YARN, for GPUs and for tables: packages and modules, where they are here; others do without.
OPTIONAL = {
    "jpype1": "jpype", "pyzmq": "zmq", "pycuda": "pycuda", "hdfs-native": "hdfs_native", "fastavro": "fastavro",
    "cramjam": "cramjam",
}  # fmt: skip
# Files for compiling against a package or for testing it, and 130 MB of pyarrow's 170: RPC, S3, Substrait
# plans. (libarrow_substrait itself is linked to by pyarrow's core.)
LEFT_OUT = (
    *("*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.c", "*.cc", "*.cpp", "*.h", "*.hpp", "*.a", "*.pyc", "*.cmake", "*.pth"),
    *("*/tests/*", "*/include/*", "../*"),
    *("*.dist-info/licenses/*", "*.dist-info/sboms/*", "*.dist-info/RECORD"),
    *("pyarrow/src/*", "pyarrow/*flight*", "pyarrow/*s3*", "pyarrow/_substrait.*"),
    *("pyarrow/libarrow_python*.so", "pyarrow/libarrow_python*.so.*.*"),  # the same again under other names
    *("numpy/f2py/*", "numpy/distutils/*", "PIL/_avif.*", "pillow.libs/libavif*"),
)
# Python imports this by itself when it starts with the archive on its path.
CHECK = '''"""Stops a Python that the packages beside this file were not made for."""
import sys
if sys.version_info[:2] != {version}:
    raise SystemExit("hdl: this node's Python is %d.%d; the environment was packed by Python %d.%d (--python names one)"
                     % (sys.version_info[:2] + {version}))
'''
UNPACKED = "hdl-env"  # the folder in a container's own that the archive is unpacked to
KEPT = 3  # archives in the user's cache: of this environment and of its earlier states
LEVEL = 4  # 60 MB in 4 s; level 6 takes 8 s for 58 MB


def distributions() -> list[importlib.metadata.Distribution]:
    """List the distributions of `ROOTS` and all they require, without extras, sorted by name.

    Raises
    ------
    Unavailable
        If one of them is not installed.
    """
    by_name: dict[str, importlib.metadata.Distribution] = {}
    wanted = [*ROOTS, *(name for name, module in OPTIONAL.items() if importlib.util.find_spec(module))]
    while wanted:
        name = _normal(wanted.pop())
        if name in by_name or name in NOT_ON_NODES:
            continue
        try:
            by_name[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            how = "./build.sh hadoop" if name == "pydoop" else f"pip install {name}"
            raise Unavailable(f"the nodes need {name}, which is not installed here: {how}") from None
        for requirement in by_name[name].requires or ():
            if "extra ==" not in requirement and _applies(requirement):
                wanted.append(re.match(r"[\w.-]+", requirement)[0])  # type: ignore[index]
    return [by_name[name] for name in sorted(by_name)]


def contents() -> dict[str, Path]:
    """Collect the archive's files: name in the archive to path here, sorted by name."""
    files = dict(_hdl())
    for distribution in distributions():
        for entry in distribution.files or ():
            files[str(entry)] = Path(str(distribution.locate_file(entry)))
    kept = {
        name: path
        for name, path in files.items()
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in LEFT_OUT) and path.is_file()
    }
    return dict(sorted(kept.items()))


def pack(folder: Path | None = None) -> Path:
    """Make the archive, unless it is there already.

    Parameters
    ----------
    folder : Path, optional
        Folder for the archive. The user's cache if not given, in which the few used last are kept.

    Returns
    -------
    Path
        ``<sha256>.tar.gz``.

    Raises
    ------
    Unavailable
        If a package that the nodes need is not installed here.
    """
    files = {name: path.read_bytes() for name, path in contents().items()}
    files["sitecustomize.py"] = CHECK.format(version=tuple(sys.version_info[:2])).encode()
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    kept = folder is None
    folder = folder or scratch.cache("env")
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{digest.hexdigest()}.tar.gz"
    if not archive.exists():
        unfinished = archive.with_suffix(f".{os.getpid()}")
        with (
            open(unfinished, "wb") as raw,
            gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as tar,
        ):
            for name, content in sorted(files.items()):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, io.BytesIO(content))
        unfinished.replace(archive)
    if kept:
        os.utime(archive)  # used last
        _thin(folder)
    return archive


def upload(archive: Path, folder: str | None = None) -> str:
    """Put the archive on HDFS, once, and return its path there.

    Parameters
    ----------
    archive : Path
        As `pack` returns it.
    folder : str, optional
        ``.hdl/env`` in our home folder if not given, see `identity.home`.
    """
    ours = folder is None  # one that the user names may be for others too
    folder = folder or fs.join(identity.home(), ".hdl/env")
    path = fs.join(folder, archive.name)
    if not fs.exists(path):
        fs.mkdir(folder, private=ours)
        with suppress(FileExistsError):  # another driver was quicker; the name is the content
            fs.publish(path, archive.read_bytes(), private=ours)
    return path


def _thin(cache: Path) -> None:
    """Remove all archives but the `KEPT` that were used last. Other processes may do so at the same time."""
    used = []
    for path in cache.glob("*.tar.gz"):
        with suppress(FileNotFoundError):
            used.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(used)[:-KEPT]:
        path.unlink(missing_ok=True)


def _hdl() -> Iterator[tuple[str, Path]]:
    """List hdl's own files: name in the archive, and path here."""
    spec = importlib.util.find_spec("hdl")
    for root in map(Path, (spec.submodule_search_locations if spec else None) or ()):
        for path in root.rglob("*"):
            if path.suffix in (".py", ".so", ".json", ".html"):
                yield f"hdl/{path.relative_to(root)}", path


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _applies(requirement: str) -> bool:
    """Tell whether a requirement's marker holds here: it compares versions, or names a platform that is not ours."""
    marker = requirement.partition(";")[2].strip()
    if not marker:
        return True
    if match := re.fullmatch(r"""python_version\s*([<>=!]+)\s*["']([\d.]+)["']""", marker):
        here, there = sys.version_info[:2], tuple(map(int, match[2].split(".")))[:2]
        return {"<": here < there, "<=": here <= there, ">": here > there, ">=": here >= there,
                "==": here == there, "!=": here != there}[match[1]]  # fmt: skip
    return False
