"""A worker's mailbox: payloads reach the command that they belong to, and no other."""

import time
from types import SimpleNamespace

import pytest

from hdl.errors import DeadlineError, WorkerError
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.comm.mailbox import Mailbox, command_of, payload_name, push
from hdl.yarn.master import payloads
from hdl.yarn.worker.worker import Worker


@pytest.fixture
def mailbox():
    credentials = Credentials.make()
    made = Mailbox(credentials.tls(server=True), "127.0.0.1")
    made.push = lambda name, content: push(credentials.tls(server=False), made.address, name, [content], 10.0)
    yield made
    made.close()


def test_a_payload_that_nobody_took_is_not_another_commands(mailbox):
    for command_id in 7, 9:
        mailbox.push(payload_name("weights:1", 2, command_id), b"%d" % command_id)
    mailbox.push("equal", b"all")
    mailbox.discard_before(2, 9)
    with pytest.raises(DeadlineError, match="weights:1"):
        mailbox.payload(payload_name("weights:1", 2, 7), 0.01)
    assert bytes(mailbox.payload(payload_name("weights:1", 2, 9), 0.01)) == b"9"
    assert bytes(mailbox.poll("equal")) == b"all"


def test_a_later_commands_payload_waits_for_it(mailbox):
    mailbox.push(payload_name("plan", 3, 1), b"x")
    mailbox.discard_before(2, 40)
    assert bytes(mailbox.payload(payload_name("plan", 3, 1), 0.01)) == b"x"


@pytest.mark.parametrize("name", ["", "equal", "a@b.c", "a@1", "a@1.2.x", "a@-1.2", "@" + "9" * 99 + ".1"])
def test_a_name_of_no_command_outlives_them(name):
    assert command_of(name) > (10**30, 10**30)


def test_what_does_not_come_is_told_with_the_time_that_was_waited():
    """A worker waits in short pieces, between which it looks for a newer command."""
    worker = Worker.__new__(Worker)
    worker.link = SimpleNamespace(interrupted=lambda seconds: False)

    def never(seconds):
        time.sleep(seconds)
        raise DeadlineError(f"the master has not sent 'x' within {seconds:g} s")

    with pytest.raises(DeadlineError, match=r"^the master has not sent 'x' within 0\.3 s$"):
        worker._wait(never, 0.3)


@pytest.mark.parametrize(("fails", "tried"), [(WorkerError, 3), (ConnectionResetError, 3), (DeadlineError, 1)])
def test_a_payload_is_pushed_again_where_a_busy_worker_ended_the_connection(monkeypatch, fails, tried):
    """As its listener does where a handshake takes longer than `tls.HANDSHAKE_SECONDS`."""
    errors, pushed = [fails("ended"), fails("ended")], []

    def hurried(context, address, name, content, seconds):
        pushed.append(name)
        if errors:
            raise errors.pop()

    monkeypatch.setattr(payloads.mailbox, "push", hurried)
    member = SimpleNamespace(incarnation=SimpleNamespace(address=("127.0.0.1", 1)))
    payloads.Payloads.push(SimpleNamespace(context=None), member, "open", [])
    assert pushed == ["open"] * tried
