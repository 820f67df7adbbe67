"""Delta Lake: the files that a table's log says are live, which are not those that lie in its folder.

The log is replayed as its protocol says (github.com/delta-io/delta, PROTOCOL.md): a checkpoint, then the commits after
it. What the log asks of readers and is not done here is refused; nothing else of a table's folder is looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote

from hdl import fs
from hdl.arrow import pa, pq
from hdl.data.layouts.hive import kind_of
from hdl.data.layouts.lying import Lying
from hdl.errors import DataError

LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet")
# What a reader must know of tables whose protocol lists features; deletion vectors are refused where a file has one.
FEATURES = frozenset(
    ("columnMapping", "deletionVectors", "timestampNtz", "typeWidening", "typeWidening-preview", "v2Checkpoint",
     "vacuumProtocolCheck")
)  # fmt: skip


@cache
def _types() -> dict[str, pa.DataType]:
    """Return Arrow's types by the log's names."""
    return {
        "string": pa.string(), "long": pa.int64(), "integer": pa.int32(), "short": pa.int16(), "byte": pa.int8(),
        "float": pa.float32(), "double": pa.float64(), "boolean": pa.bool_(), "binary": pa.binary(),
        "date": pa.date32(), "timestamp": pa.timestamp("us", "UTC"), "timestamp_ntz": pa.timestamp("us"),
    }  # fmt: skip


@dataclass
class _State:
    """The state of a table by what its log has said so far."""

    version: int = -1
    protocol: dict[str, Any] | None = None
    table: dict[str, Any] | None = None
    live: dict[str, dict[str, Any]] = field(default_factory=dict)  # by path, as the log has it

    def apply(self, action: dict[str, Any]) -> None:
        if add := action.get("add"):
            self.live[add["path"]] = add
        elif remove := action.get("remove"):
            self.live.pop(remove["path"], None)
        elif action.get("metaData"):
            self.table = action["metaData"]
        elif action.get("protocol"):
            self.protocol = action["protocol"]
        elif action.get("sidecar") or action.get("checkpointMetadata"):
            raise ValueError("a checkpoint of version 2")


def is_delta(folder: str) -> bool:
    """Tell whether a folder is a Delta table."""
    return fs.isdir(fs.join(folder, LOG))


def read(folder: str, snapshot: str | None = None) -> Lying:
    """Find a table's live files.

    Parameters
    ----------
    snapshot : str, optional
        Version to read; None: the last one.

    Raises
    ------
    DataError
        The log is damaged or lacks a commit, or asks of readers what is not done here.
    """
    log = fs.join(folder, LOG)
    state = _replay(log, None if snapshot is None else int(snapshot))
    if state.table is None or state.protocol is None:
        raise DataError("a log without the table's protocol and columns; expected a Delta table's log", log)
    _check(state, folder)
    columns = json.loads(state.table["schemaString"])["fields"]
    mapped = state.table.get("configuration", {}).get("delta.columnMapping.mode", "none") != "none"
    physical = dict(_mapped(columns)) if mapped else {}
    schema = {column["name"]: _type(column["type"]) for column in columns}
    keyed = [*state.table.get("partitionColumns", ())]
    paths, keys = [], {}
    for name, add in sorted(state.live.items()):
        path = _path(folder, name)
        paths.append(path)
        if keyed:
            said = {physical.get(column, column): value for column, value in add["partitionValues"].items()}
            keys[path] = {column: said.get(column) or None for column in keyed}
    types = {column: schema[column] for column in keyed}
    if not paths:
        raise DataError(f"version {state.version} of the Delta table has no files; expected samples", folder)
    reading: dict[str, Any] = {"layout": f"Delta table, version {state.version}"}
    if keyed:
        reading["partitions"] = [f"{name}: {kind_word(types[name])}" for name in keyed]
    return Lying(
        paths, keys, types, physical if mapped else None, None, schema, "parquet", reading, [], str(state.version)
    )


def kind_word(kind: pa.DataType) -> str:
    """Name the kind of a key's column."""
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "date"
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return kind_of(kind) or ("number" if number else "category")


def _replay(log: str, wanted: int | None) -> _State:
    """Apply the last checkpoint and all commits after it, up to a version."""
    names = fs.list(log)
    commits = {int(match[1]): name for name in names if (match := _COMMIT.fullmatch(name))}
    checkpoints: dict[int, list[str]] = {}
    parts: dict[int, int] = {}
    for name in names:
        if match := _CHECKPOINT.fullmatch(name):
            checkpoints.setdefault(int(match[1]), []).append(name)
            parts[int(match[1])] = int(match[3] or 1)
    last = max((*commits, *checkpoints), default=-1)
    if last < 0:
        raise DataError("an empty log; expected commits such as 00000000000000000000.json", log)
    if wanted is not None and not 0 <= wanted <= last:
        raise DataError(f"version {wanted} is not in the log; the last one is {last}", log)
    last = last if wanted is None else wanted
    state, begin = _State(), 0
    whole = [number for number, each in checkpoints.items() if number <= last and len(each) >= parts[number]]
    if whole:
        begin = max(whole)
        for name in sorted(checkpoints[begin]):
            _apply(state, _rows(fs.join(log, name)), fs.join(log, name))
        begin += 1
    for number in range(begin, last + 1):
        if number not in commits:
            raise DataError(f"commit {number} of the log is missing; expected {number:020d}.json", log)
        path = fs.join(log, commits[number])
        _apply(state, _lines(path), path)
    state.version = last
    return state


def _apply(state: _State, actions: Iterator[dict[str, Any]], path: str) -> None:
    try:
        for action in actions:
            state.apply(action)
    except DataError:
        raise
    except ValueError as error:
        what = f"{error}, which hdl does not read"
        raise DataError(f"{what}; a checkpoint of the classic kind, or an export, is read", path) from None
    except (KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise DataError(f"not an entry of a Delta log ({error})", path) from None


def _lines(path: str) -> Iterator[dict[str, Any]]:
    with fs.open(path) as file:
        for number, line in enumerate(file.read().decode().split("\n"), 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(
                        f"no JSON ({error.msg}); expected an action of the log", path, line=number
                    ) from None


def _rows(path: str) -> Iterator[dict[str, Any]]:
    """Give the actions of a checkpoint, of the columns that matter."""
    with fs.open(path) as file:
        parquet = pq.ParquetFile(file)
        there = set(parquet.schema_arrow.names)
        wanted = ["add", "metaData", "protocol", "sidecar", "checkpointMetadata"]
        wanted = [name for name in wanted if name in there]
        for batch in parquet.iter_batches(4096, columns=wanted, use_threads=False):
            yield from batch.to_pylist(maps_as_pydicts="strict")


def _check(state: _State, folder: str) -> None:
    """Refuse what the table asks of its readers and is not done here."""
    protocol = state.protocol or {}
    version, asked = int(protocol.get("minReaderVersion", 1)), set(protocol.get("readerFeatures") or ())
    if version > 3 or asked - FEATURES:
        what = f"reader version {version}" if version > 3 else ", ".join(sorted(asked - FEATURES))
        raise DataError(f"a Delta table that asks readers for {what}, which hdl does not know; export it", folder)
    deleted = [name for name, add in state.live.items() if add.get("deletionVector")]
    if deleted:
        what = f"a Delta table with deletion vectors (in {len(deleted)} of {len(state.live)} files), rows that are "
        what += "deleted but still in the files, which hdl does not read; REORG TABLE … APPLY (PURGE) rewrites them"
        raise DataError(what, folder)
    if (state.table or {}).get("format", {}).get("provider", "parquet") != "parquet":
        raise DataError(f"a Delta table of {state.table['format']['provider']} files; expected Parquet", folder)  # type: ignore[index]


def _mapped(columns: list[dict[str, Any]], there: str = "", here: str = "") -> Iterator[tuple[str, str]]:
    """Give names in files and in the table, of columns and of fields in structs, as `a.b`."""
    for column in columns:
        name = column["metadata"].get("delta.columnMapping.physicalName", column["name"])
        yield there + name, here + column["name"]
        if isinstance(column["type"], dict) and column["type"].get("type") == "struct":
            yield from _mapped(column["type"]["fields"], f"{there}{name}.", f"{here}{column['name']}.")


def _type(kind: Any) -> pa.DataType | None:
    """Give the Arrow type of a column of the log; None of a nested one, which its files say."""
    if not isinstance(kind, str):
        return None
    if match := re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", kind):
        return pa.decimal128(int(match[1]), int(match[2]))
    return _types().get(kind)


def _path(folder: str, name: str) -> str:
    name = unquote(name)
    return name if re.match(r"[a-z][a-z0-9+.-]*:/|/", name) else fs.join(folder, name)
