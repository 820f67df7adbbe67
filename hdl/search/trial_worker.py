"""A process that trains one trial of a search after the other: `python -m hdl.search.trial_worker FD`.

The data is decoded once and kept for the trials that follow. It is told of trials over the socket FD, tells what its
driver tells, and ends when its standard input ends, which is when the search's own process ends.
"""

from __future__ import annotations

import socket
from typing import Any

from hdl import driver, scratch, wire
from hdl import spec as specs
from hdl.data import Options
from hdl.events import Outcome, Round, Started
from hdl.runners.base import Job, Log
from hdl.runners.frames import receive, send
from hdl.runners.local_worker import serve
from hdl.runners.messages import error_message
from hdl.runners.shared import Shared, SharedRunner


def job_fields(job: Job) -> dict[str, Any]:
    """Make the fields of a command `trial`."""
    return {"data": job.data, "table": job.table, "spec": job.spec.to_json() if job.spec else None,
            "options": job.options.model_dump(mode="json"), "strict": job.strict, "until": job.until}  # fmt: skip


def event_fields(event: Any) -> dict[str, Any] | None:
    """Make the fields of what a driver tells; None of what nobody needs to know here."""
    if isinstance(event, Started):
        return {"kind": "started", "spec": event.spec.to_json(), "samples": event.samples, "rounds": event.rounds,
                "version": event.version}  # fmt: skip
    if isinstance(event, Round):
        return {"kind": "round", "row": event.row}
    if isinstance(event, Log):
        return {"kind": "log", "time": event.time, "text": event.text}
    return None


def event_of(fields: dict[str, Any]) -> Any:
    """Make the event of such fields."""
    if fields["kind"] == "started":
        return Started(specs.parse(fields["spec"]), fields["samples"], fields["rounds"], fields["version"])
    return Round(fields["row"]) if fields["kind"] == "round" else Log(fields["time"], fields["text"])


def outcome_of(fields: dict[str, Any]) -> Outcome:
    """Make the outcome of the fields of an answer `done`."""
    return Outcome(**{**fields, "spec": specs.parse(fields["spec"])})


class TrialWorker:
    """Trains trials until the socket ends."""

    def __init__(self, channel: socket.socket):
        self.channel, self.memory = channel, Shared()
        self._threads, self._device = 1, "cpu"

    def run(self) -> None:
        """Carry out one command after the other; EOFError at the socket's end."""
        while True:
            kind, fields, _ = wire.unpack(receive(self.channel))
            if kind == "open":
                self._threads, self._device = fields["threads"], fields["device"]
                scratch.encrypt(fields["encrypt_spill"])
                continue
            try:
                answer = wire.pack("done", self._train(fields))
            except Exception as error:  # told to the search; if it is gone, this raises again and ends the process
                answer = error_message(error)
            send(self.channel, answer)

    def _train(self, fields: dict[str, Any]) -> dict[str, Any]:
        table, spec = fields["table"], specs.parse(fields["spec"])
        resume = driver.begun(table) is not None
        job = Job(fields["data"], table, spec, Options.make(fields["options"]), resume, strict=fields["strict"],
                  until=fields["until"])  # fmt: skip

        def tell(event: Any) -> None:
            if told := event_fields(event):
                send(self.channel, wire.pack("event", told))

        outcome = driver.train(job, SharedRunner(self.memory, None, self._threads, self._device), tell)
        return {**vars(outcome), "spec": outcome.spec.to_json(), "rows": list(outcome.rows)}


if __name__ == "__main__":
    serve(TrialWorker)
