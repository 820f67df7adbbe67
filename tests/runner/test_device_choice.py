"""Devices that are asked for and are not there: 'auto' gives the CPU's bytes and says so, 'cuda' ends before anything
is written. Those that are there are what the operations are made for."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from hdl import devices, driver, ops
from hdl.cli import run
from hdl.data import open_source
from hdl.errors import SpecError, TableError, Unavailable
from hdl.predict import Model
from hdl.runners.base import Job, Log
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from tests.runner.common import signatures

SAID = "device auto: the CPU, as there is no GPU to use on "


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    """Neither this process nor one that it starts finds a GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    why = subprocess.run(
        [sys.executable, "-c", "from hdl import devices; print(devices.why_not())"], capture_output=True, text=True
    ).stdout.strip()
    monkeypatch.setattr(devices, "why_not", lambda index=0: why)
    return why


@pytest.mark.parametrize("workers", [1, 2])
def test_auto_gives_the_cpus_bytes_and_says_why(csv, train, no_gpu, workers):
    data, told = csv(), []
    expected = train(data, LocalRunner(1))
    outcome = train(data, LocalRunner(workers, device="auto"), on_event=told.append)
    assert signatures(outcome) == signatures(expected)
    assert [event.text for event in told if isinstance(event, Log)] == [f"{SAID}this machine: {no_gpu}"]
    assert Table(outcome.table).header(0)["about"]["device"] == "cpu"


def test_a_gpu_that_is_not_there_is_told_before_anything_is_made(no_gpu):
    with pytest.raises(Unavailable, match=r"device cuda, on .*: "):
        LocalRunner(2, device="cuda")
    with pytest.raises(SpecError, match="device: expected cpu"):
        LocalRunner(device="gpu")


def test_a_table_goes_on_with_auto_on_what_it_was_made_on(csv, train):
    data = csv()
    expected = train(data, LocalRunner(1), epochs=4)
    table = train(data, LocalRunner(1), epochs=2).table
    outcome = train(data, LocalRunner(2, device="auto"), table=table, resume=True, epochs=4)
    assert signatures(outcome) == signatures(expected)


def test_a_table_of_another_device_is_refused_with_the_way_on(csv, train, tmp_path, monkeypatch):
    data = csv()
    outcome = train(data, LocalRunner(1), epochs=2)
    monkeypatch.setattr(devices, "why_not", lambda index=0: None)
    with pytest.raises(
        TableError, match="made on cpu; cuda would not give the same bytes: --device cpu goes on with it"
    ):
        train(data, LocalRunner(1, device="cuda:0"), table=outcome.table, resume=True, epochs=3)


def test_yarns_workers_without_a_gpu_take_the_cpu_all_together(csv, tmp_path):
    pytest.importorskip("zmq")
    from tests.runner.yarn_here import YarnHere

    spec = parse({"net": "0-5-0", "shards": 4, "epochs": 2, "batch": 8})
    data, runner = csv(), YarnHere(2, device="auto")
    here = runner.train(Job(data, str(tmp_path / "here"), spec))
    local = driver.train(Job(data, str(tmp_path / "local"), spec), LocalRunner(1, 1))
    assert signatures(here) == signatures(local)
    (said,) = [text for text in runner.messages if text.startswith(SAID)]
    assert "worker 0 (127.0.0.1), worker 1 (127.0.0.1): " in said


def test_a_worker_of_yarn_without_the_gpu_that_was_asked_for_ends_the_run(csv, tmp_path, no_gpu):
    pytest.importorskip("zmq")
    from tests.runner.yarn_here import YarnHere

    spec, runner = parse({"net": "0-5-0", "shards": 2, "epochs": 2}), YarnHere(2, device="cuda", gpus=0)
    with pytest.raises(Unavailable) as error:
        runner.train(Job(csv(), str(tmp_path / "model"), spec))
    assert str(error.value).startswith("device cuda, on ")
    assert str(error.value).endswith(no_gpu)
    assert not (tmp_path / "model").exists()


@pytest.fixture
def pretended(monkeypatch):
    """Two GPUs that the CPU stands for; the list of what operations were made for."""
    made, real = [], ops.make

    def make(spec, backend="cpu", threads=1, isa=None):
        made.append(backend)
        return real(spec, "cpu", threads, isa)

    monkeypatch.setattr(devices, "why_not", lambda index=0: None if index < 2 else "no such GPU")
    monkeypatch.setattr(devices, "code", lambda index=0: "sm_90")
    monkeypatch.setattr(ops, "make", make)
    return made


def test_a_gpu_that_is_there_computes_all_rounds_and_the_table_goes_on_with_none_but_gpus(csv, train, pretended):
    data, fields = csv(), {"model": "dbn", "net": "0-4-3-0", "pretrain": {"epochs": 2}}
    outcome = train(data, LocalRunner(1, device="cuda:1"), epochs=2, **fields)
    assert {*pretended} == {"cuda:1", "cpu"}
    about = Table(outcome.table).header(0)["about"]
    assert (about["device"], about["isa"]) == ("cuda", "cuda-sm_90")
    with pytest.raises(TableError, match="made on cuda; cpu would not give the same bytes: --device cuda goes on"):
        train(data, LocalRunner(1), table=outcome.table, resume=True, epochs=3, **fields)
    pretended.clear()
    train(data, LocalRunner(1, device="auto"), table=outcome.table, resume=True, epochs=3, **fields)
    assert {*pretended} == {"cuda:0"}


def test_a_gpu_that_is_there_computes_answers_and_codes(csv, train, pretended):
    data = csv()
    table = train(data, LocalRunner(1)).table
    for device, expected in ("cuda:1", "cuda:1"), ("auto", "cuda:0"), ("cpu", "cpu"):
        pretended.clear()
        model = Model(table, device=device)
        assert model.evaluate(open_source(data, None, model.schema)).samples == 90
        assert next(model.encode(open_source(data, None, model.schema))).codes.shape == (90, 5)
        assert {*pretended} == {expected}
    with pytest.raises(Unavailable, match="device cuda:2: no such GPU"):
        Model(table, device="cuda:2")


def test_estimators_compute_where_they_are_told(pretended, monkeypatch):
    pytest.importorskip("sklearn")
    from hdl import DBN, BernoulliRBM, GaussianRBM, MLPClassifier, MLPRegressor, SparseAutoencoder, StackedAutoencoder

    rng = np.random.default_rng(0)
    x, y = rng.random((30, 4), np.float32), np.arange(30) % 2
    for kind in MLPClassifier, MLPRegressor, SparseAutoencoder, StackedAutoencoder, BernoulliRBM, GaussianRBM, DBN:
        steps = {"max_iter": 1} if "max_iter" in kind().get_params() else {}
        steps |= {"n_iter": 1} if "n_iter" in kind().get_params() else {}
        made = kind(**steps, device="cuda:1").fit(x, y)
        assert {*pretended} == {"cuda:1"}, kind
        pretended.clear()
        made.set_params(device="cpu")
        made.predict(x) if hasattr(made, "predict") else made.transform(x)
        assert {*pretended} == {"cpu"}
        with pytest.raises(Unavailable, match="device cuda:2: no such GPU"):
            made.set_params(device="cuda:2").fit(x, y)
        with pytest.raises(ValueError, match="device: expected cpu, cuda, cuda:N or auto"):
            made.set_params(device="gpu").fit(x, y)
        pretended.clear()
    monkeypatch.setattr(devices, "why_not", lambda index=0: "none today")
    with pytest.warns(UserWarning, match="device auto: the CPU, as there is no GPU to use: none today"):
        MLPRegressor((2,), max_iter=1, device="auto").fit(x, y)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def model(csv, tmp_path):
    """Data, and a table that was trained on it."""
    data, table = csv(), str(tmp_path / "model")
    assert run(["train", data, "--out", table, "--net", "0-4-0", "--epochs", "2", "--no-report", "--quiet"]) == 0
    return data, table


def files(folder):
    return {name: os.stat(os.path.join(folder, name)).st_mtime_ns for name in os.listdir(folder)}


def test_train_ends_with_status_8_and_leaves_what_was_there(model, capsys, tmp_path, no_gpu):
    data, table = model
    before = files(table)
    capsys.readouterr()
    for out in table, str(tmp_path / "new"):
        assert run(["train", data, "--out", out, "--overwrite", "--device", "cuda:1", "--no-report"]) == 8
        assert f": {no_gpu}" in capsys.readouterr().err
    assert files(table) == before
    assert not (tmp_path / "new").exists()


def test_train_tells_that_auto_is_the_cpu(csv, tmp_path, capsys, no_gpu):
    words = ["train", csv(), "--out", str(tmp_path / "auto"), "--net", "0-4-0", "--epochs", "1", "--device", "auto"]
    assert run([*words, "--no-report"]) == 0
    assert f"{SAID}this machine: {no_gpu}\n" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "predict", "encode", "report"])
def test_what_uses_a_table_takes_a_device_too(model, command, tmp_path, capsys, no_gpu):
    data, table = model
    out = str(tmp_path / "out.npy")
    words = {"evaluate": [data], "predict": [data, "--out", out], "encode": [data, out], "report": ["--test", data]}
    capsys.readouterr()
    assert run([command, table, *words[command], "--device", "cuda"]) == 8
    assert f"device cuda: {no_gpu}" in capsys.readouterr().err
    assert not os.path.exists(out)
    assert run([command, table, *words[command], "--device", "auto"]) == 0
    assert f"device auto: the CPU, as there is no GPU to use: {no_gpu}" in capsys.readouterr().err
    assert run([command, table, *words[command], "--device", "gpu"]) == 2
    assert "Invalid value for '--device': expected cpu, cuda, cuda:N or auto (given 'gpu')" in capsys.readouterr().err


def test_the_device_is_no_part_of_the_spec(capsys):
    assert run(["train", "data", "--dry-run", "--device", "cuda", "--precision", "tf32"]) == 0
    spec = json.loads(capsys.readouterr().out)
    assert spec["precision"] == "tf32"
    assert "device" not in spec
