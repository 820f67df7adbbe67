"""Tokens of an application on a cluster with Kerberos: fresh ones take the place of those that end, in all processes.

The trainings are run by an ordinary user; what they are compared with is the local runner's weights of the same spec.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import hdl
from hdl import driver
from hdl.cluster import config
from hdl.cluster.daemons import Cluster
from hdl.data import Options
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from hdl.yarn.settings import Settings, to_task_config
from tests.hadoop import yarn_jobs
from tests.hadoop.secure import Secure

# -P: what lies beside it, such as secrets.py, hides no module of Python's.
TRIAL = [sys.executable, "-P", str(Path(__file__).with_name("trial_tokens.py"))]
HERE = str(Path(hdl.__file__).parent.parent)
SHARDS, WORKERS = 4, 2
DEADLINE = 240.0
RENEW_INTERVAL, MAX_LIFETIME = 60, 240  # seconds, of the cluster of the long test
LONG_ROUNDS, KILLED_AT = 200, (180, 360, 540)  # 3 s a round; seconds
SLOW = "computing:0:*:9:SLOW"


def spec(rounds):
    return parse({"net": "0-5-0", "shards": SHARDS, "batch": 8, "seed": 3, "epochs": rounds})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Numbered files of samples, here."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(1)
    for shard in range(SHARDS):
        x = random.normal(size=(50, 6))
        lines = [",".join(f"{value:.4f}" for value in row) + f",{int(row[0] + row[1] > 0)}" for row in x]
        (folder / f"part-{shard:05d}.csv").write_text("\n".join(lines) + "\n")
    return folder


def local(data, folder, rounds):
    """Return the SHA-256 of the weights that the local runner trains."""
    with LocalRunner(workers=WORKERS) as runner:
        outcome = driver.train(Job(str(data), str(folder), spec(rounds)), runner)
    return Table(outcome.table).header(outcome.version)["signature"]


class Talk:
    """A command of `trial_tokens` that runs as a user, and the objects that it prints."""

    def __init__(self, secure, *words, user="ada", **environment):
        whole = secure.environment(user) | {"PYTHONPATH": HERE} | environment
        self.process = subprocess.Popen(
            [*TRIAL, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=whole, cwd=secure.cluster.root, start_new_session=True,
        )  # fmt: skip
        self.errors, self.heard = [], []
        self._listen = threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True)
        self._listen.start()

    def next(self):
        """Return the next object; its end with an error fails the test."""
        line = self.process.stdout.readline()
        if not line:
            self._listen.join(5)
            pytest.fail(f"ended with {self.process.wait(10)}:\n{''.join(self.errors)[-6000:]}")
        self.heard.append(json.loads(line))
        return self.heard[-1]

    def ask(self, word):
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return self.next()

    def until(self, name):
        """Return the value of the next object that has it; the others stay in `heard`."""
        while name not in (found := self.next()):
            pass
        return found[name]

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def talk(secure):
    """`talk("use", …)`: see `Talk`; all end with the test."""
    begun = []

    def begin(*words, on=secure, **environment):
        begun.append(Talk(on, *words, **environment))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


def put(secure, data, name):
    """Copy the data to a new folder of the user's, and return it and the path of a table beside it."""
    folder = f"/user/ada/tokens-{uuid.uuid4().hex[:8]}"  # a cluster may have the tables of an earlier run
    secure.run("hadoop", "fs", "-mkdir", "-p", folder)
    secure.run("hadoop", "fs", "-put", data, f"{folder}/{name}")
    return f"hdfs://{folder}/{name}", f"hdfs://{folder}/{name}-table"


def task(data, table, rounds, **settings):
    job = Job(data, table, spec(rounds), Options.make())
    made = Settings.make(workers=WORKERS, memory=512, master_memory=640, publish_every=1, threads=1, **settings)
    return json.dumps(to_task_config(job, made))


def logs(secure, application, enough=lambda said: said["master"]):
    """Return what an application that is over said, its master and its workers: lines that begin with their names.

    Nodes hand logs over one after the other, so it asks again until they are `enough`, or ten minutes have passed.
    """
    deadline, known, handed_over = time.monotonic() + 600, None, ""
    while True:
        if (there := secure.collected(application)) != known:
            known = there
            handed_over = secure.run(*yarn_jobs.HDL, "logs", application, check=False, PYTHONPATH=HERE).stdout
        texts = [handed_over]
        with suppress(FileNotFoundError):  # a node removes its own when it has handed them over
            for path in secure.cluster.root.rglob("stderr"):
                texts += [path.read_text()] if application in str(path) else []
        said = {name: re.findall(rf"^hdl {name}: (.*)$", "\n".join(texts), re.M) for name in ("master", "worker")}
        if enough(said) or time.monotonic() > deadline:
            return said
        time.sleep(1)


@pytest.fixture
def impatient(secure, tmp_path):
    """A configuration by which a connection to HDFS is closed as soon as it idles."""
    folder = tmp_path / "conf"
    shutil.copytree(secure.environment()["HADOOP_CONF_DIR"], folder)
    site = folder / "core-site.xml"
    idle = "<property><name>ipc.client.connection.maxidletime</name><value>1</value></property>"
    site.write_text(site.read_text().replace("</configuration>", f"{idle}</configuration>"))
    return str(folder)


def test_a_connection_that_lives_takes_fresh_tokens(talk, secure, data, impatient, tmp_path):
    folder, _ = put(secure, data, "live")
    path = f"{folder}/part-00000.csv"
    site = (Path(secure.environment()["HADOOP_CONF_DIR"]) / "hdfs-site.xml").read_text()
    web = re.search(r"dfs\.namenode\.http-address</name><value>([^<]+)", site)[1]  # another file system to Hadoop
    tokens = talk("take", tmp_path, "hdfs://", f"webhdfs://{web}")
    first, second = tokens.next(), tokens.next()
    assert len(first["services"]) >= 2  # and one of a key server, where there is one
    assert web in first["services"]
    assert first["services"] == second["services"]
    assert first["lives"] > 0
    start = {"HADOOP_TOKEN_FILE_LOCATION": str(tmp_path / "first"), "HADOOP_CONF_DIR": impatient}
    user, stubborn = (talk("use", tmp_path, path, user=None, **start) for _ in range(2))
    size = (data / "part-00000.csv").stat().st_size
    assert user.next() == stubborn.next() == {"read": size}
    assert user.ask("take") == {"read": size}
    assert tokens.ask("first") == {"cancelled": "first"}
    deadline = time.monotonic() + 300
    while "error" not in stubborn.ask("again"):  # a connection that idles is closed; the call after shows its token
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert user.ask("again") == {"read": size}
    assert stubborn.ask("take") == {"read": size}


# By the client that follows, or by a keytab, which is the master's alone. How tokens go on from either to workers is in
# tests/unit/test_tokens_handed_over.py, and that a connection takes them above.
@pytest.mark.full
@pytest.mark.parametrize("by", ["client", "keytab"])
def test_fresh_tokens_reach_the_master_and_its_workers(talk, secure, data, tmp_path, by):
    rounds, principal, state = 5, f"ada@{secure.realm}", tmp_path / "state"
    login = (principal, secure.keytab("ada")) if by == "keytab" else ()
    settings = task(*put(secure, data, by), rounds, renew_seconds=2.0)
    training = talk("train", settings, *login, HDL_FAULT=SLOW, XDG_STATE_HOME=str(state))
    application = training.until("application")
    if by == "client":
        (kept,) = state.rglob("*.json")
        assert kept.name == f"{application}.json"
        assert [oct(path.stat().st_mode & 0o777) for path in (kept, kept.parent)] == ["0o600", "0o700"]
    assert training.until("signature") == local(data, tmp_path / "table", rounds)
    begin = f"fresh tokens by the keytab of {principal}" if by == "keytab" else "fresh tokens from the client"

    def told(said):
        fresh = [text for text in said["master"] if text.startswith(begin)]
        return len(fresh) >= 2 and said["worker"].count("uses fresh tokens") >= 2 * WORKERS

    said = logs(secure, application, told)
    assert told(said), said
    assert not list(state.rglob("*.json"))  # nor of an application that is over
    assert not [path for path in secure.cluster.root.rglob("hdl.keytab") if application in str(path)]


@pytest.fixture
def short_lived(tmp_path_factory, monkeypatch):
    """A cluster of its own whose tokens live for minutes, and whose ResourceManager changes its keys as often."""

    def vary(sites, layout):
        sites["hdfs"]["dfs.namenode.delegation.key.update-interval"] = 1000 * MAX_LIFETIME
        sites["yarn"]["yarn.log-aggregation-enable"] = "false"  # nodes would do it by the first tokens
        for name in ("am", "nm"):
            sites["yarn"][f"yarn.{name}.liveness-monitor.expiry-interval-ms"] = 60000
        for name in ("am-rm-tokens", "nm-tokens", "container-tokens"):
            sites["yarn"][f"yarn.resourcemanager.{name}.master-key-rolling-interval-secs"] = 190  # over three expiries

    monkeypatch.setattr(config, "VARIATIONS", (*config.VARIATIONS, vary))
    started = Cluster.start(
        tmp_path_factory.mktemp("short") / "cluster", nodemanagers=2, memory=4096, vcores=8, kerberos=True,
        renew_interval=RENEW_INTERVAL, max_lifetime=MAX_LIFETIME,
    )  # fmt: skip
    yield Secure(started)
    started.stop(purge=True)


@pytest.mark.full
@pytest.mark.timeout(1500)
def test_ten_minutes_past_the_last_day_of_tokens_with_three_killed_workers(talk, short_lived, data, tmp_path):
    secure, trainings = short_lived, {}
    principal, keytab = f"ada@{secure.realm}", secure.keytab("ada")
    for name, login in (("keytab", (principal, keytab)), ("ticket", ())):
        folder, table = put(secure, data, name)
        trainings[name] = talk("train", task(folder, table, LONG_ROUNDS), *login, on=secure, HDL_FAULT=SLOW)
    applications = {name: training.until("application") for name, training in trainings.items()}
    began, killed = time.monotonic(), []

    def kill():
        for at in KILLED_AT:
            time.sleep(max(0.0, began + at - time.monotonic()))
            for name, application in applications.items():
                victim = min(yarn_jobs.processes(application, "hdl.yarn.worker"), key=lambda process: process.pid)
                os.kill(victim.pid, signal.SIGKILL)
                killed.append((name, at, victim.pid))

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    signatures = {name: training.until("signature") for name, training in trainings.items()}
    seconds = time.monotonic() - began
    killer.join(1)
    figures = {name: training.heard[-1] for name, training in trainings.items()}
    said = {name: logs(secure, application)["master"] for name, application in applications.items()}
    fresh = {name: [text for text in lines if text.startswith("fresh tokens")] for name, lines in said.items()}
    lost = {name: [text for text in lines if "signal 9" in text] for name, lines in said.items()}
    print(json.dumps({"seconds": seconds, "killed": killed, "figures": figures, "fresh": fresh, "lost": lost}))
    assert seconds > 2 * MAX_LIFETIME
    assert len(killed) == 6
    assert set(signatures.values()) == {local(data, tmp_path / "table", LONG_ROUNDS)}
    for name in trainings:
        assert len(lost[name]) == len(KILLED_AT)
        assert len([text for text in fresh[name] if "good until" in text]) >= (seconds - MAX_LIFETIME) // RENEW_INTERVAL
