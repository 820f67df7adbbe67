"""Apache Iceberg: the data files of a table's current snapshot, by its metadata file, manifest list and manifests.

As the table's specification says (iceberg.apache.org/spec): columns are known by numbers, which stay when they are
renamed; files of deletes are refused, since rows that they delete are still in the data files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from hdl import fs
from hdl.arrow import pa
from hdl.data.layouts.delta import kind_word
from hdl.data.layouts.lying import Lying
from hdl.errors import DataError, Unavailable

FOLDER = "metadata"
_FILE = re.compile(r"(?:v(\d+)|(\d+)-[0-9a-f-]{36})(?:\.gz)?\.metadata\.json(?:\.gz)?")
HINT = "version-hint.text"


@cache
def _types() -> dict[str, pa.DataType]:
    """Return Arrow's types by the metadata's names."""
    return {
        "string": pa.string(), "long": pa.int64(), "int": pa.int32(), "float": pa.float32(), "double": pa.float64(),
        "boolean": pa.bool_(), "binary": pa.binary(), "date": pa.date32(), "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", "UTC"), "time": pa.time64("us"), "uuid": pa.string(),
    }  # fmt: skip


_DELETED = 2  # status of a manifest's entry


def is_iceberg(folder: str) -> bool:
    """Tell whether a folder is an Iceberg table."""
    below = fs.join(folder, FOLDER)
    return fs.isdir(below) and any(_FILE.fullmatch(name) for name in fs.list(below))


def is_metadata(path: str) -> bool:
    """Tell whether a path is that of a table's metadata file."""
    return bool(_FILE.fullmatch(path.rsplit("/", 1)[-1]))


def read(folder: str, snapshot: str | None = None, metadata: str | None = None) -> Lying:
    """Find a table's live data files.

    Parameters
    ----------
    snapshot : str, optional
        Number of the snapshot to read; None: the current one.
    metadata : str, optional
        The table's metadata file; None: the one of the highest version.

    Raises
    ------
    DataError
        The metadata is damaged or unclear, or there are files of deletes.
    Unavailable
        fastavro is not installed.
    """
    metadata = metadata or _newest(fs.join(folder, FOLDER))
    table = _json(metadata)
    try:
        return _read(table, folder, metadata, snapshot)
    except (KeyError, TypeError, IndexError, StopIteration, AttributeError) as error:
        raise DataError(f"not the metadata of an Iceberg table ({error!r})", metadata) from None


def _newest(folder: str) -> str:
    """Choose the metadata file of the highest version, which `version-hint.text` may name."""
    files: dict[int, list[str]] = {}
    for name in fs.list(folder):
        if match := _FILE.fullmatch(name):
            files.setdefault(int(match[1] or match[2]), []).append(name)
    with suppress(FileNotFoundError, ValueError), fs.open(fs.join(folder, HINT)) as file:
        hint = int(file.read(20))
        if hint in files:
            files = {number: names for number, names in files.items() if number >= hint}
    last = max(files)
    if len(files[last]) > 1:
        what = f"{' and '.join(files[last])} may each be the table's last state, which its catalog knows"
        raise DataError(f"{what}; name the file that is meant", folder)
    return fs.join(folder, files[last][0])


def _json(path: str) -> dict[str, Any]:
    from hdl.data.streams import open_stream

    try:
        with open_stream(path) as stream:
            return json.loads(stream.read(1 << 30))
    except ValueError as error:
        raise DataError(f"no JSON ({error}); expected the metadata of an Iceberg table", path) from None


def _read(table: dict[str, Any], folder: str, metadata: str, wanted: str | None) -> Lying:
    version = table["format-version"]
    if version > 2:
        what = f"an Iceberg table of version {version}, of which hdl reads 1 and 2"
        raise DataError(f"{what}; export it, or write a table of version 2", metadata)
    number = int(wanted) if wanted is not None else table.get("current-snapshot-id", -1)
    if number in (-1, None):
        raise DataError("the Iceberg table has no snapshot; expected samples", folder)
    snapshot = next((each for each in table["snapshots"] if each["snapshot-id"] == number), None)
    if snapshot is None:
        raise DataError(f"the Iceberg table has no snapshot {number} any more", metadata)
    current = table.get("current-schema-id", 0)
    fields = next(each for each in table.get("schemas") or [table["schema"]] if each.get("schema-id", 0) == current)
    fields = fields["fields"]
    ids = {field["id"]: field["name"] for field in fields}
    schema = {field["name"]: _type(field["type"]) for field in fields}
    parted = {spec["spec-id"]: spec["fields"] for spec in table.get("partition-specs", ())}
    moved = _Moved(table["location"], folder)
    files: dict[str, dict[str, str | None]] = {}
    formats: set[str] = set()
    for manifest in _manifests(snapshot, moved):
        if manifest.get("content", 0):
            raise _deletes(folder)
        same = {field["name"]: ids[field["source-id"]] for field in parted.get(manifest["partition_spec_id"], ())
                if field["transform"] == "identity" and field["source-id"] in ids}  # fmt: skip
        for entry in _records(moved(manifest["manifest_path"])):
            if entry["status"] == _DELETED:
                continue
            file = entry["data_file"]
            if file.get("content", 0):
                raise _deletes(folder)
            formats.add(file["file_format"].lower())
            values = {column: file["partition"].get(name) for name, column in same.items()}
            files[moved(file["file_path"])] = {name: _text(value) for name, value in values.items()}
    if not files:
        raise DataError(f"snapshot {number} of the Iceberg table has no files; expected samples", folder)
    if len(formats) > 1 or not formats <= {"parquet", "orc", "avro"}:
        raise DataError(f"an Iceberg table of {' and '.join(sorted(formats))} files; expected one format", folder)
    keyed = sorted({name for values in files.values() for name in values})
    types = {name: schema[name] for name in keyed}
    reading: dict[str, Any] = {"layout": f"Iceberg table, snapshot {number}"}
    if keyed:
        reading["partitions"] = [f"{name}: {kind_word(types[name])}" for name in keyed]
    keys = {path: values for path, values in files.items() if values}
    return Lying(sorted(files), keys, types, None, ids, schema, formats.pop(), reading, [], str(number))


def _deletes(folder: str) -> DataError:
    what = "an Iceberg table with files of deletes, rows that are deleted but still in the data files, which hdl does"
    return DataError(f"{what} not read; rewrite_data_files with delete-file-threshold 1 (Spark) removes them", folder)


def _manifests(snapshot: dict[str, Any], moved: _Moved) -> Iterator[dict[str, Any]]:
    if "manifest-list" in snapshot:
        yield from _records(moved(snapshot["manifest-list"]))
    else:  # version 1 may list them itself
        yield from ({"manifest_path": path, "partition_spec_id": 0} for path in snapshot["manifests"])


def _records(path: str) -> Iterator[dict[str, Any]]:
    try:
        import fastavro
    except ImportError:
        what = "an Iceberg table, whose lists of files are Avro"
        raise Unavailable(f"{what}; to read them install fastavro: pip install 'hdl-hadoop[tables]'") from None
    with fs.open(path) as file:
        try:
            yield from fastavro.reader(file)  # type: ignore[misc]
        except (ValueError, EOFError, IndexError, KeyError) as error:
            raise DataError(f"not an Avro file ({error}); expected a list of an Iceberg table's files", path) from None


class _Moved:
    """Finds files where the table lies now: what was below its location is below the folder."""

    def __init__(self, location: str, folder: str):
        self.location, self.folder = location.rstrip("/"), folder

    def __call__(self, path: str) -> str:
        if path.startswith(f"{self.location}/"):
            return fs.join(self.folder, path[len(self.location) + 1 :])
        return path


def _type(kind: Any) -> pa.DataType | None:
    if not isinstance(kind, str):
        return None
    if match := re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", kind):
        return pa.decimal128(int(match[1]), int(match[2]))
    return pa.binary() if kind.startswith("fixed") else _types().get(kind)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
