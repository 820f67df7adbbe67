"""A trial application of containers alone: its master and its workers. It runs on the nodes, not in pytest.

The first attempt of the master asks for containers whose workers end in different ways, and kills itself while one of
them sleeps; the second finds that one, and ends it.
"""

import json
import os
import signal
import sys
import time

from hdl.yarn.comm import tokens
from hdl.yarn.resource_manager import java

HOSTS = ("localhost", "127.0.0.2")
SECRET = bytes(range(256))
DO = {1: b"exit", 3: b"kill", 5: b"memory", 7: b"sleep"}  # number: what its worker does
NEVER = 9  # asks for a host that is not there
SECONDS = 90


def master(staging):
    from hdl import fs
    from hdl.yarn.resource_manager.hadoop import Hadoop
    from hdl.yarn.settings import from_task_config

    began = time.time()
    marks = {}

    def mark(name):
        marks[name] = time.time() - began

    java.start()
    mark("jvm")
    with fs.open(f"{staging}/order.json") as file:
        _, settings = from_task_config(json.loads(file.read()))
    attempt = int(os.environ["CONTAINER_ID"].split("_")[-2])
    resources = Hadoop(settings, staging)
    mark("clients")
    left = resources.register(os.environ["NM_HOST"], 0, "")
    mark("registered")
    found = {"attempt": attempt, "left": [vars(one) for one in left], "granted": [], "ended": [], "marks": marks,
             "secrets": sorted(tokens.read()), "user": os.environ.get("HADOOP_USER_NAME"), "began": began}  # fmt: skip
    number = {one.id: one.number for one in left}

    def watch(until):
        deadline = time.monotonic() + SECONDS
        while not until():
            if time.monotonic() > deadline:
                found["late"] = True
                return
            changes = resources.poll(0.5)
            found["available"] = changes.available
            for one in changes.granted:
                mark(f"granted {one.number}")
                found["granted"].append(vars(one))
                number[one.id] = one.number
                resources.launch(one, {"do": DO[one.number], "trial": SECRET})
                mark(f"launched {one.number}")
            found["ended"] += [[number[one.id], one.kind, one.reason] for one in changes.ended]
            time.sleep(0.02)

    if attempt == 1:
        resources.ask(NEVER, ["nowhere.invalid"], strict=True)
        resources.ask(1, HOSTS[:1], strict=True)
        resources.ask(3, ["nowhere.invalid"], strict=True)
        resources.ask(3, HOSTS[1:], strict=True)  # takes the place of the one before
        resources.ask(5, HOSTS)
        resources.ask(7)
        hello = f"{staging}/hello-7"
        watch(lambda: len(found["ended"]) == 3 and fs.exists(hello))
        resources.cancel(NEVER)
        fs.publish(f"{staging}/first.json", json.dumps(found).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    for one in left:
        resources.stop(one.id)
    watch(lambda: len(found["ended"]) == len(left))
    fs.publish(f"{staging}/second.json", json.dumps(found).encode())
    resources.unregister(True, "the trial is over")
    resources.close()


def worker(staging):
    from hdl import fs

    secrets = tokens.read()
    assert sorted(secrets) == ["do", "trial"], sorted(secrets)
    assert secrets["trial"] == SECRET
    assert all(SECRET[65:90].decode() not in text for text in (*sys.argv, *os.environ.values()))
    match secrets["do"]:
        case b"exit":
            sys.exit(3)
        case b"kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"memory":
            held = bytearray(os.urandom(1 << 20)) * 2000
            time.sleep(SECONDS)
            print(len(held))
        case b"sleep":
            fs.publish(f"{staging}/hello-7", b"")
            time.sleep(2 * SECONDS)


if __name__ == "__main__":
    {"hdl.yarn.master": master, "hdl.yarn.worker": worker}[sys.argv[1]](sys.argv[2])
    sys.stdout.flush()
    os._exit(0)
