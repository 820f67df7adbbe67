"""YARN's containers: submitted, asked for by host, launched with secret keys, ended; a master that comes back."""

import json
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

SECONDS = 600.0

# One process holds one virtual machine, and pytest's is libhdfs's: what talks to YARN runs beside it.
SUBMIT = """
import json, sys
from hdl.runners.base import Job
from hdl.spec import Spec
from hdl.yarn.client import client
from hdl.yarn.settings import Settings
fields = json.loads(sys.argv[1])
seconds = {}
application = client.submit(Job("hdfs:///data", "hdfs:///model", Spec()), Settings.make(**fields), seconds)
print(json.dumps({"application": application, "seconds": seconds, "staging": client.staging(application)}))
"""
REFUSED = """
import json, sys
from hdl.errors import HdlError
from hdl.runners.base import Job
from hdl.spec import Spec
from hdl.yarn.client import client
from hdl.yarn.settings import Settings
said = []
for fields in json.loads(sys.argv[1]):
    try:
        client.submit(Job("hdfs:///data", "hdfs:///model", Spec()), Settings.make(python="python3", **fields), {})
        said.append("submitted")
    except HdlError as error:
        said.append(str(error))
print(json.dumps(said))
"""
REPORT = """
import json, sys
from hdl.yarn.client import client
print(json.dumps(vars(client.report(sys.argv[1]))))
"""


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """A Python that runs the trial's master and workers in the place of hdl's."""
    path = tmp_path_factory.mktemp("bin") / "python"
    trial = Path(__file__).with_name("trial_yarn.py")
    path.write_text(f'#!/bin/bash\nshift 2\nexec {sys.executable} -P {trial} "$@"\n')
    path.chmod(0o755)
    return str(path)


def submit(run, **fields):
    return json.loads(run(sys.executable, "-c", SUBMIT, json.dumps(fields)).stdout)


def ended(run, application, seconds=SECONDS):
    """The application's last report, once it is over."""
    deadline = time.monotonic() + seconds
    while True:
        report = json.loads(run(sys.executable, "-c", REPORT, application).stdout)
        if report["state"] in ("FINISHED", "FAILED", "KILLED"):
            return report
        assert time.monotonic() < deadline, report
        time.sleep(1)


def test_containers_come_and_go_and_a_second_master_finds_the_one_that_is_left(run, python):
    from hdl import fs

    made = submit(run, python=python, memory=512, master_memory=512)
    report = ended(run, made["application"])
    assert (report["final"], report["attempt"]) == ("SUCCEEDED", 2), report["diagnostics"]
    with fs.open(f"{made['staging']}/first.json") as file:
        first = json.loads(file.read())
    with fs.open(f"{made['staging']}/second.json") as file:
        second = json.loads(file.read())
    print(json.dumps({"submit": made["seconds"], "master": first["marks"]}))
    assert "late" not in first
    assert "late" not in second
    hosts = {container["number"]: container["host"] for container in first["granted"]}
    assert sorted(hosts) == [1, 3, 5, 7]
    assert (hosts[1], hosts[3]) == ("localhost", "127.0.0.2")
    assert all(container["log"].startswith("http://") for container in first["granted"])
    kinds = {number: (kind, reason) for number, kind, reason in first["ended"]}
    assert {number: kind for number, (kind, _) in kinds.items()} == {1: "exited", 3: "exited", 5: "memory"}
    assert "exit status 3" in kinds[1][1]
    assert "signal 9" in kinds[3][1]
    assert "MiB" in first["available"]
    assert [(container["number"], container["host"]) for container in second["left"]] == [(7, hosts[7])]
    assert [(number, kind) for number, kind, _ in second["ended"]] == [(7, "stopped")]
    fs.remove(made["staging"])


HAS_NOT = [
    ({"memory": 1 << 20}, "--worker-memory: given 1048576 MiB; a container of this cluster has at most"),
    ({"vcores": 1000}, "--worker-vcores: given 1000; a container of this cluster has at most"),
    ({"gpus": 1}, "this cluster has no resource type yarn.io/gpu, or its configuration here does not name it"),
    ({"queue": "nope"}, "--queue: expected one of default"),
    ({"label": "nope"}, "--node-label: expected one of (this cluster has none)"),
]


def test_what_the_cluster_has_not_is_told_before_anything_is_submitted(run):
    done = run(sys.executable, "-c", REFUSED, json.dumps([fields for fields, _ in HAS_NOT]))
    for (fields, expected), said in zip(HAS_NOT, json.loads(done.stdout), strict=True):
        assert expected in said, fields


def test_nobody_there_is_told(run, cluster, tmp_path):
    for name in ("core-site.xml", "yarn-site.xml"):
        text = (cluster.conf / name).read_text()
        (tmp_path / name).write_text(text.replace(f":{cluster.ports['resourcemanager']}<", ":1<"))
    words = [sys.executable, "-c", SUBMIT, json.dumps({"python": "python3"})]
    done = run(*words, check=False, seconds=SECONDS, HADOOP_CONF_DIR=str(tmp_path))
    assert "ResourceManager 127.0.0.1:1 (yarn.resourcemanager.address) does not answer" in done.stderr
    assert done.returncode
