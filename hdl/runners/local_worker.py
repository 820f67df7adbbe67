"""A worker process of the local runner: `python -m hdl.runners.local_worker FD`.

It reads commands from the socket FD, answers each with `done` and its results or with `error`, and gives signs of life
between. A message that comes while it computes says that nobody wants the results any more. It ends when its standard
input ends, which is when the driver ends, however that happens.
"""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hdl import quick, wire
from hdl.runners.frames import receive, send
from hdl.runners.messages import error_message, read_plan

if TYPE_CHECKING:
    from hdl.data import Summary
    from hdl.passes import Partial
    from hdl.runners.kept import KeptHosts
    from hdl.runners.work import Host
    from hdl.wire import Update

BEAT_SECONDS = 0.1  # at most one sign of life in this time, but for a new shard


class Abandoned(Exception):
    """Says that the driver has given the present command up."""


class Worker:
    """Answers commands until the socket ends.

    Parameters
    ----------
    channel : socket
        To the driver.
    """

    host: Host  # from the command `open` on

    def __init__(self, channel: socket.socket):
        self.channel = channel
        self._last_beat, self._last_shard = 0.0, -1
        self._kept: KeptHosts | None = None
        self._told = select.poll()
        self._told.register(channel, select.POLLIN)
        self._commands: dict[str, Callable[[dict[str, Any], bytes | bytearray, wire.Tensors], list[Any] | None]] = {
            "warm": self._warm,
            "open": self._open,
            "abandon": lambda *_: None,  # it has reached a worker that had answered already
            "kept": self._tell_kept,
            "plan": self._take_plan,
            "summarise": self._summarise,
            "round": self._round,
            "measure": self._measure,
        }

    def run(self) -> None:
        """Carry out one command after the other; EOFError at the socket's end."""
        while True:
            kind, fields, tensors = wire.unpack(receive(self.channel))
            weights = receive(self.channel) if kind in ("round", "measure") else b""
            self._last_beat, self._last_shard = 0.0, -1
            try:
                results = self._commands[kind](fields, weights, tensors)
            except Exception as error:  # told to the driver; if it is gone, this raises again and ends the worker
                send(self.channel, error_message(error))
                continue
            if results is not None:
                messages = [result.pack() if kind == "measure" else wire.encode_parts(result) for result in results]
                send(self.channel, wire.pack("done", {"count": len(messages)}), *messages)

    def beat(self, shard: int, share: float) -> None:
        """Give a sign of life; a new shard is reported at once, so that a death is put down to the right one."""
        if self._told.poll(0):
            raise Abandoned
        now = time.monotonic()
        if shard != self._last_shard or now - self._last_beat > BEAT_SECONDS:
            self._last_beat, self._last_shard = now, shard
            send(self.channel, wire.pack("busy", {"shard": shard, "share": share}))

    def _warm(self, *_: Any) -> None:
        """Import what every training needs, before there is one."""
        import hdl.runners.kept  # noqa: F401

    def _open(self, fields: dict[str, Any], *_: Any) -> None:
        if "folder" in fields:  # this process is older than the command
            os.chdir(fields["folder"])
        if fields.get("content"):
            from hdl.runners.kept import KeptHosts

            self._kept = self._kept or KeptHosts()
            self.host = self._kept.open(fields)
        else:
            from hdl.runners.work import Host

            self.host = Host.from_fields(fields)

    def _tell_kept(self, *_: Any) -> None:
        kept = self._kept.describe() if self._kept else []
        send(self.channel, wire.pack("kept", {"kept": kept, "room": self._kept.room if self._kept else 0}))

    def _take_plan(self, fields: dict[str, Any], _: Any, tensors: wire.Tensors) -> None:
        self.host.prepare(read_plan(fields, tensors))

    def _summarise(self, fields: dict[str, Any], *_: Any) -> list[Summary]:
        return self.host.summarise(fields["shards"], self.beat)

    def _round(self, fields: dict[str, Any], weights: bytes | bytearray, _: Any) -> list[Update]:
        return self.host.round(
            wire.decode_as(wire.Weights, weights), fields["shards"], fields["evaluate_only"], self.beat
        )

    def _measure(self, fields: dict[str, Any], asked: bytes | bytearray, _: Any) -> list[Partial]:
        from hdl.passes import Pass

        return self.host.measure(Pass.unpack(asked), fields["shards"], self.beat)


def _end_with_driver() -> None:
    """End this process when standard input ends: the driver holds its other side, and has never written to it."""
    while os.read(0, 1):
        pass
    os._exit(1)


def serve(make: Callable[[socket.socket], Any]) -> None:
    """Run a worker on the socket whose descriptor is the first argument, until whoever started it is gone or closes it.

    Parameters
    ----------
    make : function of a socket
        Gives the worker, which has a method `run`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver ends its workers
    quick.begin()
    faulthandler.enable()
    threading.Thread(target=_end_with_driver, daemon=True).start()
    channel = socket.socket(fileno=int(sys.argv[1]))
    with suppress(ConnectionError, EOFError):  # the driver is gone, or has closed
        make(channel).run()


if __name__ == "__main__":
    serve(Worker)
