"""A table's rows: each is written once, none is lost, and damaged ones are named."""

import json
from pathlib import Path

import numpy as np
import pytest

from hdl import fs, wire
from hdl.errors import TableError, VersionExists
from hdl.metrics_log import CHUNK, MetricsLog, best
from hdl.table import Table
from hdl.table import version as version_file
from tests.unit.table_versions import row, version


@pytest.fixture
def table(tmp_path):
    return Table(str(tmp_path / "model"))


def rows_of(count, label="", first=1):
    """Makes the rows of `count` rounds; another `label` makes them others."""
    return [{**row(number, 1 / number), "time": label} for number in range(first, first + count)]


def files(table):
    return sorted(Path(path).name for path in table.row_files())


def test_rows_add_up_and_the_old_ones_stay():
    rows, seen = MetricsLog(), []
    for one in rows_of(3 * CHUNK + 5):
        seen.append(rows)
        rows = rows.then(one)
    assert rows == rows_of(3 * CHUNK + 5)
    assert [len(one) for one in seen] == list(range(len(rows)))
    assert seen[CHUNK + 1] == rows_of(CHUNK + 1)
    other = seen[CHUNK].then(*rows_of(2))
    assert other[-1] == rows_of(2)[-1]
    assert other != rows[: len(other)]
    assert rows[-1] == rows_of(len(rows))[-1]
    assert rows[1:4] == rows_of(4)[1:]
    assert rows != rows_of(5)
    assert rows != 7
    with pytest.raises(IndexError):
        rows[len(rows)]


def test_a_log_has_the_validation_costs_of_a_list():
    costs = [None, 3.0, None, 1.0, 2.0, 1.0, None, 4.0]
    plain = [row(number + 1, cost) for number, cost in enumerate(costs)]
    assert best(plain) == best(MetricsLog(plain)) == 3  # the earliest of equals
    assert best(plain, [0, 1, 4, 6, 9]) == best(MetricsLog(plain), [0, 1, 4, 6, 9]) == 4
    assert best(MetricsLog(plain), [0, 2, 8]) is best([], [0]) is None
    assert [MetricsLog(plain[:n]).stale() for n in range(9)] == [0, 0, 0, 0, 0, 1, 2, 2, 3]


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("every", [5, CHUNK, 2 * CHUNK - 1])
def test_no_row_is_lost_however_far_apart_versions_are(table, every, as_list):
    table.publish(version(0))
    rows = MetricsLog()
    for one in rows_of(3 * CHUNK + 3):
        rows = rows.then(one)
        if len(rows) % every == 0 or len(rows) == 3 * CHUNK + 3:
            table.publish(version(len(rows), rows=list(rows) if as_list else rows))
            table.thin(1, rows)
    again = Table(table.path)
    assert again.rows() == again.read().rows == rows_of(len(rows))
    assert len(files(table)) == 3
    assert again.best() in again.numbers()
    kept = again.numbers()
    assert {0, len(rows)} <= set(kept)
    assert len(kept) <= 4
    for number in kept:  # each tells its own past
        assert again.header(number)["rows"] == rows_of(number)


def test_a_version_grows_no_more_once_a_chunk_is_full(table):
    sizes = {}
    rows = MetricsLog()
    for one in rows_of(5 * CHUNK):
        rows = rows.then(one)
        if len(rows) % CHUNK == CHUNK // 2:
            table.publish(version(len(rows), rows=rows))
            sizes[len(rows)] = Path(table.file(len(rows))).stat().st_size
    assert max(sizes.values()) < 1.1 * min(sizes.values())
    assert sum(len(chunk.lines or ()) for chunk in rows._chunks) <= 2 * CHUNK  # the rest is in files alone


def test_the_best_version_is_one_that_is_there(table):
    costs = [5.0, 4.0, 1.0, 3.0, 2.0, 6.0, 7.0, 8.0, 9.0]
    rows = MetricsLog([row(number + 1, cost) for number, cost in enumerate(costs)])
    for number in 0, 4, 6, 8, 9:
        table.publish(version(number, rows=MetricsLog(rows[:number])))
    assert best(rows) == 2
    assert table.best() == 4
    table.thin(0)
    assert table.numbers() == [0, 4, 9]
    assert table.rows() == rows


def test_a_log_continues_a_tables_rows_and_only_what_is_new_is_written(table):
    table.publish(version(CHUNK + 9, rows=MetricsLog(rows_of(CHUNK + 9))))
    (first,) = files(table)
    rows = Table(table.path).read().rows
    assert (rows.stale(), rows.score(3)) == (0, 1 / 4)
    rows = rows.then(*rows_of(2 * CHUNK, first=CHUNK + 10))
    again = Table(table.path)
    again.publish(version(len(rows), rows=rows))
    assert files(table)[0] == first
    assert len(files(table)) == 3
    assert Table(table.path).rows() == rows_of(3 * CHUNK + 9)


def test_a_driver_that_died_after_its_rows_is_no_hindrance(table):
    table.publish(version(CHUNK - 1, rows=MetricsLog(rows_of(CHUNK - 1))))
    MetricsLog([*rows_of(CHUNK - 1), *rows_of(1, "the first to get there", first=CHUNK)]).file(table.path)
    rows = table.read().rows.then(*rows_of(1, "the second", first=CHUNK))
    assert table.rows() == rows_of(CHUNK - 1)
    table.publish(version(CHUNK, rows=rows))
    assert len(files(table)) == 2
    assert Table(table.path).rows()[-1]["time"] == "the second"
    table.publish(version(CHUNK + 1, rows=rows.then(*rows_of(1, first=CHUNK + 1))))
    assert [one["time"] for one in Table(table.path).rows()][-3:] == ["", "the second", ""]


def test_of_two_drivers_one_is_refused_and_the_others_rows_stay_whole(table):
    table.publish(version(0))
    one, two = Table(table.path), Table(table.path)
    one.publish(version(CHUNK, rows=MetricsLog(rows_of(CHUNK, "one"))))
    with pytest.raises(VersionExists):
        two.publish(version(CHUNK, rows=MetricsLog(rows_of(CHUNK, "two"))))
    one.publish(version(2 * CHUNK, rows=MetricsLog(rows_of(2 * CHUNK, "one"))))
    assert {row["time"] for row in Table(table.path).rows()} == {"one"}


def test_the_same_rows_are_written_once_and_into_another_table_again(table, tmp_path):
    rows = MetricsLog(rows_of(2 * CHUNK))
    for _ in range(2):
        MetricsLog(rows_of(2 * CHUNK)).file(str(tmp_path))
    other = Table(str(tmp_path))
    assert len(files(other)) == 2
    other.publish(version(2 * CHUNK, rows=rows))
    table.publish(version(2 * CHUNK + 1, rows=other.read().rows.then(*rows_of(1, first=2 * CHUNK + 1))))
    for path in other.row_files():
        Path(path).unlink()
    assert Table(table.path).rows() == rows_of(2 * CHUNK + 1)


def test_weights_are_read_without_their_rows_and_missing_rows_are_named(table):
    """As in a job's distributed cache, where the versions are but not their rows."""
    table.publish(version(2 * CHUNK + 1, rows=MetricsLog(rows_of(2 * CHUNK + 1))))
    first, last = map(Path, table.row_files())
    assert first.name.startswith(f"rows-{CHUNK:08d}-")
    first.unlink()
    again = Table(table.path)
    newest = again.read()
    assert newest.weights.w.tolist() == [1, 2, 3]
    assert newest.rows[-1] == rows_of(2 * CHUNK + 1)[-1]
    assert again.latest() == 2 * CHUNK + 1
    for read in again.rows, lambda: newest.rows:
        with pytest.raises(TableError, match=rf"{first.name}: cannot be read: .*No such file"):
            list(read())
    last.unlink()
    with pytest.raises(TableError, match=last.name):
        Table(table.path).rows()[0]


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "empty"])
def test_damaged_rows_are_named(table, damage):
    table.publish(version(0))
    table.publish(version(2 * CHUNK, rows=MetricsLog(rows_of(2 * CHUNK))))
    first, last = map(Path, table.row_files())
    whole = first.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    content = {"flip": bytes(flipped), "cut": whole[:-1], "swap": last.read_bytes(), "empty": b""}[damage]
    first.write_bytes(content)
    with pytest.raises(TableError, match=rf"{first.name}: its SHA-256 is"):
        list(Table(table.path).rows())
    with pytest.raises(TableError, match=first.name):
        Table(table.path).best()


def test_rows_that_are_not_hdls_are_refused_though_their_sum_is_right(table):
    import hashlib

    for content in b"", b"{}\n", b"\xff", json.dumps({"before": []}).encode() + b"\n[]\n":
        digest = hashlib.sha256(content).hexdigest()
        Path(table.path).mkdir(exist_ok=True)
        Path(table.path, f"rows-{CHUNK:08d}-{digest[:12]}.jsonl").write_bytes(content)
        with pytest.raises(TableError, match=f"not {CHUNK} rows of metrics"):
            list(MetricsLog.stored(table.path, CHUNK, digest, []))


def test_rows_that_cannot_be_written_leave_the_versions(table, monkeypatch):
    table.publish(version(0))

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hdl.fs.publish", full)
    with pytest.raises(TableError, match=rf"rows-{CHUNK:08d}-.*No space left"):
        table.publish(version(CHUNK, rows=MetricsLog(rows_of(CHUNK))))
    assert table.numbers() == [0]


def test_a_table_older_than_files_of_rows_goes_on(table):
    """Its versions hold all rows and say nothing of files."""
    many = rows_of(2 * CHUNK + 3)
    fields = {"number": len(many), "spec": {}, "run": "run", "parent": len(many) - 1, "about": {}, "round": len(many)}
    fields |= {"rows": "\n".join(map(json.dumps, many)), "signature": ""}
    tensors = {"w": np.float32([1])}
    fields["sha256"] = version_file.digest(fields, tensors)
    Path(table.path).mkdir()
    Path(table.file(len(many))).write_bytes(wire.pack("version", fields, tensors))
    rows = table.read().rows
    assert rows == table.rows() == many
    table.publish(version(len(many) + 1, rows=rows.then(*rows_of(1, first=len(many) + 1))))
    assert Table(table.path).rows() == rows_of(len(many) + 1)
    assert len(files(table)) == 2


def test_a_header_that_points_elsewhere_is_refused(table):
    base = {
        "number": CHUNK,
        "spec": {},
        "run": "run",
        "parent": 0,
        "about": {},
        "round": 1,
        "rows": "",
        "signature": "",
    }
    Path(table.path).mkdir()
    for count, digest in (
        (CHUNK, "../../etc"),
        (CHUNK - 1, "0" * 64),
        (-CHUNK, "0" * 64),
        (2 * CHUNK, "0" * 64),
        ("", ""),
    ):
        fields = base | {"filed": count, "filed_sha256": digest}
        fields["sha256"] = version_file.digest(fields, {"w": np.float32([1])})
        Path(table.file(CHUNK)).write_bytes(wire.pack("version", fields, {"w": np.float32([1])}))
        with pytest.raises(TableError, match="rows of metrics are damaged"):
            table.header()


def test_a_list_that_continues_writes_only_what_is_new(table, monkeypatch):

    written, publish = [], fs.publish
    monkeypatch.setattr("hdl.fs.publish", lambda path, content: (written.append(path), publish(path, content)))
    rows = rows_of(CHUNK)
    for number in range(CHUNK, CHUNK + 4):
        table.publish(version(number, rows=rows))
        rows = [*rows, row(number + 1)]
    assert len(written) == 5
    table.publish(version(CHUNK + 4, rows=rows_of(CHUNK, "another") + rows[CHUNK:]))
    assert len(written) == 7
    assert table.rows()[0]["time"] == "another"


def test_overwriting_a_table_removes_its_rows_and_leaves_what_is_the_users(table):
    from hdl.cli.training import prepare_table

    table.publish(version(0))
    table.publish(version(CHUNK, rows=MetricsLog(rows_of(CHUNK))))
    mine = Path(table.path, "rows-mine.jsonl")
    mine.write_text("mine")
    prepare_table(table.path, resume=False, overwrite=True)
    assert sorted(Path(table.path).iterdir()) == [Path(table.path, "owner-00000001.json"), mine]


@pytest.mark.parametrize("after", [False, True])
def test_a_driver_may_die_at_any_write_and_another_goes_on(tmp_path, monkeypatch, after):
    """Before or after each of the files that 3 chunks and 7 versions make; the next driver's times are others."""

    class Death(BaseException):
        pass

    real, total = fs.publish, 3 * CHUNK + 9

    def drive(table, label, deadly):
        writes = iter(range(1000))

        def publish(path, content):
            last = next(writes) == deadly
            if last and not after:
                raise Death
            real(path, content)
            if last:
                raise Death

        monkeypatch.setattr("hdl.fs.publish", publish)
        if table.latest() is None:
            table.publish(version(0))
        rows = table.read().rows
        while len(rows) < total:
            rows = rows.then(*rows_of(1, label, first=len(rows) + 1))
            if len(rows) % (CHUNK // 2 + 5) == 0 or len(rows) == total:
                table.publish(version(len(rows), rows=rows))
                table.thin(1, rows)

    for deadly in range(10):
        path = str(tmp_path / str(deadly))
        with pytest.raises(Death):
            drive(Table(path), "first", deadly)
        drive(Table(path), "second", None)
        metrics = list(Table(path).rows())
        assert [{**one, "time": ""} for one in metrics] == rows_of(total)
        labels = [one["time"] for one in metrics]
        assert labels == sorted(labels)  # one driver's, then the other's
        assert Table(path).best() in Table(path).numbers()
