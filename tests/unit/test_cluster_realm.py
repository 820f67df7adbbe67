"""What a cluster has beside Hadoop's daemons: a Kerberos realm, a certificate, a name for the nodes' user."""

import os
import shutil
import ssl
import subprocess
import time

import pytest
from click.testing import CliRunner

from hdl.cluster import certificate, cli, config, kdc, known_as, options, process
from hdl.cluster.config import access, kerberos
from hdl.cluster.daemons import Cluster
from hdl.errors import HdlError, SpecError, Unavailable

missing = [tool for tool in kdc.TOOLS if not kdc.found(tool)]
needs_kerberos = pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)}: ./build.sh test installs them")


@pytest.fixture
def realm(tmp_path):
    """The folder of a realm whose centre runs."""
    port = config.free_ports(("kdc",))["kdc"]
    kdc.make(tmp_path, port, ["localhost", "127.0.0.1"])
    daemon = process.spawn("kdc", kdc.command(), tmp_path / "kdc.log", kdc.environment(tmp_path))
    process.wait_listening(config.LOOPBACK, port, daemon, time.monotonic() + 250)
    yield tmp_path
    process.stop([daemon])


def listed(root, cache):
    words = ["klist", "-c", f"FILE:{cache}"]
    return subprocess.run(words, capture_output=True, text=True, check=True, env=kdc.environment(root)).stdout


@needs_kerberos
def test_a_user_gets_a_ticket_that_is_theirs_alone(realm):
    kdc.add(realm, "ada")
    keytab = kerberos.keytab(realm, "ada").read_bytes()
    kdc.add(realm, "ada")  # again: the keys stay
    assert kerberos.keytab(realm, "ada").read_bytes() == keytab
    cache = kdc.ticket(realm, "ada")
    assert "Default principal: ada@HDL.TEST" in listed(realm, cache)
    assert cache.stat().st_mode & 0o077 == 0
    assert "hdfs/localhost@HDL.TEST" in listed(realm, kdc.ticket(realm, "hdfs"))
    assert kdc.ticket(realm, "hdfs", reuse=True).read_bytes() == (realm / "kdc/tickets/hdfs").read_bytes()


@needs_kerberos
def test_who_is_not_of_the_realm_gets_none(realm):
    with pytest.raises(SpecError, match=r"'mallory' has no keytab.*add_user"):
        kdc.ticket(realm, "mallory")
    for name in ("a b", "../ada", "x@OTHER", "é", ""):
        with pytest.raises(SpecError, match="expected letters"):
            kdc.add(realm, name)
    shutil.copy(kerberos.keytab(realm, "hdfs"), kerberos.keytab(realm, "eve"))  # another one's keys
    with pytest.raises(HdlError, match=r"no ticket for eve@HDL\.TEST"):
        kdc.ticket(realm, "eve")


def test_programs_that_are_missing_are_named_with_their_packages(monkeypatch, tmp_path):
    monkeypatch.setattr(kdc, "found", lambda name: None)
    with pytest.raises(Unavailable, match=r"krb5kdc; on Debian: apt install krb5-kdc krb5-admin-server krb5-user"):
        kdc.make(tmp_path, 1, ["localhost"])
    assert not (tmp_path / "kdc").exists()


def test_the_list_of_who_may_submit():
    listed = access.policy({"users": ["ada", "hdfs"]})
    assert listed["security.applicationclient.protocol.acl"] == "ada,hdfs"
    assert access.policy({"users": ["ada"], "kerberos": True}) == {}


@pytest.mark.skipif(bool(known_as.why_not()), reason="no libnss-wrapper: ./build.sh test installs it")
def test_nodes_know_their_user_by_another_name(tmp_path):
    (tmp_path / "conf").mkdir()
    made = known_as.environment(tmp_path, "ada")
    said = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True, env={**os.environ, **made}).stdout
    assert said == "ada\n"


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("keytool") and "JAVA_HOME" not in os.environ, reason="no keytool")
def test_a_certificate_that_is_trusted_and_no_password_in_sight(tmp_path, monkeypatch):
    said = []
    check = certificate.programs.check
    monkeypatch.setattr(
        certificate.programs, "check", lambda words, *rest, **more: said.append(words) or check(words, *rest, **more)
    )
    certificate.make(tmp_path / "tls", ["localhost", "127.0.0.1"])
    password = (tmp_path / "tls/password").read_text()
    assert len(password) == 32
    assert not any(password in word for words in said for word in words)
    for name in ("password", "key.p12"):
        assert (tmp_path / "tls").stat().st_mode & 0o077 == 0, name
    assert len(ssl.create_default_context(cafile=tmp_path / "tls/ca.pem").get_ca_certs()) == 1
    before = (tmp_path / "tls/key.p12").read_bytes()
    certificate.make(tmp_path / "tls", ["localhost"])
    assert (tmp_path / "tls/key.p12").read_bytes() == before


def test_two_processes_that_hold_one_cluster_do_not_forget_each_others_daemons(tmp_path):
    (tmp_path / "cluster").mkdir()
    asked = {"datanodes": 1, "nodemanagers": 1, "users": ["ada"]}
    one = Cluster(tmp_path / "cluster", "3.4.2", tmp_path, {}, asked)
    one.daemons = {
        name: process.spawn(name, ["sleep", "60"], tmp_path / "log", {}) for name in ("namenode", "datanode1")
    }
    one.save()
    two = Cluster.load(one.root)
    try:
        two.kill("datanode1")
        two.daemons["datanode1"] = process.spawn("datanode1", ["sleep", "60"], tmp_path / "log", {})
        two.save("datanode1")
        one.save("namenode")  # as after its own restart
        assert one.daemons["datanode1"].pid == two.daemons["datanode1"].pid
        assert Cluster.load(one.root).daemons == two.daemons
    finally:
        one.stop()
    assert not any(daemon.alive for daemon in two.daemons.values())


def test_flags_of_start_are_options_of_a_cluster(monkeypatch, tmp_path):
    given = {}

    def start(root, version, seconds, **asked):
        given.update(asked)
        raise SpecError("seen")

    monkeypatch.setattr(cli.Cluster, "start", start)
    flags = ["--kerberos", "--spnego", "--https", "--user", "ada", "--user", "bob", "--nodemanagers", "3"]
    CliRunner().invoke(cli.cluster_, ["start", "--dir", str(tmp_path), *flags])
    asked = options.Options(**given)
    assert (asked.kerberos, asked.spnego, asked.https, asked.users, asked.nodemanagers) == (
        True,
        True,
        True,
        ("ada", "bob"),
        3,
    )
    assert asked.superuser(None, "me") == "hdfs"
    with pytest.raises(SpecError, match="'me': with Kerberos it is 'hdfs'"):
        asked.superuser("me", "me")
    assert options.Options().superuser(None, "me") == "me"
