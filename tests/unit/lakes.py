"""Writes Delta and Iceberg tables as their own libraries do, without a catalog's server."""

import uuid
from urllib.parse import unquote

import pyarrow as pa
from deltalake import write_deltalake
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io.pyarrow import PyArrowFileIO, _pyarrow_to_schema_without_ids
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import assign_fresh_schema_ids
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.table.update import update_table_metadata

__all__ = ["Folder", "iceberg", "write_deltalake"]


class Folder(NoopCatalog):
    """A catalog of one table, whose state is the last metadata file."""

    def __init__(self):
        super().__init__("folder")
        self.number = 0

    def write(self, metadata, io):
        path = f"{metadata.location}/metadata/{self.number:05d}-{uuid.uuid4()}.metadata.json"
        self.number += 1
        ToOutputFile.table_metadata(metadata, io.new_output(path))
        return path

    def commit_table(self, table, requirements, updates):
        metadata = update_table_metadata(table.metadata, updates, False, table.metadata_location)
        return CommitTableResponse(metadata=metadata, metadata_location=self.write(metadata, table.io))


def iceberg(folder, rows: pa.Table, version=2, **properties):
    """A new Iceberg table with the rows' columns, and without rows."""
    catalog, io = Folder(), PyArrowFileIO()
    (folder / "metadata").mkdir(parents=True)
    (folder / "data").mkdir()
    schema = assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(rows.schema))
    metadata = new_table_metadata(
        schema, UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER, f"file://{folder}",
        {"format-version": str(version), **properties},
    )  # fmt: skip
    return Table(("t",), metadata, catalog.write(metadata, io), io, catalog)


def live(folder, uris):
    """Paths of a library's own list of files, below a folder."""
    return sorted(unquote(uri).removeprefix("file://").removeprefix(f"{folder}/") for uri in uris)
