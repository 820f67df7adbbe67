"""What the recipe fills in for a table is the same on every runner, and so are the weights."""

import pytest

from hdl import driver, recipe
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from tests.runner.common import signatures, state_bytes
from tests.runner.every_column import options, write


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """A function that trains on the table of every column with what the recipe says, but for the number of epochs."""
    folder = tmp_path_factory.mktemp("recipe")
    path, count = write(str(folder / "parquet"), "parquet"), iter(range(9))

    def run(runner):
        auto = tuple(field for field in recipe.FIELDS if field not in ("epochs", "shards"))
        spec = parse({"shards": 2, "epochs": 2, "seed": 3, "auto": auto})
        job = Job(path, str(folder / f"model{next(count)}"), spec, options("parquet"))
        return driver.train(job, runner) if isinstance(runner, LocalRunner) else runner.train(job)

    return run


def test_defaults_alone_give_the_same_bytes_on_every_runner(train):
    expected = train(LocalRunner(1))
    assert not expected.spec.auto
    assert expected.spec.members > 1 or expected.spec.preprocessing.numeric_embedding  # the recipe has spoken
    runners = [LocalRunner(2, 1)]
    if pytest.importorskip("zmq"):
        from tests.runner.yarn_here import YarnHere

        runners.append(YarnHere(2))
    for runner in runners:
        found = train(runner)
        assert signatures(found) == signatures(expected)
        assert state_bytes(found) == state_bytes(expected)
        assert found.spec == expected.spec
