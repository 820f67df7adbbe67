"""What is below a connection: bytes arrive whole or not at all, from slow peers, past signals, on any socket."""

import os
import signal
import socket
import threading
import time
from contextlib import suppress

import pytest

pytest.importorskip("zmq", reason="no pyzmq: pip install hdl-hadoop[hadoop]")
pytest.importorskip("cryptography", reason="no cryptography: pip install hdl-hadoop[hadoop]")

from hdl.yarn.comm import channel as channels
from hdl.yarn.comm import mesh, tls
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.comm.mesh import Mesh, PeerLost

SECONDS = 20.0  # that something expected may take on a busy machine
CREDENTIALS = Credentials.make()
PIECES = [b"", b"head", bytes(100), b"", os.urandom(5_000_000), b"tail", os.urandom(70_000), os.urandom(70_000)]


def wired(kind):
    """Both ends of a connection: (sends, receives)."""
    if kind == "Unix":
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    return secured(ours, theirs) if kind == "TLS" else (ours, theirs)


def secured(ours, theirs):
    client, server = CREDENTIALS.tls(server=False), CREDENTIALS.tls(server=True)
    connected, accepted = channels.Channel(ours, client), channels.Channel(theirs, server, server=True)
    until = time.monotonic() + SECONDS
    thread = threading.Thread(target=accepted.do_handshake, args=[until])
    thread.start()
    connected.do_handshake(until)
    thread.join(SECONDS)
    return connected, accepted


@pytest.fixture(params=["Unix", "TCP", "TLS"])
def pair(request):
    ours, theirs = wired(request.param)
    for channel in (ours, theirs):
        channel.settimeout(0.05)
    with ours, theirs:
        yield ours, theirs


def received(channel, length, check=lambda: None):
    out = bytearray(length)
    channels.receive(channel, memoryview(out), check)
    return bytes(out)


def started(work, *arguments):
    """A thread, and what it raised."""
    raised = []

    def run():
        try:
            work(*arguments)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, raised


def test_pieces_arrive_in_order_and_whole(pair):
    thread, raised = started(channels.send, pair[0], PIECES)
    assert received(pair[1], sum(map(len, PIECES))) == b"".join(PIECES)
    thread.join(SECONDS)
    assert not raised


def test_what_is_small_goes_at_once_and_the_rest_of_what_is_big_is_given_back(pair):
    assert channels.begin(pair[0], [b"a", b"", b"b" * 100]) == []
    assert received(pair[1], 101) == b"a" + b"b" * 100
    rest = channels.begin(pair[0], PIECES)
    assert rest
    assert pair[0].gettimeout() == 0.05
    thread, raised = started(channels.send, pair[0], rest)
    assert received(pair[1], sum(map(len, PIECES))) == b"".join(PIECES)
    thread.join(SECONDS)
    assert not raised


def test_a_slow_reader_breaks_nothing_and_the_sender_asks_whether_it_is_of_use(pair):
    asked = threading.Event()
    thread, raised = started(channels.send, pair[0], [bytes(8_000_000), b"end"], asked.set)
    assert asked.wait(SECONDS)  # longer than the timeout nothing was read
    assert received(pair[1], 8_000_003) == bytes(8_000_000) + b"end"
    thread.join(SECONDS)
    assert not raised


def test_a_check_that_raises_ends_waiting_in_both_directions(pair):
    def check():
        raise InterruptedError("of no use")

    with pytest.raises(InterruptedError, match="of no use"):
        received(pair[1], 1, check)
    with pytest.raises(InterruptedError, match="of no use"):
        channels.send(pair[0], [bytes(20_000_000)], check)


def test_a_cut_stream_is_noticed(pair):
    channels.send(pair[0], [b"half"])
    channels.end(pair[0])
    with pytest.raises((EOFError, OSError)):
        received(pair[1], 8)


def test_what_follows_the_farewell_of_tls_is_plain_and_whole(monkeypatch):
    """One side has both farewell and plain bytes before it before it looks."""
    ours, theirs = wired("TLS")
    fill, until = channels.Channel._fill, time.monotonic() + SECONDS

    def late(channel, most):
        time.sleep(0.1 if channel is ours else 0)
        fill(channel, most)

    monkeypatch.setattr(channels.Channel, "_fill", late)
    content = os.urandom(1000)

    def serve():
        with theirs.unwrap(until) as plain:
            plain.sendall(content)

    thread, raised = started(serve)
    with ours.unwrap(until) as plain:
        assert type(plain) is socket.socket
        plain.settimeout(SECONDS)
        assert received(plain, len(content)) == content
    thread.join(SECONDS)
    assert not raised


def test_many_records_travel_in_few_system_calls(monkeypatch):
    """A record of TLS has 16 KiB at most; the kernel is asked for many of them at once."""
    ours, theirs = wired("TLS")
    calls = []
    fill = channels.Channel._fill
    monkeypatch.setattr(channels.Channel, "_fill", lambda channel, most: (calls.append(most), fill(channel, most)))
    content = os.urandom(1 << 20)
    with ours, theirs:
        rest = channels.begin(ours, [content])
        thread, raised = started(channels.send, ours, rest)
        thread.join(0.5)  # what the kernel takes is there by now
        assert received(theirs, len(content)) == content
        thread.join(SECONDS)
    assert not raised
    assert len(calls) < len(content) // (16 << 10) // 2


def test_signals_break_no_transfer(pair):
    """Calls that a signal interrupts go on: the handler runs meanwhile."""
    seen = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        thread, raised = started(channels.send, pair[0], PIECES)
        assert received(pair[1], sum(map(len, PIECES)), lambda: None) == b"".join(PIECES)
        until = time.monotonic() + SECONDS
        while not seen and time.monotonic() < until:
            with suppress(TimeoutError):
                pair[1].recv(1)
        thread.join(SECONDS)
        assert not raised
        assert seen
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- on the wire between two workers ----------------------------------------------------------------------------------


@pytest.fixture
def wire_between():
    """Two workers whose connections go over a wire that damages one byte, or ends there."""
    made = []

    def make(damage, at):
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours, near = socket.create_connection(server.getsockname()), server.accept()[0]
            far, theirs = socket.create_connection(server.getsockname()), server.accept()[0]

        def carry(source, sink, where):
            seen = 0
            with suppress(OSError), source, sink:
                while piece := bytearray(source.recv(1 << 16)):
                    if seen <= where < seen + len(piece):
                        if damage == "cut":
                            sink.sendall(piece[: where - seen])
                            channels.end(sink)  # closing wakes nobody who waits in it
                            channels.end(source)
                            return
                        piece[where - seen] ^= 1 << 3
                    seen += len(piece)
                    sink.sendall(piece)

        for ends in ((near, far, at), (far, near, 1 << 60)):
            threading.Thread(target=carry, args=ends, daemon=True).start()
        outward, inward = secured(ours, theirs)
        back = secured(*reversed(socket.socketpair()))
        workers = Mesh(0, 2, 7, {1: outward}, {1: back[1]}), Mesh(1, 2, 7, {0: back[0]}, {0: inward})
        made.extend(workers)
        return workers

    yield make
    for worker in made:
        worker.close()


@pytest.mark.parametrize("damage", ["flipped", "cut"])
@pytest.mark.parametrize("at", [5_000, 400_000, 899_000])
def test_a_flipped_bit_and_a_cut_stream_between_workers_are_noticed(wire_between, damage, at):
    """Neither gives another weight: the peer is lost, and the round is done again with one in its place."""
    first, second = wire_between(damage, at)
    content, lost = os.urandom(900_000), []
    thread, _ = started(first.share, [[content]])
    try:
        second.share([[b"mine"]])
    except PeerLost as error:
        lost.append(error.rank)
    first.shut()
    thread.join(SECONDS)
    assert lost == [0]


def test_without_damage_the_same_wire_carries_all(wire_between):
    first, second = wire_between("cut", 1 << 60)
    content = os.urandom(900_000)
    thread, raised = started(first.share, [[content]])
    (got,) = second.share([[b"mine"]])
    thread.join(SECONDS)
    assert bytes(got) == content
    assert not raised


def test_the_application_hands_weights_over_unix_sockets(tmp_path, monkeypatch):
    """Two workers of one host connect as those of YARN do, and messages beyond any buffer go both ways at once."""
    from hdl.yarn.comm.mailbox import Mailbox

    monkeypatch.setenv("LOCAL_DIRS", str(tmp_path))
    boxes = [Mailbox(CREDENTIALS.tls(server=True), "127.0.0.1") for _ in range(2)]
    peers, made = {rank: box.address for rank, box in enumerate(boxes)}, {}

    def connect(rank):
        def accept(peer):
            return boxes[rank].peer(3, peer, SECONDS)

        context = CREDENTIALS.tls(server=False)
        made[rank] = mesh.connect(rank, 2, 3, peers, context, accept, lambda: None, lambda phase: None)

    threads = [started(connect, rank) for rank in range(2)]
    for thread, raised in threads:
        thread.join(SECONDS)
        assert not raised
    contents, got = [os.urandom(6_000_000) for _ in range(2)], {}
    threads = [started(lambda r: got.update({r: made[r].share([[contents[r]]])}), rank) for rank in range(2)]
    for thread, raised in threads:
        thread.join(SECONDS)
        assert not raised
    assert [bytes(got[rank][0]) for rank in (1, 0)] == contents
    for rank in range(2):
        ends = [*made[rank]._outward.values(), *made[rank]._inward.values()]
        assert {channel.family for channel in ends} == {socket.AF_UNIX}
        assert not any(isinstance(channel, tls.Channel) for channel in ends)
        made[rank].close()
        boxes[rank].close()
