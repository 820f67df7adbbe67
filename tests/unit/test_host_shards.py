"""A worker whose shards change: what it keeps, what it decodes, and how much of it stays in memory."""

import numpy as np
import pytest

from hdl import data, models
from hdl.data import Options
from hdl.runners.base import Plan
from hdl.runners.work import Host
from hdl.spec import parse
from hdl.sync import average
from hdl.wire import Weights

SHARDS = 4


@pytest.fixture
def host(tmp_path):
    """`host(memory, shards)`: a worker with these of four shards of 160 samples, two float32 features and a class."""
    path = tmp_path / "samples.csv"
    rng = np.random.default_rng(0)
    y = np.arange(640) % 2
    np.savetxt(path, np.c_[rng.normal(size=(640, 2)), y], fmt="%.5g", delimiter=",", header="a,b,class", comments="")
    source = data.open_source(str(path), Options())
    splits = dict(enumerate(source.splits(SHARDS)))

    def make(memory, shards):
        asked = parse({"net": "0-4-0", "shards": SHARDS, "batch": 8, "epochs": 1, "optimizer": "sgd"})
        made = Host(str(path), Options(), splits, device="reference", memory=memory)
        schema = data.fit(data.summarise(source, [split for own in splits.values() for split in own], 0), asked)
        made.hold({shard: splits[shard] for shard in shards})
        made.prepare(Plan(data.resolve(asked, schema), schema, str(tmp_path), "reference"))
        return made

    make.splits = splits
    return make


def decode(host):
    """Decode all shards; returns those that were not decoded before."""
    read = []
    for shard in host.splits:
        host.shard(shard, lambda number, share: read.append(number))
    return sorted({*read})


def test_shards_that_stay_are_not_read_again(host):
    worker = host(1 << 20, [0, 1])
    assert decode(worker) == [0, 1]
    worker.hold({shard: host.splits[shard] for shard in (1, 3)})
    assert decode(worker) == [3]
    worker.hold({shard: host.splits[shard] for shard in (0, 1)})
    assert decode(worker) == [0]  # it was dropped when another one had it


def test_a_shard_with_another_cut_is_read_again(host):
    worker = host(1 << 20, [0])
    decode(worker)
    worker.hold({0: host.splits[1]})
    assert decode(worker) == [0]


def test_shards_that_come_later_leave_those_in_memory_what_they_have(host):
    worker = host(1 << 20, [0])
    decode(worker)
    one = sum(part.nbytes for part in (worker.shard(0, None).train.x, worker.shard(0, None).train.y))
    tight = host(2 * one, [0])
    decode(tight)
    assert tight.spilled == 0
    tight.hold(host.splits)
    decode(tight)
    assert tight.spilled == SHARDS - 1  # a third of what is left is less than a shard


def test_a_round_has_the_same_update_from_memory_and_from_files(host):
    updates = []
    for memory in (1 << 20, 0):
        worker = host(memory, range(SHARDS))
        spec = worker.plan.spec
        w = models.initial(spec)
        (update,) = worker.round(Weights(0, w, average.start(spec, w)), range(SHARDS), False, lambda *_: None)
        updates.append(update.tensors["w"].tobytes())
        assert worker.spilled == (0 if memory else SHARDS)
    assert updates[0] == updates[1]
