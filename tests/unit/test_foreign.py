"""Networks of other libraries: their files are read as plain numbers, or refused in a sentence; and made as theirs."""

import io
import itertools
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

from hdl import cli, foreign
from hdl.errors import DataError, SpecError
from hdl.foreign import living
from hdl.predict import Model
from hdl.table import Table

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


@pytest.mark.parametrize("write", [
    lambda p: keras_file(p / "a.keras"), lambda p: older_keras_file(p / "a.h5"), lambda p: onnx_file(p / "a.onnx"),
    lambda p: keras_file(p / "b.keras", {"class_name": "Functional", "config": {"layers": functional()}}),
])  # fmt: skip
def test_files_that_say_all(tmp_path, write):
    net = foreign.read(write(tmp_path))
    assert (net.widths, net.activation, net.output) == (WIDTHS, "relu", "softmax")
    np.testing.assert_allclose(net(X), answers(), rtol=1e-5, atol=1e-7)


def functional():
    made = keras_layers()
    for before, layer in itertools.pairwise(made):
        history = {"keras_history": [before["config"]["name"], 0, 0]}
        layer["inbound_nodes"] = [{"args": [{"class_name": "__keras_tensor__", "config": history}], "kwargs": {}}]
    return made


@pytest.mark.parametrize("write", [
    lambda p: torch_file(p / "a.safetensors"), lambda p: torch_file(p / "a.safetensors", ("one", "two", "last")),
    lambda p: str(keras_weights(p / "a.weights.h5")),
])  # fmt: skip
def test_files_that_hold_numbers_alone(tmp_path, write):
    net = foreign.read(write(tmp_path))
    assert (net.widths, net.activation, net.output) == (WIDTHS, None, None)
    assert all(np.array_equal(*pair) for pair in zip((*net.weights, *net.biases), (*W, *B), strict=True))


def test_layers_that_may_stand_in_two_orders_are_refused(tmp_path):
    square = np.eye(3, dtype="f4")
    (tmp_path / "a.safetensors").write_bytes(save({"a.weight": square, "b.weight": 2 * square}))
    with pytest.raises(DataError, match="the layers a, b may stand in several orders, as their shapes say: number"):
        foreign.read(str(tmp_path / "a.safetensors"))
    (tmp_path / "a.safetensors").write_bytes(save({"h10.weight": square, "h9.weight": 2 * square}))
    assert foreign.read(str(tmp_path / "a.safetensors")).names == ["h9", "h10"]


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
    "a folder; expected a file": lambda p: (p / "a.keras").mkdir() or str(p / "a.keras"),
}  # fmt: skip


def node(*about):
    return pytest.importorskip("onnx").helper.make_node(*about)


def forked():
    made = functional()
    made[3]["inbound_nodes"] = made[1]["inbound_nodes"]
    return made


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(20 << 20))
        archive.writestr("model.weights.h5", b"")
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


# --- trainings that start from them -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Three classes by text, in an order of their own."""
    path = tmp_path_factory.mktemp("foreign") / "data.csv"
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
    from hdl import data

    return data.open_source(str(table), data.Options(**model.reading), model.schema)


def test_a_training_starts_from_another_librarys_network(tmp_path, table):
    model, found = started(table, keras_file(tmp_path / "a.keras"), tmp_path / "m")
    np.testing.assert_allclose(found, answers(), rtol=1e-4, atol=1e-6)
    assert model.schema.scale is None  # features as the network is used to them
    assert model.about["start"]["path"] == str(tmp_path / "a.keras")
    assert Table(str(tmp_path / "m")).latest() >= 1


def test_what_a_file_does_not_say_is_asked_for(tmp_path, table, capsys):
    file = torch_file(tmp_path / "a.safetensors")
    assert train(table, "--init-from", file, "--out", tmp_path / "m") != 0
    assert "does not say which activation its hidden layers have; --activation names it" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
    _, found = started(table, file, tmp_path / "m", "--activation", "relu")
    np.testing.assert_allclose(found, answers(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("flags", "said"), [
    (["--activation", "tanh"], "activation: .* has relu, given tanh"),
    (["--net", "0-9-0"], "net 0-9-0: .* has hidden widths 7-5"),
    (["--loss", "sigmoid"], "loss: .* has softmax, given sigmoid"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path, table, capsys, flags, said):
    import re

    assert train(table, "--init-from", keras_file(tmp_path / "a.keras"), "--out", tmp_path / "m", *flags) != 0
    assert re.search(said, capsys.readouterr().err)


def test_features_of_another_number_are_refused(tmp_path, table, capsys):
    short = tmp_path / "short.csv"
    short.write_text("\n".join(line.partition(",")[2] for line in table.read_text().splitlines()))
    assert train(short, "--init-from", keras_file(tmp_path / "a.keras"), "--out", tmp_path / "m") != 0
    assert "net 3-7-5-3" in (said := capsys.readouterr().err)
    assert "has 4-7-5-3, and its weights do not fit" in said
    assert not (tmp_path / "m" / "v00000000.hdl").exists()


def test_scikit_learns_networks_there_and_back(tmp_path, table):
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    for made, kind in (
        (load_iris(), MLPClassifier),
        (load_breast_cancer(), MLPClassifier),
        (load_diabetes(), MLPRegressor),
    ):
        fitted = kind(hidden_layer_sizes=(6,), activation="tanh", max_iter=30, random_state=0).fit(
            made.data, made.target
        )
        folder = tmp_path / f"{kind.__name__}{made.data.shape[1]}"
        folder.mkdir()
        foreign.save_sklearn(fitted, str(folder / "net.safetensors"))
        rows = np.column_stack([made.data, made.target])
        head = ",".join([*(f"x{n}" for n in range(made.data.shape[1])), "class"])
        np.savetxt(folder / "data.csv", rows, delimiter=",", header=head, comments="", fmt="%.9g")
        model, found = started(folder / "data.csv", folder / "net.safetensors", folder / "m")
        regression = kind is MLPRegressor
        wanted = fitted.predict(made.data)[:, None] if regression else fitted.predict_proba(made.data)
        found = found if regression or wanted.shape[1] == found.shape[1] else np.hstack([1 - found, found])
        np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-5)
        back = model.to_sklearn()
        mine = back.predict(made.data)[:, None] if regression else back.predict_proba(made.data)
        np.testing.assert_allclose(mine, wanted, rtol=2e-3, atol=2e-5)
        if not regression:
            assert (back.predict(made.data) == fitted.predict(made.data)).mean() > 0.99


def test_what_is_no_network_of_scikit_learn_is_refused(tmp_path):
    from sklearn.linear_model import LogisticRegression

    with pytest.raises(SpecError, match="a LogisticRegression; expected a fitted MLPClassifier"):
        foreign.save_sklearn(LogisticRegression(), str(tmp_path / "a.safetensors"))
    assert not (tmp_path / "a.safetensors").exists()


def test_what_is_no_chain_of_layers_is_not_made(tmp_path, table):
    assert train(table, "--out", tmp_path / "m", "--epochs", "1", "--members", "2", "--net", "0-3-0") == 0
    with pytest.raises(SpecError, match="it is an ensemble of 2 nets, and no chain of dense layers; `hdl export`"):
        living.plain(Model(str(tmp_path / "m")))


def test_hdls_own_exports_come_back(tmp_path, table):
    pytest.importorskip("onnx")
    assert train(table, "--out", tmp_path / "m", "--epochs", "3", "--activation", "lecun_tanh", "--net", "0-6-0") == 0
    assert cli.run(["export", str(tmp_path / "m"), str(tmp_path / "m.onnx")]) == 0
    model = Model(str(tmp_path / "m"))
    wanted = np.concatenate([part.out for part in model.predict(foreign_source(model, table))])
    net = foreign.read(str(tmp_path / "m.onnx"))
    assert net.classes == ("ash", "elm", "oak")
    np.testing.assert_allclose(net(X), wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(living.plain(model)(X), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu", "lecun_tanh", "sigmoid", "linear"])
@pytest.mark.parametrize("library", ["torch", "keras"])
def test_living_networks_answer_as_the_model_does(tmp_path, table, library, activation):
    pytest.importorskip(library)
    assert train(table, "--out", tmp_path / "m", "--epochs", "3", "--activation", activation, "--net", "0-6-4-0") == 0
    model = Model(str(tmp_path / "m"))
    wanted = np.concatenate([part.out for part in model.predict(foreign_source(model, table))])
    if library == "torch":
        import torch

        found = model.to_torch()(torch.from_numpy(X)).detach().numpy()
        assert model.to_torch(logits=True)(torch.from_numpy(X)).shape == found.shape
    else:
        made = model.to_keras()
        found = np.asarray(made(X))
        made.save(tmp_path / "a.keras")
        if activation != "leaky_relu":
            np.testing.assert_allclose(foreign.read(str(tmp_path / "a.keras"))(X), wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
