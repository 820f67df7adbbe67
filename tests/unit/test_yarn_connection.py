"""The first application is asked for before the command line is read: once, and what is wrong is told later."""

import itertools

import pytest

from hdl.errors import DeadlineError
from hdl.yarn.client import connection

SECONDS = 20.0


@pytest.fixture
def yarn(monkeypatch):
    """A ResourceManager that numbers applications; `fails` has what it raises first."""

    class Yarn:
        fails, numbers = [], itertools.count(1)

        def offer(self):
            if self.fails:
                raise self.fails.pop()
            return next(self.numbers)

        def preload(self):
            pass

    served = Yarn()
    monkeypatch.setattr(connection, "client", lambda: served)
    monkeypatch.setattr(connection, "_asked", None)
    monkeypatch.setattr(connection.java, "load_bridge", lambda: None)
    return served


def test_the_first_application_is_the_one_that_was_asked_for_and_the_next_another(yarn):
    connection.warm()
    connection.warm()
    assert connection._asked.result(SECONDS) == 1
    assert [connection.new_application() for _ in range(3)] == [1, 2, 3]


def test_what_keeps_it_from_being_had_is_raised_where_it_is_needed_and_tried_again_by_the_next(yarn):
    yarn.fails.append(DeadlineError("nobody listens"))
    connection.warm()
    with pytest.raises(DeadlineError, match="nobody listens"):
        connection.new_application()
    assert connection.new_application() == 1
