"""`--encrypt-spill`: what memory does not hold lies encrypted on disk, on every runner, and changes no byte."""

import base64
import os
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from hdl import cli, outputs, scratch, sealed, wire
from hdl.errors import OutputError
from hdl.metrics.ranks import Ranks
from hdl.ops import decrypted
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from hdl.yarn.master import runner as master_runner
from tests.runner.common import signatures, state_bytes
from tests.runner.test_same_bytes import MODES
from tests.runner.test_streaming_pipe import begin, script
from tests.runner.yarn_here import YarnHere

SOME = ["gradient-lbfgs", "average-adam", "average-cg", "genetic-validation", "autoencoder-adam", "stacked",
        "rbm-persistent", "ensemble"]  # fmt: skip
# In each process: a line a segment that is encrypted, and one a scratch file that is written otherwise.
WATCH = """
import os, tempfile
if "HDL_WATCHED" in os.environ:
    from hdl import sealed
    add = sealed.Segments.add
    def watched(self, *arguments, **more):
        with open(os.environ["HDL_WATCHED"], "a") as file:
            file.write(f"{os.getpid()}\\n")
        return add(self, *arguments, **more)
    sealed.Segments.add = watched
"""


@pytest.fixture(autouse=True)
def plain_again():
    yield
    scratch.encrypt(False)


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A function that tells the processes that have encrypted something, in processes started from now on."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WATCH)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("HDL_WATCHED", str(tmp_path / "watched"))
    return lambda: {*(tmp_path / "watched").read_text().split()} if (tmp_path / "watched").exists() else set()


@contextmanager
def counted(monkeypatch):
    """Count the segments that this process encrypts."""
    count, add = [0], sealed.Segments.add

    def adding(self, *arguments, **more):
        count[0] += 1
        return add(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(sealed.Segments, "add", adding)
        yield count


@pytest.mark.parametrize("mode", SOME)
def test_no_byte_of_the_weights_changes(train, csv, monkeypatch, mode):
    data, found = csv(), []
    for encrypted in False, True:
        scratch.encrypt(encrypted)
        monkeypatch.setattr(sealed, "SEGMENT", 100)  # a few rows
        monkeypatch.setattr(decrypted, "BYTES", 1 << 20 if "gradient" in mode else 300)  # a mini-batch or two
        with counted(monkeypatch) as count:
            outcome = train(data, LocalRunner(1, memory=0), **MODES[mode])
        assert (count[0] > 0) == encrypted
        found.append((signatures(outcome)[0], state_bytes(outcome)))
    assert found[0] == found[1]


@pytest.mark.parametrize("runner", ["local", "yarn"])
def test_each_worker_process_encrypts(train, csv, monkeypatch, watched, runner):
    data = csv()
    expected = signatures(train(data, LocalRunner(1), **MODES["average-adam"]))[0]
    assert not watched()
    if runner == "local":
        scratch.encrypt()
        made = LocalRunner(2, memory=0)
    else:
        monkeypatch.setattr(master_runner, "DATA_SHARE", 0)
        made = YarnHere(2, encrypt_spill=True)
    if runner == "local":
        found = signatures(train(data, made, **MODES["average-adam"]))[0]
    else:
        found = on_yarn(made, data, MODES["average-adam"])
    assert found == expected
    assert len(watched() - {str(os.getpid())}) == 2


def on_yarn(made, data, fields):
    table = str(made.staging / "table")
    spec = parse({"net": "0-5-0", "shards": 4, "epochs": 3, "batch": 8, "seed": 3, **fields})
    return signatures(made.train(Job(data, table, spec)))[0]


def test_streamings_mapper_puts_no_sample_on_the_disk(train, csv, tmp_path, watched):
    """The copy of standard input is in memory, and what is decoded is encrypted."""
    data = csv()
    lines = open(data).read().splitlines(keepends=True)  # noqa: SIM115
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "part-00000.csv").write_text("".join(lines))
    expected = train(str(tmp_path / "shards"), LocalRunner(1), shards=1, keep=9)
    copy = begin(expected.table, tmp_path / "copy", None)
    (copy / "head").write_text(lines[0])
    (tmp_path / "temporary").mkdir()
    body = "".join(lines[1:]).encode()
    more = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HDL_SHARD": "0",
        "TMPDIR": str(tmp_path / "temporary"),
        "hdl_memory": "0",
    }
    plain = script("mapper", str(copy), stdin=body, **more)
    assert plain[0] == 0, plain[2]
    assert not watched()
    status, out, said = script("mapper", str(copy), stdin=body, hdl_encrypt_spill="true", **more)
    assert status == 0, said
    assert watched()
    assert weights_of(out) == weights_of(plain[1])
    assert os.listdir(tmp_path / "temporary") == []


def weights_of(out):
    messages = [wire.unpack(base64.b64decode(line.rpartition(b"\t")[2])) for line in out.splitlines()]
    return [tensors["w"].tobytes() for kind, _, tensors in messages if kind == "update"]


def test_a_mode_that_needs_all_samples_at_once_says_what_helps(train, csv, monkeypatch):
    scratch.encrypt()
    monkeypatch.setattr(decrypted, "BYTES", 10)
    with pytest.raises(OutputError, match=r"--encrypt-spill: .* give more memory, more shards, or a mode other than"):
        train(csv(), LocalRunner(1, memory=0), **MODES["gradient-sgd"])


@pytest.mark.parametrize("encrypted", [False, True])
def test_ranks_that_memory_does_not_hold(monkeypatch, encrypted):
    rng = np.random.default_rng(0)
    score, positive = rng.normal(size=5000).astype(np.float32), rng.random(5000) < 0.3
    expected = Ranks()
    expected.add(score, positive)
    scratch.encrypt(encrypted)
    found = Ranks(in_memory=100)
    with counted(monkeypatch) as count:
        for low in range(0, 5000, 50):
            found.add(score[low : low + 50], positive[low : low + 50])
        arrays = found.to_arrays()
    assert (count[0] > 0) == encrypted
    assert np.asarray(arrays["keys"]).tobytes() == expected.to_arrays()["keys"].tobytes()


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_answers_that_wait_for_hdfs(tmp_path, monkeypatch, suffix):
    """They are written here and sent whole; HDFS is this machine."""
    monkeypatch.setattr(outputs, "_remote", lambda path: True)
    found = []
    for encrypted in False, True:
        scratch.encrypt(encrypted)
        path = str(tmp_path / f"{encrypted}{suffix}")
        with counted(monkeypatch) as count, outputs.placing(path) as file:
            writer = outputs.Writer(file, suffix, ["a", "b"])
            for n in range(20):
                writer.write(np.full((1000, 2), n, np.float32), None)
            writer.close()
        assert (count[0] > 0) == (encrypted and suffix != ".parquet")  # which packs it into less than a segment
        found.append(open(path, "rb").read())  # noqa: SIM115
    assert found[0] == found[1]


def test_the_flag_is_every_commands_that_puts_samples_on_the_disk(tmp_path, csv, monkeypatch, capsys):
    data = csv()
    monkeypatch.setattr("hdl.runners.local.physical_memory", lambda: 0)
    with counted(monkeypatch) as count:
        out = str(tmp_path / "model")
        cli.run(["train", data, "--out", out, "--net", "3-4-2", "--epochs", "1", "--encrypt-spill", "--no-report", "-q",
                 "--recipe", "plain", "--workers", "1"])  # fmt: skip
    assert count[0] > 0
    assert Table(out).latest() is not None
    for command in ("evaluate", "predict", "encode"):
        capsys.readouterr()
        cli.run([command, "--help"])
        assert "--encrypt-spill" in capsys.readouterr().out
