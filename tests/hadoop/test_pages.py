"""Web pages that ask for Kerberos, and lists of who may look: progress, status, logs and kill by owner and others."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from hdl.cluster.daemons import Cluster
from tests.hadoop.secure import SECURE_USERS, SLOW, Secure

HDL = [sys.executable, "-m", "hdl"]
TRAIN = [
    "--runner", "yarn", "--workers", "1", "--shards", "2", "--net", "0-5-0", "--batch", "8", "--seed", "3",
    "--worker-memory", "512m", "--master-memory", "640m", "--publish-every", "100", "--no-report",
]  # fmt: skip
SECONDS = 600
READ = """
import sys
from hdl.yarn.client import web
try:
    print(web.read_json(sys.argv[1], 30.0)["application"])
except web.NoPage as error:
    print(error)
"""


@pytest.fixture(scope="module", params=["http", pytest.param("https", marks=pytest.mark.full)])
def pages(secure, request, tmp_path_factory):
    """A cluster whose pages ask for Kerberos; with --full another one too, whose pages are HTTPS."""
    if request.param == "http":
        if not secure.cluster.options.get("spnego"):
            pytest.skip("this cluster's pages ask nobody for Kerberos: Cluster.start(kerberos=True, spnego=True)")
        scheme = "https" if secure.cluster.options.get("https") else "http"
        yield SimpleNamespace(secure=secure, run=secure.run, scheme=scheme)
        return
    started = Cluster.start(
        tmp_path_factory.mktemp("pages") / "cluster", kerberos=True, spnego=True, https=True, nodemanagers=2,
        users=SECURE_USERS, node_user="ada", seconds=SECONDS,
    )  # fmt: skip
    try:
        closed = Secure(started)
        yield SimpleNamespace(secure=closed, run=closed.run, scheme="https")
    finally:
        started.stop(purge=True)


def until(good, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not (result := good()):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return result


@pytest.fixture(scope="module")
def data(pages, tmp_path_factory):
    folder = f"hdfs:///user/ada/pages-{pages.scheme}-{os.getpid()}"
    lines = "a,b,class\n" + "".join(f"{n % 5},{n % 7},{n % 2}\n" for n in range(200))
    local = tmp_path_factory.mktemp("pages")
    (local / "data.csv").write_text(lines)
    pages.run("hadoop", "fs", "-put", local, folder)
    yield folder
    pages.run("hadoop", "fs", "-rm", "-r", "-f", "-skipTrash", folder)


def python(pages):
    """Name the Python of the nodes, with the hdl that is tested."""
    wrapper = pages.secure.cluster.root / "pages-python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH="{os.getcwd()}" exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    return {"HDL_NODE_PYTHON": str(wrapper), "PYTHONPATH": os.getcwd()}


def train(pages, data, name, *flags):
    command = [*HDL, "train", f"{data}/data.csv", "--out", f"{data}/{name}", *TRAIN, *flags]
    return command, python(pages)


@pytest.fixture(scope="module")
def hdl(pages):
    """`hdl("status", APP, user="bob")`: a finished command of that user's."""
    variables = python(pages)
    return lambda *words, user="ada", check=True: pages.run(*HDL, *words, user=user, check=check, **variables)


@pytest.fixture(scope="module")
def followed(pages, data, hdl, ctrl_c):
    """A training of ada's that goes on for long, which bob may see, and the client that follows it."""
    command, variables = train(pages, data, "seen", "--view-acl", "bob", "--tag", "Nightly", "--epochs", "1000000")
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    # Rounds that take 3 s leave the processor to other tests. That a fault is set is what its master says in its log.
    environment = pages.secure.environment() | variables | {"HDL_FAULT": SLOW}
    with subprocess.Popen(command, **pipes, env=environment, start_new_session=True) as client:
        try:
            yield SimpleNamespace(client=client, seen=until(lambda: trains(hdl, f"{data}/seen")))
        finally:
            client.send_signal(signal.SIGINT)
            client.communicate(timeout=SECONDS)


@pytest.fixture(scope="module")
def ended(pages, data, hdl):
    """A training of ada's that bob may not see, and may end."""
    command, variables = train(pages, data, "ended", "--modify-acl", "bob", "--epochs", "1000000")
    application = pages.run(*command, "--detach", **variables, HDL_FAULT=SLOW).stdout.strip()
    yield application
    hdl("kill", application, check=False)


def running(hdl, application):
    report = json.loads(hdl("status", application, "--json").stdout)["report"]
    return report if report["state"] == "RUNNING" else None


def trains(hdl, table):
    """Find the application that trains a table; None before it is submitted."""
    known = json.loads(hdl("status", "--json").stdout)
    return next((one["application"] for one in known if one["name"] == f"hdl: {table}"), None)


def test_rounds_are_seen_while_they_are_made(followed):
    lines = []
    for line in followed.client.stderr:
        lines.append(line)
        if len([line for line in lines if line.startswith("round ")]) == 2:
            break
    said = "".join(lines)
    assert len(re.findall(r"^round \d+/1000000 ", said, re.MULTILINE)) == 2, said
    assert "no live progress" not in said  # they came from the page, not from the table


def one_line(done):
    """Return the one sentence of a command that was refused."""
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    return line.removeprefix("hdl: error: ")


def test_who_may_look_sees_all_and_may_not_end_it(pages, hdl, followed):
    status = json.loads(hdl("status", followed.seen, "--json", user="bob").stdout)
    assert status["report"]["state"] == "RUNNING"
    assert status["page"]["application"] == followed.seen
    assert status["report"]["url"].startswith(f"{pages.scheme}://")
    assert status["report"]["tags"] == ["nightly"]
    assert "round" in hdl("status", followed.seen, user="bob").stdout
    logs = hdl("logs", followed.seen, user="bob").stdout
    assert re.search(r"^==== container_\S+_000001 .*, stderr\n.*HDL_FAULT", logs, re.MULTILINE | re.DOTALL), logs
    assert one_line(hdl("kill", followed.seen, user="bob", check=False)) == (
        f"{followed.seen} is ada's, and bob may not end it: its owner lets you by `hdl train --modify-acl bob`"
    )
    assert one_line(hdl("attach", followed.seen, user="bob", check=False)).startswith(
        f"{followed.seen} is ada's: ada alone may follow it to its end"
    )


def test_who_may_not_look_is_refused_in_one_sentence(hdl, followed):
    assert one_line(hdl("status", followed.seen, user="gateway", check=False)) == (
        f"{followed.seen} (running) is ada's, and gateway may not look at it: its owner lets you by "
        "`hdl train --view-acl gateway`"
    )


def test_who_acts_for_another_looks_in_their_name(pages, hdl, followed):
    url = json.loads(hdl("status", followed.seen, "--json").stdout)["report"]["url"]
    read = [sys.executable, "-c", READ, f"{url}status.json"]
    mine = pages.run(*read, user="gateway", **python(pages)).stdout
    assert "gateway may not look at it" in mine
    theirs = pages.run(*read, user="gateway", HADOOP_PROXY_USER="ada", **python(pages)).stdout
    assert theirs.strip() == followed.seen


def test_lists_are_filtered_by_tag(hdl, followed):
    tagged = json.loads(hdl("status", "--json", "--tag", "NIGHTLY").stdout)
    assert [one["application"] for one in tagged if one["state"] == "RUNNING"] == [followed.seen]
    assert "no application of hdl on this cluster with such a tag" in hdl("status", "--tag", "none").stdout


@pytest.mark.full  # one command and the page refuse who may not look above, and whom they let look they let not end it
def test_who_may_not_look_is_refused_everywhere_in_one_sentence_and_may_end_it_if_told(pages, hdl, ended):
    one = ended
    url = until(lambda: running(hdl, one))["url"]
    refused = "is ada's, and bob may not look at it: its owner lets you by `hdl train --view-acl bob`"
    for command in "status", "logs", "attach":
        assert one_line(hdl(command, one, user="bob", check=False)) == f"{one} (running) {refused}"
    read = [sys.executable, "-c", READ, f"{url}status.json"]
    said = pages.run(*read, user="bob", **python(pages)).stdout.strip()
    assert said == (
        "this is ada's application, and bob may not look at it: its owner lets you by `hdl train --view-acl bob`"
    )
    assert pages.run(*read, user="ada", **python(pages)).stdout.strip() == one
    assert pages.run(*read, user="yarn", **python(pages)).stdout.strip() == one  # an administrator
    assert hdl("kill", one, user="bob").stdout == f"killed {one}\n"
    assert json.loads(hdl("status", one, "--json").stdout)["report"]["state"] == "KILLED"
    pages.secure.said(one, lambda: hdl("logs", one, check=False).stdout, "HDL_FAULT")
