"""The cluster with Kerberos: who has no ticket is nobody, who has one is an ordinary user, and nothing is readable."""

import json
import os
import subprocess

import pytest
from click.testing import CliRunner

from hdl.cluster import cli
from hdl.cluster.daemons import Cluster
from hdl.cluster.options import Options
from hdl.errors import SpecError


def examples(secure):
    return next(secure.cluster.home.glob("share/hadoop/mapreduce/hadoop-mapreduce-examples-*.jar"))


def test_who_has_no_ticket_is_refused(secure):
    # A name that is only claimed is worth nothing here.
    claimed = secure.run("hadoop", "fs", "-ls", "/", user=None, check=False, HADOOP_USER_NAME="hdfs")
    assert claimed.returncode != 0
    assert "Client cannot authenticate via:[TOKEN, KERBEROS]" in claimed.stderr


def test_users_are_ordinary_and_have_homes_that_others_cannot_read(secure):
    secure.run("hadoop", "fs", "-ls", "/user/ada")
    refused = secure.run("hadoop", "fs", "-ls", "/user/bob", check=False)
    assert refused.returncode != 0
    assert "user=ada, access=READ_EXECUTE" in refused.stderr
    assert "Permission denied" in secure.run("hadoop", "fs", "-mkdir", "/x", check=False).stderr


def test_what_travels_is_encrypted(secure):
    wanted = {
        "hadoop.security.authentication": "kerberos",
        "hadoop.rpc.protection": "privacy",
        "dfs.encrypt.data.transfer": "true",
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
    said = "".join(f"{daemon.pid} " for daemon in secure.cluster.daemons.values())
    arguments = subprocess.run(
        ["ps", "-o", "args=", "-p", said.strip().replace(" ", ",")], capture_output=True, check=True
    )
    keys = (root / "kdc/stash").read_bytes()
    assert keys not in arguments.stdout


def test_a_reducer_in_a_container_of_its_own_and_the_logs_of_it(secure, tmp_path):
    """The shuffle and the logs need Hadoop's native library: it tells whose a file is that they hand out."""
    assert "hadoop:  true" in secure.run("hadoop", "checknative").stdout
    (tmp_path / "words").write_text("a b a\n")
    secure.run("hadoop", "fs", "-put", "-f", tmp_path / "words", "/user/ada/words")
    job = ["hadoop", "jar", examples(secure), "wordcount", "-D", "mapreduce.job.ubertask.enable=false"]
    done = secure.run(*job, "/user/ada/words", "/user/ada/counts")
    assert secure.run("hadoop", "fs", "-cat", "/user/ada/counts/part-r-00000").stdout == "a\t2\nb\t1\n"
    assert "Launched reduce tasks=1" in done.stderr
    assert "TOTAL_LAUNCHED_UBERTASKS" not in done.stderr
    application = next(word for word in done.stderr.split() if word.startswith("application_"))
    logs = secure.run("yarn", "logs", "-applicationId", application).stdout
    assert "Error aggregating" not in logs
    assert "LogType:syslog" in logs


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
        ({"kerberos": True, "ha": True}, "at most one"),
        ({"spnego": True}, "Kerberos"),
        ({"max_lifetime": 240}, "Kerberos"),
        ({"datanodes": 0}, "datanodes = 0"),
    ],
)
def test_options_that_do_not_go_together(options, why):
    with pytest.raises(SpecError, match=why):
        Options(**options)


@pytest.mark.full
def test_pages_that_ask_for_tickets_over_https_and_tokens_that_end(tmp_path):
    started = Cluster.start(
        tmp_path / "closed", kerberos=True, spnego=True, https=True, renew_interval=60, max_lifetime=240, seconds=300
    )
    try:
        for name, page in {
            "namenode": "jmx",
            "resourcemanager": "ws/v1/cluster/info",
            "historyserver": "jobhistory",
        }.items():
            words = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "--cacert", started.authority]
            address = f"{started.web()[name]}/{page}"
            assert address.startswith("https://")
            asked = subprocess.run([*words, address], capture_output=True, text=True, check=False)
            assert asked.stdout == "401", (name, asked)
            environment = os.environ | started.environment("hdfs")
            shown = subprocess.run(
                [*words, "--negotiate", "-u", ":", address],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
            )
            assert shown.stdout == "200", (name, shown)
        assert started.status()["ready"]
        assert "<value>240000</value>" in (started.conf / "hdfs-site.xml").read_text()
    finally:
        started.stop(purge=True)
