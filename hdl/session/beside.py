"""A search by a session, in a process beside the session's own: `python -m hdl.session.beside NAME search …`.

So that several searches and trainings go on at once: they share the session's workers, and nothing else.
"""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hdl import session
from hdl.session.command import Command, patient

END_SECONDS = 10.0  # that a search has to end, after it was told to


class Beside:
    """Is a command that runs in a process of its own.

    Parameters
    ----------
    name : str
        Of the session.
    command : Command
    environment : dict
    ended : function of this object and an exit status
        Called by a thread.
    """

    def __init__(self, name: str, command: Command, environment: dict[str, str], ended: Callable[[Beside, int], Any]):
        self.command = command
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hdl.session.beside", name, *command.args], stdin=subprocess.DEVNULL,
            stdout=command.files[0], stderr=command.files[1], cwd=command.folder, umask=command.umask, env=environment,
        )  # fmt: skip
        self._thread = threading.Thread(target=lambda: ended(self, self.process.wait()), daemon=True)
        self._thread.start()

    def interrupt(self) -> None:
        """Have it end as at Ctrl-C."""
        with suppress(OSError):
            self.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """Wait for its end, which comes soon or is made."""
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            self.process.kill()
            self._thread.join(END_SECONDS)


def main() -> None:
    """Carry the command line out, by the workers of the session."""
    from hdl import cli
    from hdl.errors import HdlError
    from hdl.session.remote import RemoteWorkers

    sys.stdout, sys.stderr = patient()
    try:
        session.name, session.current = sys.argv[1], RemoteWorkers(sys.argv[1], _be_silent)
        status = cli.run(sys.argv[2:])
    except HdlError as error:
        print(f"hdl: error: {error}", file=sys.stderr)
        status = error.exit_code
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _be_silent() -> None:
    """Say no more: the command that sent the search has noticed that the session has died, too, and says so."""
    sys.stderr = io.StringIO()


if __name__ == "__main__":
    main()
