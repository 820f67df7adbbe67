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
import traceback
from contextlib import suppress
from typing import Any

from hdl import errors, wire
from hdl.errors import DataError, HdlError, WorkerError
from hdl.runners.frames import receive, send

BEAT_SECONDS = 0.1  # at most one sign of life in this time, but for a new shard


def error_message(error: BaseException) -> bytes:
    """An exception as a message."""
    fields: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, DataError):
        fields |= {"message": error.message, "path": error.path, "line": error.line, "offset": error.offset}
    elif not isinstance(error, HdlError):
        fields["trace"] = "".join(traceback.format_exception(error))
    return wire.pack("error", fields)


def error_from(fields: dict[str, Any], who: str) -> HdlError:
    """The exception in a message: hdl's own as they were, others as a WorkerError that names them."""
    kind = getattr(errors, str(fields.get("type")), None)
    if kind is DataError:
        return DataError(fields["message"], fields["path"], fields["line"], fields["offset"])
    if isinstance(kind, type) and issubclass(kind, HdlError):
        return kind(fields["message"])
    trace = fields.get("trace", "")
    return WorkerError(f"{who}: {fields.get('type')}: {fields.get('message')}\n{trace}".rstrip())


class Worker:
    """Answers commands until the socket ends."""

    def __init__(self, channel: socket.socket):
        self.channel, self.host = channel, None
        self.last = 0.0, -1

    def beat(self, shard: int, share: float) -> None:
        """A sign of life; a new shard is told at once, so that a death is put down to the right one."""
        now = time.monotonic()
        if shard != self.last[1] or now - self.last[0] > BEAT_SECONDS:
            self.last = now, shard
            send(self.channel, wire.pack("busy", {"shard": shard, "share": share}))

    def run(self) -> None:
        while True:
            kind, fields, tensors = wire.unpack(receive(self.channel))
            weights = receive(self.channel) if kind == "round" else None
            self.last = 0.0, -1
            try:
                results = getattr(self, f"on_{kind}")(fields, weights, tensors)
            except Exception as error:  # told to the driver; if it is gone, this raises again and ends the worker
                send(self.channel, error_message(error))
                continue
            if results is not None:
                messages = [wire.encode_parts(result) for result in results]
                send(self.channel, wire.pack("done", {"count": len(messages)}), *messages)

    def on_open(self, fields: dict[str, Any], *_: Any) -> None:
        from hdl.data import FileSplit, Options
        from hdl.runners.work import Host

        cuts = {number: [FileSplit(*portion) for portion in portions] for number, portions in fields["cuts"]}
        rest = {name: fields[name] for name in ("threads", "device", "memory")}
        self.host = Host(fields["path"], Options.make(fields["options"]), cuts, **rest)

    def on_plan(self, fields: dict[str, Any], _: Any, tensors: wire.Tensors) -> None:
        self.host.prepare(read_plan(fields, tensors))

    def on_summarise(self, fields: dict[str, Any], *_: Any) -> list[Any]:
        return self.host.summarise(fields["shards"], self.beat)

    def on_round(self, fields: dict[str, Any], weights: bytearray, _: Any) -> list[Any]:
        return self.host.round(wire.decode(weights), fields["shards"], fields["evaluate_only"], self.beat)


def plan_message(plan: Any) -> bytes:
    """What all rounds share, as a message."""
    schema, tensors = plan.schema.to_parts()
    fields = {"spec": plan.spec.to_json(), "schema": schema, "table": plan.table, "isa": plan.isa}
    return wire.pack("plan", fields, tensors)


def read_plan(fields: dict[str, Any], tensors: wire.Tensors) -> Any:
    """The inverse of `plan_message`."""
    from hdl import spec
    from hdl.data import Schema
    from hdl.runners.base import Plan

    schema = Schema.from_parts(fields["schema"], tensors)
    return Plan(spec.parse(fields["spec"]), schema, fields["table"], fields["isa"])


def _end_with_driver() -> None:
    """Waits for the end of standard input: the driver holds its other side, and has never written to it."""
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
