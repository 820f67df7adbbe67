"""Shards that are written to files of their own, as Streaming reads them, hold the same rows."""

import gzip

import numpy as np
import pytest

from hdl import data
from hdl.data import FileSplit
from hdl.runners.streaming import HEAD_BYTES, _lines

ROWS = [(f"{i}.5", f"k{i % 3}", f"{i % 2}", f"{i}/13/2020" if i < 13 and i else "1/14/2020") for i in range(30)]
NAMES = ["size", "kind", "label", "day"]


def table(names, rows, order, quote=False):
    lines = [names, *rows] if names else rows
    cells = [
        [f'"{line[i]}\n,"' if quote and i == 1 and line is not names else line[i] for i in order] for line in lines
    ]
    return "".join(",".join(line) + "\n" for line in cells)


def rows_of(source, splits):
    blocks = list(source.read(splits))
    numbers = np.concatenate([block.x.numbers for block in blocks]).tolist()
    others = [[value for block in blocks for value in block.x[name].to_pylist()] for name in ("kind", "day")]
    return list(zip(numbers, *others, [label for block in blocks for label in block.y.tolist()], strict=True))


@pytest.mark.parametrize(
    "files", [["plain"], ["plain", "moved"], ["packed", "moved", "plain"], ["noted", "plain"], ["quoted", "quoted"]]
)
@pytest.mark.parametrize("shards", [1, 3, 7])
def test_a_shards_file_reads_as_the_shard(tmp_path, files, shards):
    folder = tmp_path / "table"
    folder.mkdir()
    for number, kind in enumerate(files):
        path = folder / f"{number}.csv{'.gz' if kind == 'packed' else ''}"
        rows = [(f"{number}{size}", *rest) for size, *rest in ROWS]
        text = table(NAMES, rows, [3, 0, 2, 1] if kind == "moved" else range(4), kind == "quoted")
        text = ("# a note\n# another\n" + text if kind == "noted" else text).encode()
        path.write_bytes(gzip.compress(text) if kind == "packed" else text)
    source = data.open_source(str(folder), {"label": "label"})
    options = data.Options.make(source.settled().model_dump(mode="json"))
    count = 0
    for number, splits in enumerate(source.splits(shards)):
        work = tmp_path / f"work{number}"
        work.mkdir()
        head = b"".join(block for _, block in source.blocks(FileSplit(source.paths[0], 0, HEAD_BYTES), data.Bad()))
        (work / "part-00000").write_bytes(head)
        (work / "part-00001").write_bytes(b"".join(_lines(source, splits)))
        shard = data.open_source(str(work), options)
        read = rows_of(shard, [FileSplit(f"{work}/part-00001", 0, 1 << 62)])
        assert read == rows_of(source, splits)
        assert shard.columns == source.columns
        count += len(read)
    assert count == len(ROWS) * len(files)
