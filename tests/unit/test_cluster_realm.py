"""What a cluster has beside Hadoop's daemons: a Kerberos realm, a certificate, a name for the nodes' user."""

import os
import shutil
import ssl
import subprocess
import time

import pytest

from hdl.cluster import certificate, config, kdc, known_as, process
from hdl.cluster.config import access, kerberos
from hdl.errors import HdlError, SpecError, Unavailable

missing = [tool for tool in kdc.TOOLS if not kdc.found(tool)]
needs_kerberos = pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)}: ./build.sh test installs them")


@pytest.fixture
def realm(tmp_path):
    """The folder of a realm whose centre runs."""
    port = config.free_ports(("kdc",))["kdc"]
    kdc.make(tmp_path, port, ["localhost", "127.0.0.1"])
    daemon = process.spawn("kdc", kdc.command(), tmp_path / "kdc.log", kdc.environment(tmp_path))
    process.wait_listening(config.LOOPBACK, port, daemon, time.monotonic() + 30)
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
