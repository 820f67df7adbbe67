"""Every kind of model as ONNX says in onnxruntime what `hdl encode` and `hdl predict` say, of real data."""

import gzip
import json

import numpy as np
import pytest

from hdl import __version__, cli, data, export
from hdl.export.rows import feeds_of
from hdl.models import codes
from hdl.predict import Model
from hdl.spec import parse

pytest.importorskip("hdl._cpu")
onnx = pytest.importorskip("onnx", reason="hdl-hadoop[export] is not installed")
runtime = pytest.importorskip("onnxruntime", reason="hdl-hadoop[export] is not installed")
sklearn_data = pytest.importorskip("sklearn.datasets")

CLOSE = 2e-5
# Data, flags of the training, the table below it, and the layer that is asked for.
KINDS = {
    "autoencoder": ("digits", "--model autoencoder --net 64-16-64", "", None),
    "tied, of numbers": ("iris", "--model autoencoder --net 0-3-0 --decoder linear --tied --activation tanh", "", None),
    "sparse samples": ("heart", "--model autoencoder --net 0-6-0 --decoder linear", "", None),
    "of a table": ("adult", "--model autoencoder --net 0-6-0 --decoder linear --activation tanh", "", None),
    "rbm": ("digits", "--model rbm --net 64-12 --optimizer momentum --lr 0.05", "", None),
    "gaussian rbm": ("iris", "--model rbm --net 0-5 --visible gaussian --optimizer momentum --lr 0.01", "", None),
    "stack": ("digits", "--model stacked --net 64-20-12-10 --pretrain-epochs 1", "", None),
    "codes of a stack": ("digits", "--model stacked --net 64-20-12-10 --pretrain-epochs 1", "", 2),
    "a layer of a stack": ("digits", "--model stacked --net 64-20-12-10 --pretrain-epochs 1", "/layer2", None),
    "unrolled": ("digits", "--model stacked --net 64-20-8 --pretrain-epochs 1 --finetune reconstruct", "", None),
    "not trained": ("digits", "--model dbn --net 64-20-8 --pretrain-epochs 1 --finetune none", "", None),
    "a layer of a dbn": ("digits", "--model dbn --net 64-20-8 --pretrain-epochs 1 --finetune none", "/layer2", None),
    "dbn": ("digits", "--model dbn --net 64-20-10 --pretrain-epochs 1", "", None),
    "codes of a network": ("iris", "--net 0-7-5-0 --activation lecun_tanh", "", 1),
    "codes of an ensemble": ("iris", "--net 0-4-0 --members 3", "", None),
    "codes of embeddings": ("adult", "--net 0-9-6-0 --embedding 3", "", 2),
    "codes of levels": ("adult", "--net 0-9-6-0 --activation leaky_relu", "", 1),
    "sparse classes": ("heart", "--net 0-5-0", "", None),
    "regression": ("diabetes", "--net 0-5-0", "", None),
}  # fmt: skip


@pytest.fixture(scope="module")
def sets(tmp_path_factory, request):
    """Paths of the data by name; what HDL_DATA has not is skipped when it is asked for."""
    folder = tmp_path_factory.mktemp("kinds")

    def path(name):
        if name == "heart":
            return str(request.getfixturevalue("datasets")("heart_scale"))
        target = folder / (f"{name}.npz" if name == "digits" else f"{name}.csv")
        if target.exists():
            return str(target)
        if name == "adult":
            with gzip.open(request.getfixturevalue("datasets")("tables") / "adult.data.gz", "rt") as file:
                target.write_text("".join(line for _, line in zip(range(1500), file, strict=False)))
        elif name == "digits":
            x, y = sklearn_data.load_digits(return_X_y=True)
            np.savez(target, x=(x[:400] / 16).astype(np.float32), y=y[:400])
        else:
            made = getattr(sklearn_data, f"load_{name}")()
            head = ",".join([*(f"f{n}" for n in range(made.data.shape[1])), "label"])
            rows = np.column_stack([made.data, made.target])
            np.savetxt(target, rows, "%.7g", ",", header=head, comments="")
        return str(target)

    return path


def trained(path, out, flags):
    command = ["train", path, "--out", str(out), "--recipe", "plain", "--epochs", "2", "--seed", "3", "--no-report"]
    assert cli.run([*command, *flags.split()]) == 0
    return out


def opened(graph):
    return runtime.InferenceSession(export.serialise(graph), providers=["CPUExecutionProvider"])


def answers(session, model, path):
    """What a graph answers to all rows, by its outputs' names."""
    source = data.open_source(path, model.reading, model.schema, labels=False)
    names = [item.name for item in session.get_outputs()]
    blocks = (block for splits in source.splits(1) for block in source.read(splits))
    parts = [session.run(None, feeds_of(session, block, model.schema)) for block in blocks]
    return {name: np.concatenate(each) for name, each in zip(names, zip(*parts, strict=True), strict=True)}


def own(model, path, layer):
    """The same of hdl."""
    source = data.open_source(path, model.reading, model.schema, labels=False)
    if layer is not None or export.makes_codes(model.spec):
        found = {"codes": np.concatenate([part.codes for part in model.encode(source, layer)])}
        if layer is None and model.spec.finetune != "none":
            found["reconstruction"] = codes.Decoder(model.spec, model.w, layer, model.below)(found["codes"])
        return found
    parts = list(model.predict(source))
    out = np.concatenate([part.out for part in parts])
    if not model.schema.classes:
        return {"value": out}
    return {"label": np.concatenate([part.labels for part in parts]), "probabilities": out}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_answers_as_hdl_does(sets, tmp_path, kind):
    name, flags, below, layer = KINDS[kind]
    path = sets(name)
    table = str(trained(path, tmp_path / "m", flags)) + below
    layer = 1 if kind == "codes of an ensemble" else layer
    model = Model(table)
    session = opened(export.of_model(model, layer=layer))
    found, expected = answers(session, model, path), own(model, path, layer)
    assert set(found) == set(expected)
    for output, values in expected.items():
        if output == "label":
            np.testing.assert_array_equal(found[output], values)
        else:
            unit = 1 if model.schema.target_deviation is None else model.schema.target_deviation
            np.testing.assert_allclose(found[output] / unit, values / unit, rtol=CLOSE, atol=CLOSE, err_msg=output)
    assert [item.shape[0] for item in session.get_outputs()] == ["N"] * len(found)
    if not below and "reconstruction" in expected:  # is what hdl predict answers
        source = data.open_source(path, model.reading, model.schema, labels=False)
        out = np.concatenate([part.out for part in model.predict(source)])
        np.testing.assert_allclose(found["reconstruction"], out, rtol=CLOSE, atol=CLOSE)


@pytest.fixture(scope="module")
def iris(sets, tmp_path_factory):
    return trained(sets("iris"), tmp_path_factory.mktemp("iris") / "m", "--net 0-6-0"), sets("iris")


@pytest.mark.parametrize("opset", [13, 15, 18, 21])
def test_every_opset_answers_the_same(iris, tmp_path, opset):
    table, path = iris
    out = tmp_path / "m.onnx"
    assert cli.run(["export", str(table), str(out), "--opset", str(opset)]) == 0
    model = Model(str(table))
    found = answers(runtime.InferenceSession(str(out)), model, path)
    np.testing.assert_allclose(found["probabilities"], own(model, path, None)["probabilities"], atol=CLOSE)
    assert {item.domain: item.version for item in onnx.load(out).opset_import}[""] == opset


@pytest.mark.parametrize("rows", [0, 1, 7, 150])
def test_any_number_of_rows(iris, rows):
    table, _ = iris
    model = Model(str(table))
    session = opened(export.of_model(model))
    x = np.linspace(0, 5, 4 * rows, dtype=np.float32).reshape(rows, 4)
    assert [len(out) for out in session.run(None, {"input": x})] == [rows, rows]


def test_names_and_maps_are_as_they_were_wished(iris, tmp_path):
    table, path = iris
    out, model = tmp_path / "m.onnx", Model(str(table))
    wishes = [
        "--rename",
        "input=sepal",
        "--rename",
        "probabilities=W1",
        "--rename",
        "label=gemm1",
        "--zipmap",
    ]
    assert cli.run(["export", str(table), str(out), *wishes]) == 0
    session = runtime.InferenceSession(str(out))
    assert [item.name for item in session.get_inputs()] == ["sepal"]
    assert [item.name for item in session.get_outputs()] == ["gemm1", "W1"]
    source = data.open_source(path, model.reading, model.schema, labels=False)
    (block,) = (block for splits in source.splits(1) for block in source.read(splits))
    labels, maps = session.run(None, feeds_of(session, block, model.schema))
    expected = own(model, path, None)
    assert labels.tolist() == expected["label"].tolist()
    found = np.array([[row[label] for label in model.schema.classes] for row in maps])
    np.testing.assert_allclose(found, expected["probabilities"], atol=CLOSE)


def test_the_file_says_what_it_is_of(iris, tmp_path):
    table, _ = iris
    out, model = tmp_path / "m.onnx", Model(str(table))
    assert cli.run(["export", str(table), str(out)]) == 0
    made = onnx.load(out)
    about = {entry.key: entry.value for entry in made.metadata_props}
    assert (made.producer_name, made.producer_version) == ("hdl", __version__)
    assert about["hdl.sha256"] == model.version.signature
    assert json.loads(about["hdl.classes"]) == list(model.schema.classes)
    assert parse(about["hdl.spec"]) == model.spec
    assert about["hdl.table_version"] == str(model.version.number)


@pytest.mark.parametrize(("flags", "said"), [
    ("--opset 9", "--opset 9: expected 13 to"),
    ("--rename x=y", "--rename x=y: expected one of input, label, probabilities"),
    ("--rename input=label", "--rename: 2 inputs and outputs would be called 'label'"),
    ("--rename input", "--rename: expected OLD=NEW"),
    ("--layer 2", "--layer 2: the network has layer 1"),
    ("--int8", "--int8 needs --calibrate DATA"),
    ("--calibrate x", "--calibrate needs --int8"),
    ("--delimiter ;", "--delimiter: says how the data of --calibrate is read"),
    ("--layer 1 --zipmap", "--zipmap: maps classes to probabilities"),
    ("--int8 --calibrate nowhere.csv", "nowhere.csv"),
])  # fmt: skip
def test_wishes_that_cannot_be_are_refused(iris, tmp_path, capsys, flags, said):
    table, _ = iris
    assert cli.run(["export", str(table), str(tmp_path / "m.onnx"), *flags.split()]) != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()


def test_columns_keep_their_meaning_under_other_names(sets, tmp_path):
    path = sets("adult")
    model = Model(str(trained(path, tmp_path / "m", "--net 0-4-0")))
    plain = opened(export.of_model(model))
    first, second = (item.name for item in plain.get_inputs()[:2])
    other = opened(export.of_model(model, names={first: second, second: "a b"}))
    assert [item.name for item in other.get_inputs()[:2]] == [second, "a b"]
    for one, two in zip(answers(plain, model, path).values(), answers(other, model, path).values(), strict=True):
        np.testing.assert_array_equal(one, two)
