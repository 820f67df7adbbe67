"""The training step: the stream of mini-batches, what each mode hands to the merge, and purity."""

from itertools import chain, pairwise

import numpy as np
import pytest

from hdl import ops, optim, rng, step, sync
from hdl.data import Shard
from hdl.errors import Interrupted, NonFinite
from hdl.models import mlp
from hdl.ops import Key, Layout, Result, Samples
from hdl.ops.reference import DenseReference
from hdl.spec import parse

NET = (3, 4, 2)
P = Layout(NET).size


def job(mode="average", optimizer="sgd", every=1, unit="epochs", **more):
    more = {"epochs": 4, "batch": 4, "shards": 2, **more}
    merged = {"mode": mode, "every": every, "unit": unit}
    return parse({"net": NET, "loss": "softmax", "optimizer": optimizer, "sync": merged, **more})


def samples(n, seed=0):
    rng = np.random.default_rng(seed)
    return Samples(rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 2, n).astype(np.int32))


def shard(n=10, held=0):
    return Shard(samples(n), samples(held, 1))


def begun(spec):
    return sync.start(spec, mlp.initial(spec))


class Spy(DenseReference):
    """Operations that record the mini-batches they train on."""

    def __init__(self, spec):
        super().__init__(spec)
        self.calls = []

    def train(self, w, state, samples, order, batch, lr, first_step, key, progress, chains):
        for at in range(0, len(order), batch):
            self.calls.append((order[at : at + batch].tolist(), float(lr[at // batch]), first_step + at // batch, key))
        return super().train(w, state, samples, order, batch, lr, first_step, key, progress, chains)


def flat(lists):
    return list(chain.from_iterable(lists))


def stream(spec, n, rounds, number=0):
    """Lists the mini-batches that the rounds of a shard train on: (rows, lr, step, key) of each, round by round."""
    weights, data, seen = begun(spec), shard(n), []
    for _ in range(rounds):
        spy = Spy(spec)
        update = step.train_shard(spec, weights, data, number, spy)
        seen.append(spy.calls)
        weights = sync.Weights(weights.round + 1, update.tensors["w"], weights.state)
    return seen


def test_epochs_visit_every_sample_in_keyed_orders_and_end_with_the_rest():
    spec = job(every=2, epochs=3)
    first, last = stream(spec, 10, 2)
    assert [len(rows) for rows, *_ in first] == [4, 4, 2, 4, 4, 2]
    assert [len(rows) for rows, *_ in last] == [4, 4, 2]  # three epochs in rounds of two
    for epoch in range(3):
        batches = (first + last)[3 * epoch : 3 * epoch + 3]
        assert flat(rows for rows, *_ in batches) == rng.order(1, epoch, 0, 10, spec.shuffle_window).tolist()
    assert [number for _, _, number, _ in first + last] == list(range(9))


def test_rounds_of_mini_batches_run_on_from_epoch_to_epoch():
    whole = flat(stream(job(every=1, epochs=4), 10, 4))
    parts = stream(job(every=5, unit="batches"), 10, 2)
    assert [len(rows) for rows in parts] == [5, 5]
    assert [rows for rows, *_ in flat(parts)] == [rows for rows, *_ in whole[:10]]


def test_shards_have_streams_and_masks_of_their_own():
    spec = job(dropout=0.5)
    (one,), (two,) = stream(spec, 8, 1, 0), stream(spec, 8, 1, 1)
    assert [rows for rows, *_ in one] != [rows for rows, *_ in two]
    assert one[0][3] == Key(rng.derive(1, rng.DROPOUT), 0, 0)
    assert two[0][3] == Key(rng.derive(1, rng.DROPOUT), 0, 1)


def test_the_schedule_runs_over_the_shards_own_epochs():
    spec = job(epochs=2, optimizer={"name": "sgd", "lr": 0.5, "schedule": {"name": "exponential", "decay": 0.25}})
    rates = [lr for _, lr, _, _ in flat(stream(spec, 8, 2))]
    np.testing.assert_allclose(rates, [0.5, 0.25, 0.125, 0.0625])


@pytest.mark.parametrize(("mode", "optimizer"), [
    ("average", "sgd"), ("average", "adam"), ("average", "cg"), ("gradient", "adam"), ("gradient", "lbfgs"),
])  # fmt: skip
def test_the_step_changes_none_of_its_arguments_and_repeats_to_the_byte(mode, optimizer):
    spec = job(mode, optimizer, l2=0.01)
    weights, data = begun(spec), shard(10, 5)
    before = weights.w.tobytes(), {name: tensor.tobytes() for name, tensor in weights.state.items()}
    one, two = (step.train_shard(spec, weights, data, 0, ops.make(spec, "reference")) for _ in range(2))
    assert (weights.w.tobytes(), {name: tensor.tobytes() for name, tensor in weights.state.items()}) == before
    assert one.sums == two.sums
    assert {name: tensor.tobytes() for name, tensor in one.tensors.items()} == {
        name: tensor.tobytes() for name, tensor in two.tensors.items()
    }


def test_validation_measures_the_incoming_weights():
    spec = job()
    weights, data, core = begun(spec), shard(10, 6), ops.make(spec, "reference")
    _, expected = core.forward(weights.w, data.validation)
    for only in False, True:
        update = step.train_shard(spec, weights, data, 0, core, evaluate_only=only)
        assert update.sums["val_cost"] == pytest.approx(expected.cost)
        assert (update.sums["val_samples"], update.sums["val_correct"]) == (6, expected.correct)
    assert update.mode == "evaluate"
    assert not update.tensors
    assert update.sums.get("samples", 0) == 0


@pytest.mark.parametrize("mode", ["gradient", "average", "genetic"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_an_empty_shard_leaves_the_weights_and_counts_nothing(mode, optimizer):
    spec = job(mode, optimizer)
    weights = begun(spec)
    update = step.train_shard(spec, weights, shard(0), 1, ops.make(spec, "reference"), common=samples(5))
    assert update.sums["samples"] == 0
    if mode == "gradient":
        assert not update.tensors["gradient"].any()
    else:
        assert update.tensors["w"].tobytes() == weights.w.tobytes()


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("optimizer", ["sgd", "cg"])
def test_a_shard_smaller_than_a_batch_trains(n, optimizer):
    spec = job(batch=100, optimizer=optimizer)
    weights = begun(spec)
    update = step.train_shard(spec, weights, shard(n), 0, ops.make(spec, "reference"))
    assert (update.sums["samples"], update.sums["batches"]) == (n, 1)
    assert (update.tensors["w"] != weights.w).any()


@pytest.mark.parametrize("splits", [(0, 3, 30), (0, 1, 29, 30), (0, 0, 30), (0, 10, 20, 30)])
def test_gradients_over_uneven_shards_add_up_to_the_whole(splits):
    spec = job("gradient", shards=len(splits) - 1)
    weights, data, core = begun(spec), samples(30), ops.make(spec, "reference")
    parts = [
        step.train_shard(spec, weights, Shard(Samples(data.x[a:b], data.y[a:b]), samples(0)), k, core)
        for k, (a, b) in enumerate(pairwise(splits))
    ]
    total = sync.whole(spec, weights, parts)
    expected, result = core.gradient(weights.w.astype(np.float64), data)
    np.testing.assert_allclose(total.tensors["gradient"], expected, rtol=2e-5, atol=2e-6)
    assert total.sums["cost"] == pytest.approx(result.cost, rel=1e-5)
    assert total.sums["samples"] == 30


def test_a_search_makes_one_iteration_a_mini_batch_and_stays_on_it():
    """Harp's scheme: the whole shard as one batch, synchronised every 5, is 5 iterations in a row on it."""
    spec = job(optimizer={"name": "cg", "iterations": 5}, every=5, epochs=10, batch=0)
    weights, data, core = begun(spec), shard(12), ops.make(spec, "reference")
    update = step.train_shard(spec, weights, data, 0, core)
    order = rng.order(1, 0, 0, 12, spec.shuffle_window)

    def evaluate(w):
        gradient, seen = core.gradient(w, data.train, order)
        return optim.objective(spec, w, seen.cost, gradient, seen.samples)

    expected, _ = optim.minimise(spec, weights.w, evaluate, 5)
    assert update.tensors["w"].tobytes() == expected.tobytes()
    assert (update.sums["samples"], update.sums["batches"]) == (60, 5)


def test_a_search_takes_the_streams_batches_one_after_the_other():
    spec = job(optimizer={"name": "cg", "iterations": 2}, every=1, epochs=4, batch=4)
    core, seen = ops.make(spec, "reference"), []

    class Recorder:
        def gradient(self, w, samples, rows, key, progress):
            if not seen or seen[-1] != rows.tolist():
                seen.append(rows.tolist())
            return core.gradient(w, samples, rows, key, progress)

        forward = staticmethod(core.forward)

    weights = begun(spec)
    for round in range(2):  # 3 mini-batches a round: 2 iterations on one, 1 on the next
        step.train_shard(spec, sync.Weights(round, weights.w), shard(12), 0, Recorder())
    epochs = [rng.order(1, epoch, 0, 12, spec.shuffle_window).tolist() for epoch in range(2)]
    assert seen == [epochs[0][:4], epochs[0][4:8], epochs[0][8:], epochs[1][:4]]


def test_a_search_survives_a_trial_that_is_not_finite():
    spec = job("gradient", "lbfgs")
    core = ops.make(spec, "reference")

    class Broken:
        forward = staticmethod(core.forward)

        def gradient(self, *_):
            raise NonFinite("too far")

    update = step.train_shard(spec, begun(spec), shard(10), 0, Broken())
    assert update.sums["cost"] == np.inf
    with pytest.raises(NonFinite):
        step.train_shard(job("gradient"), begun(job("gradient")), shard(10), 0, Broken())


def test_a_genetic_candidate_is_trained_anew_and_measured_on_the_common_samples():
    spec = job("genetic", "adam")
    weights, common, core = begun(spec), samples(20, 5), ops.make(spec, "reference")
    weights.state["population"][1] += 0.5
    update = step.train_shard(spec, sync.Weights(2, weights.w, weights.state), shard(10), 1, core, common=common)
    w, state = weights.state["population"][1].copy(), np.zeros((2, P), np.float32)
    order = rng.order(1, 2, 1, 10, spec.shuffle_window)
    core.train(w, state, shard(10).train, order, 4, ops.rates(spec, 6, 3, 3), 0, None)
    np.testing.assert_array_equal(update.tensors["w"][0], w)
    assert update.tensors["cost"][0] == pytest.approx(core.forward(w, common)[1].cost / 20)


@pytest.mark.parametrize(("spec", "expected"), [
    (job(epochs=10, every=3), 4),
    (job("gradient", epochs=7), 7),
    (job(epochs=2, every=5, unit="batches", batch=10), 4),  # 100 samples a shard, 10 mini-batches a pass
    (job(epochs=2, every=3, unit="batches", batch=1000), 1),  # one mini-batch a pass
])  # fmt: skip
def test_rounds(spec, expected):
    assert step.rounds(spec, 200) == expected


def test_a_true_answer_of_progress_interrupts_the_step():
    spec = job()
    with pytest.raises(Interrupted):
        step.train_shard(spec, begun(spec), shard(10), 0, ops.make(spec, "reference"), lambda done, total: done >= 1)


def test_a_cost_that_is_not_finite_stops_the_round():
    class Diverged:
        def gradient(self, w, *_):
            return w, Result(np.nan, 0, 10)

    spec = job("gradient")
    with pytest.raises(NonFinite, match="shard 1"):
        step.train_shard(spec, begun(spec), shard(10), 1, Diverged())
