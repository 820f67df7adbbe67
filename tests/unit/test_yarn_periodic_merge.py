"""The master's side of mode `async` with a crew that only talks."""

from types import SimpleNamespace

import numpy as np
import pytest

from hdl import wire
from hdl.spec import parse
from hdl.wire import Update, Weights
from hdl.yarn.master.periodic_merge import PeriodicMerge
from hdl.yarn.master.worker_group import Lost


class WorkerGroup:
    """Says what it was told to say, in this order; a Lost among it is raised."""

    def __init__(self, said, takes):
        self.members = [SimpleNamespace(rank=rank, name=f"first {rank}") for rank in range(2)]
        self.said, self.takes, self.told = list(said), {rank: list(each) for rank, each in takes.items()}, []

    def part(self):
        pass

    assemble = part

    def hand(self, gift):
        pass

    def tell(self, kind, fields, gift):
        self.told.append([fields(member) for member in self.members])

    def listen(self, seconds):
        return raised(self.said.pop(0))

    def take(self, member, name):
        number, samples = raised(self.takes[member.rank].pop(0))
        sums = {"samples": samples, "cost": float(samples)} if samples else {}
        update = Update("average", number, member.rank, member.rank + 1, {"w": np.ones(2, np.float32)}, sums)
        return b"".join(bytes(part) for part in wire.encode_parts(update))

    def dismiss(self, lost):
        for member in lost.members:
            member.name = f"next {member.rank}"


def raised(found):
    if isinstance(found, Lost):
        raise found
    return found


@pytest.fixture
def spec():
    return parse({"net": "2-2", "shards": 2, "sync": {"mode": "async", "equal": 2}})


def free(rank, number):
    return {"kind": "free", "rank": rank, "round": number}


def test_workers_begin_where_the_training_is(spec):
    weights = Weights(3, np.ones(2, np.float32), {})
    crew = WorkerGroup([free(0, 7), {"kind": "done", "rank": 1}, free(0, 8)], {0: [(8, 20)], 1: [(7, 10)]})
    after, row = PeriodicMerge(crew, 40).advance(spec, weights)
    assert crew.told == [[{"last": 40, "done": 6, "given": True}] * 2]
    assert (after.round, row["samples"], row["async"]["rounds"]) == (4, 30, [8, 6])


def test_a_newcomer_begins_where_the_fastest_is(spec):
    crew = WorkerGroup([free(0, 2)], {0: [(3, 20), (3, 40), (4, 60)], 1: [(2, 10), (3, 0)]})
    equaliser = PeriodicMerge(crew, 40)
    after, _ = equaliser.advance(spec, Weights(0, np.ones(2, np.float32), {}))
    crew.said += [Lost([crew.members[1]], "gone"), free(0, 4)]
    _, row = equaliser.advance(spec, after)
    assert [given["given"] for given in crew.told[1]] == [False, True]
    assert crew.told[1][1]["done"] == 3
    assert row["async"]["rounds"] == [4, 3]
    assert row["samples"] == 40


def test_what_was_taken_before_another_was_lost_counts_in_full(spec):
    crew = WorkerGroup([free(0, 2)], {0: [(2, 20), (2, 25)], 1: [Lost([], "broken"), (1, 10)]})
    equaliser = PeriodicMerge(crew, 40)
    _, row = equaliser.advance(spec, Weights(0, np.ones(2, np.float32), {}))
    assert row["samples"] == 35
