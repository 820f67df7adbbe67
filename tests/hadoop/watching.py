"""What is seen of a training: its processes while they run, its logs, and what hdl keeps of it on HDFS."""

import threading
import time
from contextlib import suppress

import psutil

from hdl import fs
from tests.hadoop import scan, yarn_jobs

LOGS = 300.0  # seconds in which nodes hand logs over


class Watch(threading.Thread):
    """Looks at a training's processes while they run: secrets that were handed to them, arguments and environments."""

    def __init__(self, training):
        super().__init__(daemon=True)
        self.training, self.known, self.seen, self.hosts = training, {}, {}, set()
        self.over = threading.Event()
        self.start()

    def run(self):
        """Look twice a second, until the training is over."""
        while not self.over.wait(0.5):
            with suppress(psutil.Error, OSError):
                self._look([*scan.containers(self.training.application), *scan.processes(self.training.client.pid)])

    def _look(self, running):
        for process in running:
            key = (process.pid, tuple(words(process)))
            if key in self.seen:
                continue
            with suppress(psutil.Error, OSError, KeyError):
                if "python" in process.name() and "CONTAINER_ID" in process.environ():
                    self.hosts.add(process.environ()["NM_HOST"])
                    held = scan.of_container(process)
                    self.known |= {f"{alias} of {process.pid}": value for alias, value in held.items()}
                self.seen[key] = [*scan.arguments([process]), *scan.environments([process])]

    def end(self):
        """Stop looking."""
        self.over.set()
        self.join()

    def scan(self, cluster, began):
        """Look for the secrets in all that was seen, and in what was written since."""
        places = [place for seen in self.seen.values() for place in seen]
        places += scan.there(scan.local(f"{cluster.root}/logs", began, others=False))
        logs = collected(self.training.application, len(self.hosts))
        places += [(path, content(path)) for path in logs]
        found = scan.Secrets(self.known).among(places) if self.known else [("nowhere", "no secret was seen")]
        holders = {name.rpartition(" ")[2] for name in self.known}
        return {"secrets": found, "looked": len(places), "holders": len(holders), "logs": len(logs)}


def words(process):
    """Return a process's arguments; none if it is gone."""
    with suppress(psutil.Error, OSError):
        return process.cmdline()
    return []


def of(training):
    """List what still runs of a training: in its containers, shells too, its own processes, and its client's."""
    yield from scan.containers(training.application)
    yield from yarn_jobs.processes(training.application)
    if training.client.poll() is None:
        yield psutil.Process(training.client.pid)


def kept(home):
    """List the files and folders that hdl keeps on HDFS below a folder, but for what the next command takes up."""
    with suppress(FileNotFoundError):
        for name in fs.list(home):
            path = f"{home}/{name}"
            if name in ("env", "classes"):  # packed environments, archives of Java's classes
                continue
            if fs.isdir(path):
                yield from kept(path)
            if name not in ("apps", "jobs"):
                yield path


def content(path):
    """Read a file on HDFS."""
    with fs.open(path) as file:
        return file.read()


def collected(application, nodes):
    """List the logs of an application on HDFS, one a node, once so many have handed theirs over or the time is up."""
    deadline = time.monotonic() + LOGS
    while True:
        folders = fs.glob(f"hdfs:///tmp/logs/*/*/*/{application}") + fs.glob(f"hdfs:///tmp/logs/*/*/{application}")
        files = [path for folder in folders for path in fs.glob(f"{folder}/*") if not path.endswith(".tmp")]
        if len(files) >= nodes or time.monotonic() > deadline:
            return files
        time.sleep(1)
