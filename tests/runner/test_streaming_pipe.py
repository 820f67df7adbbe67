"""Streaming's scripts in a shell pipe, as `cat data | mapper | sort | reducer`: the local runner's bytes."""

import base64
import io
import os
import runpy
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hdl import wire
from hdl.runners.local import LocalRunner
from hdl.table import Table
from tests.runner.common import signatures

ROUNDS = 2
MODES = {
    "average": {"optimizer": "momentum", "dropout": 0.2, "validation": 0.2},
    "gradient": {"sync": {"mode": "gradient"}, "optimizer": "lbfgs"},
    "genetic": {"sync": {"mode": "genetic"}, "optimizer": "sgd"},
    "tuned": {"net": "0-5-4-0", "optimizer": "adam", "tuning": {"freeze": "1", "lr": "head=2", "l2_sp": 0.1}},
}


def called(name, *arguments, stdin=b"", **environment):
    """Run a script in this process, which is as good as one of its own but for what a process keeps."""
    streams = [io.TextIOWrapper(io.BytesIO(content), encoding="utf-8") for content in (stdin, b"", b"")]
    with pytest.MonkeyPatch.context() as patch:
        for stream, kept in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, stream, kept)
        patch.setattr(sys, "argv", [name, *arguments])
        for variable, value in environment.items():
            patch.setenv(variable, value)
        try:
            runpy.run_module(f"hdl.streaming.{name}", run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code
    out, said = (stream.flush() or stream.buffer.getvalue() for stream in streams[1:])
    return status, out, said.decode()


def script(name, *arguments, stdin=b"", **environment):
    """Run a script in a process of its own, as a shell or Hadoop does: status, standard output and error."""
    run = subprocess.run(
        [sys.executable, "-m", f"hdl.streaming.{name}", *arguments], input=stdin, capture_output=True,
        env={**os.environ, "PYTHONPATH": os.getcwd(), **environment},
    )  # fmt: skip
    return run.returncode, run.stdout, run.stderr.decode()


def numbered_files(folder, header, rows):
    """Write three files of unequal size, numbered; the first has the names. `rows` makes n lines."""
    folder.mkdir()
    for number, n in enumerate((30, 21, 28)):
        lines = ([header] if not number else []) + rows(n)
        (folder / f"part-{number:05d}.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def seconds(tmp_path):
    """Three files whose first column are seconds within a minute, and whose targets are prices."""
    rng = np.random.default_rng(0)

    def rows(n):
        return [f"{1.7e9 + 60 * rng.random():.2f},{b:.4f},7,{250_000 + 9e4 * b:.2f}" for b in rng.normal(size=n)]

    return numbered_files(tmp_path / "seconds", "a,b,c,price", rows)


@pytest.fixture
def shards(tmp_path):
    """Three files of two features and a class."""
    rng = np.random.default_rng(0)

    def rows(n):
        return [f"{a:.4f},{b:.4f},{i % 2}" for i, (a, b) in enumerate(rng.normal(size=(n, 2)))]

    return numbered_files(tmp_path / "data", "a,b,class", rows)


def begin(table, copy, shards):
    """A folder as a job's tasks find it: copies of the table's first version, and the data's first lines."""
    copy.mkdir()
    shutil.copy(Table(table).file(0), copy)
    if os.path.exists(Table(table).common_file):
        shutil.copy(Table(table).common_file, copy)
    (copy / "head").write_text("a,b,class\n")
    return copy


# By average tests/hadoop/test_by_hand.py has it, on daemons.
@pytest.mark.parametrize("mode", [pytest.param("average", marks=pytest.mark.full), "gradient", "genetic", "tuned"])
def test_rounds_in_a_pipe_are_the_local_runners(train, tmp_path, shards, mode):
    one = script if mode == "gradient" else called  # of several modes one is shown by processes
    fields = {"shards": 3, "keep": 9, **MODES[mode]}
    expected = train(str(shards), LocalRunner(1), **fields)
    copy = begin(expected.table, tmp_path / "copy", shards)
    for _ in range(ROUNDS):

        def mapper(numbered, copy=copy):
            number, file = numbered
            status, out, said = one("mapper", str(copy), stdin=file.read_bytes(), HDL_SHARD=str(number))
            assert status == 0, said
            return out.splitlines(keepends=True)

        with ThreadPoolExecutor(3 if one is script else 1) as pool:
            lines = [line for out in pool.map(mapper, enumerate(sorted(shards.iterdir()))) for line in out]
        status, out, said = one("combiner", str(copy), stdin=b"".join(lines[:4]))
        status, out, said = one("reducer", str(copy), stdin=b"".join(sorted(out.splitlines(True) + lines[4:])))
        assert status == 0, said
        assert one("publish", str(copy), stdin=out)[0] == 0
    found = {number: Table(str(copy)).header(number)["signature"] for number in range(1 + ROUNDS)}
    assert found == {number: signatures(expected)[0][number] for number in range(1 + ROUNDS)}


def test_centred_columns_and_targets_in_a_pipe(train, tmp_path, seconds):
    expected = train(str(seconds), LocalRunner(1), shards=3, keep=9)
    zero = Table(expected.table).read(0)
    assert sorted(zero.schema) == [
        "center", "constants", "scale", "shift", "spread", "target_deviation", "target_mean"
    ]  # fmt: skip
    copy = begin(expected.table, tmp_path / "copy", seconds)
    shutil.copy(min(seconds.iterdir()), copy / "head")  # as the runner makes it: the first shard has no more
    lines = []
    for number, file in enumerate(sorted(seconds.iterdir())):
        status, out, said = called("mapper", str(copy), stdin=file.read_bytes(), HDL_SHARD=str(number))
        assert status == 0, said
        lines += out.splitlines(keepends=True)
    status, out, said = called("reducer", str(copy), stdin=b"".join(lines))
    assert status == 0, said
    assert called("publish", str(copy), stdin=out)[0] == 0
    assert Table(str(copy)).header(1)["signature"] == signatures(expected)[0][1]


def test_a_bad_line_ends_the_mapper_with_its_place(train, tmp_path, shards):
    copy = begin(train(str(shards), LocalRunner(1), shards=3).table, tmp_path / "copy", shards)
    job = {"mapreduce_map_input_file": "hdfs://n:8020/d/part-00001.csv", "mapreduce_task_attempt_id": "attempt_1"}
    status, out, said = script("mapper", str(copy), stdin=b"1,2,0\n1,x,0\n", **job)
    assert (status, out) == (3, b"")
    assert "hdfs://n:8020/d/part-00001.csv:2: column 2 ('b'): 'x' is not a number" in said
    status, out, said = script("mapper", str(copy), stdin=b"1,2,0\n1,x,0\n", hdl_driver="true", **job)
    assert status == 0  # a driver waits: it is told through the job's output
    kind, fields, _ = wire.unpack(base64.b64decode(out.partition(b"\t")[2]))
    assert (kind, fields["type"], fields["line"]) == ("error", "DataError", 2)


def test_a_file_without_a_number_and_a_line_that_is_no_message_are_refused(train, tmp_path, shards):
    copy = begin(train(str(shards), LocalRunner(1), shards=3).table, tmp_path / "copy", shards)
    status, _, said = called("mapper", str(copy), mapreduce_map_input_file="hdfs:///d/data.csv")
    assert status == 2
    assert "hdfs:///d/data.csv" in said
    assert "part-00003.csv" in said
    status, _, said = called("reducer", str(copy), stdin=b"0\tnot base64!\n")
    assert status == 3
    assert "base64" in said
