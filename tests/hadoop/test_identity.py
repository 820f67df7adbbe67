"""Who we are to Hadoop, asked of a connection and of the Java that JPype starts, is what Hadoop itself says."""

import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("jpype")
SCRIPT = """
import sys
from hdl import identity
if "jpype" in sys.argv:
    from hdl.yarn.resource_manager import java
    java.start()
print(identity.user(), identity.home(), identity.home(f"{sys.argv[1]}/data/x.csv"))
"""
CASES = {
    "for another one": ({"HADOOP_USER_NAME": "eve", "HADOOP_PROXY_USER": "bob"}, "bob"),
    "in a container": ({"CONTAINER_ID": "container_1_0001_01_000001", "USER": "ada"}, "ada"),
}


@pytest.fixture(scope="module")
def elsewhere(cluster, tmp_path_factory):
    """A configuration folder of a cluster whose homes are not below /user."""
    folder = tmp_path_factory.mktemp("conf") / "conf"
    shutil.copytree(os.environ["HADOOP_CONF_DIR"], folder)
    site = folder / "hdfs-site.xml"
    prefix = "<property><name>dfs.user.home.dir.prefix</name><value>/people</value></property></configuration>"
    site.write_text(site.read_text().replace("</configuration>", prefix))
    return str(folder)


@pytest.fixture(scope="module")
def answers(cluster, elsewhere):
    """`answers[case, way]`: the words that the script prints; all run side by side."""
    started = {}
    for case, (given, _) in CASES.items():
        for way in ("libhdfs", "jpype"):
            clean = {k: v for k, v in os.environ.items() if k not in ("HADOOP_USER_NAME", "HADOOP_PROXY_USER")}
            started[case, way] = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, cluster.uri, way], stdout=subprocess.PIPE, text=True,
                env={**clean, "USER": "somebody", "HADOOP_CONF_DIR": elsewhere, **given},
            )  # fmt: skip
    try:
        return {key: process.communicate(timeout=300)[0].split() for key, process in started.items()}
    finally:
        for process in started.values():
            process.kill()
            process.wait()


@pytest.mark.parametrize("way", ["libhdfs", "jpype"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_what_hadoop_says(cluster, answers, case, way):
    name = CASES[case][1]
    assert answers[case, way] == [name, f"hdfs:///people/{name}", f"{cluster.uri}/people/{name}"]
