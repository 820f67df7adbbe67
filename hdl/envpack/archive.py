"""Packs the nodes' environment into an archive that is named by what is in it, and puts it on HDFS once."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import py_compile
import sys
import tarfile
import warnings
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path
from typing import IO, Any, cast

from hdl import fs, identity, scratch
from hdl.envpack import interpreter, nodes, packages, states
from hdl.envpack.interpreter import Interpreter
from hdl.envpack.nodes import NEEDS, Needs

UNPACKED = "hdl-env"  # the folder in a container's own that the archive is unpacked to
PYTHON = f"{UNPACKED}/{nodes.LAUNCHER}"  # what starts Python there, from the container's folder
KEPT = 4  # archives in the user's cache: of this environment and of its earlier states
LEVEL = 2  # of gzip: level 4 takes 40 % longer for 5 % less
CHUNK = 1 << 22  # bytes that are compressed at a time, by each processor
MADE = 2  # raised whenever the same files are packed in another way


def pack(folder: Path | None = None, python: str | None = None, packed: Path | None = None) -> Path:
    """Make the archive, unless it is there already.

    Parameters
    ----------
    folder : Path, optional
        Folder for the archive. The user's cache if not given, in which the few used last are kept.
    python : str, optional
        Name or path of a Python that is on every node; none is packed then.
    packed : Path, optional
        The Python to pack; the one below this process if not given.

    Returns
    -------
    Path
        ``<sha256>.tar.gz``.

    Raises
    ------
    Unavailable
        If a package that the nodes need is not installed here, or the Python cannot be packed.
    OutputError
        The disk is full, or the folder takes no files; nothing half-written is left.
    """
    found: Interpreter | str = python or interpreter.find(packed)
    files = packages.contents()
    kept = folder is None
    folder = folder or scratch.cache("env")
    if isinstance(found, Interpreter):
        files |= found.files()
    seen = states.signature(files, f"{MADE} {python}")
    if kept and (archive := states.known(folder, seen)):
        os.utime(archive)  # used last
        return archive
    own = {*files.values()}
    if isinstance(found, Interpreter):
        files = interpreter.with_libraries(files, found.program)
    files = dict(sorted(files.items()))
    contents = {name: path.read_bytes() for name, path in files.items()}
    digest = hashlib.sha256(f"{MADE}\0{python}\0".encode())
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{digest.hexdigest()}.tar.gz"
    if not archive.exists():
        _make(archive, files, contents, found)
    if kept:
        os.utime(archive)
        states.remember(folder, seen, archive, {*files.values()} - own)
        _thin(folder)
    return archive


def needs(archive: Path) -> Needs:
    """Read what a packed environment asks of a node."""
    with tarfile.open(archive) as tar:
        first = tar.next()
        file = tar.extractfile(first) if first is not None and first.name == NEEDS else None
        assert file is not None, "an archive begins with its needs"
        return Needs.from_json(file.read())


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
            fs.publish(path, archive.read_bytes(), private=ours, closed=True)
    return path


def _make(archive: Path, files: dict[str, Path], contents: dict[str, bytes], python: Interpreter | str) -> None:
    """Write the archive: needs first, then all else by name."""
    compiled = {}
    with scratch.directory("hdl-env-") as work:
        for name, content in contents.items():
            if name.endswith(".py") and (code := bytecode(files[name], name, content, work)):
                compiled[_cached(name)] = code
    programs = {nodes.LAUNCHER}
    if isinstance(python, Interpreter):
        programs.add(python.program)
        for name in contents:
            if name.startswith(f"{interpreter.FOLDER}/"):
                contents[name] = interpreter.content(name, files[name], python.program)
    asked = nodes.needs(contents, python)
    others = {**contents, **compiled, **nodes.scripts(asked, python)}

    def write(raw: IO[bytes]) -> None:
        with _Gzip(raw) as packed, tarfile.open(fileobj=cast(Any, packed), mode="w|") as tar:
            for name, content in [(NEEDS, asked.to_json()), *sorted(others.items())]:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o755 if name in programs else 0o644
                tar.addfile(entry, io.BytesIO(content))

    with suppress(FileExistsError):  # another process was quicker; the name is the content
        fs.publish(str(archive), write)


def bytecode(path: Path, name: str, source: bytes, scratch: str) -> bytes | None:
    """Compile a module, or take what Python compiled when it was imported here; None if it does not compile.

    The result holds whatever the source's time is, as an archive needs; it halves the time in which a Python starts.

    Parameters
    ----------
    path : Path
        The source here.
    name : str
        In the archive.
    source : bytes
    scratch : str
        Folder for what is compiled.
    """
    unchecked = MAGIC_NUMBER + (1).to_bytes(4, "little") + source_hash(source)
    with suppress(OSError):
        there, status = Path(cache_from_source(str(path))).read_bytes(), path.stat()
        times = (0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
        if there[:16] == MAGIC_NUMBER + b"".join(number.to_bytes(4, "little") for number in times):
            return unchecked + there[16:]
    with suppress(py_compile.PyCompileError, ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = py_compile.compile(str(path), f"{scratch}/module.pyc", name, doraise=True, optimize=0,
                                  invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)  # fmt: skip
        return Path(made).read_bytes() if made else None
    return None


def _cached(name: str) -> str:
    folder, _, module = name.rpartition("/")
    return f"{folder}/__pycache__/{module[:-3]}.{sys.implementation.cache_tag}.pyc".lstrip("/")


def _thin(cache: Path) -> None:
    """Remove all archives but the `KEPT` that were used last. Other processes may do so at the same time."""
    used = []
    for path in cache.glob("*.tar.gz"):
        with suppress(FileNotFoundError):
            used.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(used)[:-KEPT]:
        path.unlink(missing_ok=True)
    states.thin(cache)


class _Gzip:
    """Compresses what is written in parts of `CHUNK` bytes, each a gzip member, by all processors at once."""

    def __init__(self, raw: IO[bytes]):
        self._raw, self._rest = raw, bytearray()
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        self._parts: deque[Future[bytes]] = deque()

    def write(self, data: bytes) -> int:
        self._rest += data
        while len(self._rest) >= CHUNK:
            self._send(bytes(self._rest[:CHUNK]))
            del self._rest[:CHUNK]
        return len(data)

    def _send(self, part: bytes) -> None:
        self._parts.append(self._pool.submit(gzip.compress, part, LEVEL, mtime=0))
        if len(self._parts) > 8:
            self._raw.write(self._parts.popleft().result())

    def __enter__(self) -> _Gzip:
        return self

    def __exit__(self, *error: object) -> None:
        if self._rest:
            self._send(bytes(self._rest))
        for part in self._parts:
            self._raw.write(part.result())
        self._pool.shutdown()
