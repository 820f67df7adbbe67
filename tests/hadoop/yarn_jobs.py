"""Trainings on YARN as a user starts them, by the command line, and what is left of them."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace

import psutil

from hdl.runners.base import Runner
from hdl.table import Table
from hdl.yarn.settings import Settings, to_task_config

HDL = [sys.executable, "-m", "hdl"]
NET = ["--shards", "4", "--net", "0-5-0", "--batch", "8", "--seed", "3", "--recipe", "plain"]
SMALL = ["--worker-memory", "512m", "--master-memory", "640m"]
MODULES = ("hdl.yarn.worker", "hdl.yarn.master")
DEADLINE = 600.0  # s; nothing takes it that gets on
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
        """Train as `driver.train` does; the outcome has rows and table only."""
        config = json.dumps(to_task_config(job, self.settings))
        done = subprocess.run(
            [sys.executable, "-c", TRAIN, config], stderr=subprocess.PIPE, text=True, timeout=DEADLINE
        )
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
        before = {known["id"] for known in applications()}
        self.client = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment, start_new_session=True,
        )  # fmt: skip
        self.application = ""
        while not self.application and self.client.poll() is None:
            own = [known for known in applications() if known["name"].endswith(table)]
            new = [known["id"] for known in own if known["id"] not in before]
            self.application = new[0] if new else ""
            time.sleep(0.2)

    def until(self, good, seconds=DEADLINE):
        """Wait until `good()` is true, and return it."""
        deadline = time.monotonic() + seconds
        while not (result := good()):
            assert time.monotonic() < deadline, f"{self.application}: not within {seconds} s"
            assert self.client.poll() is None, self.client.communicate()[1]
            time.sleep(0.1)
        return result

    def version(self):
        """Return the table's last version by file names alone, as versions are thinned; -1 while there is none."""
        return max(self.table.numbers(), default=-1)

    def reach(self, version):
        """Wait until a version is there."""
        self.until(lambda: self.version() >= version)

    def end(self, seconds=DEADLINE):
        """Wait until the client ends; returns its exit status, standard output and standard error."""
        try:
            out, err = self.client.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            out, err = self.client.communicate()
            raise AssertionError(f"{self.application} did not end within {seconds} s:\n{err[-4000:]}") from None
        return self.client.returncode, out, err

    def kill(self):
        """End the client and the application, whatever their state."""
        self.client.kill()
        if self.application and report(self.application)["state"] not in ("FINISHED", "FAILED", "KILLED"):
            subprocess.run([*HDL, "kill", self.application], timeout=DEADLINE, check=False, capture_output=True)

    def page(self):
        """Read the live page's events, through YARN's proxy; none while it does not answer."""
        url = report(self.application).get("trackingUrl", "")
        try:
            return json.loads(get(f"{url.rstrip('/')}/events.json?since=0"))
        except (OSError, ValueError):
            return {"events": []}

    def recovery(self):
        """Return the longest pause between two rounds, in seconds, by the times in the table."""
        times = [row["time"] for row in self.table.read().rows]
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def gone(self, seconds=DEADLINE):
        """Tell whether the application has ended and none of its processes is left, once YARN has had its time."""
        deadline = time.monotonic() + seconds
        while left := [process.info["cmdline"] for process in processes(self.application)]:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.application} left {left}")
            time.sleep(0.1)
        assert report(self.application)["state"] in ("FINISHED", "FAILED", "KILLED")
        return True


def resource_managers():
    """Find the web addresses of the ResourceManagers; one that is not active sends on to the one that is."""
    with open(os.environ["HADOOP_CONF_DIR"] + "/yarn-site.xml") as file:
        found = re.findall(r"yarn\.resourcemanager\.webapp\.address(?:\.\w+)?</name><value>([^<]+)", file.read())
    return [f"http://{address}" for address in found]


def get(url):
    """Read a page's bytes, never through a proxy of this machine."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers={"Accept": "application/json"}), timeout=10) as answer:
        return answer.read()


def applications():
    """List YARN's applications; none while it does not answer."""
    for address in resource_managers():
        with suppress(OSError, ValueError):
            answer = json.loads(get(f"{address}/ws/v1/cluster/apps"))
            return (answer.get("apps") or {}).get("app") or []
    return []


def report(application):
    """Return YARN's report about an application."""
    return next((known for known in applications() if known["id"] == application), {"state": "UNKNOWN"})


def daemon_of(process):
    """Name the NodeManager of a container's process, as the cluster does."""
    host = process.environ()["NM_HOST"]
    return f"nodemanager{1 if host == 'localhost' else host.rpartition('.')[2]}"


def processes(application, module=""):
    """List the processes of the application's master and workers, or of one module: not their shells."""
    running = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        here = any(application in word for word in words) and any(name in words for name in MODULES)
        if here and (not module or module in words) and process.info["status"] != psutil.STATUS_ZOMBIE:
            running.append(process)
    return running
