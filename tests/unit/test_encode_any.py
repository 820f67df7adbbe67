"""Any table: inputs are finite, and do not depend on blocks, or on JSON in between."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import data
from hdl import spec as specs
from hdl.data import Bad, Block, features
from hdl.data.shard import fitting
from hdl.errors import DataError
from tests.unit.framed import Framed, frame

ODD = [0.0, -0.0, 1.0, -1.0, 2.5, 1e-45, -1e-310, 1e-30, 16_777_217.0, 1.7e18, 1e30, -3e38, 3e38, np.nan]
NUMBERS = st.one_of(st.sampled_from(ODD), st.floats(-3e38, 3e38), st.integers(-9, 9).map(float))
TEXTS = st.one_of(
    st.none(), st.sampled_from(["a", "b", "", " ", "ä", "日本", "a\nb", "'", "x" * 300]), st.text(max_size=3)
)
MOMENTS = st.one_of(st.none(), st.integers(-(10**16), 10**17), st.integers(0, 10).map(lambda day: day * 86_400_000_000))


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 30))

    def column(cells):
        return st.one_of(
            st.lists(cells, min_size=rows, max_size=rows),
            cells.map(lambda cell: [cell] * rows),  # always the same
        )

    columns = {}
    for i in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["number", "category", "date"]))
        if kind == "number":
            columns[f"n{i}"] = np.array(draw(column(NUMBERS)), np.float64)
        elif kind == "category":
            columns[f"c{i}"] = [t and t.encode("utf-8", "ignore").decode() for t in draw(column(TEXTS))]
        else:
            columns[f"d{i}"] = pa.array(draw(column(MOMENTS)), pa.int64()).cast(pa.timestamp("us"))
    return frame(**columns)


RULES = st.fixed_dictionaries(
    {
        "missing": st.sampled_from(["mean", "median", "indicator", "drop"]),
        "numeric_embedding": st.sampled_from([None, "ple", "periodic"]),
        "min_count": st.integers(1, 3),
        "max_levels": st.integers(1, 4),
        "hash_buckets": st.sampled_from([0, 2, 5]),
        "bins": st.integers(2, 5),
    }
)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@settings(max_examples=50, deadline=None)
@given(tables(), RULES, st.sampled_from(["auto", "none", "minmax", "standard", "robust", "quantile", "log"]), st.data())
def test_any_table_becomes_finite_inputs(x, rules, scale, drawn):
    spec = specs.parse({"model": "autoencoder", "preprocessing": rules, "scale": scale, "rbm": {"visible": "gaussian"}})
    source = Framed(x, block=drawn.draw(st.integers(1, 30)))
    summary = data.summarise(source, source.splits(1)[0])
    try:
        schema = data.fit(summary, spec)
    except DataError as error:
        if "no column is left" not in str(error):
            raise
        return
    plain, tensors = schema.to_parts()
    assert data.Schema.from_parts(plain, tensors).encodings == schema.encodings
    if schema.encodings is None:
        return

    def encoded(rows):
        out = fitting(Block(rows, None, lambda i: {}), schema, Bad()).x
        return out, out if isinstance(out, np.ndarray) else out.dense()

    whole, dense = encoded(x)
    assert dense.dtype == np.float32
    assert dense.shape[1] == schema.inputs == len(set(schema.input_names))
    assert np.isfinite(dense).all()
    at = drawn.draw(st.integers(0, len(x)))
    parts = [encoded(part)[0] for part in (x[:at], x[at:]) if len(part)]
    assert features.stack(parts).nbytes == whole.nbytes
    joined = features.stack(parts)
    np.testing.assert_array_equal(joined if isinstance(joined, np.ndarray) else joined.dense(), dense)
    source = Framed(x, block=drawn.draw(st.integers(1, 30)))
    loaded = data.load(
        source, source.splits(1)[0], schema, spill_bytes=drawn.draw(st.sampled_from([0, 1 << 30]))
    ).train.x
    np.testing.assert_array_equal(loaded if isinstance(loaded, np.ndarray) else loaded.dense(), dense)
