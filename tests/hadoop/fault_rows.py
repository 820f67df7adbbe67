"""The application's fault matrix: what is done to a training on YARN, and what has to come of it.

A row is described here once; `test_yarn_faults` runs rows on the simple cluster and `soak` on the one with Kerberos,
both by `fault_trial`. The table in docs/yarn.md is made of what they print.
"""

import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.hadoop.yarn_jobs import daemon_of, processes

ROUNDS, LONG = 15, 60  # rounds of a training; of one to which something is done from outside
MET = 3  # round, from 0, in which faults are met: three are done then


@dataclass(frozen=True)
class Row:
    """A fault, and the promise of docs/yarn.md.

    Parameters
    ----------
    title : str
        As the table of docs/yarn.md has it.
    fault : str
        HDL_FAULT of the containers.
    flags : tuple of str
        Of the command, beside the usual ones.
    rounds : int
    meanwhile : function of a Trial, optional
        What is done while it trains.
    python : str, optional
        The nodes' Python: lines of a shell script, in which ``{python}`` is the usual one and ``{folder}`` a folder
        that has the row's `files`.
    files : tuple of (str, str)
        Name and content of files for that script.
    status : int
        How the command ends.
    died : tuple of str, optional
        The ranks that are replaced, in any order; None: it makes no difference.
    says, silent : tuple of str
        Regular expressions that the command's standard error matches, and does not.
    lost : int
        Finished rounds that may have to be done again.
    version : int, optional
        The table's last version, where the training does not end well.
    """

    title: str
    fault: str = ""
    flags: tuple[str, ...] = ()
    rounds: int = ROUNDS
    meanwhile: Callable | None = None
    python: str = ""
    files: tuple[tuple[str, str], ...] = ()
    status: int = 0
    died: tuple[str, ...] | None = None
    says: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    lost: int = 1
    version: int | None = None


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
            sleeper.wait(10)
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
    """Make a function that kills a daemon of YARN and starts it again, while containers run on."""

    def restart(trial):
        trial.training.reach(MET)
        before = {process.pid for process in processes(trial.training.application)}
        trial.cluster.restart(daemon)
        after = {process.pid for process in processes(trial.training.application)}
        trial.cluster.wait_ready(120)
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


HALF = """
import os, signal, sys
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
        ("--worker-timeout", "3"), meanwhile=sleep_and_wake, died=("1",), lost=0, says=("no sign of life for 3 s",),
    ),
    "memory-once": killed("a container over its memory once", "computing:3:1:1:MEMORY", memory=True),
    "memory-twice": Row(
        "… twice", "computing:3:1:2:MEMORY", status=6, version=MET,
        says=(r"worker 1 on \S+ .*was killed for its memory twice, with 512 MiB: .* GB of",
              "--worker-memory asks for more", r"yarn logs -applicationId application_\d+_\d+"),
    ),
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
}  # fmt: skip


def lost(said):
    """Count the finished rounds that had to be done again: those after the version from which training went on."""
    versions = re.findall(r"(?:goes|going) on from version (\d+)", said)
    return max((MET - int(version) for version in versions), default=0)


def replaced(said):
    """List the ranks of workers that were replaced, in order of rank."""
    return tuple(sorted(re.findall(r"^worker (\d) died", said, re.MULTILINE)))


def differs(row, status, said, version):
    """List in which ways a training that is over is not what its row promises; its weights are the caller's."""
    found = [f"{text!r} is not said" for text in row.says if not re.search(text, said)]
    found += [f"{text!r} is said" for text in row.silent if re.search(text, said)]
    if status != row.status:
        found.append(f"the command ended with {status}, expected {row.status}")
    if row.died is not None and replaced(said) != row.died:
        found.append(f"workers {replaced(said)} were replaced, expected {row.died}")
    if row.version is not None and version != row.version:
        found.append(f"the last version is {version}, expected {row.version}")
    if lost(said) > row.lost:
        found.append(f"{lost(said)} rounds were lost, expected at most {row.lost}")
    return found


def nodes_python(folder):
    """Write the Python of the nodes, with the hdl that is tested: its path, which all may read."""
    import sys

    path = os.path.join(folder, "node-python")
    with open(path, "w") as file:
        file.write(f'#!/bin/bash\nPYTHONPATH="{os.getcwd()}" exec {sys.executable} "$@"\n')
    os.chmod(path, 0o755)
    return path
