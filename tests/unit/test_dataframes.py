"""DataFrames: what pandas writes is read as it was, and estimators take a frame for what its values say.

pandas' own types (object, category, nullable integers) and its habits (an index, columns of one name) are those of
people's notebooks; the same values as arrays are what is compared with.
"""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hdl
from hdl import data
from hdl.data.options import Options
from hdl.errors import DataError
from hdl.spec import Spec

pd = pytest.importorskip("pandas")
warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")

COLUMNS = {
    "bool": lambda rng, n: rng.integers(0, 2, n).astype(bool),
    "uint8": lambda rng, n: rng.integers(0, 2, n).astype(np.uint8),
    "int64": lambda rng, n: rng.integers(-5, 9, n),
    "seconds": lambda rng, n: 1_700_000_000 + rng.integers(0, 60, n),
    "float64": lambda rng, n: rng.normal(size=n),
}
LABELS = {
    "numbers": (lambda codes: codes, [0, 1, 2]),
    "padded": (lambda codes: np.array(["01", "1", "10"], object)[codes], ["01", "1", "10"]),
    "texts": (lambda codes: np.array(["b", "a", "c"], object)[codes], ["a", "b", "c"]),
    "two": (lambda codes: codes > 0, [False, True]),
}
frames = st.tuples(
    st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=5), st.sampled_from(sorted(LABELS)),
    st.integers(0, 2**31 - 1), st.booleans(),
)  # fmt: skip


def frame(kinds, label, seed, names=None):
    """A DataFrame of 30 rows with the label last, and its features [30, I] in float64."""
    rng = np.random.default_rng(seed)
    columns = [COLUMNS[kind](rng, 30) for kind in kinds]
    codes = rng.permutation(np.arange(30) % 3)
    names = names or [f"{kind} {i}" for i, kind in enumerate(kinds)]
    made = pd.concat([pd.Series(column) for column in columns], axis=1)
    made.columns = names
    return made.assign(outcome=LABELS[label][0](codes)), np.column_stack(columns).astype(np.float64)


def read(path, **options):
    source = data.open_source(str(path), Options.make(options))
    splits = source.splits(1)[0]
    blocks = list(source.read(splits))
    schema = data.fit(data.summarise(source, splits), Spec())
    return source, schema, np.concatenate([np.asarray(block.x, np.float64) for block in blocks])


@given(frames)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_pandas_writes_is_read_as_it_was(tmp_path, drawn):
    kinds, label, seed, indexed = drawn
    made, x = frame(kinds, label, seed)
    if indexed:
        made.index = np.random.default_rng(seed).permutation(30)
    made.to_parquet(tmp_path / "a.parquet")
    made.astype({name: "int64" for name in made if made[name].dtype == bool and name != "outcome"}).to_csv(
        tmp_path / "a.csv", index=indexed
    )
    for path in (tmp_path / "a.parquet", tmp_path / "a.csv"):
        source, schema, values = read(path, label="outcome")
        assert (source.names, schema.label) == (list(made.columns[:-1]), ("outcome",)), path
        np.testing.assert_allclose(values, x, rtol=1e-12)
        expected = LABELS[label][1]
        if label == "two" and path.suffix == ".csv":
            expected = ["False", "True"]
        assert list(schema.classes) == expected, path
        assert bool(source.left_out) == indexed


@given(frames)
@settings(max_examples=25, deadline=None)
def test_an_estimator_takes_a_frame_for_its_values(drawn):
    kinds, label, seed, _ = drawn
    made, x = frame(kinds, label, seed)
    y = made.pop("outcome")
    fitted = []
    for features, labels in ((made, y), (x, y.to_numpy())):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = hdl.MLPClassifier((4,), max_iter=3, random_state=1, scale="standard").fit(features, labels)
        fitted.append((net.classes_.tolist(), net._weights.w.tobytes(), net.predict(features).tolist()))
    assert fitted[0] == fitted[1]


def test_columns_of_one_name_are_numbered_and_the_label_among_them_is_refused(tmp_path):
    made, x = frame(["float64", "float64"], "numbers", 1, names=["a", "a"])
    made.to_csv(tmp_path / "a.csv", index=False)
    source, _, values = read(tmp_path / "a.csv", label="outcome")
    assert source.names == ["a", "a.1"]
    np.testing.assert_allclose(values, x, rtol=1e-12)
    made.columns = ["a", "outcome", "outcome"]
    made.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match="--label"):
        read(tmp_path / "b.csv")


def test_categories_and_nullable_integers_are_what_they_say(tmp_path):
    made, x = frame(["int64"], "padded", 3)
    made["int64 0"] = made["int64 0"].astype("Int64")
    made["outcome"] = made["outcome"].astype("category")
    made.to_parquet(tmp_path / "a.parquet")
    _, schema, values = read(tmp_path / "a.parquet", label="outcome")
    assert schema.classes == ("01", "1", "10")
    np.testing.assert_array_equal(values, x)
