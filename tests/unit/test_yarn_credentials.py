"""Keys of an application: what each side gets, what is never shown, and Hadoop's token file."""

import os
import ssl
import struct
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("zmq", reason="no pyzmq: pip install hdl-hadoop[hadoop]")
pytest.importorskip("cryptography", reason="no cryptography: pip install hdl-hadoop[hadoop]")

from hypothesis import given
from hypothesis import strategies as st

from hdl.errors import SpecError, WorkerError
from hdl.yarn.comm import tokens
from hdl.yarn.comm.credentials import MASTER, Credentials, WorkerCredentials
from hdl.yarn.comm.tokens import TokenError, parse, to_tokens


@pytest.fixture(scope="module")
def credentials():
    return Credentials.make()


def test_both_kinds_of_keys_survive_the_journey(credentials):
    again = Credentials.from_dict(credentials.to_dict() | {"another.alias": b"x"})
    assert again == credentials
    keys = WorkerCredentials.from_dict(credentials.worker("container_1"))
    assert keys.name == "container_1"
    assert (keys.public, keys.secret) == again.curve("container_1")
    assert keys.master == again.curve(MASTER)[0]
    assert keys.identity("work") == again.identity("container_1", "work") != again.identity("container_1", "beat")


def test_a_worker_gets_neither_the_root_nor_anybodys_secret_but_its_own(credentials):
    given = credentials.worker("container_1").values()
    for hidden in (credentials.root, credentials.curve(MASTER)[1], credentials.curve("container_2")[1]):
        assert not any(hidden in value for value in given)


def test_all_names_and_applications_have_keys_of_their_own(credentials):
    other = Credentials.make()
    pairs = [keys.curve(name) for keys in (credentials, other) for name in ("a", "b", MASTER)]
    assert len({key for pair in pairs for key in pair}) == 12
    assert credentials.certificate != other.certificate


def test_the_pair_is_one_of_curve25519(credentials):
    zmq = pytest.importorskip("zmq")
    from zmq.utils import z85

    public, secret = credentials.curve("a")
    assert zmq.curve_public(secret) == public
    plain = z85.decode(secret)
    assert plain[0] & 7 == 0
    assert plain[31] & 0xC0 == 0x40


def test_nothing_shows_a_key(credentials):
    keys = WorkerCredentials.from_dict(credentials.worker("container_1"))
    for shown in (repr(credentials), str(keys), f"{credentials}", repr(vars(keys).keys())):
        assert "PRIVATE" not in shown
        assert credentials.root.hex() not in shown
        assert keys.secret.decode() not in shown
    for name, value in credentials.to_dict().items():
        broken = credentials.to_dict() | {name: value[: len(value) // 2]}
        with pytest.raises(WorkerError) as error:
            Credentials.from_dict(broken).tls(True)
        assert "PRIVATE" not in str(error.value)
        assert error.value.__cause__ is None


@pytest.mark.parametrize("name", [MASTER, "", "a/b", "ä", "a\n", "x" * 161])
def test_names_that_nobody_can_have(credentials, name):
    with pytest.raises(SpecError):
        credentials.worker(name)


@pytest.mark.parametrize(
    "missing", ["hdl.certificate", "hdl.key", "hdl.name", "hdl.public", "hdl.secret", "hdl.master"]
)
def test_a_missing_key_is_named(credentials, missing):
    entries = credentials.worker("a")
    del entries[missing]
    with pytest.raises(WorkerError, match=missing):
        WorkerCredentials.from_dict(entries)
    with pytest.raises(WorkerError, match=missing):
        WorkerCredentials.from_dict(entries | {missing: b""})


@pytest.mark.parametrize("wrong", ["hdl.name", "hdl.public", "hdl.secret", "hdl.master"])
def test_a_wrong_key_is_named(credentials, wrong):
    with pytest.raises(WorkerError, match=wrong):
        WorkerCredentials.from_dict(credentials.worker("a") | {wrong: b"\xff" * 3})


def test_the_context_takes_tls_1_3_and_both_certificates_and_leaves_no_file(credentials, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    open_before = len(os.listdir("/proc/self/fd"))
    for server in (True, False):
        context = credentials.tls(server)
        assert context.minimum_version == context.maximum_version == ssl.TLSVersion.TLSv1_3
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert len(context.get_ca_certs()) == 0  # it vouches for itself, not for others
        assert context.cert_store_stats()["x509"] == 1
    assert len(os.listdir("/proc/self/fd")) == open_before
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    credentials.tls(True)
    assert not list(tmp_path.iterdir())


def test_only_making_keys_needs_cryptography():
    modules = "hdl.yarn.comm.credentials, hdl.yarn.comm.control, hdl.yarn.comm.tls"
    code = f"import sys; sys.modules['cryptography'] = None; import {modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- Hadoop's token file ----------------------------------------------------------------------------------------------


def test_a_container_reads_its_keys(credentials, tmp_path, monkeypatch):
    path = tmp_path / "container_tokens"
    path.write_bytes(to_tokens(credentials.worker("container_1")))
    monkeypatch.setenv(tokens.VARIABLE, str(path))
    assert WorkerCredentials.from_container() == WorkerCredentials.from_dict(credentials.worker("container_1"))
    with pytest.raises(WorkerError, match=r"hdl\.root"):
        Credentials.from_container()
    path.write_bytes(to_tokens(credentials.to_dict()))
    assert Credentials.from_container() == credentials


def test_no_container_no_keys(tmp_path, monkeypatch):
    monkeypatch.delenv(tokens.VARIABLE, raising=False)
    with pytest.raises(WorkerError, match=f"{tokens.VARIABLE} is not set"):
        Credentials.from_container()
    monkeypatch.setenv(tokens.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(WorkerError, match="No such file"):
        Credentials.from_container()
    (tmp_path / "none").write_bytes(b"HDTS\x00\x00\x01\x04root\x7f secret")
    with pytest.raises(WorkerError, match="bytes expected at byte") as error:
        Credentials.from_container()
    assert "secret" not in str(error.value)


@given(st.dictionaries(st.text(max_size=200), st.binary(max_size=300), max_size=5))
def test_what_is_written_is_read(secret_keys):
    assert parse(to_tokens(secret_keys)) == secret_keys


@given(st.binary(max_size=200), st.sampled_from([b"", b"HDTS", b"HDTS\0", b"HDTS\1", b"HDTS\0\0", b"HDTS\0\x8b\xff"]))
def test_other_bytes_are_an_error_and_nothing_else(content, before):
    try:
        secret_keys = parse(before + content)
    except TokenError:
        return
    assert all(isinstance(key, str) and isinstance(value, bytes) for key, value in secret_keys.items())


@pytest.mark.parametrize("version", [0, 1])
def test_hand_made_files_of_both_formats(version):
    """Bytes as Hadoop's source says: one token (alias, identifier, password, kind, service), two secret keys."""
    long = bytes(range(256)) * 2
    if version == 0:
        token = b"\x01t" + b"\x02id" + b"\x02pw" + b"\x04kind" + b"\x07service"
        body = b"\x01" + token + b"\x02" + b"\x01a\x01x" + b"\x03abc" + b"\x8e\x02\x00" + long
    else:
        inner = b"\x0a\x02id\x12\x02pw\x1a\x04kind\x22\x07service"
        token = b"\x0a\x01t\x12" + bytes([len(inner)]) + inner
        first = b"\x0a\x01a\x1a\x01x"
        second = b"\x0a\x03abc\x1a\x80\x04" + long
        message = b"".join(
            [b"\x0a", bytes([len(token)]), token, b"\x12", bytes([len(first)]), first, b"\x12\x88\x04", second]
        )
        assert len(second) == 0x208
        body = bytes([len(message) & 127 | 128, len(message) >> 7]) + message
    content = b"HDTS" + bytes([version]) + body
    assert parse(content) == {"a": b"x", "abc": long}
    for cut in range(len(content)):
        with pytest.raises(TokenError):
            parse(content[:cut])


JAVA = """
import org.apache.hadoop.security.*; import org.apache.hadoop.security.token.*; import org.apache.hadoop.io.Text;
public class Make {
    public static void main(String[] a) throws Exception {
        Credentials c = new Credentials();
        byte[] big = new byte[70000]; for (int i = 0; i < big.length; i++) big[i] = (byte) (i * 7);
        c.addToken(new Text("alias of a token"),
            new Token<TokenIdentifier>(big, new byte[200], new Text("KIND"), new Text("host:8020")));
        c.addToken(new Text("\\u00e4"), new Token<TokenIdentifier>(new byte[0], big, new Text(""), new Text("")));
        c.addSecretKey(new Text("empty"), new byte[0]);
        c.addSecretKey(new Text("\\u00e4"), new byte[] {1, 2});
        for (int n : new int[] {127, 128, 255, 256, 70000})
            c.addSecretKey(new Text("n" + n), java.util.Arrays.copyOf(big, n));
        for (Credentials.SerializedFormat f : Credentials.SerializedFormat.values())
            try (var out = new java.io.DataOutputStream(new java.io.FileOutputStream(a[0] + "/" + f.name()))) {
                c.writeTokenStorageToStream(out, f);
            }
    }
}
"""


def test_files_that_hadoop_itself_writes(tmp_path):
    from shutil import which

    homes = [os.environ.get("HADOOP_HOME", ""), *Path("~/.cache/hdl").expanduser().glob("hadoop-3.4*")]
    homes = [Path(home) for home in homes if home and list(Path(home).glob("share/hadoop/**/hadoop-common-*.jar"))]
    if not which("java") or not homes:
        pytest.skip("no java or no Hadoop: hdl cluster gets one")
    jars = {str(jar.parent / "*") for jar in homes[0].glob("share/hadoop/**/*.jar")}
    source = tmp_path / "Make.java"
    source.write_text(JAVA)
    command = [
        "java",
        "-Xshare:auto",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        ":".join(sorted(jars)),
        str(source),
        str(tmp_path),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=250)
    big = bytes(i * 7 & 255 for i in range(70000))
    expected = {"empty": b"", "ä": b"\1\2"} | {f"n{n}": big[:n] for n in (127, 128, 255, 256, 70000)}
    for name in ("WRITABLE", "PROTOBUF"):
        assert parse((tmp_path / name).read_bytes()) == expected
    assert struct.unpack("4sB", (tmp_path / "PROTOBUF").read_bytes()[:5]) == (b"HDTS", 1)
