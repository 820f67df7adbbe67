"""A worker process that also trains trials of searches, and makes fits: `python -m hdl.search.trial_worker FD`.

Of a session's workers it takes the commands of any local worker, too. It is told of trials over the socket FD, tells
what its driver tells, and ends when its standard input ends, which is when whoever started it ends.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from hdl import scratch, told, trial, wire
from hdl.runners import fits
from hdl.runners.frames import send
from hdl.runners.kept import KeptHosts
from hdl.runners.local_worker import Worker, serve


class TrialWorker(Worker):
    """Answers commands until the socket ends."""

    def __init__(self, channel: socket.socket):
        super().__init__(channel)
        self._commands |= {"trial": self._train, "fit": self._fit}

    def _train(self, fields: dict[str, Any], *_: Any) -> None:
        os.chdir(fields["folder"])  # this process may be older than the command
        before = os.umask(fields["umask"])
        scratch.encrypt(fields["encrypt_spill"])
        self._kept = self._kept or KeptHosts()
        runner = trial.Alone(self._kept, fields["threads"], fields["device"], fields["memory"], self.beat)

        def tell(event: Any) -> None:
            if plain := told.event_fields(event):
                send(self.channel, wire.pack("event", plain))

        try:
            outcome = trial.train(trial.job_of(fields), runner, tell)
        finally:
            os.umask(before)
        send(self.channel, wire.pack("trained", trial.outcome_fields(outcome)))

    def _fit(self, fields: dict[str, Any], *_: Any) -> None:
        fits.carry_out(fields["order"], fields["threads"], fields["device"], fields["memory"], self.beat)
        send(self.channel, wire.pack("trained", {}))


if __name__ == "__main__":
    serve(TrialWorker)
