"""The cluster with Kerberos: who has no ticket is nobody, who has one is an ordinary user, and nothing is readable."""

import pytest


def test_who_has_no_ticket_is_refused(secure):
    done = secure.run("hadoop", "fs", "-ls", "/", user=None, check=False)
    assert done.returncode != 0
    assert "Client cannot authenticate via:[TOKEN, KERBEROS]" in done.stderr
    # A name that is only claimed is worth nothing here.
    claimed = secure.run("hadoop", "fs", "-ls", "/", user=None, check=False, HADOOP_USER_NAME="hdfs")
    assert claimed.returncode != 0


def test_users_are_ordinary_and_have_homes_that_others_cannot_read(secure):
    secure.run("hadoop", "fs", "-ls", "/user/ada")
    for path, why in (("/user/bob", "user=ada, access=READ_EXECUTE"), ("/user/gateway", "Permission denied")):
        done = secure.run("hadoop", "fs", "-ls", path, check=False)
        assert done.returncode != 0
        assert why in done.stderr
    assert "Permission denied" in secure.run("hadoop", "fs", "-mkdir", "/x", check=False).stderr
    assert "user/bob" in secure.run("hadoop", "fs", "-ls", "-d", "/user/bob", user="hdfs").stdout


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hadoop.security.authentication", "kerberos"),
        ("hadoop.rpc.protection", "privacy"),
        ("dfs.encrypt.data.transfer", "true"),
        ("dfs.block.access.token.enable", "true"),
    ],
)
def test_what_travels_is_encrypted(secure, key, value):
    assert f"<name>{key}</name><value>{value}</value>" in "".join(
        file.read_text() for file in secure.cluster.conf.glob("*-site.xml")
    )
