"""A worker process of the local runner: `python -m hdl.runners.local_worker FD`.

It reads commands from the socket FD, answers each with `done` and its results or with `error`, and gives signs of life
between. It ends when its standard input ends, which is when the driver ends, however that happens.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hdl import wire
from hdl.runners.frames import receive, send
from hdl.runners.messages import error_message, read_plan

if TYPE_CHECKING:
    from hdl.data import Summary
    from hdl.runners.work import Host
    from hdl.wire import Update

BEAT_SECONDS = 0.1  # at most one sign of life in this time, but for a new shard


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
        self._commands = {
            "open": self._open,
            "plan": self._take_plan,
            "summarise": self._summarise,
            "round": self._round,
        }

    def run(self) -> None:
        """Carries out one command after the other; EOFError at the socket's end."""
        while True:
            kind, fields, tensors = wire.unpack(receive(self.channel))
            weights = receive(self.channel) if kind == "round" else None
            self._last_beat, self._last_shard = 0.0, -1
            try:
                results = self._commands[kind](fields, weights, tensors)
            except Exception as error:  # told to the driver; if it is gone, this raises again and ends the worker
                send(self.channel, error_message(error))
                continue
            if results is not None:
                messages = [wire.encode_parts(result) for result in results]
                send(self.channel, wire.pack("done", {"count": len(messages)}), *messages)

    def beat(self, shard: int, share: float) -> None:
        """Gives a sign of life; a new shard is told at once, so that a death is put down to the right one."""
        now = time.monotonic()
        if shard != self._last_shard or now - self._last_beat > BEAT_SECONDS:
            self._last_beat, self._last_shard = now, shard
            send(self.channel, wire.pack("busy", {"shard": shard, "share": share}))

    def _open(self, fields: dict[str, Any], *_: Any) -> None:
        from hdl.data import FileSplit, Options
        from hdl.runners.work import Host

        splits = {number: [FileSplit(*split) for split in own] for number, own in fields["cuts"]}
        rest = {name: fields[name] for name in ("threads", "device", "memory")}
        self.host = Host(fields["path"], Options.make(fields["options"]), splits, **rest)

    def _take_plan(self, fields: dict[str, Any], _: Any, tensors: wire.Tensors) -> None:
        self.host.prepare(read_plan(fields, tensors))

    def _summarise(self, fields: dict[str, Any], *_: Any) -> list[Summary]:
        return self.host.summarise(fields["shards"], self.beat)

    def _round(self, fields: dict[str, Any], weights: bytearray, _: Any) -> list[Update]:
        return self.host.round(wire.decode(weights), fields["shards"], fields["evaluate_only"], self.beat)


def _end_with_driver() -> None:
    """Ends this process when standard input ends: the driver holds its other side, and has never written to it."""
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver ends its workers
    faulthandler.enable()
    threading.Thread(target=_end_with_driver, daemon=True).start()
    channel = socket.socket(fileno=int(sys.argv[1]))
    with suppress(ConnectionError, EOFError):  # the driver is gone, or has closed
        Worker(channel).run()


if __name__ == "__main__":
    main()
