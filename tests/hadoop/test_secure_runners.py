"""An ordinary user on a cluster with Kerberos, privacy and encryption: every command, and the four runners' bytes.

What asks the cluster is a command, as a user types it: a process has one realm and one virtual machine.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hdl import cli
from hdl.table import Table
from tests.hadoop.secure import SLOW

pytest.importorskip("jpype")
HOME = "hdfs:///user/ada/runners"
SPEC = ["--net", "0-5-0", "--shards", "4", "--epochs", "1", "--batch", "8", "--seed", "3",
        "--no-report"]  # fmt: skip
RUNNERS = {"yarn": ["--workers", "2", "--worker-memory", "512m"], "local": [], "mapreduce": [], "streaming": []}
# The worker group and the jobs: a mapper of Streaming's differs by its pipes, of which Kerberos knows nothing.
USUAL = ("yarn", "mapreduce")
UPLOAD = "import sys, pathlib; from hdl import envpack; print(envpack.upload(pathlib.Path(sys.argv[1])))"
NAMES = "from hdl import identity; print(identity.user(), identity.home())"


@pytest.fixture(scope="module")
def hdl(secure, packed):
    """`hdl("train", …)`: a command of ada's, whose nodes have nothing of hdl but an archive on HDFS."""
    archive = secure.run(sys.executable, "-c", UPLOAD, packed).stdout.strip()
    assert archive == f"hdfs:///user/ada/.hdl/env/{packed.name}"

    def hdl(*arguments, **given):
        return secure.run(sys.executable, "-m", "hdl", *arguments, HDL_NODE_ARCHIVE=archive, **given)

    return hdl


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A CSV file of this machine."""
    rng = np.random.default_rng(0)
    rows = [[f"{value:.3f}" for value in rng.normal(size=3) + i % 2] + [str(i % 2)] for i in range(90)]
    path = tmp_path_factory.mktemp("here") / "data.csv"
    path.write_text("\n".join(map(",".join, [["a", "b", "c", "class"], *rows])) + "\n")
    return path


@pytest.fixture(scope="module")
def data(secure, hdl, here):
    """The same as shards: on HDFS, where nobody but ada may look, and here."""
    secure.run("hadoop", "fs", "-mkdir", "-p", f"{HOME}/tables")  # in a home that is closed to all others
    hdl("import", here, f"{HOME}/data", "--shards", 4)
    assert cli.run(["import", str(here), str(here.parent / "shards"), "--shards", "4"]) == 0  # asks no cluster
    yield f"{HOME}/data"
    secure.run("hadoop", "fs", "-rm", "-r", "-skipTrash", HOME)


def signature(hdl, table):
    return re.search(r"[0-9a-f]{64}", hdl("inspect", table).stdout)[0]


@pytest.fixture(scope="module")
def expected(data, here):
    """The SHA-256 that a training of the same shards makes here."""
    assert cli.run(["train", str(here.parent / "shards"), "--out", str(here.parent / "table"), *SPEC]) == 0
    return Table(str(here.parent / "table")).read().signature


@pytest.fixture(scope="module")
def trained(hdl, data):
    """`trained(name)`: what a runner's training printed, made when it is first asked for."""
    return cache(
        lambda name: hdl("train", data, "--out", f"{HOME}/tables/{name}", "--runner", name, *RUNNERS[name], *SPEC)
    )


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in USUAL else pytest.mark.full) for n in RUNNERS])
def test_every_runner_makes_the_bytes_of_local_files(trained, expected, name):
    said = trained(name).stdout + trained(name).stderr
    assert re.search(r"sha256\s+([0-9a-f]{64})", said)[1] == expected
    assert "round 1/1" in said  # progress was told
    assert "\tat " not in said


def test_nothing_is_left_of_jobs_and_the_rest_is_closed(secure, trained):
    for name in USUAL:
        trained(name)
    listed = secure.run("hadoop", "fs", "-ls", "-R", "/user/ada/.hdl").stdout.splitlines()
    assert not [line for line in listed if "/.hdl/jobs/" in line]
    refused = secure.run("hadoop", "fs", "-ls", "/user/ada/.hdl/jobs", user="bob", check=False)
    assert refused.returncode
    assert "Permission denied: user=bob" in refused.stderr


@pytest.mark.full  # a job's answers are below
def test_what_was_trained_is_measured_and_reported(hdl, data, trained, expected, here, secure):
    trained("mapreduce")
    table = f"{HOME}/tables/mapreduce"
    there, at_home = (
        json.loads(hdl("evaluate", *which, "--json").stdout)
        for which in ((table, data), (here.parent / "table", here.parent / "shards"))
    )
    for name in ("sha256", "samples", "cost", "accuracy", "confusion"):
        assert there[name] == at_home[name]
    hdl("report", table)
    assert "report.html" in secure.run("hadoop", "fs", "-ls", table).stdout


def test_a_job_predicts_what_is_predicted_here(hdl, data, trained, expected, here, secure):
    trained("mapreduce")
    table, answers = f"{HOME}/tables/mapreduce", str(here.parent / "answers.csv")
    assert cli.run(["predict", str(here.parent / "table"), str(here.parent / "shards"), "--out", answers]) == 0
    hdl("predict", table, data, "--out", f"{HOME}/answers.csv", "--runner", "mapreduce")
    parts = secure.run("hadoop", "fs", "-cat", f"{HOME}/answers.csv/part-*").stdout.splitlines()
    head, *rows = (here.parent / "answers.csv").read_text().splitlines()
    assert [line for line in parts if line != head] == rows
    assert len(rows) == 90


@pytest.mark.full  # test_pages.py looks at applications and ends them on this cluster, test_yarn_apps.py follows one
def test_an_application_is_watched_and_killed(secure, hdl, data, packed):
    endless = [*SPEC[:4], "--epochs", 1000000, "--runner", "yarn", *RUNNERS["yarn"]]
    fault = SLOW  # that it is set is what the master says in its log
    started = hdl("train", data, "--out", f"{HOME}/tables/endless", *endless, "--detach", HDL_FAULT=fault)
    application = re.search(r"application_\d+_\d+", started.stdout + started.stderr)[0]
    command = [sys.executable, "-m", "hdl", "attach", application]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    try:
        with subprocess.Popen(command, env=secure.environment(), **pipes, start_new_session=True) as follower:
            try:
                told = next((line for line in follower.stdout if "round" in line), "")
            finally:
                follower.send_signal(signal.SIGINT)  # it leaves the application running
                follower.communicate(timeout=600)
        assert "round" in told
        assert application in hdl("status").stdout
        assert "running" in hdl("status", application).stdout
        assert application not in secure.run(sys.executable, "-m", "hdl", "status", user="bob").stdout
    finally:
        hdl("kill", application)
    assert "killed" in hdl("status", application, check=False).stdout.lower()
    logs = secure.said(application, lambda: hdl("logs", application, check=False).stdout, "HDL_FAULT")
    assert "container_" in logs


@pytest.mark.parametrize("way", ["a rule of auth_to_local", "another user's proxy"])
def test_whoever_hadoop_takes_us_for_is_who_we_are(secure, tmp_path, way):
    if way == "another user's proxy":
        said = secure.run(sys.executable, "-c", NAMES, user="gateway", HADOOP_PROXY_USER="ada")
        assert said.stdout.split() == ["ada", "hdfs:///user/ada"]
        return
    conf = shutil.copytree(secure.environment()["HADOOP_CONF_DIR"], tmp_path / "conf")
    rule = "<name>hadoop.security.auth_to_local</name><value>RULE:[1:$1@$0](ada@.*)s/.*/eve/ DEFAULT</value>"
    site = Path(conf) / "core-site.xml"
    site.write_text(site.read_text().replace("</configuration>", f"<property>{rule}</property></configuration>"))
    said = secure.run(sys.executable, "-c", NAMES, HADOOP_CONF_DIR=str(conf), HADOOP_USER_NAME="mallory", USER="root")
    assert said.stdout.split() == ["eve", "hdfs:///user/eve"]


@pytest.mark.parametrize("name", [pytest.param("streaming", marks=pytest.mark.full)])
def test_a_python_that_is_missing_is_told_with_the_attempt(secure, hdl, data, name):
    failed = hdl("train", data, "--out", f"{HOME}/tables/failed", "--runner", name, *SPEC, check=False,
                 HDL_NODE_PYTHON="/nowhere/python")  # fmt: skip
    assert failed.returncode == 6
    last = failed.stderr.partition("hdl: error: ")[2]
    assert "/nowhere/python" in last
    assert re.search(r"yarn logs -applicationId application_\d+_\d+\n$", failed.stderr)


IN_CONTAINERS = """
import sys
from hdl import driver
from hdl.runners.base import Job
from hdl.runners.mapreduce import MapReduceRunner
from hdl.runners.streaming import StreamingRunner
from hdl.spec import parse
runner = {"mapreduce": MapReduceRunner, "streaming": StreamingRunner}[sys.argv[1]](uber=False)
fields = {"net": "0-5-0", "shards": 4, "epochs": 1, "batch": 8, "seed": 3}
driver.train(Job(sys.argv[2], sys.argv[3], parse(fields)), runner, None)
"""


@pytest.mark.full
@pytest.mark.parametrize("name", ["mapreduce", "streaming"])
def test_with_reducers_in_containers_the_bytes_are_the_same(secure, hdl, data, packed, expected, name):
    table = f"{HOME}/tables/{name}-containers"
    secure.run(sys.executable, "-c", IN_CONTAINERS, name, data, table,
               HDL_NODE_ARCHIVE=f"hdfs:///user/ada/.hdl/env/{packed.name}")  # fmt: skip
    assert signature(hdl, table) == expected


@pytest.mark.full
@pytest.mark.parametrize("name", ["mapreduce", "streaming", "yarn"])
def test_a_gateway_trains_for_another_user(secure, hdl, data, packed, expected, name):
    """All is done by that user's rights, in that user's folders: data and archive are closed to the gateway itself."""
    table = f"{HOME}/tables/{name}-proxy"
    command = [sys.executable, "-m", "hdl", "train", data, "--out", table, "--runner", name, *RUNNERS[name], *SPEC]
    archive = f"hdfs:///user/ada/.hdl/env/{packed.name}"
    refused = secure.run(*command, user="gateway", check=False, HDL_NODE_ARCHIVE=archive)
    assert refused.returncode
    assert "gateway" in refused.stderr
    secure.run(*command, "--proxy-user", "ada", user="gateway", HDL_NODE_ARCHIVE=archive)
    assert signature(hdl, table) == expected
    assert " ada " in secure.run("hadoop", "fs", "-ls", "-d", table).stdout
