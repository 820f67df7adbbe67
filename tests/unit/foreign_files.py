"""Files of other libraries' networks, written here: the tests of `hdl.foreign` read them."""

import io
import itertools
import json
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

from hdl import cli, data, foreign
from hdl.predict import Model

h5py = pytest.importorskip("h5py", reason="no h5py: pip install 'hdl-hadoop[keras]'")
RNG = np.random.default_rng(0)
WIDTHS = (4, 7, 5, 3)


def layers(widths=WIDTHS):
    shapes = list(itertools.pairwise(widths))
    return [RNG.normal(size=shape).astype("f4") for shape in shapes], [
        RNG.normal(size=shape[1]).astype("f4") for shape in shapes
    ]


W, B = layers()
X = 2 * RNG.normal(size=(90, 4)).astype("f4")


def answers(kind="relu", output="softmax", w=W, b=B):
    return foreign.Network(w, b, kind, output=output)(X)


def torch_file(path, names=("net.0", "net.2", "net.10"), **more):
    tensors = {f"{name}.weight": np.ascontiguousarray(w.T) for name, w in zip(names, W, strict=True)}
    tensors |= {f"{name}.bias": b for name, b in zip(names, B, strict=True)}
    path.write_bytes(save(tensors | more))
    return str(path)


def keras_layers(activation="relu", output="softmax", **last):
    dense = [{"class_name": "Dense", "config": {"name": f"d{n}", "activation": activation}} for n in range(2)]
    return [
        {"class_name": "InputLayer", "config": {"name": "in"}}, dense[0],
        {"class_name": "Dropout", "config": {"name": "drop"}}, dense[1],
        {"class_name": "Dense", "config": {"name": "out", "activation": output}}, *last.values(),
    ]  # fmt: skip


def keras_weights(target, arrays=None):
    with h5py.File(target, "w") as file:
        for n, (w, b) in enumerate(arrays or zip(W, B, strict=True)):
            group = file.create_group(f"layers/dense{f'_{n}' * bool(n)}/vars")
            group["0"], group["1"] = w, b
        file.create_group("layers/dropout/seed_generator/vars")["0"] = np.uint32([1, 2])
        file.create_group("optimizer/vars")["0"] = np.float32([1])
    return target


def keras_file(path, config=None, weights=None):
    content = keras_weights(io.BytesIO()).getvalue() if weights is None else weights
    config = {"class_name": "Sequential", "config": {"layers": keras_layers()}} if config is None else config
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", content)
    return str(path)


def older_keras_file(path):
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": keras_layers()}})
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [b"in", b"d0", b"drop", b"d1", b"out"]
        for name in ("in", "drop"):
            root.create_group(name).attrs["weight_names"] = []
        for name, w, b in zip(("d0", "d1", "out"), W, B, strict=True):
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0", f"{name}/bias:0"]
            group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = w, b
    return str(path)


def onnx_file(path, op="Relu", extra=(), external=False):
    onnx = pytest.importorskip("onnx")
    make, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    constants = [tensor(np.float32([2, 2, 2, 2]), "s"), *(tensor(w, f"w{n}") for n, w in enumerate(W))]
    constants[1] = tensor(W[0] / 2, "w0")
    constants += [tensor(b, f"b{n}") for n, b in enumerate(B)]
    constants.append(tensor(np.ascontiguousarray(W[1].T), "w1t"))
    nodes = [
        make("Mul", ["x", "s"], ["v"]), make("MatMul", ["v", "w0"], ["m"]), make("Add", ["m", "b0"], ["a"]),
        make(op, ["a"], ["h"]), make("Gemm", ["h", "w1t", "b1"], ["g"], transB=1), make(op, ["g"], ["k"]),
        make("Gemm", ["k", "w2", "b2"], ["z"]), make("Softmax", ["z"], ["p"]),
        make("ArgMax", ["p"], ["best"], axis=1, keepdims=0), *extra,
    ]  # fmt: skip
    value = (
        [onnx.helper.make_tensor_value_info("x", 1, [None, 4])],
        [onnx.helper.make_tensor_value_info("p", 1, [None, 3])],
    )
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", *value, constants))
    if external:
        model.graph.initializer[1].data_location = onnx.TensorProto.EXTERNAL
    path.write_bytes(model.SerializeToString())
    return str(path)


def functional():
    made = keras_layers()
    for before, layer in itertools.pairwise(made):
        history = {"keras_history": [before["config"]["name"], 0, 0]}
        layer["inbound_nodes"] = [{"args": [{"class_name": "__keras_tensor__", "config": history}], "kwargs": {}}]
    return made


def node(*about, **more):
    return pytest.importorskip("onnx").helper.make_node(*about, **more)


def csv_file(path):
    """Three classes by text, in an order of their own."""
    names = np.array(["ash", "elm", "oak"])[np.arange(len(X)) % 3]
    rows = [",".join([*map(str, x), name]) for x, name in zip(X.tolist(), names, strict=True)]
    path.write_text("a,b,c,d,class\n" + "\n".join(rows) + "\n")
    return path


def train(*words):
    return cli.run(["train", *map(str, words), "--label", "class", "--batch", "5", "--recipe", "plain", "--no-report"])


def started(table, file, out, *flags):
    """The answers of the network that a training of 0 epochs' length starts with."""
    assert train(table, "--init-from", file, "--out", out, "--epochs", "1", "--seed", "1", *flags) == 0
    model = Model(str(out), 0)
    source = foreign_source(model, table)
    return model, np.concatenate([part.out for part in model.predict(source)])


def foreign_source(model, table):
    return data.open_source(str(table), data.Options(**model.reading), model.schema)
