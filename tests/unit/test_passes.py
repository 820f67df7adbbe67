"""The cut of data into parts, chunks of samples, rows drawn by keys, and how what is found in parts joins."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from hdl import passes
from hdl.data import Arrays, Bad, Block, Csr, Options, open_source
from hdl.data.tabular.frame import Column, Frame, category_type
from hdl.errors import DataError, WorkerError
from hdl.passes import Figures, Partial, Pass, Rows
from hdl.passes.chunks import Chunk, chunked
from hdl.wire import WireError


def partial(lo, hi, of=5, **bad):
    found = Figures({str(number): [number / 3] for number in range(lo, hi)})
    return Partial(lo, hi, of, Bad(limit=9, **bad), {"figures": found})


def test_parts_join_in_any_order_and_as_often_as_they_come():
    parts = [partial(number, number + 1, count=1, places=[f"place {number}"]) for number in range(5)]
    messages = [b"".join(part.pack()) for part in parts]
    expected = passes.complete(parts, passes.make)
    assert (expected.lo, expected.hi, expected.bad.count) == (0, 5, 5)
    assert expected.bad.places == [f"place {number}" for number in range(5)]
    for order in itertools.permutations(range(5)):
        found = [messages[order[0]], *(messages[number] for number in order), partial(0, 2)]
        assert passes.complete(found, passes.make).values["figures"] == expected.values["figures"]


def test_a_part_that_is_missing_is_told():
    with pytest.raises(WorkerError, match=r"found in all parts of the data; there is: \[0, 2\) of 5, \[3, 4\) of 5"):
        passes.complete([partial(0, 1), partial(3, 4), partial(1, 2)], passes.make)
    with pytest.raises(WorkerError, match="there is: nothing"):
        passes.complete([], passes.make)


def test_bad_records_of_all_parts_together_are_too_many():
    parts = [partial(number, number + 1, count=2, places=[f"{number}.csv:3"]) for number in range(5)]
    with pytest.raises(DataError, match=r"(?s)10 bad records, expected at most 9.*0\.csv:3.*4\.csv:3"):
        passes.complete(parts, passes.make)


@pytest.mark.parametrize("broken", [b"", b"nothing", Pass("evaluate", "t", 1, 1).pack()])
def test_bytes_that_are_no_partial_result_are_refused(broken):
    with pytest.raises(WireError):
        passes.read(broken, passes.make)


def test_a_damaged_partial_result_is_refused():
    whole = b"".join(partial(0, 1).pack())
    with pytest.raises(WireError):
        passes.read(whole[:-1], passes.make)
    assert b'\\"lo\\":0' in whole
    with pytest.raises(WireError, match="a damaged partial message: KeyError 'lo'"):
        passes.read(whole.replace(b'\\"lo\\":0', b'\\"ro\\":0'), passes.make)


def test_a_pass_is_read_as_it_was_written():
    asked = Pass("permute", "hdfs:///t", 7, 4, "avx2", {"seed": 3}, {"places": np.arange(3)})
    found = Pass.unpack(asked.pack())
    assert vars(found) | {"tensors": None} == vars(asked) | {"tensors": None}
    assert found.tensors["places"].tolist() == [0, 1, 2]


def test_files_that_are_numbered_are_the_parts_and_others_are_cut_by_their_size(tmp_path, monkeypatch):
    for number in range(3):
        (tmp_path / f"part-{number}.csv").write_text("".join(f"{i},{i % 2}\n" for i in range(20)))
    options = Options.make({"header": False})
    source = open_source(str(tmp_path), options)
    assert [[split.path[-5] for split in part] for part in passes.cut(source)] == [["0"], ["1"], ["2"]]
    assert passes.workers(source, 8) == 1  # more would take longer to begin than to measure
    monkeypatch.setattr(passes.parts, "PART_BYTES", 64)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert passes.count(source) == -(-size // 64) == passes.workers(source, 99) > 3
    monkeypatch.setattr(passes.parts, "MOST_PARTS", 4)
    assert passes.count(source) == 4
    assert passes.count(Arrays(np.ones((5, 2), np.float32))) == 1


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("cuts", [[], [1], [4, 5, 6], [7, 14], [3, 17]])
def test_chunks_do_not_depend_on_a_readers_blocks(kind, cuts):
    x = np.arange(40, dtype=np.float32).reshape(20, 2)
    if kind == "sparse":
        x = Csr(x.ravel(), np.tile(np.int32([0, 1]), 20), np.arange(0, 41, 2, np.int64), 2)
    whole = Block(x, None, lambda i: {"line": i}, weight=np.arange(20.0))
    edges = [0, *cuts, 20]
    blocks = [Chunk(whole.slice(lo, hi), np.arange(lo, hi)) for lo, hi in itertools.pairwise(edges)]
    found = [*chunked(blocks, 7)]
    assert [len(chunk) for chunk in found] == [7, 7, 6]
    assert np.concatenate([chunk.y for chunk in found]).tolist() == [*range(20)]
    assert [chunk.block.where(i)["line"] for chunk in found for i in range(len(chunk))] == [*range(20)]
    assert np.concatenate([chunk.block.weight for chunk in found]).tolist() == [*range(20)]
    rows = [chunk.block.x.dense() if kind == "sparse" else chunk.block.x for chunk in found]
    assert np.concatenate(rows).ravel().tolist() == [*range(40)]


def raw(lo, hi):
    """Raw rows of a table whose number is their place."""
    texts = pa.array([f"t{i % 3}" if i % 5 else None for i in range(lo, hi)], pa.string())
    columns = (Column("n"), Column("c", "category"))
    frame = Frame(np.arange(lo, hi, dtype=float)[:, None], (texts.dictionary_encode().cast(category_type()),), columns)
    return Block(frame, np.array([f"y{i}" for i in range(lo, hi)], object), lambda i: {}, weight=np.arange(lo, hi) / 2)


def plain(rows):
    block, places = rows.drawn()
    return block.x.numbers.tolist(), block.x["c"].to_pylist(), block.y.tolist(), block.weight.tolist(), places.tolist()


def test_drawn_rows_are_the_same_however_parts_are_read_and_joined(monkeypatch):
    monkeypatch.setattr(passes.rows, "MOST_HELD", 10)
    sizes = [50, 7, 130]

    def of_part(part, step):
        rows = Rows(20, seed=4)
        for lo in range(0, sizes[part], step):
            rows.offer(raw(1000 * part + lo, 1000 * part + min(lo + step, sizes[part])), part, lo)
        return rows

    expected = None
    for step, order in itertools.product([1, 9, 1000], itertools.permutations(range(3))):
        one, two, three = (Rows.from_parts(*of_part(part, step).to_parts()) for part in order)
        found = one.join(two.join(three))
        assert found.seen == sum(sizes)
        expected = expected or plain(found)
        assert plain(found) == expected
    numbers, texts, labels, weights, places = expected
    assert len(numbers) == 20 == len({tuple(place) for place in places})
    for (number,), text, label, weight, (part, place) in zip(numbers, texts, labels, weights, places, strict=True):
        assert number == 1000 * part + place
        assert text == (f"t{number % 3:.0f}" if number % 5 else None)
        assert (label, weight) == (f"y{number:.0f}", number / 2)


def test_few_rows_are_all_drawn_and_each_row_as_likely():
    for seed in range(9):
        rows = Rows(100, seed)
        rows.offer(raw(0, 5), 0, 0)
        assert len(plain(rows)[0]) == 5
        rows.offer(raw(5, 60), 0, 5)  # also after some were looked at
        assert sorted(plain(rows)[0]) == [[float(i)] for i in range(60)]
    counts = np.zeros(40)
    for seed in range(400):
        rows = Rows(10, seed)
        rows.offer(raw(0, 25), 0, 0)
        rows.offer(raw(25, 40), 1, 0)
        counts[np.array(plain(rows)[0], int).ravel()] += 1
    assert counts.sum() == 4000
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100 * 0.75)


def test_no_rows_are_no_block():
    rows = Rows(5, 1)
    block, places = Rows.from_parts(*rows.to_parts()).drawn()
    assert block is None
    assert places.shape == (0, 2)
