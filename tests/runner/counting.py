"""What a process of this machine has open and uses, as Linux tells of it; and a training that is counted so."""

import os
from pathlib import Path

from hdl import driver
from tests.runner.yarn_here import YarnHere


def count(pid):
    """TCP connections, Unix sockets, threads, descriptors and MiB of memory (resident, and its own share of it)."""
    root = Path(f"/proc/{pid}")
    kinds = {}
    for name, state in ("tcp", 3), ("unix", None):
        for line in (root / "net" / name).read_text().splitlines()[1:]:
            fields = line.split()
            if state is None or fields[state] == "01":  # established
                kinds[fields[9 if name == "tcp" else 6]] = name
    links = []
    for each in os.listdir(root / "fd"):
        try:
            links.append(os.readlink(root / "fd" / each))
        except OSError:  # closed meanwhile
            continue
    sockets = [kinds.get(link[8:-1]) for link in links if link.startswith("socket:[")]
    memory = dict(line.split(":") for line in (root / "smaps_rollup").read_text().splitlines()[1:])
    return {
        "tcp": sockets.count("tcp"),
        "unix": sockets.count("unix"),
        "threads": len(os.listdir(root / "task")),
        "descriptors": len(links),
        "resident": int(memory["Rss"].split()[0]) / 1024,
        "own": int(memory["Pss"].split()[0]) / 1024,
    }


def train(job, workers, **settings):
    """Train with so many true worker processes; returns the outcome, and in its second round what each of them and
    the master has.
    """
    runner = YarnHere(workers, **{"gather_seconds": 900, "silence_seconds": 120, **settings})
    found = {}

    def hear(event):
        if isinstance(event, driver.Round) and event.row["round"] == 1:
            processes = [process.pid for process in runner.resources.running.values()]
            found.update({pid: count(pid) for pid in processes}, master=count(os.getpid()))

    outcome = runner.train(job, hear)
    return outcome, {name: each for name, each in found.items() if name != "master"}, found["master"], runner
