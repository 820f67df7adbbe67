"""Several runs on one table: whatever the order of their steps, one wins and the table is whole."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdl import fs
from hdl.errors import Fenced, TableError, VersionExists
from hdl.table import Table, Version, epochs, names, owner
from hdl.wire import Weights
from tests.unit.interleaved import Killed, Writer, storage

PATH, LAST = "memory://here/model", 4


def version(number, run, label):
    """A version whose weights say by whom and which it is; a resumed run makes the same."""
    return Version(
        number, Weights(number, np.float32([label, number])), {"seed": label}, run, number - 1 if number else None
    )


def go_on(table, number, label):
    for each in range(number, LAST + 1):
        table.publish(version(each, table.run, label))
        table.thin(1, [])


def begin(label):
    seen = epochs(PATH)[PATH]
    table = Table(PATH)
    if table.latest() is not None:
        raise TableError("a table is there already")
    table.claim(seen=seen)
    go_on(table, 0, label)


def overwrite(label):
    seen = epochs(PATH)[PATH]
    if Table(PATH).numbers():
        Table(PATH).empty(seen)
    begin(label)


def resume(label):
    seen = epochs(PATH)[PATH]
    table = Table(PATH)
    if table.latest() is None:
        raise TableError("no table to resume")
    base, _ = table.last_whole()
    if base.number < LAST:
        table.claim(base, seen)
        go_on(table, base.number + 1, int(base.weights.w[0]))


KINDS = {"begin": begin, "overwrite": overwrite, "resume": resume}


def whole():
    """Checks that what a reader finds now is versions of one run, each whole; gives the label and the numbers."""
    table = Table(PATH)
    numbers = table.numbers()
    if not numbers:
        return None, []
    assert numbers[0] == 0
    labels = {(each.run, float(each.weights.w[0])) for each in map(table.read, numbers)}
    assert len(labels) == 1, labels
    assert [table.read(number).weights.w[1] for number in numbers] == numbers
    return labels.pop()[1], numbers


def setting(memory, old):
    """An empty folder, or the table of a run that has ended; `old` is its last version."""
    memory.files.clear()
    memory.folders.clear()
    if old is not None:
        table = Table(PATH)
        table.claim()
        for each in range(old + 1):
            table.publish(version(each, table.run, 9))


def judge(writers):
    """Checks the end: a writer that was told that it has won has its last version there, and one has won."""
    label, numbers = whole()
    won = [writer for writer in writers if writer.error is None]
    assert won, [writer.error for writer in writers]
    assert numbers[-1] == LAST, [writer.error for writer in writers]
    for writer in writers:
        assert writer.error is None or isinstance(writer.error, TableError), writer.error
    return label


def left_of_others():
    """Lists versions that are of no use to the table's owner; a copy of version 0 that was being mended may stay."""
    listed = fs.list(PATH)
    own = owner.last(PATH, listed)
    known = {name: names.parse(name) for name in listed if "-copy" not in name}
    return [name for name, parts in known.items() if parts and owner.is_dead(parts.tag, own)]


@pytest.fixture
def memory(monkeypatch):
    return storage(monkeypatch)


PAIRS = [
    (None, "begin", "begin"), (None, "begin", "overwrite"), (1, "overwrite", "overwrite"), (1, "resume", "overwrite"),
    (1, "resume", "resume"), (1, "overwrite", "resume"),
]  # fmt: skip


class Alone:
    """A writer in this thread: at one of its steps, something else is done first."""

    def __init__(self, memory, work, at=None, instead=None):
        self.steps, self.error = 0, None

        def step():
            self.steps += 1
            if self.steps == at:
                memory.on_step = None
                instead()
                memory.on_step = step

        memory.on_step = step
        try:
            work()
        except Exception as error:
            self.error = error
        finally:
            memory.on_step = None


def steps(memory, old, first):
    setting(memory, old)
    writer = Alone(memory, lambda: KINDS[first](1))
    assert writer.error is None
    return writer.steps


@pytest.mark.parametrize(("old", "first", "second"), PAIRS)
def test_a_run_that_sleeps_at_any_step_through_the_whole_of_another_one(memory, old, first, second):
    for asleep in range(1, steps(memory, old, first) + 1):
        setting(memory, old)
        done, found = [], []

        def other(done=done, found=found):
            found.append(whole())
            done.append(Alone(memory, lambda: KINDS[second](2)))
            found.append(whole())

        one = Alone(memory, lambda: KINDS[first](1), asleep, other)
        judge([one, *done])
        if isinstance(one.error, Fenced):
            assert not left_of_others(), one.error
        (_, slept_at), made = found
        if done[0].error is None and LAST not in slept_at and asleep > 2:  # after its first look at the table
            assert whole() == made
            assert isinstance(one.error, TableError) or first == "resume"  # which may find that nothing is left to do


@pytest.mark.parametrize(("old", "first", "second"), PAIRS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 12)), max_size=40))
def test_two_runs_in_any_order_of_steps(memory, old, first, second, turns):
    setting(memory, old)
    writers = [Writer(lambda: KINDS[first](1)), Writer(lambda: KINDS[second](2))]
    for number, times in turns:
        writers[number].step(times)
        whole()
    for writer in writers:
        writer.finish()
    judge(writers)


@pytest.mark.full
@pytest.mark.parametrize(("old", "first", "second"), PAIRS)
def test_two_runs_that_sleep_at_any_step_each(memory, old, first, second):
    for asleep in range(1, steps(memory, old, first)):
        for meanwhile in range(1, 80, 2):
            setting(memory, old)
            one, two = Writer(lambda: KINDS[first](1)), Writer(lambda: KINDS[second](2))
            one.step(asleep)
            two.step(meanwhile)
            one.finish()
            whole()
            two.finish()
            judge([one, two])


@pytest.mark.parametrize(("old", "first"), [(None, "begin"), (1, "resume"), (1, "overwrite")])
def test_a_run_that_dies_at_any_step_leaves_a_table_that_another_one_completes(memory, old, first):
    for last in range(1, steps(memory, old, first) + 1):
        setting(memory, old)

        def die():
            raise Killed

        with pytest.raises(Killed):
            Alone(memory, lambda: KINDS[first](1), last, die)
        _, numbers = whole()
        two = Alone(memory, lambda numbers=numbers: (resume if numbers else begin)(2))
        judge([two])
        if two.steps > 10:  # it had something to do
            assert not [name for name in memory.files if name.endswith(".tmp")]
            assert len([name for name in memory.files if "/v0" in name]) == len(whole()[1]) + 1  # and version 0 again


def test_three_runs_that_resume_one_table_at_once(memory):
    setting(memory, 1)
    writers = [Writer(lambda: resume(2)) for _ in range(3)]
    while any([writer.step() for writer in writers]):
        whole()
    assert judge(writers) == 9
    assert sum(writer.error is None for writer in writers) == 1


def test_owner_files_do_not_grow_without_end(memory):
    setting(memory, 1)
    for _ in range(20):
        table = Table(PATH)
        table.claim(table.read())
    assert len([name for name in memory.files if "/owner-" in name]) == 8
    assert epochs(PATH)[PATH] == 21
    assert whole() == (9, [0, 1])


def test_a_driver_whose_folder_was_removed_stops_and_makes_no_new_one(memory):
    table = Table(PATH)
    table.claim()
    table.publish(version(0, table.run, 1))
    memory.files.clear()
    memory.folders.clear()
    with pytest.raises(Fenced, match="was removed"):
        table.publish(version(1, table.run, 1))
    assert not memory.folders
    other = Table(PATH)
    other.claim()  # in its place, and with the same names
    other.publish(version(0, other.run, 2))
    with pytest.raises(Fenced, match=f"belongs to run {other.run[:12]}"):
        table.publish(version(1, table.run, 1))
    assert whole() == (2, [0])


def test_an_owner_moves_what_has_its_files_name_aside(memory):
    table = Table(PATH)
    table.claim()
    table.publish(version(0, table.run, 1))
    memory.files[f"{PATH}/v00000001.safetensors"] = b"of a run that knows no owners"
    table.publish(version(1, table.run, 1))
    assert whole() == (1, [0, 1])
    (aside,) = [name for name in memory.files if "/aside-" in name]
    assert memory.files[aside] == b"of a run that knows no owners"


def test_who_publishes_without_a_claim_does_so_for_the_owner_it_read(memory):
    setting(memory, 1)
    guest, other = Table(PATH), Table(PATH)
    read = guest.read()
    guest.publish(version(2, read.run, 9))
    assert whole() == (9, [0, 1, 2])
    with pytest.raises(VersionExists):
        other.publish(version(2, read.run, 9))
    Table(PATH).empty()
    begin(3)
    with pytest.raises(Fenced):
        guest.publish(version(3, read.run, 9))
    assert whole()[0] == 3


def test_what_reads_two_versions_goes_on_with_those_that_are_there(memory, monkeypatch):
    begin(3)
    overtaken, best = Table(PATH), [2, LAST]  # version 2 is the best one, and is thinned away then
    monkeypatch.setattr(overtaken, "best", lambda: best.pop(0))
    assert [each.number for each in overtaken.with_zero()] == [0, LAST]
    table = Table(PATH)
    with pytest.raises(TableError, match="no version 2"):
        table.with_zero(2)
    table.empty()  # its owner is no run, so that whoever reads it may publish
    for number in range(2):
        Table(PATH).publish(version(number, f"run {number}", 5))
    with pytest.raises(TableError, match="version 0 is of run run 0 and version 1 of run run 1"):
        Table(PATH).with_zero()
