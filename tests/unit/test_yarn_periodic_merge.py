"""The master's side of mode `async` with a worker group that only talks."""

from types import SimpleNamespace

import numpy as np
import pytest

from hdl import wire
from hdl.spec import parse
from hdl.wire import Update, Weights
from hdl.yarn.master.membership import Lost
from hdl.yarn.master.periodic_merge import PeriodicMerge
from hdl.yarn.protocol import AsyncReport, Done, Header


class WorkerGroup:
    """Gives the reports that it was made with, in this order; a Lost among them is raised."""

    def __init__(self, reports, pulls):
        self.members = [SimpleNamespace(rank=rank, name=f"first {rank}") for rank in range(2)]
        self.reports, self.commands = list(reports), []
        self.pulls = {rank: list(each) for rank, each in pulls.items()}

    def leave_mesh(self):
        pass

    assemble = leave_mesh

    def push_all(self, payload):
        pass

    def send_command(self, command, payload):
        header = Header(1, 2, 3, 4)
        commands = [command(member, header).to_dict() for member in self.members]
        assert {fields["kind"] for fields in commands} == {"free"}
        self.commands.append([{name: fields[name] for name in ("last", "done", "given")} for fields in commands])

    def listen(self, seconds):
        rank, report = raised(self.reports.pop(0))
        return self.members[rank], report

    def pull(self, member, name):
        number, samples = raised(self.pulls[member.rank].pop(0))
        sums = {"samples": samples, "cost": float(samples)} if samples else {}
        update = Update("average", number, member.rank, member.rank + 1, {"w": np.ones(2, np.float32)}, sums)
        return b"".join(bytes(piece) for piece in wire.encode_parts(update))

    def evict(self, lost):
        for member in lost.members:
            member.name = f"next {member.rank}"


def raised(one):
    if isinstance(one, Lost):
        raise one
    return one


@pytest.fixture
def spec():
    return parse({"net": "2-2", "shards": 2, "sync": {"mode": "async", "equal": 2}})


def free(rank, number):
    return rank, AsyncReport(2, number)


def test_workers_begin_where_the_training_is(spec):
    weights = Weights(3, np.ones(2, np.float32), {})
    group = WorkerGroup([free(0, 7), (1, Done(1, 2)), free(0, 8)], {0: [(8, 20)], 1: [(7, 10)]})
    after, row = PeriodicMerge(group, 40).advance(spec, weights)
    assert group.commands == [[{"last": 40, "done": 6, "given": True}] * 2]
    assert (after.round, row["samples"], row["async"]["rounds"]) == (4, 30, [8, 6])


def test_a_newcomer_begins_where_the_fastest_is(spec):
    group = WorkerGroup([free(0, 2)], {0: [(3, 20), (3, 40), (4, 60)], 1: [(2, 10), (3, 0)]})
    merge = PeriodicMerge(group, 40)
    after, _ = merge.advance(spec, Weights(0, np.ones(2, np.float32), {}))
    group.reports += [Lost([group.members[1]], "gone"), free(0, 4)]
    _, row = merge.advance(spec, after)
    assert [given["given"] for given in group.commands[1]] == [False, True]
    assert group.commands[1][1]["done"] == 3
    assert row["async"]["rounds"] == [4, 3]
    assert row["samples"] == 40


def test_what_was_pulled_before_another_was_lost_counts_in_full(spec):
    group = WorkerGroup([free(0, 2)], {0: [(2, 20), (2, 25)], 1: [Lost([], "broken"), (1, 10)]})
    merge = PeriodicMerge(group, 40)
    _, row = merge.advance(spec, Weights(0, np.ones(2, np.float32), {}))
    assert row["samples"] == 35
