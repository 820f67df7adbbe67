"""Trainings on YARN as a user starts them, by the command line, and what is left of them."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from itertools import pairwise
from types import SimpleNamespace

import psutil

from hdl.runners.base import Runner
from hdl.table import Table
from hdl.yarn.settings import Settings, to_task_config

HDL = [sys.executable, "-m", "hdl"]
NET = ["--shards", "4", "--net", "0-5-0", "--batch", "8", "--seed", "3"]
SMALL = ["--worker-memory", "512m", "--master-memory", "640m"]
MODULES = ("hdl.yarn.worker", "hdl.yarn.master")
DEADLINE = 240.0
TRAIN = """
import json, sys
from hdl import driver
from hdl.runners.yarn import YarnRunner
from hdl.yarn.settings import from_task_config
job, settings = from_task_config(json.loads(sys.argv[1]))
driver.train(job, YarnRunner(**settings.model_dump()))
"""


class YarnThere(Runner):
    """The YARN runner in a process of its own, because one process holds one virtual machine and pytest's is libhdfs's.

    It is made and used like the other runners, with the packed environment.
    """

    def __init__(self, archive, workers=4, settings=None):
        self.settings = Settings.make(
            archive=archive, workers=workers, memory=512, master_memory=640, publish_every=1, threads=1
        )

    def train(self, job, drive, notify):
        """As `driver.train`; of the outcome the rows and the table."""
        order = json.dumps(to_task_config(job, self.settings))
        done = subprocess.run([sys.executable, "-c", TRAIN, order], stderr=subprocess.PIPE, text=True, timeout=DEADLINE)
        assert done.returncode == 0, done.stderr
        return SimpleNamespace(table=job.table, rows=Table(job.table).read().rows)

    def close(self):
        pass


class Training:
    """`hdl train … --runner yarn` in a process of its own.

    Parameters
    ----------
    data, table : str
    *flags : str
        Beside those of `NET` and `SMALL`.
    workers : int
    fault : str
        HDL_FAULT of its containers.
    **environment : str
    """

    def __init__(self, data, table, *flags, workers=4, fault="", **environment):
        command = [*HDL, "train", data, "--out", table, "--runner", "yarn", "--workers", str(workers)]
        command += ["--publish-every", "1", "--no-report", *NET, *SMALL, *flags]
        environment = {"HDL_NODE_PYTHON": sys.executable, **os.environ, "HDL_FAULT": fault, **environment}
        self.table, self.began = Table(table), time.time()
        before = {one["id"] for one in applications()}
        self.client = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment, start_new_session=True,
        )  # fmt: skip
        self.application = ""
        while not self.application and self.client.poll() is None:
            new = [one["id"] for one in applications() if one["id"] not in before and one["name"].endswith(table)]
            self.application = new[0] if new else ""
            time.sleep(0.2)

    def until(self, good, seconds=DEADLINE):
        """Waits until `good()`; what it gives."""
        deadline = time.monotonic() + seconds
        while not (found := good()):
            assert time.monotonic() < deadline, f"{self.application}: not within {seconds} s"
            assert self.client.poll() is None, self.client.communicate()[1]
            time.sleep(0.1)
        return found

    def version(self):
        """The table's last version by its name: it may be thinned away at any time. -1 while there is none."""
        return max(self.table.numbers(), default=-1)

    def reach(self, version):
        """Waits until a version is there."""
        self.until(lambda: self.version() >= version)

    def end(self, seconds=DEADLINE):
        """Waits until the client ends: its exit status, standard output and standard error."""
        try:
            out, said = self.client.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            out, said = self.client.communicate()
            raise AssertionError(f"{self.application} did not end within {seconds} s:\n{said[-4000:]}") from None
        return self.client.returncode, out, said

    def kill(self):
        """Ends the client and the application, however they are."""
        self.client.kill()
        if self.application and report(self.application)["state"] not in ("FINISHED", "FAILED", "KILLED"):
            subprocess.run([*HDL, "kill", self.application], timeout=60, check=False, capture_output=True)

    def page(self):
        """What the live page has to tell, through YARN's proxy."""
        url = report(self.application).get("trackingUrl", "")
        try:
            return json.loads(get(f"{url.rstrip('/')}/events.json?since=0"))
        except (OSError, ValueError):
            return {"events": []}

    def recovery(self):
        """Seconds of the longest pause between two rounds, by the times in the table."""
        times = [row["time"] for row in self.table.read().rows]
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def gone(self, seconds=10.0):
        """That no application and no process of it is left, after the moments that YARN takes to see to it."""
        deadline = time.monotonic() + seconds
        while left := [process.info["cmdline"] for process in processes(self.application)]:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.application} left {left}")
            time.sleep(0.1)
        assert report(self.application)["state"] in ("FINISHED", "FAILED", "KILLED")
        return True


def resource_manager():
    with open(os.environ["HADOOP_CONF_DIR"] + "/yarn-site.xml") as file:
        found = re.search(r"yarn\.resourcemanager\.webapp\.address</name><value>([^<]+)", file.read())
    return f"http://{found[1]}"


def get(url):
    """A page's bytes, never through a proxy of this machine."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers={"Accept": "application/json"}), timeout=10) as answer:
        return answer.read()


def applications():
    """YARN's applications; none while it does not answer."""
    try:
        found = json.loads(get(f"{resource_manager()}/ws/v1/cluster/apps"))
    except (OSError, ValueError):
        return []
    return (found.get("apps") or {}).get("app") or []


def report(application):
    """What YARN says of one."""
    return next((one for one in applications() if one["id"] == application), {"state": "UNKNOWN"})


def daemon_of(process):
    """The NodeManager that a container's process belongs to, by its number in the cluster's names."""
    host = process.environ()["NM_HOST"]
    return f"nodemanager{1 if host == 'localhost' else host.rpartition('.')[2]}"


def processes(application, module=""):
    """Processes of the application's master and workers, or of one of the two: hdl's own Pythons, not their shells."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        here = any(application in word for word in words) and any(name in words for name in MODULES)
        if here and (not module or module in words) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found
