"""Processes that train trials, seen from who gives them out."""

import socket
import threading
from types import SimpleNamespace

import pytest

from hdl import wire
from hdl.errors import Interrupted
from hdl.runners.frames import send
from hdl.search import pool


def test_a_trial_that_nobody_waits_for_is_left_though_its_worker_gives_signs_of_life():
    ours, theirs = socket.socketpair()
    process = SimpleNamespace(poll=lambda: None, pid=1)
    worker = SimpleNamespace(channel=ours, process=process, midway=False, send=lambda command: None)
    looks, over = iter([True] * 20), threading.Event()

    def live():
        for _ in range(2000):
            send(theirs, wire.pack("busy", {"shard": 0, "share": 0.0}))
            if over.wait(0.01):  # more often than anybody looks
                break
        theirs.close()

    living = threading.Thread(target=live)
    living.start()
    with ours:
        try:
            with pytest.raises(Interrupted, match="nobody waits"):
                pool.carry_out(worker, b"", lambda event: None, lambda: next(looks, False))
        finally:
            over.set()
            living.join()
