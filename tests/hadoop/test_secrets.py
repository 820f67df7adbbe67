"""No secret of a training lies where others may read it, and another user reads nothing that the data did not let them.

What may hold a secret, and does: the token file in a container's folder, the ResourceManager's store, memory.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hdl import data
from hdl.cluster.config.common import RM_STATE
from hdl.runners.base import Job
from hdl.runners.mapreduce import MapReduceRunner
from hdl.runners.streaming import StreamingRunner
from hdl.table import Table
from hdl.yarn.settings import KEYTAB
from tests.hadoop import scan as scanning
from tests.hadoop.scan import Secrets
from tests.hadoop.secure import SLOW
from tests.hadoop.webhdfs import WebHdfs
from tests.hadoop.yarn_jobs import Training

MARKER = b"planted-2f6b1c9e-here"  # in the data, and where a scan has to see it
HOME = "/tests-secrets"  # open to all, as homes on a company's cluster often are


@pytest.fixture(scope="module")
def superuser(cluster):
    made = WebHdfs(cluster, cluster.superuser)
    made.mkdir(HOME, "755", "ada")
    yield made
    made.remove(HOME)


@pytest.fixture(scope="module")
def closed(superuser):
    """A dataset that its owner alone may read, with the marker among its labels: a path on HDFS."""
    folder = f"{HOME}/closed"
    superuser.mkdir(folder, "700", "ada")
    rows = b"".join(b"%d,%d,%s-%d\n" % (n % 7, n % 3, MARKER, n % 2) for n in range(400))
    superuser.put(f"{folder}/samples.csv", b"a,b,label\n" + rows, "600", "ada")
    return f"hdfs://{folder}/samples.csv"


def test_the_scan_sees_what_is_planted(cluster, superuser, tmp_path):
    """In arguments, in an environment, in a log, in local files, on HDFS: as it is, in hexadecimal and in base64."""
    scan = Secrets({"it": MARKER})
    script = "import time; print(flush=True); time.sleep(600)"
    for give in ({"args": [sys.executable, "-c", script, MARKER.decode()]},
                 {"args": [sys.executable, "-c", script], "env": {**os.environ, "X": MARKER.hex()}}):  # fmt: skip
        with subprocess.Popen(**give, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            seen = scan.among(scanning.arguments(scanning.processes()))
            seen += scan.among(scanning.environments(scanning.processes(process.pid)))
            process.kill()
        assert [place.rpartition(" ")[2] for place, _ in seen] == [str(process.pid)]
    for name, mode, content in (
        ("log", 0o644, b"..." + MARKER + b"..."),
        ("hex", 0o644, MARKER.hex().upper().encode()),
        ("base64", 0o604, scanning.base64.b64encode(b"xy" + MARKER + b"z")),
        ("far", 0o644, bytes(scanning.PART - 5) + MARKER),
        ("closed", 0o600, MARKER),
        ("other", 0o644, MARKER[:-1]),
    ):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(mode)
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "folder/log").write_bytes(MARKER)
    found = [Path(place).name for place, _ in scan.among(scanning.local(str(tmp_path)))]
    assert found == ["base64", "far", "hex", "log"]  # others may read these
    found = [place for place, _ in scan.among(scanning.local(str(tmp_path), others=False))]
    assert len(found) == 6
    assert scan.among(scanning.local(str(tmp_path), since=time.time() + 9)) == []
    superuser.put(f"{HOME}/planted", b"<xml>" + MARKER + b"</xml>", "600", "ada")
    assert scan.among(on_hdfs(superuser, HOME)) == [(f"{HOME}/planted", "it")]
    superuser.remove(f"{HOME}/planted")


def on_hdfs(user, *roots, but=()):
    """What a user may read on HDFS below some folders, without what was there before."""
    for root in roots:
        for path, isdir, _, _ in user.walk(root):
            if not isdir and path not in but:
                try:
                    yield path, user.read(path)
                except (PermissionError, RuntimeError):  # closed to this user, or gone meanwhile
                    continue


def files(user, *roots):
    return {path for root in roots for path, isdir, _, _ in user.walk(root) if not isdir}


def unlogged(paths):
    """Those but YARN's collected logs, which may be of a training before that has only now ended."""
    return {path for path in paths if not path.startswith("/tmp/logs/")}


ROOTS = (HOME, "/user", "/tmp", "/tests")


def test_a_training_on_yarn_shows_its_keys_to_nobody(cluster, superuser, closed, archive):
    """While it runs, and when its logs have been collected: one training, seen from every side."""
    before, began = files(superuser, *ROOTS), time.time()
    table = f"hdfs://{HOME}/model"
    training = Training(
        closed,
        table,
        "--epochs",
        "100000",
        "--net",
        "2-3-2",
        workers=2,
        fault=SLOW,
        HDL_NODE_PYTHON="",
        HDL_NODE_ARCHIVE=archive,
    )
    try:
        training.reach(2)
        running = scanning.containers(training.application)
        known = handed_over(running)
        kinds = {name.partition(" of ")[0] for name in known}
        assert {"hdl.root", "hdl.key", "hdl.secret"} <= kinds
        scan = Secrets(known)
        places = everywhere(cluster, running, training.client, began)
        for place, contents in {**places, "HDFS": on_hdfs(superuser, *ROOTS, but=before)}.items():
            assert scan.among(contents) == [], place
        # And another user reads nothing new but the model, which was put where all may read it.
        read = {path for path, _ in on_hdfs(WebHdfs(cluster, "bob"), *ROOTS, but=before)}
        assert read
        assert all(path.startswith(f"{HOME}/model/") for path in read)
    finally:
        training.kill()
    deadline = time.monotonic() + 600
    while not (logs := [path for path in files(superuser, "/tmp/logs") if training.application in path]):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert scan.among((path, superuser.read(path)) for path in logs) == []
    bob = WebHdfs(cluster, "bob")
    for path in logs:
        with pytest.raises(PermissionError):
            bob.read(path)


def handed_over(running):
    """The secrets of an application's containers, by what they are and whose."""
    known = {}
    for process in running:
        if "python" in process.name():
            held = scanning.of_container(process)
            known |= {f"{alias} of {process.pid}": value for alias, value in held.items()}
            # They are where they may be, and the scan finds them there.
            own = Path(process.environ()["HADOOP_TOKEN_FILE_LOCATION"])
            assert Secrets(held).among([("tokens", own)])
            assert any(not above.stat().st_mode & 0o001 for above in own.parents) or not own.stat().st_mode & 0o077
    assert len({name.rpartition(" ")[2] for name in known}) >= 3  # the master and two workers
    return known


def everywhere(cluster, running, client, began):
    """Where others might see what a training does: {place: contents}; HDFS is the caller's."""
    root, store = str(cluster.root), cluster.root / "data" / RM_STATE
    # The ResourceManager keeps what an application was submitted with, so that it can start a second master.
    assert any(not folder.stat().st_mode & 0o001 for folder in (store, *store.parents) if str(folder).startswith(root))
    here = scanning.local(root, began, but=[str(store)])
    return {
        "arguments": scanning.arguments(scanning.processes()),
        "environments": scanning.environments([*running, *scanning.processes(client.pid)]),
        "logs": scanning.there(scanning.local(f"{root}/logs", began, others=False)),
        "local files": scanning.there([*here, *scanning.local("/tmp", began)]),
    }


@pytest.mark.parametrize("runner", [MapReduceRunner, StreamingRunner])
def test_what_a_driver_keeps_on_hdfs_is_closed_to_others(cluster, superuser, closed, archive, runner):
    """Its working folder, with Streaming's copy of the dataset, in a home that is open to all."""
    bob, before = WebHdfs(cluster, "bob"), files(superuser, *ROOTS)
    superuser.chmod("/user/ada", "755")
    try:
        job = Job(closed, f"hdfs://{HOME}/none", None)
        splits = data.open_source(closed).splits(3)
        with runner(archive=archive) as driver:
            driver.open(job, splits, lambda event: None)
            made = unlogged(files(superuser, *ROOTS) - before)
            assert made
            assert [path for path in made if "/.hdl/jobs/" not in path] == []
            if runner is StreamingRunner:
                copied = [path for path, _ in Secrets({"it": MARKER}).among(on_hdfs(superuser, *ROOTS, but=before))]
                assert len([path for path in copied if "/part-" in path]) == 3  # so there is something to hide
            assert not files(bob, *ROOTS) & made
            for path in made:
                with pytest.raises(PermissionError):
                    bob.read(path)
                assert superuser.list(path)[0][2] == "600"
        assert not unlogged(files(superuser, *ROOTS) - before)
    finally:
        superuser.chmod("/user/ada", "700")


@pytest.mark.full
@pytest.mark.parametrize("runner", ["local", "mapreduce", "streaming", "yarn"])
def test_what_a_training_leaves_shows_others_nothing_of_closed_data(cluster, superuser, closed, archive, run, runner):
    """Its data bears a marker, its model lies in a closed folder, its home is open: what others may read has none."""
    before, began, bob = files(superuser, *ROOTS), time.time(), WebHdfs(cluster, "bob")
    superuser.chmod("/user/ada", "755")
    superuser.mkdir(f"{HOME}/mine", "700", "ada")
    scan, table = Secrets({"the data": MARKER}), f"hdfs://{HOME}/mine/model-{runner}"
    command = [sys.executable, "-m", "hdl", "train", closed, "--out", table, "--runner", runner, "--shards", "2"]
    command += ["--epochs", "2", "--net", "2-3-2", "--sync", "genetic", "--workers", "2", "--seed", "5"]
    try:
        run(*command, HDL_NODE_ARCHIVE=archive)
        assert Table(table).latest()
        assert not [path for path, _ in on_hdfs(bob, *ROOTS, but=before)]
        places = [*scanning.local(str(cluster.root), began), *scanning.local("/tmp", began)]
        assert scan.among(scanning.there(places)) == []
        assert scan.among(scanning.arguments(scanning.processes())) == []
    finally:
        superuser.chmod("/user/ada", "700")


@pytest.mark.full
def test_with_kerberos_keys_tokens_and_the_keytab_are_shown_to_nobody(secure, ctrl_c):
    """A training with a keytab, from every side: no key and no token is shown, the keytab lies in one closed file."""
    hdl = [sys.executable, "-m", "hdl"]
    keytab, began = secure.keytab("ada"), time.time()
    home, work = "hdfs:///user/ada/secrets", secure.cluster.root / f"secrets-{os.getpid()}"
    work.mkdir(mode=0o700)
    try:
        (work / "samples.csv").write_bytes(b"".join(b"%d,%d,%d\n" % (n % 7, n % 3, n % 2) for n in range(400)))
        secure.run("hadoop", "fs", "-rm", "-r", "-f", "-skipTrash", home, check=False)
        secure.run("hadoop", "fs", "-mkdir", "-p", home)
        secure.run("hadoop", "fs", "-put", work / "samples.csv", f"{home}/samples.csv")
        archive = secure.run(*hdl, "env", "pack", "--upload").stdout.strip()
        before = walk(secure, "hdfs", {}, [])["read"]
        command = [*hdl, "train", f"{home}/samples.csv", "--out", f"{home}/model", "--runner", "yarn", "--workers", "2"]
        command += ["--shards", "2", "--net", "2-3-2", "--epochs", "100000", "--worker-memory", "512m", "--no-report"]
        command += ["--master-memory", "640m", "--publish-every", "1"]
        command += ["--principal", f"ada@{secure.realm}", "--keytab", str(keytab)]
        environment = secure.environment(None) | {"HDL_NODE_ARCHIVE": archive}
        with open(work / "said", "wb") as said:
            client = subprocess.Popen(command, env=environment, stdout=said, stderr=said, start_new_session=True)
        try:
            running = computing(client, work / "said")
            known = handed_over(running) | scanning.of_keytab(str(keytab))
            assert any(name.startswith("token ") for name in known)
            scan = Secrets(known)
            for place, contents in everywhere(secure.cluster, running, client, began).items():
                assert scan.among(contents) == [], place
            seen = walk(secure, "hdfs", known, before)
            assert seen["read"]  # the table, and what the application keeps
            shipped = {path for path, _ in seen["found"]}  # the keytab, for the master alone
            assert {path.rpartition("/")[2] for path in shipped} == {KEYTAB}
            assert {name for _, name in seen["found"]} <= {*scanning.of_keytab(str(keytab))}
            assert walk(secure, "bob", known, before)["read"] == []
        finally:
            client.send_signal(signal.SIGINT)  # ends the application too
            client.wait(600)
        assert not {*walk(secure, "hdfs", {}, before)["read"]} & shipped
        assert scan.among(scanning.local(str(secure.cluster.root / "logs"), began, others=False)) == []
    finally:
        for file in work.iterdir():
            file.unlink()
        work.rmdir()
        secure.run("hadoop", "fs", "-rm", "-r", "-f", "-skipTrash", home, check=False)


def computing(client, said):
    """Wait until a client's application has a master and two workers that compute; returns its processes."""
    deadline = time.monotonic() + 600
    while True:
        assert client.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        for process in scanning.processes():
            try:
                words, given = process.cmdline(), process.environ()
            except (OSError, scanning.psutil.Error):
                continue
            if "hdl.yarn.worker" in words and "hdl" in "".join(words) and process.create_time() > client_began(client):
                application = "_".join(given["CONTAINER_ID"].removeprefix("container_").split("_")[-4:-2])
                running = scanning.containers(application)
                workers = [one for one in running if "hdl.yarn.worker" in one.cmdline() and "python" in one.name()]
                if len(workers) >= 2 and "\nround " in said.read_text():
                    return running
        time.sleep(0.5)


def client_began(client):
    return scanning.psutil.Process(client.pid).create_time()


def walk(secure, user, known, but):
    """What a user may read on HDFS, and which secrets are in it."""
    given = json.dumps({"secrets": {name: value.hex() for name, value in known.items()}, "but": but})
    done = subprocess.run(
        [sys.executable, "-m", "tests.hadoop.trial_walk", "hdfs:///user", "hdfs:///tmp"],
        input=given, capture_output=True, text=True, timeout=300, env=secure.environment(user),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
