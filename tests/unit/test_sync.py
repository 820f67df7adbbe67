"""The merge: one tree whatever the order, means by samples, and a population that breeds as the spec says."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import sync
from hdl.errors import NonFinite
from hdl.ops import Layout, rules
from hdl.spec import parse
from hdl.sync import SyncError, genetic
from hdl.wire import Update, Weights

P = Layout((3, 4, 2)).size


def spec(mode="average", shards=4, optimizer="sgd", **more):
    sync_ = {"mode": mode, "genetic": more.pop("genetic", {})}
    return parse({"net": "3-4-2", "loss": "softmax", "shards": shards, "sync": sync_, "optimizer": optimizer, **more})


def update(mode, number, samples=None, tensors=None, seed=0):
    rng = np.random.default_rng([seed, number])
    name = {"gradient": "gradient", "average": "w", "genetic": "w"}[mode]
    drawn = rng.normal(size=(1, P) if mode == "genetic" else P).astype(np.float32)
    tensors = {name: drawn} if tensors is None else tensors
    if mode == "genetic":
        tensors |= {"cost": rng.uniform(0.5, 2, 1)}
    samples = int(rng.integers(1, 100)) if samples is None else samples
    sums = {"samples": samples, "cost": 0.1 * number, "correct": 1}
    return Update(mode, 0, number, number + 1, tensors, sums)


def start(spec):
    return sync.start(spec, np.zeros(P, np.float32))


def test_the_tree_splits_at_the_largest_power_of_two():
    nodes = {}

    def walk(lo, hi):
        if hi - lo > 1:
            nodes[lo, hi] = middle = sync.split(lo, hi)
            walk(lo, middle)
            walk(middle, hi)

    walk(0, 7)
    assert nodes == {(0, 7): 4, (0, 4): 2, (0, 2): 1, (2, 4): 3, (4, 7): 6, (4, 6): 5}


@settings(max_examples=40)
@given(st.integers(1, 13), st.sampled_from(["gradient", "average", "genetic"]), st.randoms())
def test_the_weights_are_the_same_in_whatever_order_updates_are_joined(shards, mode, random):
    job = spec(mode, max(2, shards))
    updates = [update(mode, number) for number in range(job.shards)]
    expected, row = sync.merge(job, start(job), updates)
    # Workers hold random sets, join what they can, some answers come twice, all arrive in random order.
    hands = [[] for _ in range(random.randint(1, 4))]
    for item in updates:
        for hand in random.sample(hands, random.randint(1, len(hands))):
            hand.append(item)
    arrived = [item for hand in hands for item in sync.join_siblings(job, random.sample(hand, len(hand)))]
    random.shuffle(arrived)
    merged, again = sync.merge(job, start(job), arrived)
    assert merged.w.tobytes() == expected.w.tobytes()
    assert row == again
    for name, tensor in expected.state.items():
        assert merged.state[name].tobytes() == tensor.tobytes()


def test_tree_reduce_takes_the_same_tree():
    assert sync.tree_reduce(list("abcdefg"), lambda a, b: f"({a}{b})") == "(((ab)(cd))((ef)g))"


@pytest.mark.parametrize("missing", [0, 2, 3])
def test_a_missing_shard_is_named(missing):
    job = spec()
    updates = [update("average", number) for number in range(4) if number != missing]
    with pytest.raises(SyncError, match="expected updates of all 4 shards"):
        sync.merge(job, start(job), updates)


def test_updates_of_another_round_mode_or_job_are_refused():
    job = spec()
    updates = [update("average", number) for number in range(4)]
    later = Weights(1, np.zeros(P, np.float32))
    with pytest.raises(SyncError, match="where round 1"):
        sync.merge(job, later, updates)
    with pytest.raises(SyncError, match="cannot be joined"):
        sync.join(job, update("average", 1), update("average", 2))  # neighbours, but not siblings
    with pytest.raises(SyncError, match="cannot be joined"):
        sync.join(job, update("average", 0), update("gradient", 1))
    with pytest.raises(SyncError, match="no part of 4 shards"):
        sync.join_siblings(job, [update("average", 4)])
    with pytest.raises(SyncError, match="of gradient"):
        sync.merge(spec("gradient"), start(spec("gradient")), updates)


def test_the_mean_is_weighted_by_samples_and_the_rule_is_too():
    job = spec(shards=3, optimizer="momentum")
    counts = [10, 30, 60]
    tensors = [{"w": np.full(P, k, np.float32), "rule": np.full((1, P), 10 * k, np.float32)} for k in (1, 2, 3)]
    updates = [update("average", k, counts[k], tensors[k]) for k in range(3)]
    merged, row = sync.merge(job, start(job), updates)
    np.testing.assert_allclose(merged.w, 2.5, rtol=1e-6)
    np.testing.assert_allclose(merged.state["rule"], 25, rtol=1e-6)
    assert (merged.round, row["samples"]) == (1, 100)
    assert row["cost"] == pytest.approx((0.1 + 0.2) / 100)


@pytest.mark.parametrize("empty", [(0, 1), (0, 2), (1, 2)])
def test_shards_without_samples_change_nothing_to_the_last_bit(empty):
    job = spec(shards=3)
    updates = [update("average", k, 0 if k in empty else 7) for k in range(3)]
    full = next(k for k in range(3) if k not in empty)
    assert sync.merge(job, start(job), updates)[0].w.tobytes() == updates[full].tensors["w"].tobytes()


@pytest.mark.parametrize("name", sorted(rules.VECTORS))
def test_gradient_mode_makes_one_step_of_every_rule_on_the_global_mean(name):
    job = spec("gradient", 2, name, l2=0.1)
    begun = sync.start(job, np.linspace(-1, 1, P, dtype=np.float32))
    updates = [update("gradient", k, 10) for k in range(2)]
    merged, _ = sync.merge(job, begun, updates)
    mean = (updates[0].tensors["gradient"] + updates[1].tensors["gradient"]) / np.float32(20)
    w, state = begun.w.copy(), np.zeros((rules.VECTORS[name], P), np.float32)
    g = rules.penalised(mean, w, Layout((3, 4, 2)).mask, 0, 0.1)
    rules.update(job.optimizer, w, state, g, job.optimizer.rate, 1)
    np.testing.assert_array_equal(merged.w, w)
    if state.size:
        np.testing.assert_array_equal(merged.state["rule"], state)


@pytest.mark.parametrize("name", ["gd", "cg", "lbfgs"])
def test_a_line_search_over_rounds_descends_and_w_is_always_accepted(name):
    job = spec("gradient", 2, name)
    target = np.linspace(-1, 1, P, dtype=np.float32)
    weights, costs = start(job), []
    for round in range(25):
        at = sync.gradient.point(job, weights)
        cost, g = 0.5 * float(((at - target) ** 2).sum()), at - target
        halves = [
            Update("gradient", round, k, k + 1, {"gradient": g * np.float32(5)}, {"samples": 5, "cost": cost * 5})
            for k in range(2)
        ]
        weights, _ = sync.merge(job, weights, halves)
        costs.append(0.5 * float(((weights.w - target) ** 2).sum()))
    assert all(later <= earlier for earlier, later in itertools.pairwise(costs))
    assert costs[-1] < 1e-6


def test_a_trial_that_went_too_far_is_survived_by_a_search_but_not_by_a_step():
    for name in "lbfgs", "sgd":
        job = spec("gradient", 2, name)
        weights = start(job)
        good = [update("gradient", k, 5) for k in range(2)]
        weights, _ = sync.merge(job, weights, good)
        tensors, sums = {"gradient": np.full(P, np.nan, np.float32)}, {"samples": 5, "cost": np.inf}
        broken = [Update("gradient", 1, k, k + 1, tensors, sums) for k in range(2)]
        if name == "sgd":
            with pytest.raises(NonFinite):
                sync.merge(job, weights, broken)
        else:
            merged, row = sync.merge(job, weights, broken)
            assert np.isfinite(merged.w).all()
            assert row["cost"] is None


# --- genetic -------------------------------------------------------------------------------------


def breed(costs, round=0, **settings):
    """A merge of candidates that differ by their values: candidate k is all k + 1."""
    job = spec("genetic", len(costs), genetic={"mutation_rate": 0, **settings})
    updates = [
        Update(
            "genetic", round, k, k + 1,
            {"w": np.full((1, P), k + 1, np.float32), "cost": np.array([cost])}, {"samples": 1, "cost": 0.0},
        )
        for k, cost in enumerate(costs)
    ]  # fmt: skip
    weights = Weights(round, np.zeros(P, np.float32), {"population": np.zeros((len(costs), P), np.float32)})
    return sync.merge(job, weights, updates)


def test_the_fittest_is_w_and_the_elite_pass_unchanged_to_the_next_shards():
    places = set()
    for round in range(4):
        merged, row = breed([3, 1, 2, 4], round, elite=2)
        assert (merged.w == 2).all()
        population = merged.state["population"]
        assert (population[(round + 1) % 4] == 2).all()
        assert (population[(round + 2) % 4] == 3).all()
        assert row["genetic"]["best"] == 1
        places.add((round + 1) % 4)
    assert places == {0, 1, 2, 3}


def test_parents_come_from_the_best_share_and_the_row_names_them():
    merged, row = breed([5, 1, 4, 2, 3, 6, 7, 8], keep=0.25, elite=0, crossover="uniform_rows")
    for place, parents in enumerate(row["genetic"]["parents"]):
        assert set(parents) == {1, 3}  # two different ones of the pool of two
        assert set(np.unique(merged.state["population"][place])) <= {2, 4}
    assert row["genetic"]["costs"] == [5, 1, 4, 2, 3, 6, 7, 8]


def test_a_pool_of_one_breeds_with_itself():
    merged, _ = breed([2, 1, 3], keep=0.1, elite=0)
    assert (merged.state["population"] == 2).all()


def test_the_wheel_favours_the_fit_in_proportion():
    pool, costs = np.array([0, 1, 2]), np.array([1.0, 2.0, 4.0])
    spins = [genetic._spin(pool, costs, (k + 0.5) / 700) for k in range(700)]
    assert np.bincount(spins).tolist() == [400, 200, 100]


def test_parents_are_drawn_by_fitness():
    job, pool, costs = spec("genetic"), np.array([0, 1, 2]), np.array([1.0, 10.0, 10.0])
    drawn = [genetic.choose(job, 0, child, pool, costs) for child in range(600)]
    assert all(one != two for one, two in drawn)
    assert 450 < sum(one == 0 for one, _ in drawn) < 550  # 10/12 of 600


def crossed(kind, a=None, b=None, children=200):
    job = spec("genetic", genetic={"crossover": kind})
    a, b = np.zeros(P, np.float32) if a is None else a, np.ones(P, np.float32) if b is None else b
    return np.array([genetic.cross(job, 0, child, a, b) for child in range(children)])


def test_row_crossovers_move_whole_units_with_their_biases():
    for kind in "rows", "uniform_rows":
        for child in crossed(kind):
            for weights, biases in Layout((3, 4, 2)).split(child):
                assert (weights == biases).all()  # a unit is its column and its bias, all from one parent
                if kind == "rows":
                    assert (np.diff(biases) >= 0).all()  # below the cut a (0), above it b (1)
                    assert biases[0] == 0
    assert {tuple(Layout((3, 4, 2)).split(child)[0][1]) for child in crossed("rows")} == {
        (0, 1, 1, 1), (0, 0, 1, 1), (0, 0, 0, 1),
    }  # fmt: skip
    units = np.array([Layout((3, 4, 2)).split(child)[0][1] for child in crossed("uniform_rows")])
    assert (np.abs(units.mean(axis=0) - 0.5) < 0.15).all()


def test_single_point_takes_a_before_the_point_and_b_after():
    children = crossed("single_point")
    assert (np.diff(children, axis=1) >= 0).all()
    assert (children[:, 0] == 0).all()
    assert (children[:, -1] == 1).all()
    assert len({child.sum() for child in children}) > P / 2


def test_arithmetic_is_one_share_of_the_way_between():
    children = crossed("arithmetic")
    assert (children == children[:, :1]).all()
    assert children.min() < 0.1
    assert children.max() > 0.9
    assert ((children > 0) & (children < 1)).all()


def test_mutation_hits_its_share_by_its_layers_own_deviation():
    job = parse({
        "net": "30-400-20", "loss": "softmax", "shards": 2,
        "sync": {"mode": "genetic", "genetic": {"mutation_rate": 0.25, "mutation_scale": 0.5}},
    })  # fmt: skip
    layout = Layout((30, 400, 20))
    w = np.random.default_rng(0).normal(size=layout.size).astype(np.float32)
    layout.split(w)[1][0][:] *= 10
    change = genetic.mutate(job, 0, 0, w) - w
    assert (change != 0).mean() == pytest.approx(0.25, abs=0.02)
    for (weights, _), (moved, _) in zip(layout.split(w), layout.split(change), strict=True):
        assert moved[moved != 0].std() == pytest.approx(0.5 * weights.std(), rel=0.1)


def test_breeding_is_a_function_of_seed_and_round():
    def population(seed, round):
        job = spec("genetic", genetic={"elite": 0}, seed=seed)
        updates = [update("genetic", k) for k in range(4)]
        updates = [Update(u.mode, round, u.lo, u.hi, u.tensors, u.sums) for u in updates]
        return sync.merge(job, Weights(round, np.zeros(P, np.float32)), updates)[0].state["population"].tobytes()

    assert population(1, 0) == population(1, 0)
    assert len({population(1, 0), population(2, 0), population(1, 1)}) == 3
