"""Remembers which archive was made of files in a certain state, so that the same 180 MB are not read at each start.

A state is names, sizes and times, as Git's index has them. The archive itself is named by the bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

KIND = ".known"


def signature(files: Mapping[str, Path], how: str) -> str:
    """Name the state of files: of those that are packed because they were asked for, and of how they are packed.

    Parameters
    ----------
    files : mapping
        Name in the archive to path.
    how : str
    """
    digest = hashlib.sha256(how.encode())
    for name, path in sorted(files.items()):
        digest.update(f"{name}\0{path}\0{_state(path)}\0".encode())
    return digest.hexdigest()


def known(folder: Path, seen: str) -> Path | None:
    """Find the archive that was made of files in this state, unless a library that it brings has changed since."""
    with suppress(OSError, ValueError, LookupError):
        noted = json.loads((folder / f"{seen}{KIND}").read_text())
        archive = folder / noted["archive"]
        if archive.exists() and all(_state(Path(path)) == state for path, state in noted["libraries"].items()):
            return archive
    return None


def remember(folder: Path, seen: str, archive: Path, libraries: Iterable[Path]) -> None:
    """Note the archive that was made of files in a state, and the libraries of the machine that it brings along."""
    with suppress(OSError):
        states = {str(path): _state(path) for path in libraries}
        unfinished = folder / f"{seen}.unfinished"
        unfinished.write_text(json.dumps({"archive": archive.name, "libraries": states}))
        unfinished.replace(folder / f"{seen}{KIND}")


def thin(folder: Path) -> None:
    """Forget states whose archive is gone."""
    for path in folder.glob(f"*{KIND}"):
        with suppress(OSError, ValueError, LookupError):
            if not (folder / json.loads(path.read_text())["archive"]).exists():
                path.unlink(missing_ok=True)


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
