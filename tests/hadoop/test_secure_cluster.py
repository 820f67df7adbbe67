"""The cluster with Kerberos: who has no ticket is nobody, who has one is an ordinary user, and nothing is readable."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from hdl.cluster import cli, web
from hdl.cluster.daemons import Cluster
from hdl.cluster.options import Options
from hdl.errors import HdlError, SpecError
from tests.hadoop.secure import Secure


def examples(secure):
    return next(secure.cluster.home.glob("share/hadoop/mapreduce/hadoop-mapreduce-examples-*.jar"))


def test_who_has_no_ticket_is_refused(secure):
    # A name that is only claimed is worth nothing here.
    claimed = secure.run("hadoop", "fs", "-ls", "/", user=None, check=False, HADOOP_USER_NAME="hdfs")
    assert claimed.returncode != 0
    assert "Client cannot authenticate via:[TOKEN, KERBEROS]" in claimed.stderr


def test_users_are_ordinary_and_have_homes_that_others_cannot_read(secure):
    def asked(path, operation, method="GET", user="ada"):
        address = f"{secure.cluster.web()['namenode']}/webhdfs/v1{path}?op={operation}"
        return web.send(address, method, secure.environment(user), secure.cluster.authority)

    assert "FileStatuses" in asked("/user/ada", "LISTSTATUS")
    with pytest.raises(HdlError, match="user=ada, access=READ_EXECUTE"):
        asked("/user/bob", "LISTSTATUS")
    with pytest.raises(HdlError, match="Permission denied: user=ada"):
        asked("/x", "MKDIRS", "PUT")
    assert "FileStatuses" in asked("/user/bob", "LISTSTATUS", user="hdfs")
    with pytest.raises(HdlError, match="Authentication required"):
        asked("/", "LISTSTATUS", user=None)


def test_what_travels_is_encrypted(secure):
    wanted = {
        "hadoop.security.authentication": "kerberos",
        "hadoop.rpc.protection": "privacy",
        "dfs.encrypt.data.transfer": "true",
        "dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding",
        "dfs.block.access.token.enable": "true",
    }
    written = "".join(file.read_text() for file in secure.cluster.conf.glob("*-site.xml"))
    for key, value in wanted.items():
        assert f"<name>{key}</name><value>{value}</value>" in written


def test_keys_and_tickets_are_the_owners_alone(secure):
    root = secure.cluster.root
    assert root.stat().st_mode & 0o077 == 0
    files = [path for path in (root / "kdc").rglob("*") if path.name not in ("krb5.conf", "kdc.conf")]
    assert len(files) > 10
    assert [path for path in files if path.stat().st_mode & 0o077] == []


@pytest.mark.full  # test_secure_runners.py runs jobs on it, and test_pages.py reads logs
def test_a_reducer_in_a_container_of_its_own_and_the_logs_of_it(secure, tmp_path):
    """The shuffle and the logs need Hadoop's native library: it tells whose a file is that they hand out."""
    (tmp_path / "words").write_text("a b a\n")
    secure.run("hadoop", "fs", "-put", "-f", tmp_path / "words", "/user/ada/words")
    job = ["hadoop", "jar", examples(secure), "wordcount", "-D", "mapreduce.job.ubertask.enable=false"]
    done = secure.run(*job, "/user/ada/words", "/user/ada/counts")
    assert secure.run("hadoop", "fs", "-cat", "/user/ada/counts/part-r-00000").stdout == "a\t2\nb\t1\n"
    assert "Launched reduce tasks=1" in done.stderr
    assert "TOTAL_LAUNCHED_UBERTASKS" not in done.stderr
    application = next(word for word in done.stderr.split() if word.startswith("application_"))
    logs = secure.said(
        application,
        lambda: secure.run("yarn", "logs", "-applicationId", application, check=False).stdout,
        "LogType:syslog",
    )
    assert "Error aggregating" not in logs


def test_status_and_exports_of_it(secure):
    root = ["--dir", str(secure.cluster.root)]
    state = json.loads(CliRunner().invoke(cli.cluster_, ["status", "--json", *root]).output)
    assert (state["ready"], state["realm"]) == (True, secure.realm)
    lines = CliRunner().invoke(cli.cluster_, ["env", "--user", "bob", *root]).output
    seen = subprocess.run(["sh", "-c", f"{lines}\nklist"], capture_output=True, text=True, check=True).stdout
    assert "bob@HDL.TEST" in seen
    assert "HADOOP_USER_NAME=" not in lines
    nobody = CliRunner().invoke(cli.cluster_, ["env", "--user", "mallory", *root])
    assert isinstance(nobody.exception, SpecError)
    assert "mallory" in str(nobody.exception)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"kerberos": True, "federation": True}, "at most one of kerberos"),
        ({"spnego": True}, "Kerberos"),
        ({"kms": True}, "Kerberos"),
        ({"max_lifetime": 240}, "Kerberos"),
        ({"datanodes": 0}, "datanodes = 0"),
    ],
)
def test_options_that_do_not_go_together(options, why):
    with pytest.raises(SpecError, match=why):
        Options(**options)


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A cluster with all that can be asked for at once: pages with tickets, over HTTPS, a key server, short tokens."""
    root = tmp_path_factory.mktemp("closed") / "cluster"
    asked = {"kerberos": True, "spnego": True, "https": True, "kms": True, "renew_interval": 60, "max_lifetime": 240}
    started = Cluster.start(root, users=("ada", "bob"), node_user="ada", seconds=300, **asked)
    yield Secure(started)
    started.stop(purge=True)


@pytest.mark.full
def test_pages_ask_for_tickets_over_https_and_tokens_end(closed):
    cluster = closed.cluster
    assert cluster.status()["ready"]
    pages = {"namenode": "jmx", "resourcemanager": "ws/v1/cluster/info", "historyserver": "jobhistory"}
    code = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "--noproxy", "*", "--cacert", cluster.authority]
    for name, page in pages.items():
        address = f"{cluster.web()[name]}/{page}"
        assert address.startswith("https://")
        assert closed.run(*code, address, user=None).stdout == "401", name
        assert closed.run(*code, "--negotiate", "-u", ":", address).stdout == "200", name
    for site in ("hdfs", "yarn"):
        written = (cluster.conf / f"{site}-site.xml").read_text()
        assert "delegation.token.renew-interval</name><value>60000<" in written
        assert "delegation.token.max-lifetime</name><value>240000<" in written
    for name in ("ssl-server.xml", "ssl-client.xml"):
        assert (cluster.conf / name).stat().st_mode & 0o077 == 0


@pytest.mark.full
def test_a_training_in_an_encryption_zone(closed, tmp_path):
    """What is written there is ciphertext to HDFS and its superuser, and the same bytes as elsewhere to its owner."""
    cluster, zone = closed.cluster, "hdfs:///user/ada/zone"
    cluster.own("/user/ada/zone", "ada")
    cluster.encrypt("/user/ada/zone", "samples")
    lines = "".join(f"{n % 5},{n % 7},{'ab'[n % 2]}\n" for n in range(200))
    (tmp_path / "samples.csv").write_text(f"a,b,class\n{lines}")
    closed.run("hadoop", "fs", "-put", tmp_path / "samples.csv", f"{zone}/samples.csv")
    hdl, here = [sys.executable, "-m", "hdl"], {"PYTHONPATH": os.getcwd()}
    flags = ["--net", "2-3-2", "--shards", "2", "--epochs", "4", "--sync-every", "2", "--seed", "3"]
    signatures = set()
    for data, table in ((f"{zone}/samples.csv", f"{zone}/model"), (tmp_path / "samples.csv", tmp_path / "model")):
        closed.run(*hdl, "train", data, "--out", table, *flags, **here)
        signatures.add(json.loads(closed.run(*hdl, "inspect", table, "--json", **here).stdout)["sha256"])
    assert len(signatures) == 1
    raw = closed.run("hadoop", "fs", "-cat", "/.reserved/raw/user/ada/zone/samples.csv", user="hdfs", text=False).stdout
    assert len(raw) == (tmp_path / "samples.csv").stat().st_size
    assert raw != (tmp_path / "samples.csv").read_bytes()
    refused = closed.run("hadoop", "fs", "-cat", f"{zone}/samples.csv", user="hdfs", check=False)
    assert refused.returncode != 0
    assert "DECRYPT_EEK" in refused.stderr
