"""The weight table: whole versions, exclusive publication, nothing skipped silently, no row lost."""

from pathlib import Path

import numpy as np
import pytest

from hdl import fs, wire
from hdl.errors import NonFinite, TableError, VersionExists
from hdl.table import Table, Version
from hdl.wire import Weights
from tests.unit.table_versions import row, version


@pytest.fixture
def table(tmp_path):
    return Table(str(tmp_path / "model"))


def test_a_version_comes_back_as_it_was(table):
    zero = version(0, about={"isa": "avx2"}, schema={"scale": np.float32([9])})
    table.publish(zero)
    stored = table.read()
    assert stored.weights.w.tobytes() == zero.weights.w.tobytes()
    assert stored.weights.state["rule"].tolist() == [[4, 5, 6]]
    assert stored.schema["scale"].tolist() == [9]
    assert (stored.number, stored.run, stored.parent, stored.about) == (0, "run", None, {"isa": "avx2"})
    assert stored.signature == wire.sha256(np.float32([1, 2, 3])) == table.header()["signature"]


def test_an_empty_or_missing_folder_has_no_latest(table, tmp_path):
    assert table.latest() is None
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / ".v00000000.safetensors.1234.tmp").write_bytes(b"half")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    assert table.latest() is None
    with pytest.raises(TableError, match="no weight table here"):
        table.read()


def test_the_second_to_publish_a_version_is_refused_and_changes_nothing(table):
    table.publish(version(0))
    with pytest.raises(VersionExists, match="another driver"):
        table.publish(version(0, w=(7, 7, 7)))
    assert table.read().weights.w.tolist() == [1, 2, 3]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_published(table, bad):
    with pytest.raises(NonFinite, match="w of version 0"):
        table.publish(version(0, w=(1, bad, 3)))
    assert table.numbers() == []
    state = Version(0, Weights(0, np.zeros(2, np.float32), {"rule": np.float32([[1, bad]])}), {}, "run")
    with pytest.raises(NonFinite, match="rule of version 0"):
        table.publish(state)


def test_a_search_may_keep_an_infinite_number(table):
    table.publish(Version(0, Weights(0, np.zeros(2, np.float32), {"numbers": np.array([1, np.inf])}), {}, "run"))
    assert table.read().weights.state["numbers"][1] == np.inf


def test_every_cut_file_is_named_and_not_skipped(table):
    table.publish(version(0))
    table.publish(version(1))
    path = Path(table.file(1))
    whole = path.read_bytes()
    for length in 0, 5, 8, 100, len(whole) - 1:
        path.write_bytes(whole[:length])
        assert table.latest() == 1  # that it is there is no matter of what is in it
        for read in table.header, table.read, table.rows:
            with pytest.raises(TableError, match=r"v00000001\.safetensors.*--resume makes it again"):
                read()


def test_one_flipped_byte_anywhere_is_found(table):
    table.publish(version(0))
    table.publish(version(1, rows=[row(0, 0.5)]))
    path = Path(table.file(1))
    whole = path.read_bytes()
    for place in range(8, len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        if damaged[place] in b" \t" or whole[place] in b" \t":  # padding of the header
            continue
        with pytest.raises(TableError):
            table.read()


def test_a_foreign_file_under_a_versions_name_is_refused(table, tmp_path):
    table.publish(version(0))
    Path(table.file(1)).write_bytes(wire.pack("update", {}, {}))
    with pytest.raises(TableError, match="not a version"):
        table.header()
    Path(table.file(1)).write_bytes(Path(table.file(0)).read_bytes())
    with pytest.raises(TableError, match="holds version 0"):
        table.header()


def test_a_version_that_is_not_there_is_named_with_those_that_are(table):
    table.publish(version(0))
    with pytest.raises(TableError, match="no version 5; there are 0"):
        table.read(5)


def test_thinning_keeps_the_first_the_best_and_the_last_and_loses_no_row(table):
    costs, rows = [0.9, 0.5, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85], []
    table.publish(version(0))
    for number in range(1, 9):
        rows = [*rows, row(number, costs[number - 1])]
        table.publish(version(number, rows=rows))
        table.thin(2)
    assert table.best() == 2  # measured in round 3, whose row tells of its parent
    assert table.numbers() == [0, 2, 6, 7, 8]
    assert table.rows() == rows


@pytest.mark.parametrize("read", [lambda t: t.header()["number"], lambda t: t.read().number])
def test_a_version_that_is_thinned_while_it_is_read_is_not_missed(table, monkeypatch, read):
    for number in range(3):
        table.publish(version(number))
    real, file, path = fs.list, table.file(2), table.path

    def listed(folder):
        found = real(folder)
        if Path(file).exists():  # between the listing and the reading, a training goes on
            Path(file).unlink()
            Table(path).publish(version(3))
        return found

    monkeypatch.setattr(fs, "list", listed)
    assert read(table) == 3


def test_the_earliest_of_equals_is_best_and_without_validation_the_last(table):
    table.publish(version(0))
    table.publish(version(1, rows=[row(1)]))
    assert table.best() == 1
    table.publish(version(2, rows=[row(1, 0.5), row(2, 0.5)]))
    assert table.best() == 0


def test_common_samples_are_written_once_and_checked(table):
    x = np.arange(6, dtype=np.uint8).reshape(2, 3)
    table.publish_common({"a": 1}, {"x": x})
    table.publish_common({"a": 2}, {"x": x + 1})
    fields, tensors = table.common()
    assert fields == {"a": 1}
    assert tensors["x"].tolist() == x.tolist()
    data = bytearray(Path(table.common_file).read_bytes())
    data[-1] ^= 1
    Path(table.common_file).write_bytes(data)
    with pytest.raises(TableError, match="SHA-256"):
        table.common()


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TableError, match="cannot be made a folder"):
        Table(str(tmp_path / "file")).publish(version(0))
