"""Damaged, foreign and huge files are refused in a sentence, and nothing of them is executed."""

import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

from hdl import foreign
from hdl.errors import DataError
from tests.unit.foreign_files import (
    W,
    functional,
    h5py,
    keras_file,
    keras_layers,
    keras_weights,
    node,
    older_keras_file,
    onnx_file,
    torch_file,
)


def lying(path):
    header = json.dumps({"a.weight": {"dtype": "F32", "shape": [1 << 20, 1 << 20], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    return str(path)


def linked(path, link):
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = link
    return str(path)


def external(path):
    with h5py.File(path, "w") as file:
        file.create_group("layers/dense/vars").create_dataset("0", (4, 3), "f4", external="/etc/passwd")
    return str(path)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("/tmp/hdl-evil-was-here",)


def written(path, content):
    path.write_bytes(content)
    return str(path)


def lambda_layer():
    return {
        "class_name": "Lambda",
        "config": {"name": "l", "function": {"class_name": "__lambda__", "config": "4wEAA"}},
    }


REFUSED = {
    "a pickle may run any program": lambda p: written(p / "a.pt", pickle.dumps(Evil())),
    "no whole file of safetensors": lambda p: lying(p / "a.safetensors"),
    "no whole file of safetensors: ": lambda p: written(p / "a.safetensors", b"\xff" * 100),
    "bn.running_mean .* of no linear layer": lambda p: torch_file(
        p / "a.safetensors", **{"bn.running_mean": np.zeros(3, "f4")}
    ),
    "net.0.weight is of type I64": lambda p: written(
        p / "a.safetensors", save({"net.0.weight": np.zeros((2, 2), np.int64)})
    ),
    "holds numbers that are not finite": lambda p: written(
        p / "a.safetensors", save({"net.0.weight": np.full((2, 2), np.nan, "f4")})
    ),
    "layer l is a Lambda, which hdl does not run": lambda p: keras_file(
        p / "a.keras", {"class_name": "Sequential", "config": {"layers": keras_layers(extra=lambda_layer())}}
    ),
    "has activation gelu; expected one of": lambda p: keras_file(
        p / "a.keras", {"class_name": "Sequential", "config": {"layers": keras_layers("gelu")}}
    ),
    "layer d1 takes in: no chain": lambda p: keras_file(
        p / "a.keras", {"class_name": "Functional", "config": {"layers": forked()}}
    ),
    "its description of layers is not Keras'": lambda p: keras_file(p / "a.keras", {"class_name": "Sequential"}),
    "no whole .keras file": lambda p: written(p / "a.keras", b"PK\x03\x04 and then nothing"),
    "config.json unpacks to more than": lambda p: bomb(p / "a.keras"),
    "no whole HDF5 file": lambda p: keras_file(p / "a.keras", weights=b"nothing"),
    "no whole HDF5 file of": lambda p: written(p / "a.h5", keras_weights(io.BytesIO()).getvalue()[:3000]),
    "is a link elsewhere, which is not followed": lambda p: linked(
        p / "a.h5", h5py.ExternalLink("/etc/passwd", "/x")
    ),
    "is a link elsewhere, which is": lambda p: linked(p / "a.weights.h5", h5py.SoftLink("/x")),
    "has its numbers in another file": lambda p: external(p / "a.weights.h5"),
    "no ONNX file": lambda p: written(p / "a.onnx", b"\xff\xff\xff\xff"),
    "no chain of dense layers: Relu": lambda p: onnx_file(p / "a.onnx", extra=[node("Relu", ["b0"], ["r"])]),
    "is kept in another file": lambda p: onnx_file(p / "a.onnx", external=True),
    "activation softsign|is a Softsign": lambda p: onnx_file(p / "a.onnx", "Softsign"),
    "r is a com.example.Relu, which hdl does not know": lambda p: onnx_nodes(
        p / "a.onnx", node("Relu", ["x"], ["r"], domain="com.example", name="r")
    ),
    "is a Loop; expected a chain": lambda p: onnx_nodes(p / "a.onnx", node("Loop", ["x"], ["r"])),
    "comes back to itself": lambda p: onnx_nodes(
        p / "a.onnx", node("Identity", ["x"], ["r"]), node("Mul", ["r", "two"], ["x"])
    ),
    "'names' is kept in another file": lambda p: onnx_nodes(
        p / "a.onnx", *(node("MatMul", ["x", "w"], ["z"]), node("ArgMax", ["z"], ["k"])),
        node("Gather", ["names", "k"], ["l"]), names=True,
    ),
    "a damaged graph: KeyError": lambda p: onnx_nodes(
        p / "a.onnx", node("Cast", ["x"], ["r"]), node("MatMul", ["r", "w"], ["z"])
    ),
    "a damaged graph: IndexError": lambda p: onnx_nodes(p / "a.onnx", node("Dropout", ["x"], [])),
    "'w' is damaged": lambda p: onnx_nodes(p / "a.onnx", node("MatMul", ["x", "w"], ["z"]), lies=1 << 40),
    "no whole file of safetensors:": lambda p: written(p / "a.safetensors", struct.pack("<Q", 3 << 30) + b"{}" * 50),
    "no whole file of safetensors: .*": lambda p: written(
        p / "a.safetensors", struct.pack("<Q", 1 << 20) + b"[" * (1 << 20)
    ),
    "layers/dense/vars/0 unpacks to 2,000,000,000 bytes, of 0 in the file": lambda p: hollow(p / "a.weights.h5"),
    "a folder; expected a file": lambda p: (p / "a.keras").mkdir() or str(p / "a.keras"),
}  # fmt: skip


def forked():
    made = functional()
    made[3]["inbound_nodes"] = made[1]["inbound_nodes"]
    return made


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(20 << 20))
        archive.writestr("model.weights.h5", b"")
    return str(path)


def onnx_nodes(path, *nodes, names=False, lies=0):
    onnx = pytest.importorskip("onnx")
    tensor = onnx.numpy_helper.from_array
    constants = [tensor(np.float32([2]), "two"), tensor(W[0], "w"), tensor(np.arange(3), "names")]
    if lies:
        constants[1].dims[0] = lies
    if names:
        constants[2].data_location = onnx.TensorProto.EXTERNAL
        constants[2].external_data.add(key="location", value="passwd")
    made = onnx.helper.make_tensor_value_info("x", 1, [None, 4])
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [made], [made], constants))
    path.write_bytes(model.SerializeToString())
    return str(path)


def hollow(path):
    """A file of some kilobytes whose numbers would take two gigabytes of memory."""
    with h5py.File(path, "w") as file:
        file.create_group("layers/dense/vars").create_dataset("0", (50_000, 10_000), "f4", chunks=(1000, 1000))
    return str(path)


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_no_network_is_refused_in_a_sentence(tmp_path, said):
    path = REFUSED[said](tmp_path)
    with pytest.raises(DataError, match=said) as error:
        foreign.read(path)
    assert path in str(error.value)
    assert not os.path.exists("/tmp/hdl-evil-was-here")


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(foreign, "MOST", 100)
    with pytest.raises(DataError, match="bytes; expected a network of at most 100"):
        foreign.read(torch_file(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("part", [0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["safetensors", "h5", "onnx", "keras"])
def test_a_cut_file_is_refused(tmp_path, kind, part):
    write = {"safetensors": torch_file, "h5": older_keras_file, "onnx": onnx_file, "keras": keras_file}[kind]
    path = tmp_path / f"a.{kind}"
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(DataError):
        foreign.read(str(path))
