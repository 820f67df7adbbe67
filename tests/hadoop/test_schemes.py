"""File systems of Hadoop beside HDFS, through its own client: viewfs, WebHDFS, archives; and those that are missing."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from hdl import fs

# What can be asked of every file system, in a process whose HADOOP_CONF_DIR knows the view; prints JSON.
ASK = """
import json, sys
from hdl import fs, identity
said = {}
for path in sys.argv[1:]:
    said[path] = {
        "list": fs.list(path), "isdir": fs.isdir(path), "glob": fs.glob(path + "/*.csv"),
        "read": fs.open(path + "/a.csv").read().decode(), "missing": fs.exists(path + "/none"),
        "home": identity.home(path),
    }
print(json.dumps(said))
"""
CHANGE = """
import json, sys
from hdl import fs
said = {}
for path in sys.argv[1:]:
    fs.mkdir(path + "/made/below")
    fs.publish(path + "/made/one", b"1")
    try:
        fs.publish(path + "/made/one", b"2")
    except FileExistsError:
        said[path] = [fs.open(path + "/made/one").read().decode(), fs.list(path + "/made"), fs.size(path + "/made/one")]
    fs.remove(path + "/made")
print(json.dumps(said))
"""
REFUSED = """
import contextlib, io, json, sys
from hdl import identity
from hdl.cli import main
said = {"home": identity.home()}
for path in sys.argv[1:]:
    text = io.StringIO()
    with contextlib.redirect_stderr(text):
        try:
            main(["evaluate", path, path])
        except SystemExit as end:
            said[path] = [end.code, text.getvalue()]
print(json.dumps(said))
"""
CONTENT = "1,2,0\n3,4,1\n"
LINK = "fs.viewfs.mounttable.{}.link./mine"


@pytest.fixture(scope="module")
def conf(cluster, tmp_path_factory):
    """A configuration folder in which a view of the cluster is the default file system."""
    folder = tmp_path_factory.mktemp("view") / "conf"
    shutil.copytree(cluster.conf, folder)
    site = folder / "core-site.xml"
    more = {
        LINK.format("Views"): f"{cluster.uri}/tests",
        "fs.viewfs.mounttable.Views.link./user": f"{cluster.uri}/user",
    }
    text = "".join(f"<property><name>{k}</name><value>{v}</value></property>" for k, v in more.items())
    default = "<name>fs.defaultFS</name><value>viewfs://Views/</value>"
    had = re.sub(r"<name>fs\.defaultFS</name><value>[^<]*</value>", default, site.read_text())
    site.write_text(had.replace("</configuration>", f"{text}</configuration>"))
    return folder


@pytest.fixture
def ask(conf):
    def ask(script, *paths, check=True):
        done = subprocess.run(
            [sys.executable, "-c", script, *paths], env={**os.environ, "HADOOP_CONF_DIR": str(conf)}, timeout=600,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if not check:
            return done
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def test_views_webhdfs_and_archives_are_read_and_written_as_hdfs_is(folder, cluster, ask):
    fs.mkdir(f"{folder}/data")
    fs.publish(f"{folder}/data/a.csv", CONTENT.encode())
    below, user = folder.removeprefix("hdfs:///tests") + "/data", os.environ["HADOOP_USER_NAME"]
    web = cluster.web()["namenode"].replace("http", "webhdfs")
    paths = [f"viewfs://Views/mine{below}", f"{web}/tests{below}"]
    said = ask(ASK, *paths, archive(folder, cluster))
    for path, found in said.items():
        address = re.match(r"\w+://[^/]+", path)[0]
        if path in paths:
            assert found.pop("home") == f"{address}/user/{user}"
        found.pop("home", "")
        assert found == {
            "list": ["a.csv"], "isdir": True, "glob": [f"{path}/a.csv"], "read": CONTENT, "missing": False,
        }  # fmt: skip
    assert ask(CHANGE, *paths) == {path: ["1", ["below", "one"], 1] for path in paths}


def archive(folder, cluster):
    """An archive as `hadoop archive` makes one: an index of the names, and the files one after the other."""
    index = f"%2F dir 0+493+ada+ada 0 0 a.csv \n%2Fa.csv file part-0 0 {len(CONTENT)} 0+420+ada+ada \n"
    fs.mkdir(f"{folder}/x.har")
    fs.publish(f"{folder}/x.har/part-0", CONTENT.encode())
    fs.publish(f"{folder}/x.har/_index", index.encode())
    fs.publish(f"{folder}/x.har/_masterindex", f"3 \n0 2147483647 0 {len(index)} \n".encode())
    return folder.replace("hdfs:///", f"har://hdfs-{cluster.uri.removeprefix('hdfs://')}/") + "/x.har"


WRONG = {
    "s3a://bucket/x": ["s3a://bucket", "org.apache.hadoop.fs.s3a.S3AFileSystem", "hadoop classpath"],
    "gopher://bucket/x": ["gopher://bucket", "no file system for gopher://", "hadoop classpath"],
    "viewfs://Nothing/x": ["viewfs://Nothing", "Mount table"],
    "hdfs:///x": ["fs.defaultFS", "viewfs://Views/…"],  # the view is the default
    "hdfs:/x": ["expected hdfs:///x"],
}


def test_what_hadoop_cannot_open_is_told_in_one_sentence(ask):
    said = ask(REFUSED, *WRONG)
    for path, words in WRONG.items():
        status, text = said[path]
        assert status not in (0, 70), path
        assert len(text.strip().splitlines()) == 1, text
        assert "\tat " not in text
        for word in words:
            assert word in text
    assert said["home"].startswith("viewfs://Views/user/")


@pytest.mark.full
def test_a_training_reads_a_view_and_writes_its_table_there(folder, ask):
    lines = "".join(f"{k},{k % 3},{k % 2}\n" for k in range(40))
    fs.publish(f"{folder}/a.csv", lines.encode())
    path = folder.replace("hdfs:///tests", "viewfs://Views/mine")
    words = [f"{path}/a.csv", "--out", f"{path}/model", "--net", "0-3-0", "--epochs", "2", "--no-report", "--seed", "1"]
    script = "import sys; from hdl.cli import main; sys.exit(main(['train', *sys.argv[1:]]))"
    done = ask(script, *words, check=False)
    assert done.returncode == 0, done.stderr
    assert "v00000002.safetensors" in fs.list(f"{folder}/model")
