"""Trainings whose workers join their updates along the tree, in one process: the local runner's bytes in all modes."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest

from hdl import driver
from hdl.runners.base import Job, groups
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.yarn.comm.allreduce import SMALL, allreduce
from tests.runner.common import signatures, state_bytes
from tests.runner.test_same_bytes import MODES
from tests.unit.test_yarn_tree import meshes


class TreeRunner(LocalRunner):
    """Computes shards one after the other, and joins updates as so many workers do, over socket pairs."""

    def __init__(self, workers, small, direct):
        super().__init__(1, 1)
        self.crew, self.small, self.direct = workers, small, direct
        self.rounds, self.meshes = 0, []

    def open(self, job, splits, notify):
        super().open(job, splits, notify)
        self.part()
        self.meshes = meshes(self.crew, len(splits), self.direct)

    def close(self):
        self.part()
        super().close()

    def part(self):
        for mesh in self.meshes:
            mesh.close()

    def _round(self, weights, evaluate_only):
        spec = self._host.plan.spec
        held = [
            self._host.round(weights, own, evaluate_only, lambda *done: None) for own in groups(self._shards, self.crew)
        ]
        size = max((tensor.shape[-1] for tensor in held[0][0].tensors.values()), default=0)

        def join(mesh):
            return allreduce(mesh if self.crew > 1 else None, spec, held[mesh.rank], size, self.small)

        with ThreadPoolExecutor(self.crew) as pool:
            first, *others = pool.map(join, self.meshes)
        for other in others:
            assert other.measures is None
            assert all((other.tensors[name] == tensor).all() for name, tensor in first.tensors.items())
        self.rounds += 1
        return [first]


@pytest.fixture(scope="module")
def local(csv, tmp_path_factory):
    """A function that trains by the local runner, once for each (mode, shards); returns data, fields and outcome."""

    @cache
    def run(mode, shards):
        data, fields = csv(130), {"net": "0-5-0", "epochs": 3, "batch": 8, "seed": 3, **MODES[mode], "shards": shards}
        table = str(tmp_path_factory.mktemp("local") / "model")
        outcome = driver.train(Job(data, table, parse(fields)), LocalRunner(1, 1))
        return data, fields, (signatures(outcome), state_bytes(outcome))

    return run


def check(local, tmp_path, mode, shards, workers, small, direct=0):
    data, fields, expected = local(mode, shards)
    runner = TreeRunner(workers, small, direct)
    outcome = driver.train(Job(data, str(tmp_path / f"{workers}-{small}"), parse(fields)), runner)
    assert (signatures(outcome), state_bytes(outcome)) == expected
    assert runner.rounds >= 2


@pytest.mark.parametrize(
    ("mode", "shards", "workers", "small"),
    [
        ("average-adam", 13, 7, 0),
        ("gradient-adam", 8, 7, SMALL),
        ("genetic-validation", 13, 7, SMALL),
        ("rbm-persistent", 8, 4, SMALL),
        ("gradient-sgd", 64, 64, 0),
    ],
)
def test_workers_in_a_tree_change_no_byte(local, tmp_path, mode, shards, workers, small):
    check(local, tmp_path, mode, shards, workers, small)


@pytest.mark.full
@pytest.mark.parametrize("shards", [8, 13, 64])
@pytest.mark.parametrize("mode", MODES)
def test_any_number_of_workers_changes_no_byte(local, tmp_path, mode, shards):
    for workers in (1, 2, 4, 7, 64):
        if workers <= shards:
            check(local, tmp_path, mode, shards, workers, 0)
            check(local, tmp_path, mode, shards, workers, SMALL)
