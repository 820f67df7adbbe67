"""Weights, offsets, class weights and losses of counts from a file to its answers: training, evaluation, prediction."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_poisson_deviance

from hdl import data, driver
from hdl.errors import DataError, SpecError
from hdl.estimators import MLPRegressor
from hdl.evaluation import Score
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table

RNG = np.random.default_rng(0)
N = 400
X = RNG.normal(size=(N, 2)).round(3)
EXPOSURE = RNG.uniform(0.2, 3, N).round(3)
WEIGHT = RNG.integers(0, 4, N)
CLAIMS = RNG.poisson(30 * EXPOSURE * np.exp(X @ [0.4, -0.2]))
COLUMNS = {"a": X[:, 0], "b": X[:, 1], "log_exposure": np.log(EXPOSURE).round(6), "w": WEIGHT, "claims": CLAIMS}
OPTIONS = {"label": ("claims",), "weights": "w", "offset": "log_exposure"}
MODEL = {"net": (0, 0), "loss": "poisson", "shards": 2, "epochs": 60, "seed": 3, "scale": "none",
         "optimizer": "lbfgs", "sync": {"mode": "gradient"}}  # fmt: skip


def write(path, columns=None, **changes):
    columns = {**(COLUMNS if columns is None else columns), **changes}
    lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(columns), *lines, ""]))
    return str(path)


@pytest.fixture
def claims(tmp_path):
    return write(tmp_path / "claims.csv")


def train(path, table, options=None, workers=1, resume=False, **fields):
    job = Job(
        str(path),
        str(table),
        parse({**MODEL, **fields}),
        data.Options.make(OPTIONS if options is None else options),
        resume=resume,
    )
    return driver.train(job, LocalRunner(workers, 1))


def source(path, model, labels=True):
    return data.open_source(path, model.reading, model.schema, labels=labels)


def test_counts_with_exposure_and_weights_are_a_generalised_linear_model(claims, tmp_path):
    """scikit-learn has no offset: of the same model rates are the targets, weighted by exposure."""
    outcome = train(claims, tmp_path / "m")
    peer = PoissonRegressor(alpha=0, tol=1e-10, max_iter=1000).fit(
        X, CLAIMS / EXPOSURE, sample_weight=EXPOSURE * WEIGHT
    )
    model = Model(outcome.table)
    slopes, intercept = np.split(model.w.astype(np.float64), [2])
    np.testing.assert_allclose(slopes, peer.coef_, atol=1e-3)
    assert intercept[0] + np.log(model.schema.target_deviation[0]) == pytest.approx(peer.intercept_, abs=1e-3)
    answers = np.concatenate([part.out for part in model.predict(source(claims, model, labels=False))])[:, 0]
    np.testing.assert_allclose(answers, peer.predict(X) * EXPOSURE, rtol=2e-3)
    score = model.evaluate(source(claims, model))
    assert isinstance(score, Score)
    assert (score.samples, score.weight) == (N, WEIGHT.sum())
    assert score.loss == ("deviance", pytest.approx(mean_poisson_deviance(CLAIMS, answers, sample_weight=WEIGHT)))
    unit = model.schema.target_deviation[0]
    assert outcome.rows[-1]["cost"] == pytest.approx(score.cost, rel=1e-3)
    assert 2 * score.cost * unit == pytest.approx(score.loss[1])
    squares = np.average(np.square(CLAIMS - answers), weights=WEIGHT)
    assert score.rmse == pytest.approx(np.sqrt(squares), rel=1e-5)


def test_an_offset_of_squares_is_in_the_targets_unit(tmp_path):
    """y = 5 a + offset: the net learns what is left, though it computes with standardised targets."""
    offset = 100 * X[:, 1]
    path = write(tmp_path / "lines.csv", {"a": X[:, 0], "o": offset, "y": 5 * X[:, 0] + offset + 7})
    fields = {"loss": "squared", "epochs": 30}
    model = Model(train(path, tmp_path / "m", {"label": ("y",), "offset": "o"}, **fields).table)
    answers = np.concatenate([part.out for part in model.predict(source(path, model, labels=False))])[:, 0]
    np.testing.assert_allclose(answers, 5 * X[:, 0] + offset + 7, atol=0.02)
    assert model.w[0] * model.schema.target_deviation[0] == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize("mode", ["average", "genetic"])
def test_any_number_of_workers_and_a_resumed_run_give_the_same_bytes(claims, tmp_path, mode):
    fields = {"net": (0, 4, 0), "optimizer": "adam", "batch": 16, "sync": {"mode": mode}, "validation": 0.2}
    one = train(claims, tmp_path / "one", epochs=4, **fields)
    two = train(claims, tmp_path / "two", epochs=4, workers=2, **fields)
    train(claims, tmp_path / "again", epochs=2, **fields)
    again = train(claims, tmp_path / "again", epochs=4, resume=True, **fields)
    found = {Table(each.table).read().weights.w.tobytes() for each in (one, two, again)}
    assert len(found) == 1
    row = one.rows[0]
    assert 0 < row["weight"] < WEIGHT.sum()
    assert row["weight"] + row["val_weight"] == WEIGHT.sum()
    assert row["samples"] + row["val_samples"] == N


def test_a_weight_is_how_often_a_row_is_there(claims, tmp_path):
    rows = np.repeat(np.arange(N), WEIGHT)
    repeated = write(tmp_path / "repeated.csv", {name: column[rows] for name, column in COLUMNS.items() if name != "w"})
    fields = {"net": (0, 3, 0), "activation": "tanh", "epochs": 25, "optimizer": {"name": "sgd", "lr": 0.1}}
    plain = {name: OPTIONS[name] for name in ("label", "offset")}
    a, b = train(claims, tmp_path / "a", **fields), train(repeated, tmp_path / "b", plain, **fields)
    answers = []
    for outcome in (a, b):
        model = Model(outcome.table)
        answers.append(np.concatenate([part.out for part in model.predict(source(claims, model, labels=False))]))
    # Targets are divided by the mean of rows, which differs: training goes another way to nearly the same place.
    np.testing.assert_allclose(*answers, rtol=0.05)


def test_data_without_the_offset_is_refused_and_without_weights_counts_evenly(claims, tmp_path):
    model = Model(train(claims, tmp_path / "m", epochs=3).table)
    bare = write(tmp_path / "bare.csv", {name: COLUMNS[name] for name in ("a", "b", "w", "claims")})
    for call in (model.evaluate, lambda given: list(model.predict(given))):
        with pytest.raises(DataError, match=r"no column log_exposure; the model was trained with it as the offset"):
            call(source(bare, model))
    even = write(tmp_path / "even.csv", {name: COLUMNS[name] for name in ("a", "b", "log_exposure", "claims")})
    score = model.evaluate(source(even, model))
    assert (score.samples, score.weight) == (N, None)
    with pytest.raises(SpecError, match="trained with an offset, column log_exposure"):
        MLPRegressor.from_table(str(tmp_path / "m"))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("w", -1, "weight -1; expected a number of at least 0"),
        ("log_exposure", "inf", "inf"),
        ("claims", -2, "label"),
    ],
)
def test_what_is_no_weight_offset_or_count_names_its_place(tmp_path, column, value, said):
    changed = [*COLUMNS[column].tolist()]
    changed[7] = value
    path = write(tmp_path / "bad.csv", **{column: changed})
    with pytest.raises(DataError, match=said) as error:
        train(path, tmp_path / "m", epochs=1)
    assert "bad.csv:9" in str(error.value) or "line 9" in str(error.value)
    outcome = train(path, tmp_path / "m2", {**OPTIONS, "max_bad_records": 1}, epochs=1)
    assert outcome.rows[0]["samples"] == N - 1


def test_rare_classes_count_as_their_weights_say(tmp_path):
    kinds = np.where(RNG.random(N) < 0.08, "rare", "usual")
    path = write(tmp_path / "kinds.csv", {"a": X[:, 0] + (kinds == "rare"), "b": X[:, 1], "w": WEIGHT + 1, "y": kinds})
    fields = {"net": (0, 4, 0), "loss": None, "epochs": 20, "sync": {}, "batch": 20}
    fields["optimizer"] = {"name": "adam", "lr": 0.01}
    found = {}
    for name, chosen in (("even", None), ("balanced", "balanced"), ("named", {"rare": 5.0})):
        outcome = train(path, tmp_path / name, {"label": ("y",)}, **fields, class_weight=chosen)
        found[name] = Model(outcome.table)
    counts = np.array([(kinds == "rare").sum(), (kinds == "usual").sum()])
    np.testing.assert_allclose(found["balanced"].schema.class_weights, N / (2 * counts))
    assert found["named"].schema.class_weights.tolist() == [5, 1]
    assert found["even"].schema.class_weights is None
    recall = {}
    for name, model in found.items():
        confusion = model.evaluate(source(path, model)).confusion
        recall[name] = confusion[0, 0] / confusion[0].sum()
    assert recall["even"] < recall["balanced"]
    rows = Table(str(tmp_path / "balanced")).rows()
    assert rows[0]["weight"] == pytest.approx(N)  # n_c n/(C n_c) of each class
    both = train(path, tmp_path / "both", {"label": ("y",), "weights": "w"}, **fields, class_weight={"rare": 5.0})
    assert both.rows[0]["weight"] == pytest.approx(((WEIGHT + 1) * np.where(kinds == "rare", 5, 1)).sum())


@pytest.mark.parametrize(
    ("options", "fields", "said"),
    [
        ({}, {"class_weight": {"many": 2.0}, "loss": None, "net": (0, 4, 0)}, "class_weight"),
        ({"weights": "w"}, {"model": "stacked", "net": (0, 4, 0), "loss": None, "sync": {}, "optimizer": "adam"},
         "weights w: model stacked learns without labels"),
        ({"offset": "w"}, {"loss": "softmax"}, "offset w: softmax has an output for each class"),
        ({"offset": "w"}, {"loss": None}, "offset w: softmax has an output for each class"),
        ({"offset": "w"}, {"loss": "sigmoid"}, r"offset w: the net has \d+ outputs, and a column of offsets"),
        ({"weights": "absent"}, {}, "absent"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_weighted_is_refused(tmp_path, options, fields, said):
    few = write(tmp_path / "few.csv", claims=CLAIMS % 3)
    with pytest.raises((SpecError, DataError), match=said):
        train(few, tmp_path / "m", {"label": ("claims",), **options}, **fields)
    assert not (tmp_path / "m").exists() or not list((tmp_path / "m").glob("v*"))
