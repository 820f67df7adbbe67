"""Runs of lines out of a text, whatever is read at a time."""

import pytest

from hdl.data import line_count, line_reader
from hdl.data.line_count import Index
from hdl.data.line_reader import LineReader
from hdl.data.streams import open_stream
from hdl.errors import DataError

LINES = [b"", b"1", b"22 2", b"", b"\r", b"55555", b"6 6\r", b"7"]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 4096])
@pytest.mark.parametrize("last", [b"", b"\n"])
def test_any_run_comes_line_by_line_or_at_once(tmp_path, monkeypatch, step, last):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join(LINES) + last)
    monkeypatch.setattr(line_reader, "BLOCK_BYTES", max(step, 3))  # the mark comes at once
    monkeypatch.setattr(line_count, "PIECE_BYTES", 4)
    cut = line_count.pieces([str(path)])
    marks = Index.of_counts(cut, line_count.count(cut))
    for start in range(len(LINES) + 1):
        for stop in range(start, len(LINES) + 1):
            for index in (None, marks):
                for read in (lambda lines: lines.some(2), lambda lines: lines.exactly(3), lambda lines: lines.some(99)):
                    with open_stream(str(path)) as stream:
                        lines, found = LineReader(stream, start, stop, 99, index), []
                        while part := read(lines):
                            assert part.endswith(b"\n")
                            found += part.split(b"\n")[:-1]
                            assert lines.at == start + len(found)
                    assert found == LINES[start:stop]


@pytest.mark.parametrize("long", [0, 3, 7])
def test_a_line_that_is_too_long_is_named(tmp_path, monkeypatch, long):
    lines = [b"1234"] * 8
    lines[long] = b"12345"
    (tmp_path / "text").write_bytes(b"\n".join(lines))
    with open_stream(str(tmp_path / "text")) as stream:
        reader = LineReader(stream, 0, 8, 4)
        with pytest.raises(DataError, match=rf"text:{long + 1}: the line is longer than 4 bytes \(max_line\)"):
            [*iter(lambda: reader.some(3), b"")]
