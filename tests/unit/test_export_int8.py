"""int8: onnxruntime runs what is written, the line tells its figures, and what is missing is said in a sentence."""

import re
import sys

import numpy as np
import pytest

from hdl import cli
from hdl.export import int8
from hdl.export.int8 import Agreement, Calibration

pytest.importorskip("hdl._cpu")
onnx = pytest.importorskip("onnx", reason="hdl-hadoop[export] is not installed")
runtime = pytest.importorskip("onnxruntime", reason="hdl-hadoop[export] is not installed")
sklearn_data = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A network of 200 units, which 8 bits make smaller, and data that it has not seen."""
    folder = tmp_path_factory.mktemp("int8")
    x, y = sklearn_data.load_digits(return_X_y=True)
    for name, rows in (("train", slice(0, 1200)), ("test", slice(1200, None))):
        np.savez(folder / f"{name}.npz", x=x[rows].astype(np.float32), y=y[rows])
    flags = ["--recipe", "plain", "--net", "64-200-10", "--epochs", "8", "--no-report"]
    assert cli.run(["train", str(folder / "train.npz"), "--out", str(folder / "m"), *flags]) == 0
    return folder, x[1200:].astype(np.float32), y[1200:]


def test_the_line_tells_what_the_file_answers(digits, tmp_path, capfd):
    folder, x, y = digits
    plain, small = tmp_path / "plain.onnx", tmp_path / "small.onnx"
    assert cli.run(["export", str(folder / "m"), str(plain)]) == 0
    told = ["--int8", "--calibrate", str(folder / "test.npz")]
    assert cli.run(["export", str(folder / "m"), str(small), *told]) == 0
    said = capfd.readouterr().err
    float32, static, dynamic = map(
        float, re.search(r"float32 (\S+) %, int8 static (\S+) %, dynamic (\S+) %", said).groups()
    )
    how = re.search(r"written: (\w+), ([\d,]+) bytes in place of ([\d,]+)", said)
    assert [int(size.replace(",", "")) for size in how.groups()[1:]] == [small.stat().st_size, plain.stat().st_size]
    assert small.stat().st_size < 0.5 * plain.stat().st_size
    for path, expected in ((plain, float32), (small, max(static, dynamic))):
        label, _ = runtime.InferenceSession(str(path)).run(None, {"input": x})
        assert round(100 * float((label == y).mean()), 2) == expected > 85
    about = {entry.key: entry.value for entry in onnx.load(small).metadata_props}
    assert about["hdl.int8"] == how[1]
    assert "hdl.sha256" in about
    weights = {np.dtype("int8"), np.dtype("uint8")}
    kinds = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(small).graph.initializer]
    assert {tuple(sorted(each.shape)) for each in kinds if each.dtype in weights} >= {(64, 200), (10, 200)}


def test_codes_are_compared_with_those_of_float32(digits, tmp_path, capfd):
    folder, _, _ = digits
    told = ["--layer", "1", "--int8", "--calibrate", str(folder / "test.npz")]
    assert cli.run(["export", str(folder / "m"), str(tmp_path / "codes.onnx"), *told]) == 0
    values = re.search(r"R² to float32 on 597 samples .*: float32 (\S+), int8 static (\S+), dynamic (\S+);",
                       capfd.readouterr().err).groups()  # fmt: skip
    assert float(values[0]) == 1
    assert 0.99 < max(map(float, values[1:])) <= 1


@pytest.mark.parametrize("module", ["onnxruntime", "onnxruntime.quantization"])
def test_without_the_tools_a_sentence_says_so(digits, tmp_path, monkeypatch, capfd, module):
    folder, _, _ = digits
    monkeypatch.delattr(runtime, "quantization", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    told = ["--int8", "--calibrate", str(folder / "test.npz")]
    assert cli.run(["export", str(folder / "m"), str(tmp_path / "m.onnx"), *told]) != 0
    assert "pip install" in capfd.readouterr().err
    assert not (tmp_path / "m.onnx").exists()


def test_a_runtime_that_does_not_run_the_file_says_so():
    with pytest.raises(int8.Unavailable, match=r"onnxruntime .* does not run the file"):
        int8.session_of(b"nothing")


@pytest.mark.parametrize(("rows", "most"), [(10, 10), (1000, 16), (97, 5)])
def test_rows_to_calibrate_by_are_spread_evenly(rows, most):
    kept = Calibration(most)
    for low in range(0, rows, 7):
        kept.offer({"x": np.arange(low, min(low + 7, rows))})
    found = np.concatenate([part["x"] for part in kept.batches()])
    assert most / 2 <= len(found) <= most
    assert len(set(np.diff(found))) <= 1


def test_agreement_is_a_share_or_the_share_of_variance():
    rng = np.random.default_rng(0)
    target = 1e6 + rng.normal(size=(60, 2))
    wrong = target + 0.1 * rng.normal(size=target.shape)
    measured = Agreement(2, shares=False)
    for rows in (slice(0, 11), slice(11, 60)):
        measured.add([target[rows], wrong[rows]], target[rows])
    whole = ((target - target.mean(0)) ** 2).sum()
    np.testing.assert_allclose(measured.values(), [1, 1 - ((wrong - target) ** 2).sum() / whole], rtol=1e-9)
    labels = Agreement(1, shares=True)
    labels.add([np.array(["a", "b", "b"], object)], np.array(["a", "b", "c"], object))
    assert labels.values() == [2 / 3]
