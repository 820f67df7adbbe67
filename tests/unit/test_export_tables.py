"""The exported graph of a table's model takes raw columns and says what the network says, in onnxruntime."""

import json

import numpy as np
import pyarrow as pa
import pytest

from hdl import export
from hdl.data.tabular.categories import Category
from hdl.data.tabular.dates import DAY, MISSING, Date
from hdl.data.tabular.encoders import Encodings
from hdl.data.tabular.frame import Column, Frame, category_type, date_type
from hdl.data.tabular.numbers import RULES, Number
from hdl.errors import SpecError
from hdl.ops import Samples
from hdl.ops.layout import of
from hdl.ops.reference import DenseReference
from hdl.spec import Spec

pytest.importorskip("onnx", reason="hdl-hadoop[export] is not installed")
runtime = pytest.importorskip("onnxruntime", reason="hdl-hadoop[export] is not installed")

N = 300
RNG = np.random.default_rng(5)
WILD = np.r_[RNG.normal(0, 3, N - 12), 0, -0.0, 1e-12, -1e-9, 1e30, -1e30, 1e25, 2.5, -2.5, 1, np.nan, np.nan]
MOMENTS = np.r_[
    RNG.integers(-4e15, 4e15, N - 8), 0, -1, DAY - 1, -DAY, 951_782_400_000_000, 951_868_799_999_999, MISSING, MISSING
]
WORDS = np.array(["red", "blue", "grün", "None", "nan", "never seen", "", None], object)[RNG.integers(0, 8, N)]


def ends(part, column, kind="number"):
    return Encodings((Column(column, kind),), (part,))


def frame(encodings):
    """Rows of the columns of some encodings: the wild cells above, in an order of each column's own."""
    numbers, others = [], []
    for place, column in enumerate(encodings.columns):
        order = np.random.default_rng(place).permutation(N)
        if column.kind == "number":
            numbers.append(WILD[order])
        elif column.kind == "category":
            others.append(pa.array([WORDS[i] or None for i in order]).cast(category_type()))
        else:
            moments = MOMENTS[order]
            others.append(pa.array(moments, mask=moments == MISSING).cast(date_type()))
    table = np.stack(numbers, axis=1) if numbers else np.zeros((N, 0))
    return Frame(table, others, encodings.columns)


def feeds(rows, session, token="", left_out=()):
    """The same rows as onnxruntime takes them: the columns in use, in their order."""
    out, columns = {}, [column for column in rows.columns if column.name not in left_out]
    for column, wanted in zip(columns, session.get_inputs(), strict=True):
        assert wanted.name.rstrip("_") == column.name.rstrip("_")
        cells = rows[column.name]
        if column.kind == "category":
            cells = np.array([token if text is None else text for text in cells.to_pylist()], object)
        elif column.kind == "date":
            cells = cells.to_numpy(zero_copy_only=False).astype("datetime64[us]").astype(np.int64)
        out[wanted.name] = cells[:, None]
    return out


def both(encodings, net=(4, 3), classes=("a", "b", "c"), token="", **fields):
    """Outputs of the exported graph by name, and what the NumPy reference says of the encoded rows."""
    spec = Spec(net=(encodings.inputs, *net), **{"loss": "softmax", **fields})
    w = RNG.normal(0, 0.5, of(spec).size).astype(np.float32)
    model = export.build(spec, w, classes=classes, encodings=encodings)
    assert {item.key: item.value for item in model.metadata_props}["hdl.missing"] == token
    session = runtime.InferenceSession(export.serialise(model), providers=["CPUExecutionProvider"])
    rows = frame(encodings)
    outputs = session.run(None, feeds(rows, session, token, encodings.reasons or ()))
    expected, _ = DenseReference(spec).forward(w, Samples(encodings.encode(rows)), np.arange(N))
    return dict(zip([out.name for out in session.get_outputs()], outputs, strict=True)), expected


NUMBERS = {
    "linear": Number(center=0.5, spread=2.0, fill=0.5),
    "an indicator": Number(spread=3.0, fill=-1.0, indicator=True),
    "no fill": Number("linear", 0.5, 2.0, fill=None, indicator=True),
    "robust": Number("robust", 0.1, 0.7, fill=0.3),
    "log": Number("log", 0.2, 1.7, fill=2.0, indicator=True),
    "quantile": Number("quantile", knots=(-3.0, -0.5, 0.0, 4.0), scores=(-2.0, 0.0, 0.3, 2.0), fill=1.0),
    "two knots": Number("quantile", knots=(-3.0, 4.0), scores=(-2.0, 2.0), fill=1.0),
    "one knot": Number("quantile", knots=(1.0,), scores=(0.5,), fill=1.0),
    "piecewise linear": Number(edges=(-4.0, -1.0, 0.0, 2.5, 7.0), fill=0.3, indicator=True),
    "two parts": Number("robust", 3.0, 2.0, usual=1.0, fill=1.0, indicator=True),
    "two parts, no fill": Number(edges=(-2.5, 1.0, 2.5), usual=2.5, indicator=True),
    "two parts, one beyond the edges": Number(edges=(-2.4, 1.0, 2.4), usual=2.5, fill=2.5),
    "only whether it is missing": Number("none", indicator=True),
    "periodic": Number("robust", 0.0, 1.0, frequencies=(0.1, 0.9, 2.3), fill=0.0, indicator=True),
}
YEAR, AGE = Number(center=1990.0, spread=25.0, fill=1985.0), Number("robust", 7000.0, 9000.0, fill=6000.0)
DATES = {
    "all": Date(-3, YEAR, AGE, ("month", "weekday", "hour"), False, True),
    "bounded": Date(10_957, None, AGE, ("month", "hour"), True, False),
    "year": Date(0, Number(center=1970.0, spread=40.0, fill=None), None, (), False, True),
}
CATEGORIES = {
    "levels": Category(("red", "blue", "grün")),
    "missing": Category(("blue",), missing=True),
    "another": Category(("red", "None"), missing=True, other=True),
    "rest": Category(("red", "nan"), other=True),
}


@pytest.mark.parametrize("rule", NUMBERS)
def test_numbers_of_every_rule(rule):
    encodings = ends(NUMBERS[rule], "a number")
    outputs, expected = both(encodings, activation="tanh")
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=2e-6)


def test_numbers_beyond_all_bounds_are_bounded_by_the_robust_rule():
    encodings = ends(Number("robust", 0.0, 1.0, fill=0.0), "x")
    x = np.array([[1e160], [-1e300], [1e150], [3.0]])
    assert encodings.encode(x).tolist() == [[3.0], [-3.0], [3.0], [np.float32(3 / np.sqrt(2))]]
    graph = export.build(Spec(net=(1, 1), loss="squared"), np.float32([1, 0]), encodings=encodings)
    session = runtime.InferenceSession(export.serialise(graph), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], encodings.encode(x), rtol=1e-6)


@pytest.mark.parametrize("parts", DATES)
def test_dates_before_and_after_1970(parts):
    outputs, expected = both(ends(DATES[parts], "seen", "date"), activation="tanh")
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=2e-6)


@pytest.mark.parametrize("flags", CATEGORIES)
@pytest.mark.parametrize("embedding", [0, 3])
def test_categories_by_rows_of_w_or_of_tables(flags, embedding):
    part = CATEGORIES[flags]
    fields = {"embeddings": ((part.width, embedding),), "embedding": embedding} if embedding else {}
    outputs, expected = both(ends(part, "colour", "category"), activation="tanh", **fields)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=2e-6)
    assert outputs["label"].tolist() == [["a", "b", "c"][best] for best in expected.argmax(axis=1)]


def test_no_rule_is_left_out():
    assert {part.rule for part in NUMBERS.values()} == set(RULES)


def whole():
    """All of the columns above in one table, some under names that the graph's own values have, and one left out."""
    columns, parts = [], []
    for kind, some in (("number", NUMBERS), ("date", DATES), ("category", CATEGORIES)):
        columns += [Column(name, kind) for name in some]
        parts += some.values()
    names = iter(("label", "W1", "value", "value_", "where1", "b1", "ünïcode name", "axis"))
    columns = [Column(next(names, column.name), column.kind) for column in columns]
    order = np.random.default_rng(1).permutation(len(columns))
    columns, parts = [columns[i] for i in order], [parts[i] for i in order]
    return Encodings((*columns, Column("id")), (*parts, None), reasons={"id": "always 1"})


@pytest.mark.parametrize("embedding", [False, True])
def test_a_table_of_all_kinds(embedding):
    encodings = whole()
    fields = {}
    if embedding:
        fields = {"embeddings": tuple((levels, 2) for levels in encodings.levels), "numbers": encodings.numbers}
    outputs, expected = both(encodings, activation="relu", **fields)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=2e-6)


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute", "quantile", "poisson", "gamma", "tweedie"])
def test_every_loss_of_regressions_answers_in_the_targets_unit(loss):
    encodings = ends(NUMBERS["robust"], "x")
    spec = Spec(net=(encodings.inputs, 4, 2), loss=loss)
    w = RNG.normal(0, 0.5, of(spec).size).astype(np.float32)
    mean, deviation = (
        np.array([0.0, 0.0] if loss in ("poisson", "gamma", "tweedie") else [250.0, -3.0]),
        np.array([90, 2.0]),
    )
    model = export.build(spec, w, encodings=encodings, target_mean=mean, target_deviation=deviation)
    session = runtime.InferenceSession(export.serialise(model), providers=["CPUExecutionProvider"])
    rows = frame(encodings)
    (value,) = session.run(["value"], feeds(rows, session))
    out, _ = DenseReference(spec).forward(w, Samples(encodings.encode(rows)), np.arange(N))
    np.testing.assert_allclose((value - mean) / deviation, out, rtol=1e-5, atol=2e-6)
    if loss == "poisson":
        assert (value > 0).all()


@pytest.mark.parametrize(("loss", "name"), [("squared", "exposure"), ("poisson", "value"), ("sigmoid", "input")])
@pytest.mark.parametrize("mixed", [True, False])
def test_an_offset_is_one_more_input(loss, name, mixed):
    encodings = ends(NUMBERS["robust"], "x") if mixed else None
    spec = Spec(net=(1, 4, 1), loss=loss)
    w, offset = RNG.normal(0, 0.5, of(spec).size).astype(np.float32), RNG.normal(size=(N, 1))
    mean, deviation = (None, None) if loss == "sigmoid" else (np.array([0.0]), np.array([90.0]))
    unit = {} if mean is None else {"target_mean": mean, "target_deviation": deviation}
    model = export.build(
        spec, w, None, None, ["a", "b"] if mean is None else None, encodings=encodings, offset=name, **unit
    )
    session = runtime.InferenceSession(export.serialise(model), providers=["CPUExecutionProvider"])
    first, second = (item.name for item in session.get_inputs())
    assert second.rstrip("_") == name
    x = RNG.normal(size=(N, 1))
    seen = encodings.encode(x) if mixed else x.astype(np.float32)
    given = session.run(None, {first: x if mixed else seen, second: offset})[-1]
    inside = offset / 90 if loss == "squared" else offset
    out, _ = DenseReference(spec).forward(w, Samples(seen, offset=inside.astype(np.float32)), np.arange(N))
    np.testing.assert_allclose(given[:, -1:] / (1 if mean is None else 90), out, rtol=1e-5, atol=2e-6)


def test_a_level_that_is_empty_text_leaves_another_token_for_missing():
    part = Category(("red", "", "NA"), missing=True)
    outputs, expected = both(ends(part, "colour", "category"), activation="tanh", token="NULL")
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=2e-6)


def test_no_category_left_and_no_one_hot_matrix():
    """The graph is as small as its vocabulary and its rows of W, whatever the number of levels."""
    part = Category(tuple(map(str, range(5000))), other=True)
    spec = Spec(net=(part.width, 4, 3), loss="softmax")
    model = export.build(spec, np.zeros(of(spec).size, np.float32), encodings=ends(part, "zip", "category"))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Gather") == 1
    assert not {"OneHot", "Equal", "ScatterElements"} & set(kinds)


def test_buckets_are_refused_as_onnx_hashes_no_text():
    with pytest.raises(SpecError, match=r"'zip' has 8 buckets.*--hash-buckets 0"):
        both(ends(Category(buckets=8), "zip", "category"))


def test_equal_models_give_equal_bytes_through_json():
    encodings = whole()
    spec = Spec(net=(encodings.inputs, 3), loss="softmax")
    w = np.ones(of(spec).size, np.float32)
    again = Encodings.from_plain(json.loads(json.dumps(encodings.to_plain())))
    first, second = (export.serialise(export.build(spec, w, encodings=each)) for each in (encodings, again))
    assert first == second
