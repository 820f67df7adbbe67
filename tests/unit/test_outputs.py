"""Outputs: file:// wherever a path stands, and what is said of a place that cannot be written."""

import errno
import json
import os
import resource
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest

from hdl import cli, driver, fs, outputs, sync
from hdl.data import Options, Schema
from hdl.data.store import Growing
from hdl.errors import OutputError
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec
from hdl.table import Table, Version

QUICK = ["--epochs", "2", "--no-report", "-q"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data.csv, two files X,Y of it, and the table t."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = (x[:, 0] > 0).astype(int)
    np.savetxt(folder / "data.csv", np.c_[x, y], "%.4f,%.4f,%.4f,%d", header="a,b,c,label", comments="")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    assert cli.run(["train", str(folder / "data.csv"), "--out", str(folder / "t"), *QUICK]) == 0
    rbm = ["--model", "rbm", "--net", "3-4", *QUICK]
    assert cli.run(["train", str(folder / "data.csv"), "--out", str(folder / "rbm"), *rbm]) == 0
    return folder


# What the others mean is asked where paths are read: test_hadoop_names.py.
OTHERS = [pytest.param(scheme, marks=pytest.mark.full) for scheme in ("file://", "file:")]


@pytest.mark.parametrize("scheme", ["file://localhost", *OTHERS])
def test_every_command_takes_file_urls(place, tmp_path, capfd, scheme):
    pytest.importorskip("onnx", reason="hdl-hadoop[export] is not installed")
    data, out = f"{scheme}{place}/data.csv", f"{scheme}{tmp_path}"

    def run(*args):
        capfd.readouterr()
        status = cli.run([str(arg) for arg in args])
        told = capfd.readouterr()
        assert status == 0, told.err
        return told.out

    run("train", data, "--out", f"{out}/t", "--test", data, "--epochs", "2", "-q")
    table = f"{out}/t"
    assert Table(tmp_path / "t").numbers()
    (tmp_path / "spec.json").write_text(run("train", data, "--dry-run", "--epochs", "1"))
    run("train", f"{scheme}{place}/x.npy,{scheme}{place}/y.npy", "--out", f"{out}/xy", "--spec",
        f"{out}/spec.json", "--no-report", "-q")  # fmt: skip
    run(
        "train", f"{place}/data.csv", "--out", tmp_path / "t", "--resume", "--epochs", "3", *QUICK[2:]
    )  # one and the same
    run("train", data, "--out", f"{out}/grid", "--validation", "0.3", "--grid", "lr=0.1,0.01", *QUICK)
    score = json.loads(run("evaluate", table, data, "--json"))
    assert score["samples"] == 60
    run("inspect", table)
    run("inspect", f"{table}/v00000000.safetensors")
    for suffix in ("csv", "parquet", "npy"):
        run("predict", table, data, "--out", f"{out}/p.{suffix}")
        run("encode", table, data, f"{out}/c.{suffix}")
    run("export", table, f"{out}/m.onnx")
    run("report", table, "--out", f"{out}/r.html", "--test", data)
    run("import", data, f"{out}/shards")
    run("train", f"{out}/shards", "--out", f"{out}/ae", "--model", "rbm", "--net", "3-4", *QUICK)
    run("sample", f"{out}/ae", "--out", f"{out}/s.npy", "--count", "4", "--steps", "2")
    expected = {"t", "xy", "grid", "p.csv", "p.parquet", "p.npy", "c.csv", "c.parquet", "c.npy", "m.onnx", "r.html",
                "shards", "ae", "s.npy", "spec.json"}  # fmt: skip
    assert set(os.listdir(tmp_path)) == expected


def test_a_url_is_no_other_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with outputs.replacing(f"file://{tmp_path}/a") as file:
        file.write(b"1")
    outputs.put(f"file:{tmp_path}/b", b"2")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert fs.open(f"file:{tmp_path}/b").read() == b"2"


def test_a_table_made_of_a_url_is_resumed_by_the_path(place, tmp_path, capfd):
    job = Job(f"file://{place}/data.csv", str(tmp_path / "t"), Spec(epochs=1, shards=1), Options())
    with LocalRunner(workers=1) as runner:
        driver.train(job, runner)
    assert Table(tmp_path / "t").read(0).about["cuts"][0][0][0].startswith("file://")
    args = ["train", f"{place}/data.csv", "--out", str(tmp_path / "t"), "--resume", "--epochs", "2", *QUICK[2:]]
    assert cli.run(args) == 0, capfd.readouterr().err


def replacing(path, number):
    with outputs.replacing(path) as file:
        file.write(b"half")
        raise OSError(number, os.strerror(number))  # as a write to a file that is open: without a name


def publish(path, number):
    fs.publish(path, lambda file: fail(number))


def publish_folder(path, number):
    with fs.publish_folder(path) as folder:
        fail(number, os.path.join(folder, "part-00000.parquet"))


def fail(number, *path):
    raise OSError(number, os.strerror(number), *path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("way", [replacing, publish, publish_folder])
def test_what_cannot_be_written_is_told_under_its_own_name(tmp_path, way, number):
    path = str(tmp_path / "answers.csv")
    with pytest.raises(OutputError) as caught:
        way(path, number)
    said = str(caught.value)
    assert said.startswith(f"{path}: cannot be written ({os.strerror(number)}); ")
    assert "write elsewhere" in said
    assert ".tmp" not in said
    assert os.listdir(tmp_path) == []


def test_of_an_error_in_reading_the_output_is_not_blamed(tmp_path):
    with pytest.raises(PermissionError, match=r"data\.csv"), outputs.replacing(str(tmp_path / "o.csv")):
        raise PermissionError(errno.EACCES, "Permission denied", "data.csv")


@pytest.mark.parametrize(
    ("args", "status", "named"),
    [
        (["predict", "{place}/t", "{place}/data.csv", "--out", "{tmp}/p.csv"], 1, "{tmp}/p.csv"),
        (["encode", "{place}/t", "{place}/data.csv", "{tmp}/c.npy"], 1, "{tmp}/c.npy"),
        (["export", "{place}/t", "{tmp}/m.onnx"], 1, "{tmp}/m.onnx"),
        (["report", "{place}/t", "--out", "{tmp}/r.html"], 1, "{tmp}/r.html"),
        (["train", "{place}/data.csv", "--out", "{tmp}/new/t"], 4, "{tmp}/new/t"),
    ],
)
def test_a_read_only_folder_is_refused_before_any_work(place, tmp_path, capfd, monkeypatch, args, status, named):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path) and access(path, mode))
    places = {"place": place, "tmp": tmp_path}
    assert cli.run([arg.format(**places) for arg in args]) == status
    said = capfd.readouterr().err.splitlines()
    assert said == [said[0]]
    assert said[0].startswith(
        f"hdl: error: {named.format(**places)}: cannot be written (the folder {tmp_path} takes no"
    )
    assert "write elsewhere" in said[0]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["predict", "{place}/t", "{tmp}/many.csv", "--out", "{tmp}/p.csv"], "{tmp}/p.csv"),
        (["predict", "{place}/t", "{tmp}/many.csv", "--out", "{tmp}/p.parquet"], "{tmp}/p.parquet"),
        (["predict", "{place}/t", "{tmp}/many.csv", "--out", "{tmp}/p.npy"], "{tmp}/p.npy"),
        (["encode", "{place}/t", "{tmp}/many.csv", "{tmp}/c.csv"], "{tmp}/c.csv"),
        (["import", "{tmp}/many.csv", "{tmp}/shards"], "{tmp}/shards"),
        (["sample", "{place}/rbm", "--out", "{tmp}/s.npy", "--count", "9000", "--steps", "1"], "{tmp}/s.npy"),
    ],
)
def test_a_disk_that_is_full_leaves_nothing_half_written(place, tmp_path, args, named):
    rng = np.random.default_rng(1)
    np.savetxt(tmp_path / "many.csv", rng.normal(size=(20_000, 3)), "%.4f", delimiter=",", header="a,b,c", comments="")
    places = {"place": place, "tmp": tmp_path}
    command = [sys.executable, "-m", "hdl", *(arg.format(**places) for arg in args)]
    full = 50_000  # the longest that any file may become, which fails a write as a full disk does
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (full, full)))  # fmt: skip
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"hdl: error: {named.format(**places)}: cannot be written (File too large)")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("hdl: error") == 1
    assert len(done.stderr.splitlines()) == 1 or args[0] == "import", done.stderr
    assert os.listdir(tmp_path) == ["many.csv"]


CLASSES = {
    "int64": (-(2**63), 5),
    "uint64": (3, 2**63 + 5),
    "beyond": (-1, 2**63 + 5, 2**70),
    "large": (2**63 + 5, 2**64 + 1),
    "bool": (False, True),
    "text": ("01", "1", "1.0"),
    "float": (-0.5, 0, 1.5),
}


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("sigmoid", [False, True])
def test_answers_keep_what_the_classes_are_in_every_format(tmp_path, capfd, kind, sigmoid):
    import pyarrow.csv
    import pyarrow.parquet

    classes = CLASSES[kind]
    if sigmoid and len(classes) != 2:
        pytest.skip("one sigmoid tells two classes apart")
    table, net = str(tmp_path / "t"), (2, 1 if sigmoid else len(classes))
    spec = Spec(net=net, loss="sigmoid" if sigmoid else "softmax", batch=1, validation=0.0)
    schema = Schema(2, net[-1], "binary" if sigmoid else "index", classes, samples=1)
    fields, tensors = schema.to_parts()
    about = {"schema": fields, "data": "x", "options": {}, "cuts": [], "isa": "generic", "device": "cpu"}
    w = np.eye(2, len(classes), dtype=np.float32)[:, 1:] if sigmoid else np.eye(2, len(classes), dtype=np.float32)
    weights = sync.start(spec, np.concatenate([w.ravel() * 9, np.zeros(net[-1])]).astype(np.float32))
    Table(table).publish(Version(0, weights, spec.model_dump(mode="json"), "run", about=about, schema=tensors))
    (tmp_path / "d.csv").write_text("3,-3\n-3,3\n")
    for name in ("a.csv", "a.parquet", "a.npy", "l.npy", "m.onnx"):
        only = ["--labels-only"] if name == "l.npy" else []
        args = ["export", table, str(tmp_path / name)]
        if not name.endswith(".onnx"):
            args = ["predict", table, str(tmp_path / "d.csv"), "--out", str(tmp_path / name), "--no-header", *only]
        assert cli.run(args) == 0, capfd.readouterr().err
    expected = list(classes[:2])
    text = kind in ("beyond", "large", "text")
    csv = (tmp_path / "a.csv").read_text().splitlines()[1:]
    said = [line.split(",")[0].strip('"') for line in csv]
    assert said == [str(name).lower() if kind == "bool" else str(name) for name in expected] or kind == "float"
    parquet = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert parquet["label"].to_pylist() == [str(name) if text else name for name in expected]
    labels = np.load(tmp_path / "l.npy")
    assert labels.tolist() == parquet["label"].to_pylist()
    assert np.load(tmp_path / "a.npy").shape == (2, len(classes))
    assert capfd.readouterr().err.count("unexpected") == 0


def test_a_disk_that_is_full_of_samples_is_named(tmp_path, monkeypatch):
    def write(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    growing = Growing(np.float32, 3)
    growing.append(np.ones((4, 3), np.float32))
    growing.spill()
    growing.file = SimpleNamespace(write=write)
    with pytest.raises(OutputError, match=rf"{tmp_path}, where samples lie .* \(TMPDIR names another folder\): cannot"):
        growing.append(np.ones((4, 3), np.float32))


def test_standard_output_that_is_full_is_named(place):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    for args in (["predict", f"{place}/t", f"{place}/data.csv", "--out", "-"], ["inspect", f"{place}/t"]):
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-m", "hdl", *args]
            buffered = os.environ | {"PYTHONUNBUFFERED": ""}  # what was written last is still to be when Python ends
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=buffered)
        assert done.returncode == 1
        assert done.stderr == "hdl: error: standard output: No space left on device\n"
