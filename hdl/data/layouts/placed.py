"""Finds out how what a user named lies: in a table with a log, in a partition, in neither."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from hdl import fs
from hdl.data.layouts import delta, hive, iceberg, lakes
from hdl.data.layouts.lying import Lying
from hdl.data.names import some
from hdl.data.options import Options
from hdl.data.tabular import flags as kinds
from hdl.data.tabular.frame import KINDS, value_type
from hdl.errors import DataError

MOST = 64  # folders of named files above which a log is looked for
Named = dict[str, str | None]  # keys of a file


def of_folder(path: str, names: Iterable[str], options: Options) -> Lying | None:
    """Find the live files of a folder that is a table with a log, or lies in one."""
    if found := lakes.find(path, names, _snapshot(options)):
        return found
    if (above := _above(path.rstrip("/"))) is None:
        return None
    whole = _table(above, options)
    inside = f"{path.rstrip('/')}/"
    return _part(whole, [name for name in whole.paths if name.startswith(inside)], path)


def of_file(path: str, options: Options) -> Lying | None:
    """Find the table that a file is the metadata of, or one of whose live files it is.

    Raises
    ------
    DataError
        It lies in a table's folder, and is not live.
    """
    if iceberg.is_metadata(path):
        folder = path.rsplit("/", 2)[0] if path.count("/") > 1 else fs.join(path.rpartition("/")[0], "..")
        return iceberg.read(folder, _snapshot(options), path)
    return of_files([path], options)


def of_files(paths: Sequence[str], options: Options) -> Lying | None:
    """Find the table with a log that files lie in; all of them must be live there."""
    folders = sorted({_parent(path) for path in paths} - {""})
    above = {folder: _above(folder, itself=True) for folder in folders[:MOST]}
    tables = {table for table in above.values() if table is not None}
    if not tables:
        return None
    if len(tables) > 1 or None in above.values():
        raise DataError(f"files of several tables with logs ({some(sorted(tables), 3)}); name one", paths[0])
    whole = _table(tables.pop(), options)
    live = set(whole.paths)
    if dead := next((path for path in paths if path not in live and not path.startswith("./")), None):
        what = f"a file that is not live in the {whole.reading['layout']} whose folder it lies in; name the table"
        raise DataError(what, dead)
    return _part(whole, list(paths), paths[0])


def own_keys(path: str) -> Named:
    """Read the keys that a folder's own name says, and those of the folders right above it."""
    out: Named = {}
    for name in reversed(path.rstrip("/").split("/")):
        if not (key := hive.key_of(name)):
            break
        out = {key[0]: key[1], **out}
    return out


def of_model(paths: Sequence[str], wanted: Iterable[str], options: Options) -> Lying | None:
    """Find the keys of the folders that files lie in, if a model wants some of them."""
    files = [(path, own_keys(path.rpartition("/")[0])) for path in paths]
    return partitions(files, paths[0], options) if {*wanted} & {*files[0][1]} else None


def keys_above(path: str, pattern: str) -> Named:
    """Read the keys in the folders of a file's path, from where its pattern has a key or a wildcard."""
    parts = pattern.split("/")
    begin = next((i for i, part in enumerate(parts) if re.search(r"[*?\[=]", part)), len(parts))
    return dict(key for key in map(hive.key_of, path.split("/")[begin:-1]) if key)


def refuse_inside(folder: str, names: Iterable[str]) -> None:
    """Refuse a table with a log among other folders: nothing says that it is a part of one with them."""
    if delta.LOG in names or (iceberg.FOLDER in names and iceberg.is_iceberg(folder)):
        raise DataError("a table with a log among other folders; name the one that is meant", folder)
    lakes.refuse(folder, names)


def partitions(files: list[tuple[str, Named]], folder: str, options: Options) -> Lying:
    """Make files with the keys of their folders a table; flags may say of which kind keys are."""
    lying = hive.lying(files, folder)
    for wish in kinds.parse(options.columns):
        if wish.name in lying.types and wish.by == "flag" and wish.kind in KINDS:
            lying.types[wish.name] = value_type(wish.kind)
    return lying


def _snapshot(options: Options) -> str | None:
    return json.loads(options.found).get("snapshot") if options.found else None


def _table(folder: str, options: Options) -> Lying:
    found = lakes.find(folder, fs.list(folder), _snapshot(options))
    assert found is not None
    return found


def _above(folder: str, itself: bool = False) -> str | None:
    """Find the table with a log above a folder, past partitions and Iceberg's `data`; `itself`: or the folder."""
    if itself and _is_table(folder):
        return folder
    while (name := folder.rsplit("/", 1)[-1]) == "data" or hive.key_of(name):
        folder = _parent(folder)
        if not folder or _is_table(folder):
            return folder or None
    return None


def _parent(path: str) -> str:
    """Name the folder that a path is in; empty at the root of its file system, which is no table."""
    root = re.match(r"(?:[a-zA-Z][\w+.-]*://[^/]*)?/?", path)[0]  # type: ignore[index]
    folder = path[len(root) :].rpartition("/")[0]
    return root + folder if folder else "" if root else "."


def _is_table(folder: str) -> bool:
    return delta.is_delta(folder) or iceberg.is_iceberg(folder)


def _part(whole: Lying, paths: list[str], path: str) -> Lying:
    if not paths:
        raise DataError(f"no live file of the {whole.reading['layout']} lies here; name the table", path)
    whole.paths = paths
    return whole
