"""Numbers and dates of a table as inputs: scales, what is missing, embeddings, cycles."""

import numpy as np
import pyarrow as pa
import pytest

from hdl import data, elementary
from hdl import spec as specs
from hdl.data.tabular import scales
from hdl.data.tabular.numbers import Number
from hdl.errors import DataError, SpecError
from tests.unit.framed import Framed, encodings_of, frame

N = 4000


def normal(n=N, seed=0):
    return np.random.default_rng(seed).normal(50, 8, n)


def with_gaps(values, every=5):
    values = np.array(values, np.float64)
    values[::every] = np.nan
    return values


def test_a_number_is_standardised_as_a_matrix_of_numbers_is():
    x = normal()
    _, out, rule, _ = encodings_of(frame(a=x))
    np.testing.assert_array_equal(out[:, 0], ((x - x.mean()) / x.std()).astype(np.float32))
    assert rule == {"name": "standard"}


@pytest.mark.parametrize(
    ("outlier", "others"),
    [(1e30, normal()), (1e30, normal(100)), (-3e7, normal()), (1.7e18, np.arange(200.0)), (1e9, np.arange(N) % 7.0)],
)
def test_one_outlier_does_not_flatten_the_others(outlier, others):
    x = np.append(others, outlier)
    _, out, rule, _ = encodings_of(frame(a=x))
    assert rule["robust"] == ["a"]
    assert np.abs(out).max() <= 3
    assert 0.3 < out[:-1, 0].std() < 2
    assert np.array_equal(np.argsort(np.argsort(out[:-1, 0])), np.argsort(np.argsort(others.astype(np.float32))))


@pytest.mark.parametrize(("offset", "step"), [(1.7e18, 1e15), (1e30, 1e28), (-1e30, 1e25), (1e-30, 1e-33)])
def test_numbers_far_from_zero_stay_apart(offset, step):
    x = offset + step * np.arange(500.0)
    _, out, rule, _ = encodings_of(with_zeros_column(x))
    assert out[:, 0].std() == pytest.approx(1, rel=1e-4)
    assert len(np.unique(out[:, 0])) == 500
    assert "robust" not in rule


def with_zeros_column(x):
    return frame(a=x, b=with_gaps(np.arange(len(x))))


def test_a_rare_flag_and_a_heavy_tail_are_no_outliers_of_a_flat_scale():
    flag = (np.arange(20_000) % 5000 == 0).astype(np.float64)
    _, out, _, _ = encodings_of(frame(a=flag, b=np.exp(normal(20_000) / 8)))
    assert np.abs(out[:, 0]).max() <= 3
    assert np.unique(out[:, 0]).size == 2
    assert out[:, 1].std() == pytest.approx(1, rel=1e-4)


def test_robust_is_what_realmlp_does():
    x = normal()
    _, out, rule, _ = encodings_of(frame(a=x), scale="robust")
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
    z = (x - middle) / (high - low)
    np.testing.assert_allclose(out[:, 0], z / np.sqrt(1 + (z / 3) ** 2), rtol=0, atol=1e-5)
    assert rule == {"name": "robust"}


@pytest.mark.parametrize("share", [0.6, 0.95, 0.999])
def test_a_column_that_is_mostly_zero_keeps_a_useful_spread(share):
    rng = np.random.default_rng(0)
    x = np.where(rng.random(10_000) < share, 0, rng.exponential(5, 10_000))
    x[7] = 1e25
    _, out, _, _ = encodings_of(frame(a=x), scale="robust")
    there = out[(x > 0) & (x < 1e24), 0]
    assert len(np.unique(there)) > 0.9 * len(there)
    assert np.median(there) > 0.05


def test_quantile_scale_gives_normal_scores_whatever_the_distribution():
    x = np.exp(normal() / 4)
    _, out, _, _ = encodings_of(frame(a=x), scale="quantile")
    assert out.mean() == pytest.approx(0, abs=0.02)
    assert out.std() == pytest.approx(1, abs=0.05)
    assert np.all(np.diff(out[np.argsort(x), 0]) >= 0)
    assert np.abs(out).max() < 3.2
    encodings, _, _, _ = encodings_of(frame(a=x), scale="quantile")
    far = encodings.encode(frame(a=np.array([-1e30, 1e30])))[:, 0]
    np.testing.assert_array_equal(far, [out.min(), out.max()])


def test_quantile_scale_of_a_number_that_is_there_often():
    x = np.append(np.zeros(900), np.arange(1.0, 101))
    _, out, _, _ = encodings_of(frame(a=x), scale="quantile")
    assert len(np.unique(out[:900])) == 1
    assert abs(out[0, 0]) < 0.2
    assert np.all(np.diff(out[900:, 0]) > 0)


def test_log_scale_follows_magnitudes_on_both_sides_of_zero():
    x = np.concatenate([-np.logspace(-3, 6, 500), np.logspace(-3, 6, 500)])
    encodings, out, rule, _ = encodings_of(frame(a=x), scale="log")
    z = np.sign(x) * np.log1p(np.abs(x))
    part = encodings.parts[0]
    np.testing.assert_allclose(out[:, 0], (z - part.center) / part.spread, rtol=1e-6, atol=1e-6)
    assert rule == {"name": "log"}
    assert np.abs(out).max() < 10


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("none", lambda x: x), ("divide:4", lambda x: x / 4), ("minmax", lambda x: (x - x.min()) / np.ptp(x))],
)
def test_scales_that_a_matrix_has_too(scale, expected):
    x = normal()
    _, out, _, _ = encodings_of(frame(a=x, b=with_gaps(x)), scale=scale)
    np.testing.assert_allclose(out[:, 0], expected(x), rtol=1e-6)


@pytest.mark.parametrize(("rule", "expected"), [("mean", 25.0), ("median", 10.0)])
def test_a_missing_number_is_the_mean_or_the_median_and_told(rule, expected):
    x = np.array([0, 10, np.nan, 65, 10, 40.0, np.nan])
    encodings, out, told, _ = encodings_of(frame(a=x), preprocessing={"missing": rule}, scale="none")
    assert encodings.names == ("a", "a is missing")
    np.testing.assert_array_equal(out, np.where(np.isnan(x), [[expected], [1]], [x, np.zeros(7)]).T)
    assert told["missing"] == {"rule": rule, "columns": {"a": 2}}


def test_indicator_says_it_alone():
    _, out, _, _ = encodings_of(
        frame(a=np.array([4, np.nan, 8.0])), preprocessing={"missing": "indicator"}, scale="none"
    )
    np.testing.assert_array_equal(out, [[4, 0], [0, 1], [8, 0]])


def test_with_outliers_the_median_stands_for_a_missing_number():
    x = np.append(with_gaps(normal()), 1e30)
    encodings, out, _, _ = encodings_of(frame(a=x))
    assert encodings.parts[0].rule == "robust"
    assert out[0, 0] == 0
    assert out[0, 1] == 1


def test_a_number_that_only_predictions_lack_is_the_mean():
    encodings, _, _, _ = encodings_of(frame(a=normal(), b=with_gaps(normal())))
    out = encodings.encode(frame(a=np.array([np.nan]), b=np.array([1.0])))
    assert encodings.names == ("a", "b", "b is missing")
    assert out[0, 0] == 0
    assert out[0, 2] == 0


@pytest.mark.parametrize("scale", ["auto", "robust", "log", "quantile", "none", "minmax"])
@pytest.mark.parametrize("embedding", [None, "ple", "periodic"])
@pytest.mark.parametrize("missing", ["mean", "median", "indicator", "drop"])
def test_every_option_gives_finite_inputs_of_the_width_it_says(scale, embedding, missing):
    x = frame(
        a=with_gaps(normal()), b=np.arange(N) % 2.0, when=np.datetime64("2001-02-03T04:05") + np.arange(N) * 7000 * 60,
        gone=pa.array([None, 5_000_000_000] * (N // 2), pa.timestamp("us")),
    )  # fmt: skip
    rules = {"missing": missing, "numeric_embedding": embedding, "bins": 6}
    encodings, out, _, _ = encodings_of(x, preprocessing=rules, scale=scale)
    assert out.dtype == np.float32
    assert out.shape == (N, len(encodings.names)) == (N, encodings.inputs)
    assert np.isfinite(out).all()
    assert len(set(encodings.names)) == encodings.inputs
    assert ("a is missing" in encodings.names) == ("gone is missing" in encodings.names) == (missing != "drop")
    np.testing.assert_array_equal(out, np.concatenate([encodings.encode(x[lo : lo + 700]) for lo in range(0, N, 700)]))


def test_a_number_that_is_always_the_same_is_left_out_or_says_where_it_is_there():
    x = frame(a=np.full(9, 3.5), b=np.where(np.arange(9) % 2, 7, np.nan), c=np.full(9, np.nan), d=np.arange(9.0))
    encodings, out, _, reading = encodings_of(x)
    assert encodings.names == ("b is missing", "d")
    np.testing.assert_array_equal(out[:, 0], np.arange(9) % 2 == 0)
    assert reading["left_out"] == ["a: always 3.5", "c: no cell has a value"]
    assert reading["kinds"] == {"number": ["b", "d"]}


def test_missing_error_names_the_columns_and_the_flag():
    with pytest.raises(DataError, match=r"'a' \(800\), 'b' \(400\).*--missing mean"):
        encodings_of(frame(a=with_gaps(normal()), b=with_gaps(normal(), 10)), preprocessing={"missing": "error"})


def test_a_table_without_a_feature_says_why():
    with pytest.raises(DataError, match="a: always 1; b: no cell has a value"):
        encodings_of(frame(a=np.ones(5), b=np.full(5, np.nan)))


def test_piecewise_linear_encoding():
    part = Number(edges=(0.0, 1.0, 3.0))
    out = part.encode(np.array([-5, 0, 0.5, 1, 2, 3, 9.0]))
    np.testing.assert_array_equal(out, [[0, 0], [0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [1, 1]])
    encodings, _, rule, _ = encodings_of(frame(a=normal()), preprocessing={"numeric_embedding": "ple", "bins": 4})
    edges = encodings.parts[0].edges
    np.testing.assert_allclose(edges, np.quantile(normal(), [0, 0.25, 0.5, 0.75, 1]), atol=0.05)
    assert rule["embedding"] == "ple"
    assert encodings.inputs == 4


def test_a_number_of_few_values_has_few_bins():
    encodings, out, _, _ = encodings_of(frame(a=np.arange(50) % 3 // 2.0), preprocessing={"numeric_embedding": "ple"})
    assert encodings.inputs <= 2
    assert set(map(tuple, out.tolist())) == {(0,) * encodings.inputs, (1,) * encodings.inputs}


def test_frequencies_belong_to_the_seed_and_the_column():
    def drawn(seed):
        rules = {"numeric_embedding": "periodic", "bins": 8}
        encodings, out, _, _ = encodings_of(frame(a=normal(), b=normal()), preprocessing=rules, seed=seed)
        z = (normal() - normal().mean()) / normal().std()
        for part, own in zip(encodings.parts, (out[:, :9], out[:, 9:]), strict=True):
            angles = 2 * np.pi * z[:, None] * np.array(part.frequencies)
            np.testing.assert_allclose(own[:, 0], z, atol=1e-6)
            np.testing.assert_allclose(own[:, 1::2], np.sin(angles), atol=1e-5)
            np.testing.assert_allclose(own[:, 2::2], np.cos(angles), atol=1e-5)
        return [part.frequencies for part in encodings.parts]

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert first == again
    assert first[0] != first[1]
    assert first[0] != other[0]


def test_wide_tables_have_no_quantiles_but_are_filled():
    x = np.random.default_rng(0).normal(size=(60, 300))
    x[3, 7] = np.nan
    encodings, out, rule, _ = encodings_of(x)
    assert encodings.inputs == 301
    assert out[3, 7] == 0
    assert rule["missing"]["columns"] == {"x7": 1}
    with pytest.raises(SpecError, match="256 number columns"):
        encodings_of(x, scale="robust")


def test_rules_of_tables_are_refused_for_other_data():
    images = Framed(np.ones((9, 4)))
    images.columns = None
    summary = data.summarise(images, images.splits(1)[0])
    with pytest.raises(SpecError, match="scale robust needs the columns of a table"):
        data.fit(summary, specs.parse({"scale": "robust"}))


def test_elementary_functions_are_those_of_the_library():
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(-60, 60, 10_000))
    np.testing.assert_allclose(elementary.log1p(x), np.log1p(x), rtol=1e-14)
    wide = np.linspace(-600, 600, 4001)
    np.testing.assert_allclose(elementary.exp(wide), np.exp(wide), rtol=1e-15)
    positive = np.geomspace(1e-30, 1e30, 1001)
    np.testing.assert_allclose(elementary.power(positive, -0.37), positive**-0.37, rtol=1e-14)
    turns = rng.uniform(-30, 30, 10_000)
    for own, library in zip(elementary.sin_cos(turns), (np.sin, np.cos), strict=True):
        np.testing.assert_allclose(own, library(2 * np.pi * turns), atol=1e-13)


@pytest.mark.parametrize(
    "plain",
    [None, [], {"rule": "robot"}, {"spread": 0}, {"spread": "x"}, {"edges": [1]}, {"edges": [2, 1]}, {"fill": "a"},
     {"knots": [1.0], "scores": []}, {"rule": "quantile"}, {"indicator": 1}, {"edges": [0, float("nan")]}, {"more": 1}],
)  # fmt: skip
def test_numbers_that_were_changed_are_refused(plain):
    with pytest.raises(ValueError, match="a number's encoding"):
        Number.from_plain(plain)


def test_cells_of_a_scaled_column_are_scaled():
    cells = scales.Cells(10, 0, 0.0, 9.0, 4.5, 3.0, lambda shares: 9 * np.asarray(shares))
    other = cells.affine(2, 1)
    assert (other.low, other.high, other.mean, other.deviation) == (1, 19, 10, 6)
    np.testing.assert_allclose(other.quantiles(0.5, 1), [10, 19])


def test_a_number_that_most_cells_are_has_an_input_of_its_own():
    x = np.append(np.zeros(700), np.random.default_rng(0).lognormal(8, 1, 300))
    encodings, out, rule, _ = encodings_of(frame(a=x, b=np.arange(1000.0)))
    others = x[x > 0]
    low, middle, high = np.quantile(others, [0.25, 0.5, 0.75])
    z = (others - middle) / (high - low)
    assert encodings.names == ("a", "a is 0", "b")
    np.testing.assert_allclose(out[700:, 0], z / np.sqrt(1 + (z / 3) ** 2), atol=0.02)
    np.testing.assert_array_equal(out[:, 1], x == 0)
    assert not out[:700, 0].any()
    assert rule == {"name": "standard", "usual": {"a": 0.0}}


@pytest.mark.parametrize(
    "x",
    [np.arange(1000) % 10 // 9.0, np.arange(1000) % 2 * np.arange(1000.0), np.arange(1000.0)],  # two numbers; half; all
)
def test_other_numbers_have_no_input_of_their_own(x):
    assert encodings_of(frame(a=x, b=["u", "v"] * 500))[0].names[:1] == ("a",)
    assert encodings_of(frame(a=x, b=["u", "v"] * 500))[0].numbers == 1


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_what_is_far_beyond_the_training_data_is_clipped_by_robust_and_infinite_else():
    far = np.array([3e38, -3e38])
    assert Number("robust", 0.0, 1e-300).encode(far)[:, 0].tolist() == [3, -3]
    assert Number("linear", 0.0, 1e-300).encode(far)[:, 0].tolist() == [np.inf, -np.inf]
    assert Number(edges=(0.0, 1e-300)).encode(far)[:, 0].tolist() == [1, 0]


def test_the_most_frequent_number_beyond_the_bins_of_the_others():
    part = Number(edges=(1.0, 2.0, 3.0), usual=3.0, fill=None, indicator=True)
    out = part.encode(np.array([3.0, 9.0, 0.0, np.nan]))
    np.testing.assert_array_equal(out, [[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
