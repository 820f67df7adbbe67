#!/usr/bin/env python3
"""The fault matrix on a cluster with Kerberos as an ordinary user, each row so many times; and many trainings.

    tests/hadoop/soak.py --rows all --times 10
    tests/hadoop/soak.py --rows worker-computes,master-mid-round
    tests/hadoop/soak.py --trainings 100

It prints tables of figures and keeps each trial in a file as it ends; its status is 1 where a promise was broken. The
cluster is the one of --cluster or HDL_TEST_SECURE_CLUSTER, or else its own, which it starts and stops.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0:1] = [str(ROOT)]  # in place of this file's folder

from hdl.cluster.daemons import Cluster  # noqa: E402
from tests.hadoop.fault_rows import ROWS  # noqa: E402
from tests.hadoop.secure import SECURE_USERS, Secure  # noqa: E402

USER, ADMIN = "ada", "hdfs"
SECONDS = 900  # of a trial, from its start to its last figure
EACH = 180  # of a training among many
WARM = 3  # trainings after which nothing is to grow any more
# What may differ between the first trainings and the last ones, by figure; what is not named may not.
SLACK = {"memory": 16}  # MiB: Java collects its garbage when it likes


@contextmanager
def cluster_of(folder):
    """Give the cluster of a folder, or one of our own while it is needed."""
    if folder:
        yield Cluster.load(Path(folder))
        return
    with tempfile.TemporaryDirectory(prefix="hdl-soak-") as root:
        nodes = {"datanodes": 2, "nodemanagers": 2, "seconds": 600}
        options = {"kerberos": True, "spnego": True, "node_user": USER, "users": SECURE_USERS}
        started = Cluster.start(Path(root) / "cluster", **nodes, **options)
        try:
            yield started
        finally:
            started.stop(purge=True)


def lines_of(secure, folder, *words, seconds):
    """Run a trial as the user, and give the objects that it prints; one with `failed` where it ends badly."""
    command = [sys.executable, "-m", "tests.hadoop.fault_trial", str(secure.cluster.root), *words]
    environment = secure.environment(USER) | {"PYTHONPATH": str(ROOT), "HDL_SOAK_FOLDER": str(folder)}
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment, cwd=ROOT, start_new_session=True
        ) as child:
            try:
                for line in child.stdout:
                    if line.startswith("{"):
                        yield json.loads(line)
                status = child.wait(seconds)
            finally:
                child.terminate()  # it ends its training
                with suppress(subprocess.TimeoutExpired):
                    child.wait(60)
                child.kill()
        if status:
            said.seek(0)
            yield {"failed": f"the trial ended with {status}: {said.read()[-3000:]}"}


def try_rows(secure, names, times, folder, here, keep):
    """Try each row so often, in turns, and return all figures."""
    made = []
    for time_ in range(times):
        for name in names:
            began = time.monotonic()
            (figures,) = list(lines_of(secure, here, "row", name, folder, seconds=SECONDS)) or [
                {"failed": "no figures"}
            ]
            figures = {"row": name, "time": time_ + 1, "broken": [], **figures}
            if "failed" in figures:
                figures["broken"] = [figures["failed"]]
            made.append(figures)
            keep(figures)
            what = "; ".join(figures["broken"]) or "as promised"
            print(f"{name} {time_ + 1}/{times}: {what[:400]} ({time.monotonic() - began:.0f} s)", flush=True)
    return made


def spread(values):
    """Say the least and the most of some figures."""
    values = sorted(value for value in values if value is not None)
    if not values:
        return ""
    return f"{values[0]:g}" if values[0] == values[-1] else f"{values[0]:g} to {values[-1]:g}"


def table_of_rows(made):
    """Write figures as the lines of a table of docs/yarn.md."""
    left = ("processes", "applications", "files", "local")
    head = ("fault", "times", "pause, s", "lost", "SHA-256 equal", "left", "secrets", "broken")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name in dict.fromkeys(figures["row"] for figures in made):
        own = [figures for figures in made if figures["row"] == name]
        equal = [figures.get("equal") for figures in own]
        cells = [
            ROWS[name].title, len(own), spread([each.get("pause") for each in own]),
            spread([each.get("lost") for each in own]),
            f"{sum(each is True for each in equal)}" if any(each is not None for each in equal) else "",
            sum(len(each.get(what, ())) for each in own for what in left),
            sum(len(each.get("secrets", ())) for each in own),
            sum(bool(each["broken"]) for each in own),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def grown(made):
    """Compare the last trainings with those after the first few: {figure: (then, now)}, medians of up to five."""

    def median(some, name):
        return sorted(each[name] for each in some)[len(some) // 2]

    warm = made[WARM:] or made
    five = min(5, -(-len(warm) // 2))
    names = [name for name in warm[0] if name not in ("training", "equal")]
    return {name: (median(warm[:five], name), median(warm[-five:], name)) for name in names}


def table_of_trainings(made):
    """Write what grew, and return it with the sentences of what was not to."""
    lines, broken = ["| figure | after the first few | at the end |", "|---|---|---|"], []
    for name, (then, now) in grown(made).items():
        lines.append(f"| {name} | {then:g} | {now:g} |")
        if name != "seconds" and now - then > SLACK.get(name, 0):
            broken.append(f"{name} grew from {then:g} to {now:g}")
    unequal = sum(not each["equal"] for each in made)
    lines.append(f"| SHA-256 unequal to the first one's | | {unequal} of {len(made)} |")
    return "\n".join(lines), broken + ([f"{unequal} trainings gave other weights"] if unequal else [])


def try_trainings(secure, count, folder, here, keep):
    """Train so often in one process; returns the figures, and what went wrong."""
    made, wrong = [], []
    for figures in lines_of(secure, here, "trainings", str(count), folder, seconds=EACH):
        keep(figures)
        if "failed" in figures:
            wrong.append(figures["failed"])
        else:
            made.append(figures)
            print(json.dumps(figures), flush=True)
    if len(made) < count:
        wrong.append(f"{len(made)} of {count} trainings ended")
    return made, wrong


def seen_by_others(secure, folder):
    """List what another user can read of all that was left on HDFS."""
    command = [sys.executable, "-m", "tests.hadoop.trial_walk", folder, "hdfs:///user/ada", "hdfs:///tmp/logs"]
    done = subprocess.run(
        command, input=json.dumps({"secrets": {}, "but": []}), capture_output=True, text=True, timeout=300,
        env=secure.environment("bob") | {"PYTHONPATH": str(ROOT)}, cwd=ROOT,
    )  # fmt: skip
    return json.loads(done.stdout)["read"] if done.returncode == 0 else [f"the walk failed: {done.stderr[-500:]}"]


def main(arguments=None):
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", help="rows, with commas between them, or all")
    parser.add_argument("--times", type=int, default=1, help="how often each row is tried")
    parser.add_argument("--trainings", type=int, default=0, help="how many trainings one process makes")
    parser.add_argument("--cluster", default=os.environ.get("HDL_TEST_SECURE_CLUSTER"), help="folder of a cluster")
    parser.add_argument(
        "--out", type=Path, default=ROOT / ".build/soak.jsonl", help="file for the figures of each trial"
    )
    parser.add_argument("--list", action="store_true", help="show the rows' names")
    asked = parser.parse_args(arguments)
    names = list(ROWS) if asked.rows == "all" else [name for name in asked.rows.split(",") if name]
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"--rows: expected names of {', '.join(ROWS)} (given {', '.join(unknown)})")
    if asked.list or not (names or asked.trainings):
        print("\n".join(f"{name:24}{row.title}" for name, row in ROWS.items()))
        return 0

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was begun is cleared away
    asked.out.parent.mkdir(parents=True, exist_ok=True)

    def keep(figures):
        with open(asked.out, "a") as file:
            file.write(json.dumps(figures) + "\n")

    broken = []
    with cluster_of(asked.cluster) as cluster:
        secure, folder = Secure(cluster), f"hdfs:///user/{USER}/soak-{os.getpid()}"
        here = Path(tempfile.mkdtemp(dir=cluster.root, prefix="soak-"))
        here.chmod(0o755)
        try:
            if names:
                made = try_rows(secure, names, asked.times, folder, here, keep)
                broken += [f"{each['row']}: {said}" for each in made for said in each["broken"]]
                print(f"\n{table_of_rows(made)}\n")
            if asked.trainings:
                made, wrong = try_trainings(secure, asked.trainings, folder, here, keep)
                broken += wrong
                if made:
                    shown, grew = table_of_trainings(made)
                    broken += grew
                    print(f"\n{shown}\n")
            broken += [f"bob can read {path}" for path in seen_by_others(secure, folder)]
        finally:
            secure.run("hadoop", "fs", "-rm", "-r", "-f", "-skipTrash", folder, check=False)
            shutil.rmtree(here, ignore_errors=True)
    print("\n".join(["not as promised:", *broken]) if broken else "all as promised")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
