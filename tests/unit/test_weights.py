"""Weights of samples in a round, in the merge and in the metrics; weights of classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from hdl import ops, step, sync, wire
from hdl.data import Bad, Block, Options, Shard, weights
from hdl.data.labels import Labels
from hdl.data.schema import Schema
from hdl.errors import DataError, SpecError
from hdl.models import mlp
from hdl.ops import Samples
from hdl.spec import parse
from hdl.wire import Update


def job(mode="gradient", shards=3, **fields):
    fields = {"loss": "softmax", "optimizer": "sgd", "epochs": 4, "batch": 8, **fields}
    return parse({"net": "3-4-2", "shards": shards, "sync": {"mode": mode}, **fields})


def make_samples(n=30, seed=0, weighted=True):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 2, n).astype(np.int32)
    return Samples(x, y, weight=rng.gamma(1, 1, n).astype(np.float32) if weighted else None)


def none(samples):
    return samples.take(slice(0, 0))


def trained(spec, shards, rounds=2, common=None):
    """Carry out rounds; every update travels as a message."""
    state, rows, core = sync.start(spec, mlp.initial(spec)), [], ops.make(spec, "cpu")
    for _ in range(rounds):
        updates = [step.train_shard(spec, state, shard, number, core, None, common)
                   for number, shard in enumerate(shards)]  # fmt: skip
        state, row = sync.merge(spec, state, [wire.decode_as(Update, wire.encode(each)) for each in updates])
        rows.append(row)
    return state, rows


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_gradients_of_weighted_shards_are_that_of_the_whole(optimizer):
    whole = make_samples(30)
    parts = [whole.take(slice(lo, hi)) for lo, hi in ((0, 4), (4, 21), (21, 30))]
    found, rows = trained(job(optimizer=optimizer), [Shard(part, part) for part in parts], 4)
    expected, told = trained(job(optimizer=optimizer, shards=1), [Shard(whole, whole)], 4)
    np.testing.assert_allclose(found.w, expected.w, rtol=2e-5, atol=2e-6)
    for row, other in zip(rows, told, strict=True):
        for name in ("cost", "val_cost", "weight", "val_weight", "accuracy", "val_accuracy"):
            assert row[name] == pytest.approx(other[name], rel=1e-5), name
        assert row["samples"] == other["samples"] == 30


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
@pytest.mark.parametrize("mode", ["gradient", "average", "genetic"])
def test_ones_are_no_weights_byte_for_byte(mode, optimizer):
    plain, held = make_samples(30, weighted=False), make_samples(9, 1, weighted=False)
    spec, found = job(mode, optimizer=optimizer), []
    for ones in (False, True):
        given = [replace(each, weight=np.ones(len(each), np.float32)) if ones else each for each in (plain, held)]
        state, rows = trained(spec, [Shard(*given)] * 3, common=given[1])
        assert all(("weight" in row) == ones for row in rows)
        shared = [{key: row[key] for key in row if not key.endswith("weight")} for row in rows]
        found.append((state.w.tobytes(), {name: each.tobytes() for name, each in state.state.items()}, shared))
    assert found[0] == found[1]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("mode", ["gradient", "average", "genetic"])
def test_four_times_the_weights_are_the_same_byte_for_byte(mode, optimizer):
    """All means are by the sum of weights, the penalty is of the mean, and factors of 2 are exact."""
    spec, found = job(mode, optimizer=optimizer, l2=0.01), []
    for factor in (1, 4):
        own, held = (
            replace(each, weight=each.weight * np.float32(factor)) for each in (make_samples(), make_samples(9, 1))
        )
        state, rows = trained(spec, [Shard(own, held)] * 3, common=held)
        found.append((state.w.tobytes(), [(row["cost"], row["val_cost"], row["accuracy"]) for row in rows]))
    assert found[0] == found[1]


def test_the_average_is_by_the_sum_of_weights():
    spec, own = job("average", 2), make_samples(10)
    shards = [Shard(replace(own, weight=np.full(10, weight, np.float32)), none(own)) for weight in (0.5, 1.5)]
    shards[1].train.x[:] *= 2
    core, start = ops.make(spec, "cpu"), sync.start(spec, mlp.initial(spec))
    updates = [step.train_shard(spec, start, shard, number, core) for number, shard in enumerate(shards)]
    merged, row = sync.merge(spec, start, updates)
    a, b = (update.tensors["w"] for update in updates)
    np.testing.assert_allclose(merged.w, a + (b - a) * np.float32(0.75), rtol=1e-6)
    assert (row["weight"], row["samples"]) == (20, 20)
    costs = [update.sums["cost"] for update in updates]
    assert row["cost"] == pytest.approx(sum(costs) / 20)


def test_a_shard_that_weighs_nothing_changes_nothing():
    spec, own = job("average", 2), make_samples(10)
    shards = [Shard(own, none(own)), Shard(replace(own, weight=np.zeros(10, np.float32)), none(own))]
    merged, row = trained(spec, shards, 1)
    core, start = ops.make(spec, "cpu"), sync.start(spec, mlp.initial(spec))
    assert np.array_equal(merged.w, step.train_shard(spec, start, shards[0], 0, core).tensors["w"])
    assert row[0]["cost"] > 0
    nothing = [Shard(shards[1].train, none(own))] * 2
    for mode in ("average", "gradient"):
        same, rows = trained(job(mode, 2, optimizer={"name": "sgd", "lr": 0.1}), nothing, 1)
        assert np.array_equal(same.w, start.w)
        assert (rows[0]["cost"], rows[0]["accuracy"], rows[0]["samples"]) == (None, None, 20)


def test_fitness_is_by_the_weights_of_the_common_samples():
    spec, own, common = job("genetic", 2), make_samples(10), make_samples(12, 3)
    shard, core = Shard(own, none(own)), ops.make(spec, "cpu")
    start = sync.start(spec, mlp.initial(spec))
    update = step.train_shard(spec, start, shard, 0, core, None, common)
    result = core.forward(update.tensors["w"][0], common)[1]
    assert update.tensors["cost"][0] == pytest.approx(result.cost / common.weight.sum())
    with pytest.raises(SpecError, match="genetic mode measures candidates on weigh 0"):
        step.train_shard(spec, start, shard, 0, core, None, replace(common, weight=np.zeros(12, np.float32)))


def test_sums_without_weights_are_read_as_before():
    assert wire.total_weight({"samples": 7}) == 7
    assert wire.total_weight({"samples": 7, "weight": 0.0}) == 0
    assert wire.total_weight({"val_samples": 7, "val_weight": 2.5}, "val_") == 2.5


LABELS = np.array(["no", "yes", "no", "no", "no", "yes", "no"], object)


def test_class_weights_are_those_of_scikit_learn():
    labels, classes = Labels.of(LABELS[:3]).join(Labels.of(LABELS[3:])), ("no", "yes")
    for chosen in ("balanced", {"yes": 3.0}, {"yes": 0.0, "no": 2.0}):
        expected = compute_class_weight(chosen, classes=np.array(classes), y=LABELS)
        np.testing.assert_allclose(weights.class_weights(chosen, classes, labels), expected)
    assert weights.class_weights(None, classes, labels) is None
    numbers = Labels.of(np.array([1, 1, 2], np.int64))
    np.testing.assert_allclose(weights.class_weights({"2": 5.0}, (1, 2), numbers), [1, 5])


@pytest.mark.parametrize(
    ("chosen", "classes", "said"),
    [
        ({"maybe": 2.0}, ("no", "yes"), "class_weight maybe: no such class; expected one of 'no', 'yes'"),
        ("balanced", (), "class_weight: the labels are no classes"),
    ],
)
def test_class_weights_of_other_classes_are_refused(chosen, classes, said):
    with pytest.raises(SpecError, match=said):
        weights.class_weights(chosen, classes, Labels.of(LABELS))


@pytest.mark.parametrize("encoded", [np.array([0, 1, 1], np.int32), np.array([[0], [1], [1]], np.float32),
                                     np.array([[1, 0], [0, 1], [0, 1]], np.float32)], ids=str)  # fmt: skip
def test_a_sample_counts_its_own_weight_times_its_class(encoded):
    own, by_class = np.array([1.0, 2, 0.5]), np.array([3.0, 10])
    assert weights.of_samples(own, encoded, by_class).tolist() == [3, 20, 5]
    assert weights.of_samples(None, encoded, by_class).tolist() == [3, 10, 10]
    assert weights.of_samples(own, encoded, None).tolist() == [1, 2, 0.5]
    assert weights.of_samples(None, encoded, None) is None


def block(**columns):
    return Block(np.zeros((4, 2), np.float32), None, lambda i: {"path": "a.csv", "line": i + 1}, **columns)


def test_a_weight_that_is_none_is_a_bad_record_with_its_place():
    given, schema = (
        block(weight=np.array([0, 2.5, -1, np.nan]), offset=np.array([0, np.inf, 1, 1])),
        Schema(2, 1, "value"),
    )
    bad = Bad(3)
    assert weights.good(given, schema, bad).tolist() == [True, False, False, False]
    assert bad.count == 3
    with pytest.raises(DataError, match=r"a.csv:3: weight -1; expected a number of at least 0"):
        weights.good(block(weight=np.array([0, 2.5, -1, np.nan])), schema, Bad())


def test_offsets_are_in_the_unit_of_what_reaches_the_output():
    offset, spread = np.array([1.0, -2]), np.array([4.0])
    for loss, expected in (("squared", [0.25, -0.5]), ("quantile", [0.25, -0.5]), ("poisson", [1, -2])):
        schema = Schema(2, 1, "value", loss=loss, target_mean=np.zeros(1), target_deviation=spread)
        assert weights.offsets(offset, schema)[:, 0].tolist() == expected
    assert weights.offsets(offset, Schema(2, 1, "binary", (0, 1), "sigmoid")).tolist() == [[1], [-2]]
    assert weights.offsets(None, Schema(2, 3, "targets")) is None
    with pytest.raises(SpecError, match="the network has 3 outputs"):
        weights.offsets(offset, Schema(2, 3, "targets"))


@pytest.mark.parametrize("option", [{"weights": "w"}, {"offset": "w"}], ids=str)
@pytest.mark.parametrize("model", ["autoencoder", "rbm", "stacked", "dbn"])
def test_models_without_labels_take_no_weights(model, option):
    net = {"autoencoder": "0-3-0", "rbm": "0-3"}.get(model, "0-3-0")
    with pytest.raises(SpecError, match=f"{next(iter(option))} w: model {model} learns without labels first"):
        weights.check(parse({"model": model, "net": net}), Options.make(option))
    weights.check(parse({}), Options.make(option))
