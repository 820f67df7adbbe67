"""The lines of texts: their counts, whoever makes them of which pieces, and where readers begin."""

import bz2
import gzip

import numpy as np
import pytest

from hdl import data
from hdl.data import line_count, parsed_lines
from hdl.data.base import Lines, Piece
from hdl.data.line_count import Index, count_piece
from hdl.data.number_lines import matrix
from hdl.data.pair import _rows
from hdl.data.parsed_lines import ParsedLines
from hdl.errors import DataError
from hdl.runners import counting

TEXTS = {
    "empty": (b"", 0),
    "newlines alone": (b"\n\r\n \n\t\n", 0),
    "one line": (b"1 2\n", 1),
    "no last newline": (b"1 2\n3 4", 2),
    "blank behind no last newline": (b"1 2\n3 4\n \t", 2),
    "carriage returns": (b"1 2\r\n3 4\r\n", 2),
    "a blank line inside": (b"1 2\n\n3 4\n\n\n", 3),
    "a long blank end": (b"1 2\n" + b" " * 9000 + b"\n" * 9000, 1),
    "a blank beginning": (b"\n" * 5000 + b"7", 5001),
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [1, 3, 4096, 1 << 20])
def test_pieces_of_any_size_give_the_same_count(tmp_path, monkeypatch, text, size):
    content, lines = TEXTS[text]
    if size < 4096 and len(content) > 100:
        size = 1000
    path = tmp_path / "text"
    path.write_bytes(content)
    monkeypatch.setattr(line_count, "PIECE_BYTES", size)
    monkeypatch.setattr(line_count, "BLOCK_BYTES", max(1, size // 2))
    cut = line_count.pieces([str(path)])
    assert len(cut) == max(1, -(-len(content) // size))
    index = Index.of_counts(cut, line_count.count(cut))
    assert index.lengths == {str(path): lines}
    for line in range(lines + 1):  # reading from there comes to the line's start
        offset, ends = index.place(str(path), line)
        assert content[:offset].count(b"\n") == ends
        assert ends < line or offset == 0


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_packed_text_is_one_piece(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(line_count, "PIECE_BYTES", 8)
    path = str(tmp_path / "text.gz") if pack is gzip.compress else str(tmp_path / "text.bz2")
    with open(path, "wb") as file:
        file.write(pack(b"1 2\n" * 5000))
    assert line_count.pieces([path]) == [Piece(path, 0, -1)]
    assert count_piece(Piece(path, 0, -1)) == Lines(5000, 5000)


def test_pieces_are_shared_out_in_order_by_their_bytes(tmp_path):
    cut = [Piece("a", at, 10) for at in range(0, 70, 10)] + [Piece("b", 0, 1)]
    for shards in (1, 2, 3, 7, 20):
        shares = counting.share(cut, shards)
        assert [Piece(*split) for own in shares for split in own] == cut
        assert len(shares) == shards
        assert max(sum(split.length for split in own) for own in shares) <= 10 * -(-7 // shards) + 1
    assert counting.Counts.from_parts(*counting.Counts((Lines(2, 1),)).to_parts()).lines == (Lines(2, 1),)
    with pytest.raises(ValueError, match="no counts"):
        counting.Counts.from_parts({"lines": [[1, -1]]}, {})


def pair(folder, x, y, open=True):
    folder.mkdir(exist_ok=True)
    (folder / "a.X").write_bytes(x)
    (folder / "a.Y").write_bytes(y)
    return data.open_source(f"{folder}/a.X,{folder}/a.Y") if open else None


def read(source, shards):
    blocks = [block for own in source.splits(shards) for block in source.read(own)]
    return np.concatenate([block.x for block in blocks]), np.concatenate([block.y for block in blocks])


@pytest.mark.parametrize("end", [b"\n", b" \r\n", b"  \n"])
@pytest.mark.parametrize("last", [True, False])
def test_shards_read_the_same_samples_from_any_mark(tmp_path, monkeypatch, end, last):
    rows = np.random.default_rng(0).normal(size=(57, 3))
    x = end.join(" ".join(map(repr, row)).encode() for row in rows.tolist()) + end * last
    y = end.join(str(i).encode() for i in range(57)) + end * last
    whole = read(pair(tmp_path, x, y), 1)
    assert np.array_equal(whole[0], rows)
    assert whole[1].tolist() == [*range(57)]
    for size in (7, 64, 1000):
        monkeypatch.setattr(line_count, "PIECE_BYTES", size)
        source = pair(tmp_path, x, y)
        first, second = read(source, 5)
        assert first.tobytes() == whole[0].tobytes()
        assert second.tolist() == whole[1].tolist()
        # a worker has the marks, and no counts
        other = data.open_source(f"{tmp_path}/a.X,{tmp_path}/a.Y")
        other.take_marks(source.marks())
        blocks = [block.x for own in source.splits(4) for block in other.read(own)]
        assert np.concatenate(blocks).tobytes() == whole[0].tobytes()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_counts_are_the_same_where_rows_are_kept(tmp_path, monkeypatch, text, size):
    content, lines = TEXTS[text]
    if len(content) > 100 and size < 100:
        size *= 500
    path = tmp_path / "text"
    path.write_bytes(content)
    monkeypatch.setattr(line_count, "PIECE_BYTES", size)
    monkeypatch.setattr(parsed_lines, "BLOCK_BYTES", max(1, size // 2))
    cut, kept = line_count.pieces([str(path)]), ParsedLines(2, " ", 1 << 20)
    counts = [kept.count(piece, 1 << 20) for piece in cut]
    assert counts == [count_piece(piece) for piece in cut]
    runs = [*kept.runs(str(path), 0, lines, Index.of_counts(cut, counts))]
    assert [hi for _, hi, _ in runs[:-1]] == [lo for lo, _, _ in runs[1:]]
    rows = [line.split() for line in content.split(b"\n")]
    for lo, hi, x in runs:
        assert x is None or x.tolist() == [[*map(float, row)] for row in rows[lo:hi]]
    if text in ("one line", "no last newline", "carriage returns"):
        assert all(x is not None for _, _, x in runs)


@pytest.mark.parametrize("room", [0, 600, 1 << 20])
@pytest.mark.parametrize("header", [b"", b"a b c\n", b"\xef\xbb\xbf"])
def test_rows_that_were_parsed_on_the_way_are_read_again_from_memory(tmp_path, monkeypatch, room, header):
    rows = np.random.default_rng(0).normal(size=(90, 3)).round(4)
    rows[::7] *= 1e6  # lines of other lengths
    x = header + b"".join(b" ".join(b"%r" % value for value in row) + b" \n" for row in rows.tolist())
    monkeypatch.setattr(line_count, "PIECE_BYTES", 100)
    source = pair(tmp_path, x, b"".join(b"%d\n" % i for i in range(90)))
    cut = source.uncounted()
    mine = [piece for piece in cut if piece.path.endswith("X")][3:20]  # this worker's
    counts = {piece: lines for piece, lines in zip(mine, source.count_pieces(mine, room), strict=True)}
    source.take_counts(cut, [counts.get(piece) or count_piece(piece) for piece in cut])
    parsed = []
    monkeypatch.setattr("hdl.data.pair._rows", lambda *given: parsed.append(given[4]) or _rows(*given))
    found = read(source, 4)
    assert np.array_equal(found[0], rows)
    assert found[1].tolist() == [*range(90)]
    spared = 180 - sum(parsed)  # of as many lines of both files
    assert (spared == 0) == (room == 0)
    if room > 1000:
        assert spared > 40
    source.forget()
    assert np.array_equal(read(source, 3)[0], rows)
    assert sum(parsed) == 180 - spared + 180


def test_files_of_one_pair_with_other_counts_are_both_named(tmp_path):
    source = pair(tmp_path, b"1 2\n3 4\n5 6\n", b"0\n1")
    with pytest.raises(DataError, match=r"a.Y: 2 lines of targets, but 3 lines of features in .*a.X; if they do not"):
        source.splits(2)
    source = pair(tmp_path, b"1 2\n3 4\n5 6\n", b"\n \n", open=False)
    with pytest.raises(DataError, match=r"a.Y"):
        data.open_source(f"{tmp_path}/a.X,{tmp_path}/a.Y").splits(2)


@pytest.mark.parametrize("line", [0, 3, 40])
def test_a_wrong_line_is_told_with_its_file_and_number(tmp_path, monkeypatch, line):
    monkeypatch.setattr(line_count, "PIECE_BYTES", 32)
    good = [b"1.5 2.5 3.5"] * 41
    for wrong, said in ((b"1 2", "2 columns, expected 3"), (b"1 b 3", "'b' is not a number"), (b"1 2 1e99", "1e99")):
        for targets in (False, True):
            x, y = list(good), list(good)
            (y if targets else x)[line] = wrong
            if line == 0:  # which says how wide the file is: the next one is wrong then
                continue
            source = pair(tmp_path, b"\n".join(x), b"\n".join(y))
            with pytest.raises(DataError, match=rf"a.{'Y' if targets else 'X'}:{line + 1}: .*{said}"):
                read(source, 4)


def test_lines_of_numbers_equal_pythons_floats():
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.normal(size=(50, 4)), 10.0 ** rng.integers(-30, 30, (50, 4)), np.zeros((1, 4))])
    for form in ("%r", "%.8f", "%.3e", "%+.17g"):
        texts = [[form % value for value in row] for row in rows.tolist()]
        for delimiter, end in ((" ", " \n"), (" ", "\r\n"), (",", "\n"), ("\t", "\n")):
            data = "".join(delimiter.join(row) + end for row in texts).encode()
            assert matrix(data, 4, delimiter).tolist() == [[float(text) for text in row] for row in texts]


@pytest.mark.parametrize(
    "text",
    [
        b"1 2\n3\n4 5 6\n",  # as many numbers as there should be
        b"1 2\n\n3 4\n",
        b"1 2\n3 nan\n",
        b"1 2\n3 inf\n",
        b"1 2\n3 1e40\n",
        b'1 2\n3 "4"\n',
        b"1 2\r3 4\n",
        b"1 2\n3 4",
        b"1 2\n3 NA\n",
        b"1 2\n3 0x10\n",
        b"1 2\n3 1_0\n",
        b"\n",
    ],
)
def test_what_is_unusual_is_left_to_who_reads_line_by_line(text):
    assert matrix(text, 2, " ") is None


def test_an_empty_field_is_no_number():
    assert matrix(b"1,2,3\n4,,5 6\n", 3, ",") is None
    assert matrix(b"1,2,3\n4,,5\n", 3, ",") is None
