"""The workers of `tests.bench.scale`, which count or are played, are the true ones: they follow what these become."""

from tests.bench import many
from tests.bench.scaling import real


def test_counted_workers_tell_of_each_round():
    run = real.run(2, 2, "8-4-2", rounds=4)
    assert run.messages == [1, 1]  # an update this small goes whole
    assert all(run.size < bytes_ < run.size + 1024 for bytes_ in run.sent)
    assert run.connections == [2, 2]
    assert run.cpu > 0


def test_played_workers_get_a_command_a_round():
    told = many.measure(3, 6, 1, 0.0)
    assert told["sent"] == 3
    assert told["received"] >= 3  # answers, and a sign of life now and then
