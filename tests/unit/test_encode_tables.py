"""Categories of a table as inputs, and tables from raw rows to the core's samples."""

import json

import numpy as np
import pytest

from hdl import data
from hdl import spec as specs
from hdl.data import Bad, Block, Schema, features
from hdl.data.mixed import Mixed
from hdl.data.shard import fitting
from hdl.data.tabular.frame import Column, Frame, concatenated
from hdl.errors import DataError, SpecError
from tests.unit.framed import Framed, frame


def fitted(x, y=None, block=1000, shards=1, **spec):
    """Summarise in shards and fit the schema; what JSON makes of it is the same."""
    source = Framed(x, y, block)
    summary = data.Summary()
    for splits in source.splits(shards):
        summary = summary.join(data.summarise(source, splits))
    spec = specs.parse({**({} if y is not None else {"model": "autoencoder"}), **spec})
    schema = data.fit(summary, spec)
    plain, tensors = schema.to_parts()
    again = Schema.from_parts(json.loads(json.dumps(plain)), tensors)
    assert again.encodings == schema.encodings
    assert again.to_parts()[0] == json.loads(json.dumps(plain)) | {
        key: value for key, value in plain.items() if isinstance(value, tuple)
    }
    return source, schema


def encoded(x, schema):
    return fitting(Block(x, None, lambda i: {"path": "t", "line": i}), schema, Bad()).x


def test_text_that_is_too_varied_or_too_long_is_left_out_unless_a_flag_says_so():
    n = 300
    texts = {
        "key": [f"k{i}" for i in range(n)],
        "story": [f"{i % 30} " + "word " * 30 for i in range(n)],
        "few": [f"{i % 3}" + "word " * 30 for i in range(n)],
        "some": [f"s{i % 100}" for i in range(n)],
    }
    x = frame(a=np.arange(n, dtype=np.float64), **texts)
    _, schema = fitted(x)
    assert schema.reading["left_out"] == [
        "key: text, 300 different ones in 300 cells (--columns key:category takes it all the same)",
        "story: text of 153 characters on average (--columns story:category takes it all the same)",
    ]
    assert schema.reading["kinds"] == {"number": ["a"], "category": {"few": 3, "some": 100}}
    forced = Frame(x.numbers, x.others, [c._replace(by="flag") for c in x.columns])
    assert fitted(forced)[1].encodings.levels == (300, 30, 3, 100)


def test_a_level_that_all_rows_have_is_left_out():
    x = frame(a=["x"] * 5, b=["x", None] * 2 + ["x"], c=[None] * 5, d=list("pqrst"))
    _, schema = fitted(x, preprocessing={"min_count": 2})
    assert schema.input_names == ("b=x", "b is missing")
    assert schema.reading["left_out"] == [
        "a: always 'x'",
        "c: no cell has a value",
        "d: no text 2 times or more (--min-count)",
    ]


def table(n=997, seed=0):
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 9, n)
    age[::11] = np.nan
    colours = np.array(["red", "blue", "green", None], object)[rng.integers(0, 4, n)]
    days = np.datetime64("2020-01-01") + rng.integers(0, 900, n)
    x = frame(
        colour=colours.tolist(), age=age, seen=days, size=rng.normal(size=n), shop=[f"s{i % 40}" for i in range(n)]
    )
    y = np.where((colours == "red") | (age > 45), "yes", "no").astype(object)
    return x, y


def test_inputs_are_numbers_first_then_categories():
    x, y = table()
    _, schema = fitted(x, y)
    names = ["age", "age is missing", "seen: year", "seen: month sin", "seen: month cos", "seen: weekday sin",
             "seen: weekday cos", "seen: days since 2020-01-01", "size"]  # fmt: skip
    assert schema.input_names[:9] == tuple(names)
    assert schema.input_names[12] == "colour is missing"
    assert schema.encodings.numbers == 9
    assert schema.encodings.levels == (4, 40)
    assert schema.inputs == 53
    assert (schema.scale, schema.shift, schema.center, schema.kind) == (None, None, None, "mixed")
    out = encoded(x, schema)
    assert out.numbers.dtype == np.float32
    assert out.codes.dtype == np.int32
    dense = out.dense()
    for j, name in enumerate(schema.input_names[9:], 9):
        column, _, level = name.partition("=")
        cells = x[column.removesuffix(" is missing")].to_pylist()
        np.testing.assert_array_equal(dense[:, j], [cell == (level or None) for cell in cells])


@pytest.mark.parametrize("spec", [{}, {"preprocessing": {"missing": "drop"}}, {"scale": "robust", "embedding": "auto"}])
@pytest.mark.parametrize(("block", "spill"), [(1000, 1 << 30), (7, 1 << 30), (64, 4000)])
def test_samples_do_not_depend_on_blocks_or_on_where_they_are_kept(spec, block, spill):
    x, y = table()
    weight, offset = np.arange(len(y)) / 7.0, np.linspace(-1, 1, len(y))
    source = Framed(x, y, block, weight)
    _, schema = fitted(x, y, block, **spec)
    assert schema.encodings == fitted(x, y, 1000, **spec)[1].encodings
    shard = data.load(source, source.splits(1)[0], schema, 3, 0, 0.25, spill)
    train, held = shard.train, shard.validation
    there = ~np.isnan(x["age"]) if schema.encodings.missing == "drop" else np.ones(len(y), bool)
    assert shard.bad.dropped == (~there).sum()
    assert len(train) + len(held) == there.sum()
    whole = encoded(x, schema)
    belongs = np.zeros(len(whole), bool)
    rows = np.flatnonzero(there)
    assert len(whole) == len(rows)
    where = {tuple(w): i for i, w in enumerate(weight[rows].astype(np.float32)[:, None].tolist())}
    for part in (train, held):
        at = np.array([where[(w,)] for w in part.weight.tolist()])
        assert np.all(np.diff(at) > 0)
        assert not belongs[at].any()
        belongs[at] = True
        np.testing.assert_array_equal(part.x.numbers, whole.numbers[at])
        np.testing.assert_array_equal(part.x.codes, whole.codes[at])
        np.testing.assert_array_equal(part.y, (y[rows][at] == "yes").astype(np.int32))
    assert belongs.all()
    assert offset is not None


def test_shards_join_to_the_same_schema():
    x, y = table()
    plain = fitted(x, y)[1].to_parts()[0]["columns"]
    others = [fitted(x, y, 50, shards)[1].to_parts()[0]["columns"] for shards in (2, 5)]
    for other in others:
        for ours, theirs in zip(plain["columns"], other["columns"], strict=True):
            assert ours.keys() == theirs.keys()
            assert ours.get("levels") == theirs.get("levels")
            assert ours.get("center", 0) == pytest.approx(theirs.get("center", 0), rel=1e-12)


def test_columns_that_are_not_the_models_are_told():
    x, y = table()
    _, schema = fitted(x, y)
    listed = r"expected the 5 of the model's training data: colour \(category\), age \(number\)"
    with pytest.raises(DataError, match=f"column 'colour' is missing, {listed}"):
        encoded(Frame(x.numbers, x.others, [c._replace(name=c.name.upper()) for c in x.columns]), schema)
    with pytest.raises(DataError, match=f"2 columns of numbers, {listed}"):
        encoded(x.numbers, schema)
    other = frame(**{**{c.name: x[c.name] for c in x.columns}, "colour": x["age"]})
    with pytest.raises(DataError, match=r"'colour' is of kind number, expected .*--columns colour:category"):
        encoded(other, schema)
    with pytest.raises(SpecError, match="net starts with 5, but the 5 columns of the data make 53 inputs"):
        fitted(x, y, net="5-4-2")


def test_columns_are_found_by_name_and_those_left_out_may_be_missing():
    x, _ = table()
    names = [column.name for column in x.columns]
    given = {name: x[name] for name in names} | {"key": [f"k{i}" for i in range(len(x))], "one": np.ones(len(x))}
    _, schema = fitted(frame(**given))
    assert len(schema.reading["left_out"]) == 2
    expected = encoded(frame(**given), schema)
    for order in (names, names[::-1], ["one", *names[2:], "key", *names[:2]]):
        again = encoded(frame(**{name: given[name] for name in order}), schema)
        np.testing.assert_array_equal(again.dense(), expected.dense())


def test_a_model_of_numbers_refuses_other_columns():
    x = np.random.default_rng(0).normal(size=(50, 2))
    _, schema = fitted(x, np.arange(50) % 2)
    assert schema.columns is None
    with pytest.raises(DataError, match="'b' of kind category, expected numbers alone"):
        encoded(frame(a=x[:, 0], b=["u"] * 50), schema)


def test_drop_and_error_apply_to_new_rows():
    x = frame(a=np.arange(9.0), b=list("aab" * 3))
    later = frame(a=np.array([1, np.nan, 2.0]), b=["a", "a", None])
    for missing, message in (("drop", None), ("error", "number is missing.*'a'.*--missing error")):
        _, schema = fitted(x, preprocessing={"missing": missing})
        bad = Bad(5)
        out = fitting(Block(later, np.arange(3), lambda i: {"path": "t", "line": i}), schema, bad)
        assert out.y.tolist() == [0, 2]
        assert len(out.x) == 2
        assert (bad.dropped, bad.count) == ((1, 0) if missing == "drop" else (0, 1))
        if message:
            with pytest.raises(DataError, match=message):
                fitting(Block(later, None, lambda i: {"path": "t", "line": i}), schema, Bad())


def test_class_weights_and_own_weights_multiply():
    x, y = table(400)
    weight = np.where(np.arange(400) % 2, 2.0, 0.5)
    _, schema = fitted(x, y, class_weight="balanced")
    source = Framed(x, y, 30, weight)
    shard = data.load(source, source.splits(1)[0], schema)
    share = {name: 400 / (2 * (y == name).sum()) for name in ("no", "yes")}
    expected = [own * share[name] for own, name in zip(weight, y, strict=True)]
    np.testing.assert_allclose(shard.train.weight, expected, rtol=1e-6)
    assert shard.validation.weight.shape == (0,)


@pytest.mark.parametrize(
    ("loss", "wrong", "message"),
    [("poisson", -1.0, "at least 0"), ("gamma", 0.0, "a number above 0"), ("tweedie", -0.5, "at least 0")],
)
def test_targets_of_a_log_link_stay_raw_and_are_checked(loss, wrong, message):
    y = np.arange(1.0, 41)
    x = np.random.default_rng(0).normal(size=(40, 2))
    source, schema = fitted(x, y, loss=loss)
    assert (schema.loss, schema.encoding, schema.target_mean.tolist()) == (loss, "value", [0])
    np.testing.assert_allclose(data.load(source, source.splits(1)[0], schema).train.y[:, 0], y / y.mean(), rtol=1e-6)
    with pytest.raises(DataError, match=f"label {wrong}; the loss {loss} takes {message}"):
        schema.encode(np.array([1.0, wrong]))


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute", "quantile"])
def test_other_regressions_have_standardised_targets(loss):
    y = np.random.default_rng(1).normal(100, 5, 60)
    _, schema = fitted(np.random.default_rng(0).normal(size=(60, 2)), y, loss=loss)
    assert (schema.loss, schema.target_mean[0], schema.target_deviation[0]) == (loss, y.mean(), pytest.approx(y.std()))


def test_resolve_fills_in_inputs_and_embeddings():
    x, y = table()
    _, schema = fitted(x, y)
    spec = data.resolve(specs.parse({}), schema)
    assert (spec.widths, spec.numbers, spec.embeddings) == ((53, 64, 2), 0, ())
    assert data.resolve(specs.parse({"embedding": 3}), schema).embeddings == ((4, 3), (40, 3))
    spec = data.resolve(specs.parse({"embedding": "auto"}), schema)
    assert (spec.numbers, spec.embeddings) == (9, ((4, 3), (40, 13)))
    _, plain = fitted(x.numbers[:, 1:], y)
    assert data.resolve(specs.parse({"embedding": "auto"}), plain).embeddings == ()
    with pytest.raises(SpecError, match="the data has no categories"):
        data.resolve(specs.parse({"embedding": 3}), plain)


def test_pure_numbers_keep_their_path_and_their_bytes():
    x = np.random.default_rng(0).normal(3, 2, (500, 3)).astype(np.float32)
    y = np.arange(500) % 2
    table_schema, plain = (
        data.fit(data.summarise(source, source.splits(1)[0]), specs.parse({}))
        for source in (Framed(x, y), Framed(x, y, columns=()))
    )
    assert table_schema.columns is None
    assert table_schema.rule == {"name": "standard"}
    for name in ("scale", "shift"):
        assert getattr(table_schema, name).tobytes() == getattr(plain, name).tobytes()


def test_rows_travel_as_tensors():
    x, y = table(200)
    _, schema = fitted(x, y)
    rows = encoded(x, schema)
    stacked = features.stack([rows[:20], rows[20:]])
    again = features.from_tensors(features.to_tensors(stacked), schema.inputs)
    assert isinstance(again, Mixed)
    assert again.columns == 53
    np.testing.assert_array_equal(again.dense(), rows.dense())


def test_encodings_that_were_changed_are_refused():
    _, schema = fitted(*table())
    plain, tensors = schema.to_parts()
    plain = json.loads(json.dumps(plain))
    columns = plain["columns"]["columns"]
    for change in (
        {"columns": columns[:3]},
        {"missing": "often"},
        {"columns": [{**columns[0], "kind": "colour"}, *columns[1:]]},
        {"columns": [{**columns[0], "left_out": 3}, *columns[1:]]},
        {"columns": [{**columns[0], "levels": ["a"]}, *columns[1:]]},
    ):
        with pytest.raises(ValueError, match=r"encoding|schema columns"):
            Schema.from_parts({**plain, "columns": {**plain["columns"], **change}}, tensors)


def test_frames_of_several_dictionaries_are_encoded_alike():
    a, b = frame(c=["x", "y", "z"]), frame(c=["z", None, "new"])
    schema = fitted(concatenated([a, a, a]))[1]
    parts = np.concatenate([encoded(part, schema).codes for part in (a, b)])
    np.testing.assert_array_equal(parts, encoded(concatenated([a, b]), schema).codes)
    assert parts[:, 0].tolist() == [0, 1, 2, 2, -1, -1]
    assert Column("c", "category", "values") == a.columns[0]


@pytest.mark.parametrize(
    ("labels", "encoding"),
    [
        (np.arange(600) % 30, "index"),  # 0 … C - 1
        (np.arange(600) % 30 + 1, "index"),
        (np.arange(600) % 30 + 2, "value"),
        (np.arange(600) % 30 * 2, "value"),
        (np.where(np.arange(600) % 30 == 7, 8, np.arange(600) % 30), "value"),  # a gap
        (np.arange(600) % 100, "value"),  # too few of each
        (np.arange(600) % 20 * 7 - 9, "index"),  # few
    ],
)
def test_whole_numbers_are_classes_if_they_are_few_or_count_without_a_gap(labels, encoding):
    x = np.random.default_rng(0).normal(size=(600, 2))
    assert fitted(x, labels)[1].encoding == encoding
