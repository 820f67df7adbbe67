"""The YARN application on this machine's processes: everything of it but YARN."""

import tempfile
from pathlib import Path

from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.master.master import lead
from hdl.yarn.master.watcher import Watcher
from hdl.yarn.resource_manager.processes import HOST, Processes
from hdl.yarn.settings import Settings

CREDENTIALS = Credentials.make()


class Events(Watcher):
    """Hands events on, and keeps what is said."""

    def __init__(self, on_event):
        self.on_event, self.messages = on_event, []

    def hear(self, event):
        if self.on_event:
            self.on_event(event)

    def message(self, text):
        self.messages.append(text)


class YarnHere:
    """Trains with workers of the application as processes."""

    def __init__(self, workers=2, threads=1, make=Processes, attempt=1, staging=None, **settings):
        self.settings = Settings.make(workers=workers, threads=threads, **{"publish_every": 1, **settings})
        self._own = None if staging else tempfile.TemporaryDirectory(prefix="hdl-yarn-")
        self.staging = Path(staging or self._own.name)
        self.resources = make(self.staging)
        self.attempt, self.messages = attempt, []

    def train(self, job, on_event=None):
        events = Events(on_event)
        self.messages = events.messages
        return lead(
            job, self.settings, str(self.staging), self.resources, CREDENTIALS, HOST, self.attempt, watcher=events
        )
