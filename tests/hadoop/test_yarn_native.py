"""YARN without Java on real daemons, beside Hadoop's own client: the same applications, reports and sentences."""

import json
import sys

import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from tests.hadoop.yarn_jobs import HDL, SMALL, report

# Whether a Java virtual machine came up is said at the end of the command, which then leaves as ever.
SEEN = """
import sys
from hdl import quick
from hdl.__main__ import main

leave = quick.leave

def look(status):
    print("java", "libjvm" in open("/proc/self/maps").read(), file=sys.stderr)
    leave(status)

quick.leave = look
main()
"""
YARN = ["--runner", "yarn", "--workers", "2", "--shards", "4", "--net", "0-5-0", "--batch", "8", "--seed", "3", *SMALL]
SAID_BY_BOTH = ["priority", "queue", "user", "applicationType", "applicationTags", "appNodeLabelExpression",
                "amNodeLabelExpression", "unmanagedApplication", "finalStatus"]  # fmt: skip


@pytest.fixture(autouse=True)
def python(monkeypatch):
    monkeypatch.setenv("HDL_NODE_PYTHON", sys.executable)
    monkeypatch.delenv("HDL_YARN", raising=False)


def test_a_training_needs_no_java_in_its_client_and_is_the_same(run, data, folder):
    digests, found, told = set(), [], []
    for client, java in (("native", "False"), ("java", "True")):
        words = ["train", data, "--out", f"{folder}/{client}", "--no-report", "--epochs", "2", "--tag", "t", *YARN]
        done = run(sys.executable, "-c", SEEN, *words, HDL_YARN=client)
        assert done.stderr.splitlines()[-1] == f"java {java}"
        digests.add(next(line for line in done.stdout.splitlines() if line.startswith("sha256")))
        listed = json.loads(run(*HDL, "status", "--tag", "t", "--json", HDL_YARN=client).stdout)
        application = next(one["application"] for one in listed if one["name"].endswith(client))
        found.append({name: report(application).get(name) for name in SAID_BY_BOTH})
        told.append([run(*HDL, "status", application, "--json", HDL_YARN=each).stdout for each in ("native", "java")])
    assert len(digests) == 1
    assert found[0] == found[1]
    assert all(by_native == by_java for by_native, by_java in told)


@pytest.mark.parametrize(
    "words", [["--queue", "nowhere"], ["--node-label", "none"], ["--worker-memory", "900g"], ["--worker-gpus", "1"]]
)
def test_what_is_refused_is_told_by_both_in_the_same_words(run, data, folder, words):
    said = [
        run(*HDL, "train", data, "--out", f"{folder}/x", *YARN, *words, check=False, HDL_YARN=client)
        for client in ("native", "java")
    ]
    assert said[0].returncode == said[1].returncode == 2 or said[0].returncode == said[1].returncode != 0
    assert said[0].stderr == said[1].stderr


def test_who_is_not_listed_and_what_is_not_known_are_told_in_the_same_words(run):
    for words, variables in (
        (["status"], {"HADOOP_USER_NAME": "mallory"}),
        (["status", "application_1_0001"], {}),
        (["kill", "application_1_0001"], {}),
        (["status", "nothing"], {}),
    ):
        said = [run(*HDL, *words, check=False, HDL_YARN=client, **variables) for client in ("native", "java")]
        assert said[0].returncode == said[1].returncode != 0
        assert said[0].stderr == said[1].stderr != ""
