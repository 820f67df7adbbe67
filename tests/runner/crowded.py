"""Trains with the worker group while a crowd holds connections to the master's control port: a process of its own.

Run as `python -m tests.runner.crowded DATA TABLE FOLDER SPEC DESCRIPTORS`; the limit of descriptors is this process's
and its workers'. It prints what the front refused, and how many descriptors the master had open in the crowd.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from hdl import driver
from hdl.runners.base import Job
from hdl.spec import parse
from hdl.yarn.comm import control_server
from hdl.yarn.names import MASTER_ADDRESS
from tests.runner.yarn_here import YarnHere

IDLE, SLOW = 5000, 200
SECONDS = 400.0


def main(data, table, folder, spec, descriptors):
    limit, plenty = int(descriptors), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, plenty))
    runner, said = YarnHere(2, staging=folder), Path(folder) / "crowd"
    crowd, most, servers = None, 0, []
    make = control_server.Server.__init__
    control_server.Server.__init__ = lambda self, *args: (servers.append(self), make(self, *args))[1]

    def on_event(event):
        nonlocal crowd, most
        if not isinstance(event, driver.Round):
            return
        if crowd is None:
            (address,) = [json.loads((Path(folder) / MASTER_ADDRESS.format(1)).read_text())["control"]]
            words = [sys.executable, str(Path(__file__).with_name("crowd.py")), address.rpartition(":")[2]]
            crowd = subprocess.Popen([*words, str(IDLE), str(SLOW), str(said)], stdin=subprocess.PIPE)
            until = time.monotonic() + SECONDS
            # The crowd is there once the front has refused most of it: what is made may still wait to be taken in.
            while not (said.exists() and sum(servers[0].refused.values()) > IDLE - limit):
                assert time.monotonic() < until, servers[0].refused
                time.sleep(0.05)
        most = max(most, len(os.listdir("/proc/self/fd")))

    try:
        runner.train(Job(data, table, parse(json.loads(spec))), on_event)
    finally:
        if crowd:
            crowd.stdin.close()
            crowd.wait(SECONDS)
    told = {"refused": dict(servers[0].refused), "descriptors": most, "made": int(said.read_text())}
    print(json.dumps(told | {"lost": sum("signal 9" in text for text in runner.messages)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
