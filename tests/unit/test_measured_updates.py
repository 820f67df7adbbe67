"""What a validation part measured, on its way to the row of a round: joined exactly, sent once, refused if broken."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hdl import step, sync, wire
from hdl.metrics import Measures
from hdl.ops import Samples, make
from hdl.spec import parse
from hdl.step import shard_round
from hdl.sync import SyncError
from hdl.wire import Update, Weights, WireError
from hdl.yarn.comm.allreduce import allreduce, reduce_scatter
from hdl.yarn.master.periodic_merge import PeriodicMerge
from tests.unit.test_yarn_allreduce import meshes
from tests.unit.test_yarn_periodic_merge import WorkerGroup, free

SPEC = parse({"net": "3-2", "loss": "softmax", "batch": 4, "shards": 5, "validation": 0.5, "seed": 1})
P = 8


def measured(shard, n=50, **more):
    """The measures of a shard's validation part, with ties; the third shard has none."""
    rng = np.random.default_rng(shard)
    measures = Measures(SPEC, **more)
    n = 0 if shard == 2 else n
    score = rng.integers(0, 12, n).astype(np.float32) / np.float32(11)
    measures.add(np.stack([1 - score, score], 1), rng.integers(0, 2, n).astype(np.int32))
    return measures


def updates(mode="gradient", spec=SPEC, **more):
    rng = np.random.default_rng(9)
    made = []
    for shard in range(spec.shards):
        measures = measured(shard, **more)
        sums = {"samples": 10, "cost": 2.5, "val_samples": measures.samples, "val_cost": 1.0, "val_correct": 1}
        tensors = {"gradient": rng.normal(size=P).astype(np.float32)} if mode == "gradient" else {}
        made.append(Update(mode, 3, shard, shard + 1, tensors, sums, {}, measures))
    return made


def row_of(total):
    return {name: value for name, value in sync.measure(SPEC, total).items() if name.startswith("val_")}


def test_measures_travel_whole():
    (update, *_) = updates()
    decoded = wire.decode(wire.encode(update))
    assert sorted(decoded.tensors) == ["gradient"]
    assert decoded.measures.metrics() == update.measures.metrics()
    assert wire.encode(decoded) == wire.encode(update)
    bare = replace(update, measures=None)
    assert wire.decode(wire.encode(bare)).measures is None
    assert b"measures" not in wire.encode(bare)


def changed(message, change):
    """A message whose fields and tensors were changed after it was made."""
    kind, fields, tensors = wire.unpack(message)
    fields = json.loads(json.dumps(fields))
    tensors = {name: tensor.copy() for name, tensor in tensors.items()}
    change(fields, tensors)
    return wire.pack(kind, fields, tensors)


def shorter(fields, tensors):
    name = next(name for name in tensors if name.endswith("keys"))
    tensors[name] = tensors[name][:-1]


def unsorted(fields, tensors):
    name = next(name for name in tensors if name.endswith("keys"))
    tensors[name] = tensors[name][::-1]


BREAKS = {
    "no fields": lambda fields, tensors: fields.pop("measures"),
    "no dictionary": lambda fields, tensors: fields.update(measures=[1]),
    "a field less": lambda fields, tensors: fields["measures"].pop("samples"),
    "a count below 0": lambda fields, tensors: fields["measures"].update(samples=-1),
    "a tensor more": lambda fields, tensors: tensors.update({"measures/more": np.zeros(1)}),
    "a tensor less": lambda fields, tensors: tensors.pop(next(name for name in tensors if name.endswith("keys"))),
    "ranks that do not ascend": unsorted,
    "ranks and counts of other lengths": shorter,
    "other types": lambda fields, tensors: tensors.update(
        {name: tensor.astype(np.float32) for name, tensor in tensors.items() if name.endswith("keys")}
    ),
    "a sum that is none": lambda fields, tensors: fields["measures"]["sums"].update(weight=["x"]),
}


@pytest.mark.parametrize("how", BREAKS)
def test_broken_measures_are_refused(how):
    with pytest.raises(WireError, match="damaged update"):
        wire.decode(changed(wire.encode(updates()[0]), BREAKS[how]))


def test_whoever_joined_some_before_the_row_is_the_same():
    some = updates()
    expected = row_of(sync.complete(SPEC, some))
    assert expected["val_auc"] is not None
    assert expected["val_threshold_f1"] is not None
    whole = Measures(SPEC)
    for shard in (4, 1, 2, 0, 3):
        whole = measured(shard).join(whole)
    assert {
        f"val_{name}": value for name, value in whole.metrics().items() if name not in ("cost", "accuracy")
    }.items() <= (expected.items())
    for held in [some[::-1], [sync.join(SPEC, *some[:2]), *some], [*sync.join_siblings(SPEC, some[:3]), *some[3:]]]:
        sent = [wire.decode(wire.encode(update)) for update in held]
        assert row_of(sync.complete(SPEC, sent)) == expected
    assert row_of(sync.complete(SPEC, some)) == expected  # joining has changed none of them


def test_without_the_ranks_of_one_shard_there_are_none():
    some = [*updates()[:-1], updates(ranks=False)[-1]]
    row = row_of(sync.complete(SPEC, some))
    assert row["val_auc"] is None
    assert row["val_logloss"] == row_of(sync.complete(SPEC, updates()))["val_logloss"]


def test_an_update_without_measures_is_no_sibling_of_one_with_them():
    some = updates()
    with pytest.raises(SyncError, match="one of them has no measures"):
        sync.complete(SPEC, [replace(some[0], measures=None), *some[1:]])


@pytest.mark.parametrize("mode", ["gradient", "evaluate"])
@pytest.mark.parametrize("small", [0, 1 << 30], ids=["slices", "whole"])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_in_an_all_reduce_the_first_rank_alone_has_the_measures(mode, small, size):
    some = updates(mode)
    expected = wire.encode(sync.complete(SPEC, some))
    bare = wire.encode(replace(sync.complete(SPEC, some), measures=None))
    everyone, sent = meshes(size), [0] * size

    def join(mesh):
        step = mesh.step

        def count(phase, outgoing, *others, **more):
            for peer, messages in outgoing.items():
                sent[peer] += sum(b"".join(map(bytes, pieces)).count(b"ranks0/keys") for pieces in messages)
            return step(phase, outgoing, *others, **more)

        mesh.step = count
        own = range(mesh.rank * SPEC.shards // size, (mesh.rank + 1) * SPEC.shards // size)
        return allreduce(mesh, SPEC, sync.join_siblings(SPEC, [some[shard] for shard in own]), P, small)

    with ThreadPoolExecutor(size) as pool:
        joined = list(pool.map(join, everyone))
    assert [wire.encode(update) for update in joined] == [expected, *[bare] * (size - 1)]
    assert sent[0] > 0
    assert not any(sent[1:])


def test_of_slices_that_are_collected_the_first_has_the_measures():
    some, everyone = updates(), meshes(3)

    def scatter(mesh):
        own = range(mesh.rank * SPEC.shards // 3, (mesh.rank + 1) * SPEC.shards // 3)
        return reduce_scatter(mesh, SPEC, sync.join_siblings(SPEC, [some[shard] for shard in own]), P)

    with ThreadPoolExecutor(3) as pool:
        pieces = list(pool.map(scatter, everyone))
    assert [piece.measures is None for piece in pieces] == [False, True, True]
    assert wire.encode(sync.concatenate_updates(pieces)) == wire.encode(sync.complete(SPEC, some))


def shard_of(n, classes=2, weight=None):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n + 4, 3)).astype(np.float32), rng.integers(0, classes, n + 4).astype(np.int32)
    return SimpleNamespace(train=Samples(x[n:], y[n:]), validation=Samples(x[:n], y[:n], weight=weight))


@pytest.mark.parametrize(("metric", "kept"), [(None, False), ("logloss", False), ("auc", True), ("f1", True)])
def test_many_ranks_are_gathered_only_for_a_metric_that_needs_them(monkeypatch, metric, kept):
    spec = SPEC.with_(metric=metric)
    weights = sync.start(spec, np.ones(P, np.float32))
    worker = make(spec, "reference")
    few = step.train_shard(spec, weights, shard_of(20), 0, worker).measures
    assert few.metrics()["auc"] is not None
    monkeypatch.setattr(shard_round, "RANKED", 20 * spec.shards - 1)
    many = step.train_shard(spec, weights, shard_of(20), 0, worker).measures
    assert (many.metrics()["auc"] is not None) is kept
    assert many.metrics()["logloss"] == few.metrics()["logloss"]


def test_what_is_held_out_in_blocks_is_measured_in_the_whole(monkeypatch):
    weight = np.arange(20, dtype=np.float32)
    found = []
    for block in (65536, 7):
        monkeypatch.setattr(shard_round, "_BLOCK", block)
        weights = sync.start(SPEC, np.float32([0.5, -1, 2, 0.1, 0, 1, -0.3, 0.2]))
        update = step.train_shard(
            SPEC, weights, shard_of(20, weight=weight), 0, make(SPEC, "reference"), evaluate_only=True
        )
        found.append(update.measures.metrics() | {"cost": None})
    assert found[0] == found[1]
    assert found[0]["auc"] is not None


@pytest.mark.parametrize("more", [{"validation": 0.0}, {"model": "rbm", "activation": "sigmoid", "loss": "squared"}])
def test_without_labels_or_validation_nothing_is_measured(more):
    spec, shard = parse({**SPEC.model_dump(), **more}), shard_of(6)
    weights = Weights(0, np.ones(11 if "model" in more else P, np.float32), {})
    if "model" in more:
        shard = SimpleNamespace(train=Samples(shard.train.x), validation=Samples(shard.validation.x))
    assert step.train_shard(spec, weights, shard, 0, make(spec, "reference"), evaluate_only=True).measures is None


class Measuring(WorkerGroup):
    """Workers whose updates have measures, as often as samples were measured."""

    def pull(self, member, name):
        number, adopted = self.pulls[member.rank].pop(0)
        measures = measured(member.rank)
        sums = {"samples": 10.0 * number, "cost": 1.0, "val_samples": adopted * 50, "val_cost": adopted * 5.0}
        update = Update(
            "average", number, member.rank, member.rank + 1, {"w": np.ones(2, np.float32)}, sums, {}, measures
        )
        return wire.encode(update)


def test_in_mode_async_a_worker_that_measured_nothing_since_is_left_out():
    spec = parse({**SPEC.model_dump(), "shards": 2, "sync": {"mode": "async", "equal": 2}})
    group = Measuring([free(0, 2)], {0: [(2, 1), (4, 2)], 1: [(2, 1), (4, 1)]})
    merge = PeriodicMerge(group, 40)
    after, row = merge.advance(spec, Weights(0, np.ones(2, np.float32), {}))
    assert row["val_samples"] == 100
    assert row["val_auc"] == measured(0).join(measured(1)).metrics()["auc"]
    group.reports += [free(0, 4)]
    _, row = merge.advance(spec, after)
    assert row["val_samples"] == 50
    assert row["val_auc"] == measured(0).metrics()["auc"]
