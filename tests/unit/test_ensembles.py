"""Ensembles: each member is the net it would be alone, answers are means, and no byte depends on threads."""

import numpy as np
import pytest

from hdl import models, ops, rng
from hdl.data.mixed import Mixed
from hdl.errors import Interrupted, NonFinite, SpecError
from hdl.ops import Key, Samples, Work, ensemble, layout, losses
from hdl.ops.batching import BatchingBarrier
from hdl.ops.members import key_of, spec_of
from tests.unit.test_ops import make_samples, make_spec

KEY = Key(9, 2, 1)


def trained(spec, samples, backend="cpu", threads=1, w=None, key=KEY):
    operations = ops.make(spec, backend, threads)
    w = models.initial(spec) if w is None else w.copy()
    state = np.zeros((operations.state_vectors, w.size), np.float32)
    order, count = rng.order(1, 0, 0, len(samples), 64), ops.steps(len(samples), 7)
    lr = np.linspace(0.05, 0.02, count).astype(np.float32)
    result = operations.train(w, state, samples, order, 7, lr, 3, key)
    return operations, w, state, result


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("rule", ["sgd", "momentum", "adam"])
def test_each_member_is_the_net_that_its_seed_gives_alone(rule, backend):
    spec = make_spec("5-6-3", members=3, dropout=0.3, optimizer={"name": rule, "weight_decay": 0.1}, seed=4)
    samples = make_samples(40, 5, 3)
    operations, w, state, result = trained(spec, samples, backend)
    assert w.size == 3 * operations.layout.own.size == operations.layout.size
    alone = [trained(spec_of(spec, m), samples, backend, key=key_of(KEY, m)) for m in range(3)]
    for member, (_, own, own_state, _) in enumerate(alone):
        assert operations.layout.members(w)[member].tobytes() == own.tobytes()
        assert operations.layout.members(state)[member].tobytes() == own_state.tobytes()
    assert result.cost == sum(one.cost for *_, one in alone) / 3
    assert (result.samples, result.steps) == (40, 6)
    assert len({own.tobytes() for _, own, *_ in alone}) == 3
    plain = trained(spec.with_(members=1), samples, backend)[1]  # the first is the net without an ensemble
    assert operations.layout.members(w)[0].tobytes() == plain.tobytes()


def test_threads_do_not_show(monkeypatch):
    monkeypatch.setattr(ensemble, "_SMALL", 0)  # threads, however small the work is
    spec, samples = make_spec("5-6-3", members=5, dropout=0.2), make_samples(60, 5, 3)
    found = [trained(spec, samples, threads=threads) for threads in (1, 2, 3, 12)]
    for operations, w, state, result in found:
        assert (w.tobytes(), state.tobytes(), result) == (found[0][1].tobytes(), found[0][2].tobytes(), found[0][3])
        out, seen = operations.forward(w, samples)
        vector, summed = operations.gradient(w, samples, None, KEY)
        expected = found[0][0].forward(w, samples), found[0][0].gradient(w, samples, None, KEY)
        assert (out.tobytes(), seen) == (expected[0][0].tobytes(), expected[0][1])
        assert (vector.tobytes(), summed) == (expected[1][0].tobytes(), expected[1][1])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [*losses.CLASSES, *losses.REGRESSION])
def test_answers_are_means_and_the_cost_is_theirs(loss, weighted):
    spec = make_spec("5-6-3", members=4, loss=loss)
    samples = make_samples(30, 5, 3, "softmax" if loss == "softmax" else "sigmoid" if loss == "sigmoid" else "squared")
    y = np.abs(samples.y) + 0.1 if loss in losses.LOG_LINK else samples.y
    weight = np.random.default_rng(2).random(30).astype(np.float32) if weighted else None
    samples = Samples(samples.x, y, weight=weight)
    operations = ops.make(spec, "cpu", 2)
    w = models.initial(spec)
    single = ops.make(spec.with_(members=1), "reference")
    outs = [single.forward(own.astype(np.float64), samples)[0] for own in operations.layout.members(w)]
    mean = np.mean(outs, axis=0)
    order = np.arange(30)[::-1]
    out, result = operations.forward(w, samples, order)
    np.testing.assert_allclose(out, mean[order], rtol=2e-5, atol=1e-6)
    # The cost of one net that answers with the mean: by its z.
    z = np.log(mean) if loss == "softmax" or loss in losses.LOG_LINK else mean
    z = np.log(mean / (1 - mean)) if loss == "sigmoid" else z
    same = ops.make(make_spec("3-3", loss=loss), "reference")
    identity = np.concatenate([np.eye(3).ravel(), np.zeros(3)])
    expected = same.forward(identity, Samples(z, samples.y, weight=weight))[1]
    assert result.cost == pytest.approx(expected.cost, rel=1e-4)
    assert result.correct == pytest.approx(expected.correct)
    assert (result.samples, result.weight) == (30, pytest.approx(expected.weight))


def test_a_sure_and_wrong_answer_has_a_finite_cost():
    spec = make_spec("1-2", members=2)
    w = np.tile(np.array([0, 0, 500, -500], np.float32), 2)
    result = ops.make(spec).forward(w, Samples(np.ones((1, 1), np.float32), np.ones(1, np.int32)))[1]
    assert 80 < result.cost < 100


def test_gradients_are_the_members_own():
    spec, samples = make_spec("5-6-3", members=2, input_dropout=0.2), make_samples(30, 5, 3)
    operations, w = ops.make(spec), models.initial(spec)
    vector, result = operations.gradient(w, samples, None, KEY)
    single = ops.make(spec.with_(members=1))
    parts = [
        single.gradient(own.copy(), samples, None, key_of(KEY, member))
        for member, own in enumerate(operations.layout.members(w))
    ]
    np.testing.assert_array_equal(vector, np.concatenate([part for part, _ in parts]))
    assert result.cost == (parts[0][1].cost + parts[1][1].cost) / 2


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_or_a_stop_leaves_all_members_as_they_were(threads, monkeypatch):
    monkeypatch.setattr(ensemble, "_SMALL", 0)
    spec, samples = make_spec("5-6-3", members=3), make_samples(40, 5, 3)
    operations, w = ops.make(spec, "cpu", threads), models.initial(spec)
    operations.layout.members(w)[2][0] = np.nan  # of the last one alone
    before, state = w.copy(), np.zeros((2, w.size), np.float32)
    work = Work(w, state, samples, np.arange(40), np.full(6, 0.1, np.float32))
    with pytest.raises(NonFinite) as failed:
        operations.train_all([work], 7)
    assert set(failed.value.nets) == {0}
    assert w.tobytes() == before.tobytes()
    assert not state.any()
    long = np.tile(np.arange(40), 20_000)
    with pytest.raises(Interrupted):
        operations.train(models.initial(spec), state, samples, long, 7, np.full(len(long), 0.1, np.float32),
                         progress=lambda done, steps: True)  # fmt: skip
    assert not state.any()


def test_progress_counts_the_steps_of_one_net():
    spec, samples = make_spec("5-60-3", members=3), make_samples(40, 5, 3)
    seen = []
    order = np.tile(np.arange(40), 100_000)
    operations, w = ops.make(spec), models.initial(spec)
    lr = np.full(len(order), 1e-6, np.float32)
    state = np.zeros((2, w.size), np.float32)
    for _ in range(10):  # it is told now and then, so a fast machine may be through before the first time
        now = []
        operations.train(w, state, samples, order, 10, lr, progress=lambda *at, now=now: now.append(at))
        assert now == sorted(now)
        seen += now
        if seen:
            break
    assert seen
    assert all(0 <= done <= steps == 400_000 for done, steps in seen)


def test_a_layout_of_all_members():
    spec = make_spec("7-4-2", members=2, numbers=2, embedding=3, embeddings=[[5, 3]])
    shape, w = layout.of(spec), np.arange(2 * layout.of(spec.with_(members=1)).size, dtype=np.float32)
    assert shape.size == w.size
    assert [names for names in shape.names if "E" in names] == ["1.E1", "2.E1"]
    assert len(shape.tables(w)) == 2
    assert shape.tables(w)[1][0, 0] == shape.own.size
    assert [part.shape for part in shape.split(w)[2]] == [(5, 4), (4,)]
    np.testing.assert_array_equal(shape.mask, np.tile(shape.own.mask, 2))


@pytest.mark.parametrize("embedded", [False, True])
def test_rows_of_tables_are_taken_by_every_member(embedded):
    fields = {"embedding": 3, "numbers": 2, "embeddings": [[5, 3]]} if embedded else {}
    spec = make_spec("7-4-2", members=2, **fields)
    draw = np.random.default_rng(3)
    x = Mixed(draw.normal(size=(40, 2)).astype(np.float32), 2 + draw.integers(0, 5, (40, 1)).astype(np.int32), 7)
    samples = Samples(x, draw.integers(0, 2, 40).astype(np.int32))
    core, reference = (trained(spec, samples, backend) for backend in ("cpu", "reference"))
    np.testing.assert_allclose(core[1], reference[1], atol=2e-5)
    np.testing.assert_allclose(
        core[0].forward(core[1], samples)[0], reference[0].forward(core[1], samples)[0], atol=1e-5
    )


def test_what_has_no_ensemble_is_refused():
    with pytest.raises(SpecError, match="members: given 2 for autoencoder"):
        make_spec("4-2-4", model="autoencoder", loss="squared", members=2)
    with pytest.raises(SpecError, match=r"members: given 2, but lbfgs searches along one line .*adam"):
        make_spec(members=2, optimizer="lbfgs")
    with pytest.raises(SpecError, match="encode"):
        ops.make(make_spec(members=2)).encode(np.zeros(2 * 39, np.float32), make_samples(3, 5, 3))


def test_ensembles_of_a_search_go_side_by_side():
    spec, samples = make_spec("5-6-3", members=2, dropout=0.2), make_samples(40, 5, 3)
    expected = trained(spec, samples)[1]
    barrier = BatchingBarrier(1, ops.make)
    operations, w = barrier.join(spec), models.initial(spec)
    lr = np.linspace(0.05, 0.02, 6).astype(np.float32)
    operations.train(w, np.zeros((2, w.size), np.float32), samples, rng.order(1, 0, 0, 40, 64), 7, lr, 3, KEY)
    assert w.tobytes() == expected.tobytes()
