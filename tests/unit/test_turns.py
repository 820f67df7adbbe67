"""The rule by which trainings share a session's workers: first come, first served, and nobody starves."""

from hypothesis import given
from hypothesis import strategies as st

from hdl.runners.turns import Turn, Turns


def asked(*wholes, workers=3):
    turns = Turns(workers)
    each = [Turn(str(number), whole) for number, whole in enumerate(wholes)]
    for turn in each:
        turns.ask(turn)
    return turns, each


def begun(turns, here=None):
    found = []
    while (turn := turns.begin(here or [*range(turns.workers)])) is not None:
        found.append(turn.what)
    return found


def test_trials_have_a_worker_each_and_a_training_waits_for_all_of_them():
    turns, (a, b, whole, c) = asked(False, False, True, False)
    assert begun(turns) == ["0", "1"]  # a worker is free, and nobody overtakes who wants them all
    assert (a.workers, b.workers, whole.workers) == ((0,), (1,), ())
    assert [turns.before(each) for each in (a, b, whole, c)] == [0, 0, 2, 3]
    turns.end(a)
    assert begun(turns) == []
    turns.end(b)
    assert begun(turns) == ["2"]
    assert whole.workers == (0, 1, 2)
    turns.end(whole)
    assert begun(turns) == ["3"]


def test_a_trial_takes_a_worker_that_has_its_data_and_none_that_is_not_there():
    turns, _ = asked(False, False, False)
    assert turns.begin([0, 1, 2], [2]).workers == (2,)
    assert turns.begin([0, 2], [1, 2]).workers == (0,)
    assert turns.begin([0, 2], [1, 2]) is None


def test_who_has_lost_its_worker_comes_before_all_that_wait():
    turns, (a, *_) = asked(False, True, False)
    assert begun(turns) == ["0"]
    turns.again(a)
    assert begun(turns, here=[1]) == ["0"]
    assert a.workers == (1,)


def test_who_takes_itself_back_holds_up_nobody():
    turns, each = asked(False, True, False)
    begun(turns)
    turns.end(each[1])
    assert begun(turns) == ["2"]
    assert [each["what"] for each in turns.describe()] == ["0", "2"]


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 4), st.lists(st.integers(0, 11), max_size=40))
def test_they_begin_in_the_order_in_which_they_came(wholes, workers, ends):
    turns, each = asked(*wholes, workers=workers)
    order = begun(turns)
    for number in [*ends, *range(len(each)), *range(len(each))]:
        if number < len(each) and each[number] in turns.running:
            turns.end(each[number])
        order += begun(turns)
        taken = [worker for turn in turns.running for worker in turn.workers]
        assert len(taken) == len(set(taken)) <= workers
        assert not any(turn.whole for turn in turns.running) or len(turns.running) == 1
    assert order == sorted(order, key=int)
    assert not turns.waiting or turns.running  # somebody always gets on
