"""Rows of the fault matrix of a long life on a shared cluster: bad nodes, crowds, and what sleeps and wakes."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil

from hdl import fs
from hdl.table import Table
from hdl.yarn.names import MASTER_ADDRESS
from tests.hadoop.fault_row import LONG, MET, Row
from tests.hadoop.yarn_jobs import HDL, NET, daemon_of, processes

CROWD = 5000  # idle connections
SECONDS = 240.0


HOLD = """
import resource, socket, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
held = []
for _ in range(int(sys.argv[3])):
    try:
        held.append(socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5))
    except OSError:  # it refuses more than it can bear
        pass
print(len(held), flush=True)
sys.stdin.read()
"""


def shrink(trial):
    """Kill half of the workers, whose shards go to the others until new containers come."""
    trial.training.reach(MET)
    for process in processes(trial.training.application, "hdl.yarn.worker")[:2]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def crowd(trial):
    """Hold idle connections to the master's control port until the end."""
    trial.training.reach(MET)
    with fs.open(f"{trial.home}/apps/{trial.training.application}/{MASTER_ADDRESS.format(1)}") as file:
        host, _, port = json.loads(file.read())["control"].rpartition("//")[2].rpartition(":")
    # In a process of its own: Kerberos' libraries abort one that has so many descriptors.
    command = [sys.executable, "-c", HOLD, host, port, str(CROWD)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    trial.after.append(lambda: (holder.kill(), holder.wait()))
    made = int(holder.stdout.readline() or 0)
    trial.must(made > CROWD // 2, f"{made} of {CROWD} connections were made")
    trial.must(trial.training.client.poll() is None, "the training was over before the crowd was there")


def sleeping_master(trial):
    """Let the master sleep, and its NodeManager with it, until another one trains; then both wake."""
    training = trial.training
    training.reach(MET)
    (master,) = processes(training.application, "hdl.yarn.master")
    node = daemon_of(master)
    trial.cluster.kill(node, signal.SIGSTOP)
    master.suspend()
    version = training.version()
    try:
        training.reach(version + 3)
    finally:
        with suppress(psutil.NoSuchProcess):
            master.resume()
        trial.cluster.kill(node, signal.SIGCONT)
    trial.after.append(lambda: trial.cluster.wait_ready(120))


def sleeping_driver(trial):
    """Let a driver sleep while another run overwrites its table; then it wakes.

    Returns
    -------
    int, str
        Of the driver that slept: its status and what it said.
    """
    command = [*HDL, "train", trial.data, "--out", trial.table, "--runner", "local", "--no-report", *NET]
    table, deadline = Table(trial.table), time.monotonic() + SECONDS
    with subprocess.Popen(
        [*command, "--epochs", "5000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as driver:  # fmt: skip
        try:
            while driver.poll() is None and not any(number > 5 for number in numbers(table)):
                trial.must(time.monotonic() < deadline, "the first driver makes no versions")
                if trial.broken:
                    break
                time.sleep(0.1)
            os.kill(driver.pid, signal.SIGSTOP)
            second = subprocess.run(
                [*command, "--overwrite", "--epochs", str(trial.row.rounds)], capture_output=True, text=True,
                timeout=SECONDS, check=False,
            )  # fmt: skip
            trial.must(second.returncode == 0, f"the second run ended with {second.returncode}: {second.stderr[-500:]}")
            os.kill(driver.pid, signal.SIGCONT)
            return driver.wait(SECONDS), driver.stderr.read()
        finally:
            driver.kill()


def numbers(table):
    """List the versions of a table that may not be there yet."""
    with suppress(OSError):
        return table.numbers()
    return []


def bad_node(end):
    """Write the nodes' Python that makes the node bad where the first worker starts: what computes there ends so.

    YARN may place all workers on one node, so which one it is to be cannot be said before.
    """
    return f"""bad={{folder}}/bad-$(basename "$4")
if [[ $3 == hdl.yarn.worker ]]; then
    (set -C; echo "$NM_HOST" > "$bad") 2> /dev/null
    export HDL_FAULT="computing:3:@$(cat "$bad"):99:{end}"
fi
exec {{python}} "$@"
"""


NEIGHBOURS = {
    # It is avoided once a second one crashes that was started there: YARN may have placed that one elsewhere.
    "bad-node": Row(
        "a node that fails every container", python=bad_node("SEGV"),
        says=(r"worker \d died \(worker \d on \S+ .*exit status 139|node \S+ is avoided for ",),
    ),
    "shrink-and-grow": Row(
        "`--workers 2:4`: half of the workers die, the others go on, newcomers join", workers="2:4", rounds=400,
        meanwhile=shrink, lost=0, says=("of 2 to 4 workers train", "joined: "),
    ),
    "idle-crowd": Row(
        "5,000 idle connections to the master's control port", rounds=LONG, meanwhile=crowd, died=(), lost=0
    ),
    "master-sleeps": Row(
        "SIGSTOP of the master and its node until another master trains, then SIGCONT", rounds=LONG,
        meanwhile=sleeping_master,
        # The client hears attempt 2, finds the page again, or reads the table until the end: a matter of time.
        says=("page is there again|attempt 2 of the master goes on|Rounds are told as the table gets them",),
    ),
    "driver-sleeps": Row(
        "SIGSTOP of a driver, another run has `--overwrite`, then SIGCONT: it stops", instead=sleeping_driver, status=4,
        says=("stops and has left it as it is|has taken the table over",),
    ),
}  # fmt: skip
