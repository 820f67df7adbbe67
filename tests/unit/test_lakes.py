"""Tables with a log are read by their live files, as their own libraries list them, or refused with the reason."""

import datetime as dt
import json
import shutil

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hdl import data
from hdl.data.layouts import delta
from hdl.errors import DataError, Unavailable

lakes = pytest.importorskip("tests.unit.lakes")
DeltaTable = pytest.importorskip("deltalake").DeltaTable


def table(start, n, day=1):
    days = [dt.date(2024, 1, day)] * n
    return pa.table({"a": pa.array(range(start, start + n), pa.int64()), "c": [f"l{i % 3}" for i in range(n)],
                     "label": pa.array([i % 2 for i in range(n)], pa.int64()), "day": days})  # fmt: skip


def numbers(path, options=None, shards=2, name="a"):
    """What is in column a, sorted, and the source; read as workers do, who get what the driver found."""
    source = data.open_source(str(path), options)
    worker = data.open_source(str(path), source.settled())
    at = [column.name for column in source.columns if column.kind == "number"].index(name)
    found = []
    for part in source.splits(shards):
        for block in worker.read(part):
            x = block.x if not hasattr(block.x, "numbers") else block.x.numbers
            found += x[:, at].tolist()
    return sorted(found), source


# Delta Lake


def rewritten(folder, **options):
    """A table of 30 rows, which was written over by one of 4 rows, and appended to."""
    lakes.write_deltalake(str(folder), table(0, 30), **options)
    lakes.write_deltalake(str(folder), table(100, 4, 2), mode="overwrite")
    lakes.write_deltalake(str(folder), table(200, 2, 3), mode="append")
    return folder


@pytest.mark.parametrize("options", [{}, {"partition_by": ["day", "c"]}])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_delta_table_is_read_by_its_live_files(tmp_path, options, checkpoint):
    folder = rewritten(tmp_path / "t", **options)
    if checkpoint:
        DeltaTable(str(folder)).create_checkpoint()
        lakes.write_deltalake(str(folder), table(300, 1, 4), mode="append")
        for commit in range(2):  # as a log is cleaned up
            (folder / "_delta_log" / f"{commit:020d}.json").unlink()
    found, source = numbers(folder)
    assert found == [100, 101, 102, 103, 200, 201] + [300] * checkpoint
    assert source.reading["layout"] == f"Delta table, version {3 if checkpoint else 2}"
    assert source.reading["format_by"] == "log"
    ours = [path.removeprefix(f"{folder}/") for path in delta.read(str(folder)).paths]
    theirs = lakes.live(folder, DeltaTable(str(folder)).file_uris())
    assert [lakes.unquote(path) for path in ours] == theirs
    assert {column.name: column.kind for column in source.columns} == {"a": "number", "c": "category", "day": "date"}
    picked, source = numbers(folder, {"where": "day = 2024-01-02 and c = 'l0'"})
    assert picked == [100, 103]
    if options:
        assert source.reading["partitions"] == ["day: date", "c: category"]
        assert len(source.paths) == 1


def test_workers_read_the_version_that_the_driver_found(tmp_path):
    folder = rewritten(tmp_path / "t")
    source = data.open_source(str(folder))
    settled, splits = source.settled(), source.splits(1)[0]
    lakes.write_deltalake(str(folder), table(900, 50), mode="overwrite")
    worker = data.open_source(str(folder), settled)
    assert sum(len(block) for block in worker.read(splits)) == 6
    assert worker.splits(3) == source.splits(3)
    assert numbers(folder)[0] == list(range(900, 950))


def test_columns_that_were_added_or_renamed(tmp_path):
    folder = tmp_path / "t"
    inner = pa.array([{"u": 1.5}, None, {"u": None}])
    lakes.write_deltalake(str(folder), table(0, 3).append_column("s", inner))
    more = table(10, 3).append_column("more", pa.array([1.5, 2.5, 3.5]))
    lakes.write_deltalake(str(folder), more, mode="append", schema_mode="merge")
    found, source = numbers(folder)
    assert (found, source.names) == ([0, 1, 2, 10, 11, 12], ["a", "c", "day", "s.u", "more"])
    assert source.reading["drift"] == ["more: missing in 1 of 2 files"]
    # A name is another than the files': those of the log decide.
    log = folder / "_delta_log" / "00000000000000000002.json"
    fields = json.loads(DeltaTable(str(folder)).schema().to_json())["fields"]
    for each in fields:
        each["metadata"] = {"delta.columnMapping.physicalName": each["name"], "delta.columnMapping.id": 1}
        each["name"] = {"a": "renamed", "s": "struct"}.get(each["name"], each["name"])
        if each["name"] == "struct":
            (field,) = each["type"]["fields"]
            field |= {"name": "inside", "metadata": {"delta.columnMapping.physicalName": "u"}}
    fields = [each for each in fields if each["name"] != "more"]  # dropped: it is still in a file
    meta = {"id": "x", "format": {"provider": "parquet", "options": {}}, "partitionColumns": [], "createdTime": 0,
            "schemaString": json.dumps({"type": "struct", "fields": fields}),
            "configuration": {"delta.columnMapping.mode": "name"}}  # fmt: skip
    protocol = {"minReaderVersion": 2, "minWriterVersion": 5}
    log.write_text("\n".join(json.dumps(each) for each in ({"metaData": meta}, {"protocol": protocol})))
    found, source = numbers(folder, name="renamed")
    assert (found, source.names) == ([0, 1, 2, 10, 11, 12], ["renamed", "c", "day", "struct.inside"])


def commit(folder, *actions):
    number = len(list((folder / "_delta_log").glob("*.json")))
    (folder / "_delta_log" / f"{number:020d}.json").write_text("\n".join(map(json.dumps, actions)))


def test_delta_tables_that_hdl_cannot_honour_are_refused(tmp_path):
    folder = rewritten(tmp_path / "t")
    plain = shutil.copytree(folder, tmp_path / "plain")
    add = json.loads((folder / "_delta_log" / f"{2:020d}.json").read_text().splitlines()[-1])
    add = next(
        json.loads(line)
        for line in (folder / "_delta_log" / f"{2:020d}.json").read_text().splitlines()
        if '"add"' in line
    )
    add["add"]["deletionVector"] = {"storageType": "u", "pathOrInlineDv": "x", "sizeInBytes": 1, "cardinality": 1}
    commit(
        folder, {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"]}}, add
    )
    with pytest.raises(DataError, match=r"deletion vectors \(in 1 of 2 files\).* REORG TABLE … APPLY \(PURGE\)"):
        data.open_source(str(folder))
    cases = {
        "asks readers for liquidTime, which": [
            {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["liquidTime"]}}
        ],
        "asks readers for reader version 9": [{"protocol": {"minReaderVersion": 9, "minWriterVersion": 9}}],
        "has no files; expected samples": [
            {"remove": {"path": path.rsplit("/", 1)[-1]}} for path in delta.read(str(plain)).paths
        ],
    }  # fmt: skip
    for message, actions in cases.items():
        folder = shutil.copytree(plain, tmp_path / str(len(message)))
        commit(folder, *actions)
        with pytest.raises(DataError, match=message):
            data.open_source(str(folder))
    (plain / "_delta_log" / f"{1:020d}.json").unlink()
    with pytest.raises(DataError, match=r"commit 1 of the log is missing; expected 0{19}1.json"):
        data.open_source(str(plain))
    (plain / "_delta_log" / f"{1:020d}.json").write_text("{broken\n")
    with pytest.raises(DataError, match=r"0{19}1.json:1: no JSON"):
        data.open_source(str(plain))


def test_a_part_of_a_delta_table_is_no_other_table(tmp_path):
    folder = rewritten(tmp_path / "t", partition_by=["day"])
    live = delta.read(str(folder)).paths
    assert numbers(folder / "day=2024-01-02")[0] == [100, 101, 102, 103]
    assert numbers(live[0])[0] == [100, 101, 102, 103]
    assert numbers(f"{folder}/day=2024-01-0[23]/*.parquet")[0] == [100, 101, 102, 103, 200, 201]
    with pytest.raises(DataError, match="no live file of the Delta table, version 2 lies here; name the table"):
        data.open_source(str(folder / "day=2024-01-01"))
    for path in (next(iter((folder / "day=2024-01-01").glob("*.parquet"))), f"{folder}/*/*.parquet"):
        with pytest.raises(DataError, match="not live in the Delta table, version 2 whose folder it lies in; name"):
            data.open_source(str(path))
    (tmp_path / "other").mkdir()
    pq.write_table(table(0, 3), tmp_path / "other" / "a.parquet")
    with pytest.raises(DataError, match="a table with a log among other folders; name the one that is meant"):
        data.open_source(str(tmp_path))
    with pytest.raises(DataError, match="a table with a log has no test part; --where picks"):
        data.open_source(f"{folder}:test")


# Iceberg


def test_an_iceberg_table_is_read_by_its_live_files(tmp_path, monkeypatch):
    made = lakes.iceberg(tmp_path / "t", table(0, 30))
    made.append(table(0, 30))
    made.append(table(50, 9))
    made.overwrite(table(100, 4, 2))
    with made.update_schema() as change:
        change.rename_column("a", "renamed")
        change.add_column("more", made.schema().find_type("label"))
        change.delete_column("c")
    rows = table(200, 2, 3).drop_columns(["c"]).rename_columns({"a": "renamed"})
    made.append(rows.append_column("more", pa.array([7, 8], pa.int64())))
    found, source = numbers(tmp_path / "t", name="renamed")
    assert found == sorted(made.scan().to_arrow()["renamed"].to_pylist()) == [100, 101, 102, 103, 200, 201]
    assert source.names == ["renamed", "day", "more"]
    assert source.reading["layout"] == f"Iceberg table, snapshot {made.current_snapshot().snapshot_id}"
    assert [path.rsplit("/", 1)[-1] for path in source.paths] == lakes.live(
        f"{tmp_path}/t/data", [task.file.file_path for task in made.scan().plan_files()]
    )
    settled = source.settled()
    made.append(rows.append_column("more", pa.array([7, 8], pa.int64())))
    worker = data.open_source(str(tmp_path / "t"), settled)
    assert sum(len(block) for block in worker.read(source.splits(1)[0])) == 6
    assert len(numbers(made.metadata_location.removeprefix("file://"), name="renamed")[0]) == 8
    moved = shutil.move(tmp_path / "t", tmp_path / "moved")
    assert len(numbers(moved, name="renamed")[0]) == 8
    monkeypatch.setitem(__import__("sys").modules, "fastavro", None)
    with pytest.raises(Unavailable, match=r"an Iceberg table.* install fastavro: pip install 'hdl-hadoop"):
        data.open_source(str(moved))


def test_an_entry_that_says_deleted_is_no_live_file(tmp_path):
    """As manifests of engines that keep such entries have it."""
    made = lakes.iceberg(tmp_path / "t", table(0, 3))
    made.append(table(0, 3))
    made.append(table(10, 3))
    path = made.current_snapshot().manifests(made.io)[0].manifest_path.removeprefix("file://")
    with open(path, "rb") as file:
        reader = fastavro.reader(file)
        entries, schema = list(reader), reader.writer_schema
    with open(path, "wb") as file:
        fastavro.writer(file, schema, [{**each, "status": 2} for each in entries])
    assert numbers(tmp_path / "t")[0] == [0, 1, 2]


def test_iceberg_tables_that_hdl_cannot_honour_are_refused(tmp_path):
    folder = tmp_path / "t"
    made = lakes.iceberg(folder, table(0, 3))
    with pytest.raises(DataError, match="the Iceberg table has no snapshot; expected samples"):
        data.open_source(str(folder))
    made.append(table(0, 3))
    newest = next(iter(folder.glob("metadata/00001-*.metadata.json")))
    twin = shutil.copy(newest, newest.with_name(newest.name.replace("00001-", "00001-0")[:-15] + ".metadata.json"))
    shutil.move(twin, newest.with_name(f"00001-{'0' * 8}-0000-0000-0000-{'0' * 12}.metadata.json"))
    with pytest.raises(DataError, match=r"00001-.* and 00001-.* may each be the table's last state.*name the file"):
        data.open_source(str(folder))
    assert numbers(newest)[0] == [0, 1, 2]
    newest.with_name(f"00001-{'0' * 8}-0000-0000-0000-{'0' * 12}.metadata.json").unlink()
    state = json.loads(newest.read_text())
    newest.write_text(json.dumps({**state, "format-version": 3}))
    with pytest.raises(DataError, match="an Iceberg table of version 3, of which hdl reads 1 and 2"):
        data.open_source(str(folder))
    newest.write_text("{}")
    with pytest.raises(DataError, match="not the metadata of an Iceberg table"):
        data.open_source(str(folder))
    newest.write_text(json.dumps(state))
    path = state["snapshots"][-1]["manifest-list"].removeprefix("file://")
    with open(path, "rb") as file:
        reader = fastavro.reader(file)
        lists, schema = list(reader), reader.writer_schema
    with open(path, "wb") as file:
        fastavro.writer(file, schema, [{**each, "content": 1} for each in lists])
    with pytest.raises(DataError, match=r"an Iceberg table with files of deletes.*rewrite_data_files"):
        data.open_source(str(folder))


# Hive's own, and Hudi


@pytest.mark.parametrize("inside", ["", "dt=2024-01-01"])
@pytest.mark.parametrize(
    "name", ["delta_0000001_0000001_0000", "base_0000005", "base_0000005_v0001", "delete_delta_0000002_0000002"]
)
def test_hive_tables_with_transactions_are_refused(tmp_path, name, inside):
    folder = tmp_path / "t" / inside / name
    folder.mkdir(parents=True)
    pq.write_table(table(0, 3), folder / "bucket_00000")
    with pytest.raises(DataError, match=rf"a table of Hive's with transactions \({name}/\).* COMPACT 'major'"):
        data.open_source(str(tmp_path / "t"))


def test_hudi_tables_are_refused(tmp_path):
    (tmp_path / ".hoodie").mkdir()
    pq.write_table(table(0, 3), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a Hudi table.*export the live rows"):
        data.open_source(str(tmp_path))


def test_folders_that_are_only_called_so_are_none(tmp_path):
    for name in ("metadata", "data"):
        (tmp_path / name).mkdir()
    pq.write_table(table(0, 3), tmp_path / "data" / "a.parquet")
    assert numbers(tmp_path / "data")[0] == [0, 1, 2]
    assert numbers(tmp_path)[0] == [0, 1, 2]
