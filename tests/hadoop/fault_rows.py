"""The application's fault matrix: what is done to a training on YARN, and what has to come of it.

A row is described here once; `test_yarn_faults` runs rows on the simple cluster and `soak` on the one with Kerberos,
both by `fault_trial`. The table in docs/yarn.md is made of what they print.
"""

import signal
import time
from contextlib import suppress

import psutil

from tests.hadoop.fault_row import LONG, MET, Row
from tests.hadoop.neighbour_rows import NEIGHBOURS, bad_node
from tests.hadoop.yarn_jobs import daemon_of, processes


def killed(title, fault, again=1, memory=False):
    """Describe a worker that is lost and replaced."""
    said = (r"GB of|(?i:memory)",)
    rank = (fault.split(":")[2],) * again
    return Row(title, fault, died=rank, lost=0, says=said if memory else (), silent=() if memory else said)


def master(title, fault):
    """Describe a master that is lost, and whose workers find the next one."""
    says = (r"attempt 2 of the master goes on from version \d+ with 4 of 4 workers that were there",)
    return Row(title, fault, died=(), says=says)


# --- what is done to a training from outside --------------------------------------------------------------------------


def sleep_and_wake(trial):
    """Let a worker's NodeManager sleep too, so that the worker has to see by itself that it was replaced."""
    sleeper = trial.training.until(lambda: stopped(trial.training.application))
    node = daemon_of(sleeper)
    trial.cluster.kill(node, signal.SIGSTOP)
    try:
        trial.training.reach(5)  # another one has its place
        trial.must(sleeper.status() == psutil.STATUS_STOPPED, "the worker that sleeps woke by itself")
        sleeper.send_signal(signal.SIGCONT)
        with suppress(psutil.TimeoutExpired):
            sleeper.wait(120)
        trial.must(not sleeper.is_running(), "the worker that woke goes on")
    finally:
        with suppress(psutil.NoSuchProcess):
            sleeper.send_signal(signal.SIGCONT)
        trial.cluster.kill(node, signal.SIGCONT)


def stopped(application):
    """Find a worker that is stopped; None while there is none."""
    for process in processes(application, "hdl.yarn.worker"):
        with suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_STOPPED:
                return process
    return None


def restarts(daemon):
    """Make a function that kills a daemon of YARN and starts it again, while containers run on.

    Figures tell after how many seconds it was `back`: YARN gives a node up that is away for longer than
    yarn.nm.liveness-monitor.expiry-interval-ms, 20 s here, and then what ran there is lost with it.
    """

    def restart(trial):
        trial.training.reach(MET)
        before, began = {process.pid for process in processes(trial.training.application)}, time.monotonic()
        trial.cluster.restart(daemon)
        after = {process.pid for process in processes(trial.training.application)}
        trial.cluster.wait_ready(120)
        trial.noted["back"] = round(time.monotonic() - began, 1)
        trial.must(after == before, "the containers did not run on")

    return restart


def kill_a_datanode(trial):
    trial.training.reach(MET)
    trial.cluster.kill("datanode2")
    trial.after.append(lambda: (trial.cluster.restart("datanode2"), trial.cluster.wait_ready(300)))


def safe_mode(trial):
    trial.training.reach(MET)
    trial.admin("-safemode", "enter")
    try:
        time.sleep(10)
    finally:
        trial.admin("-safemode", "leave")


# faulthandler comes before Java, as in the master: after it, it would take Java's own signals for crashes.
HALF = """
import faulthandler, os, signal, sys
faulthandler.enable()
from hdl.yarn.resource_manager import java
java.start()
from hdl.hdfs import Hdfs
take = Hdfs._take
def dying(self, temporary, path):
    if path.rpartition("/")[2].startswith("v00000003.") and "_01_" in os.environ["CONTAINER_ID"]:
        os.kill(os.getpid(), signal.SIGKILL)
    take(self, temporary, path)
Hdfs._take = dying
from hdl.yarn.master.master import main
main()
"""
MASTERS_OWN = 'if [[ $3 == hdl.yarn.master ]]; then exec {python} -P {folder}/half.py "$4"; fi\nexec {python} "$@"\n'

ROWS = {
    "worker-loads": killed("kill -9 of a worker while it loads", "loading:0:1:1:KILL"),
    "worker-computes": killed("… computes", "computing:3:2:1:KILL"),
    "worker-sends": killed("… sends", "sending:3:0:1:KILL"),
    "worker-waits": killed("… waits for the others", "waiting:3:3:1:KILL"),
    "worker-publishes": killed("… its weights are taken for the table", "publishing:3:0:1:KILL"),
    "same-rank-twice": killed("the same rank twice", "sending:3:1:2:KILL", again=2),
    "all-workers": Row("all workers", "sending:3:*:1:KILL", died=("0", "1", "2", "3")),
    "master-mid-round": master("the master in the middle of a round", "waiting:3:-1:1:KILL"),
    "master-publishes": master("the master when it has a version's weights", "publishing:3:-1:1:KILL"),
    "master-half-a-version": Row(
        "the master between the last byte of a version and its name", python=MASTERS_OWN, files=(("half.py", HALF),),
        died=(), says=("attempt 2 of the master goes on from version 2 with 4 of 4 workers",),
    ),
    "worker-sleeps": Row(
        "SIGSTOP of a worker past `--worker-timeout 3`, then SIGCONT: it ends", "computing:3:1:1:STOP",
        ("--worker-timeout", "3"), meanwhile=sleep_and_wake, lost=0,
        says=("worker 1 died .*no sign of life for 3 s",),  # on a busy machine others may be as silent
    ),
    "memory-once": killed("a container over its memory once", "computing:3:1:1:MEMORY", memory=True),
    "memory-twice": Row(
        "… twice", "computing:3:1:2:MEMORY", status=6, version=MET,
        says=(r"worker 1 on \S+ .*was killed for its memory twice, with 512 MiB: .* GB of",
              "--worker-memory asks for more", r"yarn logs -applicationId application_\d+_\d+"),
    ),
    "node-disk-full": Row(
        "a node's disk is full: all that computes there meets ENOSPC", python=bad_node("ENOSPC"), lost=0,
        says=(r"node \S+ is avoided for 60 s: its disk: .*No space left on device.*; its log: hdl logs app",
              r"worker \d died \(worker \d on \S+ .*No space left on device"),
        silent=("Traceback", "is avoided for 2 min"),
    ),
    "master-disk-full": master("the master's own disk is full", "merging:3:-1:1:ENOSPC"),
    "nodemanager1": Row(
        "a NodeManager is killed and restarts", rounds=LONG, meanwhile=restarts("nodemanager1"), died=(), lost=0
    ),
    "nodemanager2": Row("… the other one", rounds=LONG, meanwhile=restarts("nodemanager2"), died=(), lost=0),
    "resourcemanager": Row(
        "the ResourceManager restarts, with recovery", rounds=LONG, meanwhile=restarts("resourcemanager"), died=(),
        lost=0,
    ),
    "datanode": Row("a DataNode is killed", rounds=LONG, meanwhile=kill_a_datanode, died=(), lost=0),
    "safe-mode": Row("safe mode for 10 s", rounds=LONG, meanwhile=safe_mode),
    **NEIGHBOURS,
}  # fmt: skip
