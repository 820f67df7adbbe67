"""Whatever bytes lie under the names of a table's files, reading ends in a value or in an error of hdl."""

import hashlib
import io
import json

import numpy as np
import pytest

from hdl import fs, wire
from hdl.metrics_log import CHUNK, MetricsLog, chunks
from hdl.table import Table, Version, names
from hdl.table import version as version_file
from hdl.wire import Weights
from tests.fuzz import mutations
from tests.fuzz.test_wire import other_headers


def content(number, rows=(), **more):
    weights = Weights(number, np.float32([1, 2, 3]), {"rule": np.float32([[4, 5, 6]])})
    parent = number - 1 if number else None
    version = Version(number, weights, {"seed": 1, "metric": "cost"}, "run", parent, rows, **more)
    return version_file.encode(version, 0, "", MetricsLog(rows).tail())


ROWS = [{"version": 1, "parent": 0, "val_cost": 0.5}, {"version": 2, "parent": 1, "val_cost": None}]
ABOUT = {"isa": "avx2", "cuts": [[["a", 0, 5]]]}
VERSIONS = [content(0, about=ABOUT, schema={"scale": np.float32([9])}), content(2, ROWS)]
CHUNK_FILE = "\n".join([json.dumps({"before": []}), *[json.dumps(ROWS[0])] * CHUNK, ""]).encode()
OWNER_FIELDS = {"epoch": 1, "tag": "", "run": "run", "writer": "0" * 12, "began": 1.5, "host": "h", "pid": 7}
OWNER = json.dumps(OWNER_FIELDS).encode()


class OneFolder(fs.Local):
    """A file system with one folder, whose files are in memory."""

    files: dict = {}  # noqa: RUF012

    def open(self, path):
        return io.BytesIO(self.files[path.rpartition("/")[2]]) if self.exists(path) else super().open(path)

    def list(self, path):
        return sorted(self.files)

    def size(self, path):
        return len(self.open(path).read())

    def exists(self, path):
        return path.rpartition("/")[2] in self.files

    def isdir(self, path):
        return True


@pytest.fixture(autouse=True)
def in_memory(monkeypatch):
    monkeypatch.setitem(fs._SCHEMES, "", OneFolder)


def read_all(table, number):
    """All that a reader asks of a version."""
    fields, version = table.header(number), table.read(number)
    assert wire.sha256(version.weights.w) == version.signature
    return fields["run"], list(version.rows), version.rows.score(0), table.best()


def read_version(number):
    name = names.version(number)

    def read(data):
        OneFolder.files = {name: data}
        return read_all(Table("/none/table"), number)

    return read


@pytest.mark.parametrize("number", [0, 2])
def test_a_damaged_version_ends_in_a_value_or_an_error(fuzz, number):
    fuzz(read_version(number), mutations.bytes_of(VERSIONS), VERSIONS)


def resigned(data):
    """The same file with the SHA-256 that its damaged content has, so that nothing is found by that alone."""
    try:
        kind, fields, tensors = wire.unpack(data)
        return wire.pack(kind, fields | {"sha256": version_file.digest(fields, tensors)}, tensors)
    except (wire.WireError, ValueError, TypeError, KeyError, AttributeError):
        return data


@pytest.mark.parametrize("number", [0, 2])
def test_a_version_with_other_values_in_its_header_ends_in_a_value_or_an_error(fuzz, number):
    fuzz(read_version(number), other_headers(VERSIONS[bool(number)]).map(resigned), share=0.5)


def test_rows_in_a_file_of_their_own(fuzz):
    def read(data):
        digest = hashlib.sha256(data).hexdigest()
        OneFolder.files = {f"rows-{CHUNK:08d}-{digest[:12]}.jsonl": data}
        before, lines = chunks.read("/none/table", 0, digest)
        return before, MetricsLog.stored("/none/table", CHUNK, digest, []).stale(), len(lines)

    fuzz(read, mutations.bytes_of([CHUNK_FILE]), [CHUNK_FILE], share=0.3)


def test_an_owner_file(fuzz):
    def read(data):
        OneFolder.files = {names.owner(1): data, names.version(0): VERSIONS[0]}
        return Table("/none/table").numbers()

    fuzz(read, mutations.bytes_of([OWNER]), [OWNER])
    fuzz(read, mutations.json_of([OWNER_FIELDS]).map(mutations.text_of))


def test_the_samples_that_genetic_mode_shares(fuzz):
    tensors = {"x": np.zeros((2, 2), np.uint8)}
    fields = {"sha256": version_file.digest({}, tensors)}
    common = wire.pack("common", fields, tensors)

    def read(data):
        OneFolder.files = {names.common(): data, names.version(0): VERSIONS[0]}
        return Table("/none/table").common()

    fuzz(read, mutations.bytes_of([common]), [common], share=0.5)
