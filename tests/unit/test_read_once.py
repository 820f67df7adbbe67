"""What a fit and an answer read of their input: moments by blocks are the whole's to the bit, and none in vain."""

import time

import numpy as np
import pandas as pd
import pytest

import hdl
from hdl import data
from hdl.data import moments, summary
from hdl.data.block import Block, fits_float32
from hdl.estimators import learner, rounding, tables
from hdl.ops import rows as laid
from hdl.spec import Spec

SHAPES = [(3000, 40), (70_000, 1), (20_000, 2), (9001, 3), (2, 5), (1, 3), (3, 40_000)]


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_moments_by_blocks_are_those_of_numpy_to_the_bit(shape, order, kind):
    rows = np.random.default_rng(0).normal(100, 40, shape).clip(0, 255).astype(kind)
    _, found = moments.of_numbers(np.asarray(rows, order=order))
    if kind == np.uint8:
        expected = {"total": rows.sum(axis=0, dtype=np.int64), "squares": np.square(rows, dtype=np.int64).sum(axis=0)}
    else:
        mean = rows.mean(axis=0, dtype=np.float64)
        expected = {"mean": mean, "m2": np.square(rows - mean).sum(axis=0)}
    expected |= {"low": rows.min(axis=0), "high": rows.max(axis=0)}
    assert {name: value.tolist() for name, value in found.items()} == {k: v.tolist() for k, v in expected.items()}


@pytest.mark.parametrize("rule", ["none", "divide:3"])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8])
def test_a_scale_that_does_not_depend_on_the_data_needs_no_moments(rule, kind):
    rows = Block(np.arange(12).reshape(4, 3).astype(kind), np.arange(4) % 2, lambda i: {"line": i})
    whole, bare = (data.fit(summary.of_block(rows, moments=asked), Spec(scale=rule)) for asked in (True, False))
    assert whole.to_parts()[0] == bare.to_parts()[0]
    assert [part.tolist() for part in whole.to_parts()[1].values()] == [
        part.tolist() for part in bare.to_parts()[1].values()
    ]


@pytest.fixture
def digits():
    rng = np.random.default_rng(0)
    return rng.random((200, 6), np.float32), np.arange(200) % 3


@pytest.mark.parametrize("kind", ["MLPClassifier", "BernoulliRBM"])
def test_a_fit_summarises_where_its_scale_asks_for_it(kind, digits, monkeypatch):
    class Asked(Exception):
        pass

    def refuse(*given):
        raise Asked

    monkeypatch.setattr(summary, "_of_features", refuse)
    few = {"max_iter": 1} if kind == "MLPClassifier" else {"n_iter": 1}
    getattr(hdl, kind)(scale="none", **few).fit(*digits)
    with pytest.raises(Asked):
        getattr(hdl, kind)(scale="standard" if kind == "MLPClassifier" else "minmax", **few).fit(*digits)


def test_a_dataframe_of_plain_numbers_is_no_table(digits, monkeypatch):
    x, y = digits
    net = hdl.MLPClassifier((4,), max_iter=1, random_state=1)
    expected = net.fit(x, y).predict_proba(x).tobytes()
    with monkeypatch.context() as patch:
        patch.setattr(tables, "table_of", None)  # nothing may call it
        assert net.fit(pd.DataFrame(x), y).predict_proba(pd.DataFrame(x)).tobytes() == expected
    lacking = pd.DataFrame(x)
    lacking.iloc[7, 2] = np.nan
    assert net.fit(lacking, y)._schema.encodings is not None
    twice = pd.DataFrame(x, columns=[*"abcde", "a"])
    with pytest.raises(ValueError, match="same name"):
        net.fit(twice, y)


def test_float64_is_rounded_part_by_part_to_the_same_answers(digits, monkeypatch):
    x, y = digits
    net = hdl.MLPClassifier((4,), max_iter=1, random_state=1).fit(x, y)
    whole = net.predict_proba(x.astype(np.float64)).tobytes()
    assert np.allclose(np.frombuffer(whole).reshape(-1, 3), net.predict_proba(x), atol=1e-6)
    monkeypatch.setattr(rounding, "VALUES", 70)
    monkeypatch.setattr(rounding, "ROWS", 7)
    assert len(rounding.parts(x.shape)) > 20
    for jobs in (1, 2, 3):
        assert net.set_params(n_jobs=jobs).predict_proba(x.astype(np.float64)).tobytes() == whole
    columns = np.asfortranarray(x)
    assert net.predict_proba(columns).tobytes() == net.predict_proba(x).tobytes()
    wide = x.astype(np.float64)
    wide[150, 3] = 1e39
    with pytest.raises(ValueError, match="too large for dtype\\('float32'\\)"):
        net.predict(wide)


def test_an_array_like_that_of_the_fit_is_checked_at_one_look(digits, monkeypatch):
    x, y = digits
    net = hdl.MLPClassifier((4,), max_iter=1, random_state=1).fit(x, y)
    with monkeypatch.context() as patch:
        patch.setattr(learner.Learner, "_plain", lambda *given, **named: None)
        expected = net.predict_proba(x).tobytes()
    with monkeypatch.context() as patch:
        patch.setattr(learner, "validate_data", None)  # nothing may call it
        assert net.predict_proba(x).tobytes() == expected
        assert net.predict_proba(np.asfortranarray(x)).tobytes() == expected
    infinite = np.full_like(x, np.inf)
    for wrong, said in ((x[:, :5], "5 features"), (x[:0], "0 sample"), (x[0], "1D array"), (infinite, "infinity")):
        with pytest.raises(ValueError, match=said):
            net.predict(wrong)
    lacking = x.copy()
    lacking[150, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        net.predict(lacking)
    named = net.fit(pd.DataFrame(x, columns=[*"abcdef"]), y)
    with pytest.warns(UserWarning, match="feature names"):
        named.predict(x)


FORMS = {
    "C": lambda x: x,
    "F": np.asfortranarray,
    "turned over": lambda x: x[::-1, ::-1],
    "columns turned over": lambda x: np.asfortranarray(x)[::-1],
    "every second": lambda x: np.repeat(np.repeat(x, 2, axis=0), 2, axis=1)[::2, ::2],
    "unaligned": lambda x: np.frombuffer(b"." + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (1, 40), (33, 17), (2051, 9)], ids=str)
def test_rows_are_laid_and_looked_at_in_one_pass(shape, kind, form, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(laid, "_rows", None)
    x = FORMS[form](np.random.default_rng(0).normal(size=shape).astype(kind))
    out = np.full(shape, np.nan, np.float32)
    assert laid.lay(x, out)
    assert out.tobytes() == np.ascontiguousarray(x, np.float32).tobytes()
    assert laid.lay(x)
    for place in {(0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 2)}:
        for wrong in (np.nan, np.inf, -np.inf, *([4e38] if kind == np.float64 else [])):
            bad = x.copy("K")
            bad[place] = wrong
            assert not laid.lay(bad)
            assert not laid.lay(bad, out)


def test_threads_that_share_work_end_with_the_first_error():
    done = []

    def work(mine):
        for part in mine:
            done.append(part.start)
            if part.start == 2:
                raise ValueError("part 2")
            time.sleep(0.001)

    with pytest.raises(ValueError, match="part 2"):
        rounding.share(rounding.deque(slice(i, i + 1) for i in range(100)), 3, work)
    assert len(done) < 100
    taken = []
    rounding.share(rounding.deque(slice(i, i + 1) for i in range(100)), 3, lambda mine: taken.extend(mine))
    assert sorted(part.start for part in taken) == [*range(100)]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_fits_float32(kind):
    most = np.finfo(np.float32).max
    rows = np.array([[0, most], [-most, 1]], kind)
    assert fits_float32(rows)
    assert fits_float32(rows[:0])
    for wrong in (np.nan, np.inf, -np.inf, *([4e38, -4e38] if kind == np.float64 else [])):
        rows[1, 1] = wrong
        assert not fits_float32(rows)
