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
SECONDS = 400


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
    seen = {
        "attempt": attempt,
        "left": [vars(container) for container in left],
        "granted": [],
        "ended": [],
        "marks": marks,
        "secret_keys": sorted(tokens.read()),
        "user": os.environ.get("HADOOP_USER_NAME"),
        "began": began,
    }
    number = {container.id: container.number for container in left}

    def watch(until):
        deadline = time.monotonic() + SECONDS
        while not until():
            if time.monotonic() > deadline:
                seen["late"] = True
                return
            changes = resources.poll(0.5)
            seen["available"] = changes.available
            for container in changes.granted:
                mark(f"granted {container.number}")
                seen["granted"].append(vars(container))
                number[container.id] = container.number
                resources.launch(container, {"do": DO[container.number], "trial": SECRET})
                mark(f"launched {container.number}")
            seen["ended"] += [[number[ended.id], ended.kind, ended.reason] for ended in changes.ended]
            time.sleep(0.02)

    if attempt == 1:
        resources.ask(NEVER, ["nowhere.invalid"], strict=True)
        resources.ask(1, HOSTS[:1], strict=True)
        resources.ask(3, ["nowhere.invalid"], strict=True)
        resources.ask(3, HOSTS[1:], strict=True)  # replaces the request before
        resources.ask(5, HOSTS)
        resources.ask(7)
        hello = f"{staging}/hello-7"
        watch(lambda: len(seen["ended"]) == 3 and fs.exists(hello))
        resources.cancel(NEVER)
        fs.publish(f"{staging}/first.json", json.dumps(seen).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    for container in left:
        resources.stop(container.id)
    watch(lambda: len(seen["ended"]) == len(left))
    fs.publish(f"{staging}/second.json", json.dumps(seen).encode())
    resources.unregister(True, "the trial is over")
    resources.close()


def worker(staging):
    from hdl import fs

    secret_keys = tokens.read()
    assert sorted(secret_keys) == ["do", "trial"], sorted(secret_keys)
    assert secret_keys["trial"] == SECRET
    assert all(SECRET[65:90].decode() not in text for text in (*sys.argv, *os.environ.values()))
    match secret_keys["do"]:
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
