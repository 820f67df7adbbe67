"""Tries a row of the fault matrix, and tells what it cost and what was left.

    python -m tests.hadoop.fault_trial CLUSTER row ROW FOLDER
    python -m tests.hadoop.fault_trial CLUSTER trainings N FOLDER

run as a user of the cluster with Kerberos, with a folder of HDFS for data and tables. The first prints a line of JSON,
the second one for each training.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import psutil

from hdl import fs
from hdl.cluster.daemons import Cluster
from hdl.errors import TableError
from hdl.table import Table
from tests.hadoop import yarn_jobs
from tests.hadoop.fault_row import differs, lost, nodes_python
from tests.hadoop.fault_rows import ROWS
from tests.hadoop.runners import local, put_csv
from tests.hadoop.watching import Watch, kept, of, words
from tests.hadoop.yarn_jobs import Training, applications

OVER = ("FINISHED", "FAILED", "KILLED")
GRACE = 120.0  # seconds in which what ends may end


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
        self.after, self.broken, self.noted = [], [], {}

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
        if row.instead:
            return self._instead(began)
        temporary = Path(tempfile.mkdtemp(dir=self.here))
        training = Training(
            self.data, self.table, "--epochs", str(row.rounds), *row.flags, workers=row.workers, fault=row.fault,
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
        try:
            version = training.table.read()
        except TableError:
            return {"row": self.name, "status": status, "broken": [f"no table was made: {said[-2000:]}"]}
        self.broken += differs(row, status, said, version.number)
        figures = {"row": self.name, "pause": round(training.recovery(), 1), "lost": lost(said), "status": status}
        figures |= self.noted
        figures["equal"] = None if row.status else self._equal(training, out)
        figures |= self._left(training, before, temporary)
        if watch:
            figures |= watch.scan(self.cluster, began)
        for what in ("processes", "applications", "files", "local", "secrets"):
            self.must(not figures.get(what), f"{what}: {figures.get(what)}")
        if self.broken:
            figures |= {"said": said[-3000:], "logs": logs(training.application)}
        shutil.rmtree(temporary, ignore_errors=True)
        return figures | {"seconds": round(time.time() - began, 1), "broken": self.broken}

    def _instead(self, began):
        """Do what a row does that is no training on YARN; its table is what the row's number of rounds makes."""
        status, said = self.row.instead(self)
        table = Table(self.table)
        self.broken += differs(self.row, status, said, table.read().number)
        equal = result(table) == self.expected(self.row.rounds)
        self.must(equal, "the weights or the rows are not the local runner's")
        files = [f"{self.table}/{name}" for name in fs.list(self.table) if name.startswith(".")]
        self.must(not files, f"files: {files}")
        figures = {"row": self.name, "lost": 0, "status": status, "equal": equal, "files": files, "secrets": []}
        if self.broken:
            figures["said"] = said[-3000:]
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


def logs(application):
    """What an application's containers have written, as far as the nodes have handed it over."""
    found = subprocess.run(
        ["yarn", "logs", "-applicationId", application], capture_output=True, text=True, errors="replace", timeout=120
    )
    return found.stdout[-60_000:] or found.stderr[-2000:]


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
        if fs.exists(table):
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    yarn_jobs.get = lambda url: json.dumps(web.read_json(url)).encode()  # pages ask for a ticket
    fs.mkdir(folder)
    status = 1
    try:
        {"row": row, "trainings": trainings}[what](Cluster.load(Path(root)), argument, folder)
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # Java's threads do not end


if __name__ == "__main__":
    main(*sys.argv[1:])
