"""Tries a row of the fault matrix, and tells what it cost and what was left.

    python -m tests.hadoop.fault_trial CLUSTER row ROW FOLDER
    python -m tests.hadoop.fault_trial CLUSTER trainings N FOLDER

run as a user of the cluster with Kerberos, with a folder of HDFS for data and tables. The first prints a line of JSON,
the second one for each training.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from hdl import fs
from hdl.cluster.daemons import Cluster
from hdl.table import Table
from tests.hadoop import scan, yarn_jobs
from tests.hadoop.fault_rows import ROWS, differs, lost, nodes_python
from tests.hadoop.runners import local, put_csv
from tests.hadoop.yarn_jobs import Training, applications

OVER = ("FINISHED", "FAILED", "KILLED")
GRACE = 20.0  # seconds in which what ends may end
LOGS = 60.0  # seconds in which nodes hand logs over


class Trial:
    """A training to which a row's fault is done.

    Parameters
    ----------
    name : str
        Of the row.
    cluster : Cluster
    data : str
        Path on HDFS.
    table : str
        Path of a new table.
    expected : function of int
        Signature and rows of the local runner's training, by number of rounds.
    home : str
        Folder on HDFS in which hdl keeps what an application needs.
    here : Path
        Folder of this machine that containers may read.
    """

    def __init__(self, name, cluster, data, table, expected, home, here):
        self.row, self.name, self.cluster, self.home = ROWS[name], name, cluster, home
        self.data, self.table, self.expected, self.here = data, table, expected, Path(here)
        self.after, self.broken = [], []

    def must(self, good, otherwise):
        """Note what is not as promised."""
        if not good:
            self.broken.append(otherwise)

    def admin(self, *words):
        """Run `hdfs dfsadmin` as the superuser."""
        user = {} if self.cluster.secure else {"HADOOP_USER_NAME": self.cluster.superuser}
        environment = os.environ | (self.cluster.ticket() or user)
        subprocess.run(["hdfs", "dfsadmin", *words], env=environment, check=True, capture_output=True, timeout=120)

    def run(self, secrets=True):
        """Train, do what the row says, and return figures.

        Returns
        -------
        dict
            ``pause`` (s), ``lost`` rounds, ``status`` of the command, ``equal`` to the local runner's bytes (None where
            the training is to end), what was left: ``processes``, ``applications``, ``files`` (HDFS), ``local``; and
            ``secrets``, pairs of place and name, of so many ``looked`` at; ``broken``, a list of sentences.
        """
        row, before, began = self.row, {*kept(self.home)}, time.time()
        temporary = Path(tempfile.mkdtemp(dir=self.here))
        training = Training(
            self.data, self.table, "--epochs", str(row.rounds), *row.flags, fault=row.fault,
            HDL_NODE_PYTHON=self._python(), TMPDIR=str(temporary),
        )  # fmt: skip
        watch = Watch(training) if secrets else None
        try:
            if row.meanwhile:
                row.meanwhile(self._on(training))
            status, out, said = training.end()
        finally:
            if watch:
                watch.end()
            training.kill()
            for mend in self.after:
                mend()
        version = training.table.read()
        self.broken += differs(row, status, said, version.number)
        figures = {"row": self.name, "pause": round(training.recovery(), 1), "lost": lost(said), "status": status}
        figures["equal"] = None if row.status else self._equal(training, out)
        figures |= self._left(training, before, temporary)
        if watch:
            figures |= watch.scan(self.cluster, began)
        for what in ("processes", "applications", "files", "local", "secrets"):
            self.must(not figures.get(what), f"{what}: {figures.get(what)}")
        if self.broken:
            figures["said"] = said[-3000:]
        shutil.rmtree(temporary, ignore_errors=True)
        return figures | {"seconds": round(time.time() - began, 1), "broken": self.broken}

    def _on(self, training):
        self.training = training
        return self

    def _python(self):
        python = nodes_python(self.here)
        for name, content in self.row.files:
            (self.here / name).write_text(content)
        if not self.row.python:
            return python
        own = self.here / f"{self.name}-python"
        own.write_text(
            "#!/bin/bash\n" + self.row.python.replace("{python}", python).replace("{folder}", str(self.here))
        )
        own.chmod(0o755)
        return str(own)

    def _equal(self, training, out):
        signature, rows = self.expected(self.row.rounds)
        equal = result(training.table) == (signature, rows) and signature in out
        self.must(equal, "the weights or the rows are not the local runner's")
        return equal

    def _left(self, training, before, temporary):
        """Look for what is left when all had time to end."""

        def left():
            names = [name for name in fs.list(self.table) if name.startswith(".")]
            return {
                "processes": [f"{each.pid} {' '.join(words(each))[:200]}" for each in of(training)],
                "applications": [each["id"] for each in applications() if each["name"].endswith(self.table)
                                 and each["state"] not in OVER],
                "files": sorted({*kept(self.home)} - before) + sorted(f"{self.table}/{name}" for name in names),
                "local": sorted(str(path) for path in self._local(training, temporary)),
            }  # fmt: skip

        deadline = time.monotonic() + GRACE
        while any((found := left()).values()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    def _local(self, training, temporary):
        data = self.cluster.root / "data"
        yield from data.glob(f"nodemanager*/local/usercache/*/appcache/{training.application}")
        yield from temporary.rglob("*")


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
    """List the files and folders that hdl keeps on HDFS below a folder, but for packed environments."""
    with suppress(FileNotFoundError):
        for name in fs.list(home):
            path = f"{home}/{name}"
            if name == "env":
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


def result(table):
    """Read the last version's signature, and the rows without times."""
    version = table.read()
    rows = [{k: v for k, v in row.items() if k not in ("seconds", "time")} for row in version.rows]
    return version.signature, rows


def expecting(data, folder):
    """Make a function that trains locally, once for a number of rounds: (signature, rows)."""
    known = {}

    def expected(rounds):
        if rounds not in known:
            known[rounds] = result(Table(local(data, os.path.join(folder, f"local{rounds}"), epochs=rounds).table))
        return known[rounds]

    return expected


# --- as a command of a user's -----------------------------------------------------------------------------------------


def row(cluster, name, folder):
    """Try a row once."""
    from hdl import identity

    here = tempfile.mkdtemp(dir=cluster.root, prefix="soak-")
    os.chmod(here, 0o755)
    data = put_csv(f"{folder}/data") if not fs.exists(f"{folder}/data") else f"{folder}/data"
    table = f"{folder}/{name}-{os.getpid()}"
    try:
        trial = Trial(name, cluster, data, table, expecting(data, here), f"{identity.home()}/.hdl", here)
        print(json.dumps(trial.run()), flush=True)
    finally:
        fs.remove(table)
        shutil.rmtree(here, ignore_errors=True)


def trainings(cluster, count, folder):
    """Train so often in this one process, and tell after each what is there."""
    from hdl import driver, identity
    from hdl.runners.base import Job
    from hdl.runners.yarn import YarnRunner
    from hdl.spec import parse

    home = f"{identity.home()}/.hdl"
    data, temporary = put_csv(f"{folder}/data-{os.getpid()}"), tempfile.mkdtemp(prefix="hdl-soak-")
    tempfile.tempdir = temporary
    python = nodes_python(os.environ.get("HDL_SOAK_FOLDER", temporary))
    own, expected = psutil.Process(), None
    for number in range(int(count)):
        table = f"{folder}/training{number}-{os.getpid()}"
        runner = YarnRunner(workers=2, memory=512, master_memory=640, publish_every=1, threads=1, python=python)
        spec = parse({"net": "0-5-0", "shards": 4, "epochs": 3, "batch": 8, "seed": 3})
        began = time.monotonic()
        driver.train(Job(data, table, spec), runner)
        took, signature = time.monotonic() - began, Table(table).header()["signature"]
        expected = expected or signature
        fs.remove(table)
        ended = time.monotonic() + GRACE
        while yarn_jobs.processes(runner.application) and time.monotonic() < ended:
            time.sleep(0.2)
        print(json.dumps({
            "training": number + 1, "seconds": round(took, 1), "equal": signature == expected,
            "memory": round(own.memory_info().rss / 2**20), "threads": own.num_threads(),
            "descriptors": own.num_fds(), "children": len(own.children(recursive=True)),
            "processes": len(yarn_jobs.processes("application_")), "files": len(list(Path(temporary).rglob("*"))),
            "on HDFS": len([*kept(home)]), "in the folder": len(fs.list(folder)),
        }), flush=True)  # fmt: skip
    shutil.rmtree(temporary, ignore_errors=True)


def main(root, what, argument, folder):
    """Run a command as the user whose environment this is."""
    from hdl.yarn.client import web
    from hdl.yarn.resource_manager import java

    java.start()  # before HDFS is read
    yarn_jobs.get = lambda url: json.dumps(web.read_json(url)).encode()  # pages ask for a ticket
    fs.mkdir(folder)
    {"row": row, "trainings": trainings}[what](Cluster.load(Path(root)), argument, folder)
    sys.stdout.flush()
    os._exit(0)  # Java's threads do not end


if __name__ == "__main__":
    main(*sys.argv[1:])
