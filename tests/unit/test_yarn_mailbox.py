"""A worker's desk: gifts reach the command that they belong to, and no other."""

import pytest

from hdl.errors import DeadlineError
from hdl.yarn.comm.credentials import Secrets
from hdl.yarn.comm.mailbox import Mailbox, belongs, give, titled


@pytest.fixture
def desk():
    secrets = Secrets.make()
    found = Mailbox(secrets.tls(server=True), "127.0.0.1")
    found.give = lambda name, content: give(secrets.tls(server=False), found.address, name, [content], 10.0)
    yield found
    found.close()


def test_a_gift_that_nobody_took_is_not_another_commands(desk):
    for ticket in 7, 9:
        desk.give(titled("weights:1", 2, ticket), b"%d" % ticket)
    desk.give("equal", b"all")
    desk.tidy(2, 9)
    with pytest.raises(DeadlineError, match="weights:1"):
        desk.gift(titled("weights:1", 2, 7), 0.01)
    assert bytes(desk.gift(titled("weights:1", 2, 9), 0.01)) == b"9"
    assert bytes(desk.came("equal")) == b"all"


def test_a_later_commands_gift_waits_for_it(desk):
    desk.give(titled("plan", 3, 1), b"x")
    desk.tidy(2, 40)
    assert bytes(desk.gift(titled("plan", 3, 1), 0.01)) == b"x"


@pytest.mark.parametrize("name", ["", "equal", "a@b.c", "a@1", "a@1.2.x", "a@-1.2", "@" + "9" * 99 + ".1"])
def test_a_name_of_no_command_outlives_them(name):
    assert belongs(name) > (10**30, 10**30)
