"""Permutation importance and partial dependence of a table where the truth is known."""

import math

import numpy as np
import pyarrow as pa
import pytest

from hdl import driver, importance, passes
from hdl.data import Arrays, Bad, Options, open_source
from hdl.errors import DataError, SpecError
from hdl.importance import Effects
from hdl.importance.columns import of_schema
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse

N = 900


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """`table(name, lines, header, **spec)`: a network of a table, and its data opened as the network sees it."""
    folder = tmp_path_factory.mktemp("importance")

    def make(name, header, rows, **spec):
        path = folder / f"{name}.csv"
        path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
        fields = {"net": "0-8-0", "epochs": 20, "batch": 16, "seed": 3, "optimizer": "adam", **spec}
        outcome = driver.train(Job(str(path), str(folder / name), parse(fields)), LocalRunner(1))
        model = Model(outcome.table)
        return model, open_source(str(path), Options.make(model.reading), model.schema)

    return make


@pytest.fixture(scope="module")
def known(table):
    """The class is x > 0 but where the colour is red; `copy` says what x says; the rest says nothing."""
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, N))
    colour = rng.choice(["red", "blue", "green", ""], N)
    day = np.datetime64("2020-01-01") + rng.integers(0, 900, N)
    label = np.where((x > 0) ^ (colour == "red"), "yes", "no")
    gaps = ["" if i % 9 == 0 else f"{value:.4f}" for i, value in enumerate(noise)]
    rows = zip(x.round(4), gaps, colour, day, label, strict=True)
    return table("known", "x,noise,colour,day,class", rows)


def test_what_decides_is_important_and_noise_is_not(known):
    effects = importance.measure(*known, metric="auc")
    drops = {one.column: one.drop for one in effects.importance}
    assert [one.column for one in effects.importance[:2]] in (["x", "colour"], ["colour", "x"])
    assert min(drops["x"], drops["colour"]) > 0.2
    assert max(abs(drops["noise"]), abs(drops["day"])) < 0.03
    assert (effects.metric, effects.higher, effects.rows, effects.of) == ("auc", True, N, N)
    assert all(0 < one.spread < 0.05 for one in effects.importance[:2])
    assert effects.baseline > 0.95


def test_a_copy_shares_the_importance(table):
    rng = np.random.default_rng(1)
    x = rng.normal(size=N).round(4)
    alone = importance.measure(*table("alone", "x,class", zip(x, x > 0, strict=True)), metric="accuracy")
    both = importance.measure(*table("both", "x,copy,class", zip(x, x, x > 0, strict=True)), metric="accuracy")
    drops = {one.column: one.drop for one in both.importance}
    assert 0.05 < min(drops.values()) <= max(drops.values()) < alone.importance[0].drop - 0.05


def test_a_category_and_a_date_are_permuted_with_all_their_inputs(known):
    model, source = known
    rows = drawn(model, source, N)
    data = importance.columns.of_rows(model, rows)
    order = np.random.default_rng(0).permutation(N)
    for own in of_schema(model.schema):
        raw = data.raw.x
        frame = type(raw)(raw.numbers.copy(), list(raw.others), raw.columns)
        names = [column.name for column in raw.columns if column.kind == "number"]
        if own.kind == "number":
            frame.numbers[:, names.index(own.name)] = raw[own.name][order]
        else:
            at = [column.name for column in raw.columns if column.kind != "number"].index(own.name)
            frame.others[at] = raw.others[at].take(order)
        encoded = model.schema.encodings.encode(frame)
        before = data.block.x.dense()
        with importance.columns.exchanged(data.block.x, own, order):
            assert np.array_equal(data.block.x.numbers, encoded.numbers)
            assert np.array_equal(data.block.x.codes, encoded.codes)
            assert not np.array_equal(data.block.x.dense(), before)
        assert np.array_equal(data.block.x.dense(), before)


def drawn(model, source, most):
    part = passes.evaluate(model, source, passes.cut(source)[0], rows=most)
    return part.values["rows"]


def test_dependence_is_the_mean_answer_at_each_value(known):
    model, source = known
    effects = importance.measure(model, source)
    found = {one.column: one for one in effects.dependence}
    assert effects.outputs == ["no", "yes"]
    colours = dict(zip(found["colour"].grid, found["colour"].mean, strict=True))
    assert set(colours) == {"red", "blue", "green", None}
    assert sum(found["colour"].count) == N
    x = np.array([mean[1] for mean in found["x"].mean])
    assert x[-1] - x[0] > 0.3  # of four colours red alone turns it round
    assert found["noise"].grid[-1] is None
    assert found["noise"].count[-1] == N // 9
    assert found["day"].grid[0].startswith("2020-")
    # By hand: every row red.
    block = next(iter(source.read(passes.cut(source)[0], Bad())))
    frame = block.x
    at = [column.name for column in frame.columns if column.kind != "number"].index("colour")
    frame.others[at] = pa.array(["red"] * N).dictionary_encode().cast(frame.others[at].type)
    out = model._forward(model._fitted(block, Bad()), None)[0]
    assert colours["red"][1] == pytest.approx(math.fsum(out[:, 1].astype(float)) / N, abs=1e-12)


def test_a_number_that_is_mostly_one_value_has_a_grid_all_the_same(table):
    rng = np.random.default_rng(4)
    gains = np.where(rng.random(N) < 0.95, 0, rng.integers(100, 9000, N))
    model, source = table("gains", "gains,class", zip(gains, gains > 3000, strict=True))
    (found,) = importance.measure(model, source, metric="auc").dependence
    assert found.grid[0] == 0
    assert found.grid == sorted(found.grid)
    assert 15 < len(found.grid) <= 21
    assert found.count[0] > 0.9 * N
    assert sum(found.count) == N
    assert set(found.grid) <= set(gains.tolist())


def test_effects_of_a_regression_are_in_the_targets_unit(table):
    rng = np.random.default_rng(2)
    x, noise = rng.normal(size=(2, N))
    rows = zip(x.round(4), noise.round(4), (1000 + 500 * x).round(2), strict=True)
    effects = importance.measure(*table("prices", "x,noise,price", rows, loss="squared", epochs=40), metric="rmse")
    assert not effects.higher
    assert [one.column for one in effects.importance] == ["x", "noise"]
    assert 550 < effects.importance[0].drop < 750  # a shuffled x is wrong by 500·√2
    grid, mean = np.array(effects.dependence[0].grid), np.array(effects.dependence[0].mean)[:, 0]
    assert np.abs(mean - (1000 + 500 * grid)).max() < 120


def test_of_very_many_classes_there_is_no_dependence(known, monkeypatch):
    monkeypatch.setattr(importance, "MOST_OUTPUTS", 1)
    effects = importance.measure(*known, rows=50, repetitions=1)
    assert effects.dependence == []
    assert len(effects.importance) == 4


def test_the_same_seed_gives_the_same_and_another_does_not(known):
    one, same, other = (importance.measure(*known, rows=200, seed=seed) for seed in (5, 5, 6))
    assert one == same
    assert one.importance != other.importance
    assert one.baseline == other.baseline  # on the same rows


def test_what_json_makes_of_effects_is_read_again(known):
    effects = importance.measure(*known, rows=100, repetitions=1)
    assert Effects.from_plain(effects.to_plain()) == effects
    with pytest.raises(ValueError, match="without their fields"):
        Effects.from_plain({"metric": "auc"})


def test_columns_of_a_matrix_go_by_number_and_sparse_rows_too(tmp_path, table):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", (x[:, 1] > 0).astype(np.int64))
    lines = [f"{int(row[1] > 0)} 1:{row[0]:.4f} 2:{row[1]:.4f} 3:{row[2]:.4f}" for row in x]
    (tmp_path / "x.libsvm").write_text("\n".join(lines) + "\n")
    for data in (f"{tmp_path}/x.npy,{tmp_path}/y.npy", str(tmp_path / "x.libsvm")):
        name = str(tmp_path / data.rpartition(".")[2].replace("/", ""))
        spec = parse({"net": "0-6-0", "epochs": 15, "batch": 16, "seed": 3, "optimizer": "adam"})
        model = Model(driver.train(Job(data, name, spec), LocalRunner(1)).table)
        effects = importance.measure(model, open_source(data, None, model.schema), metric="accuracy", repetitions=2)
        assert effects.importance[0].column == "1", data
        assert effects.importance[0].drop > 0.15
        assert len(effects.dependence) == 3


def test_images_and_very_wide_data_are_refused_with_a_sentence(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (40, 5, 5), np.uint8)
    y = np.arange(40) % 2
    np.savez(tmp_path / "images.npz", x=images, y=y)
    spec = parse({"net": "0-4-0", "epochs": 1})
    model = Model(driver.train(Job(str(tmp_path / "images.npz"), str(tmp_path / "m"), spec), LocalRunner(1)).table)
    source = open_source(str(tmp_path / "images.npz"), None, model.schema)
    with pytest.raises(SpecError, match="importance is of columns, and the model sees images of 5x5"):
        importance.measure(model, source)


def test_a_metric_that_does_not_fit_or_is_not_defined_is_refused(known):
    model, source = known
    with pytest.raises(SpecError, match=r"expected a metric of this network, one of cost, accuracy, auc.*'r2'"):
        importance.measure(model, source, metric="r2")
    block = next(iter(source.read(passes.cut(source)[0], Bad())))
    only = Arrays(block.x[block.y == "yes"], np.array(["yes"] * int((block.y == "yes").sum()), object),
                  schema=model.schema)  # fmt: skip
    with pytest.raises(DataError, match="auc is not defined on the rows that were drawn"):
        importance.measure(model, only, metric="auc")
