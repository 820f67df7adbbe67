"""Logging in by a keytab, at a key distribution centre of the test's own."""

import os
import re
import socket
import stat
import subprocess
import sys
import time

import pytest

from hdl import cli, kerberos
from hdl.cluster import kdc
from hdl.cluster.config.kerberos import REALM, keytab
from hdl.errors import DeadlineError, HdlError, LoginError, SpecError, Unavailable
from hdl.kerberos import keytab as by_keytab


def environment(root):
    return {"PATH": f"{os.environ['PATH']}:/usr/sbin", **kdc.environment(root)}


def administer(root, command):
    subprocess.run([kdc.tool("kadmin.local"), "-r", REALM], input=command, text=True, check=True, timeout=250,
                   env=environment(root), capture_output=True)  # fmt: skip


@pytest.fixture(scope="module")
def centre(tmp_path_factory):
    """The folder of a running key distribution centre with the user ada."""
    try:
        kdc.tool("krb5kdc")
    except Unavailable as error:
        pytest.skip(str(error))
    root = tmp_path_factory.mktemp("realm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kdc.make(root, port, ["localhost"])
    kdc.add(root, "ada", "eve", "gone")
    with (root / "log").open("w") as log, subprocess.Popen(kdc.command(), env=environment(root), stderr=log) as process:
        deadline = time.monotonic() + 250
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (root / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield root
        process.terminate()


@pytest.fixture
def at(centre, monkeypatch, tmp_path):
    """This process is a client of the centre, has no ticket, and its folder for temporary files is the test's."""
    monkeypatch.setenv("KRB5_CONFIG", str(centre / "kdc/krb5.conf"))
    monkeypatch.setenv("KRB5CCNAME", str(tmp_path / "none"))
    monkeypatch.setattr(by_keytab.tempfile, "tempdir", str(tmp_path))
    yield centre
    kerberos.end()


def who(root, principal="ada", keys="ada"):
    return kerberos.Login(principal, str(keytab(root, keys)))


def test_a_login_is_this_process_s_alone_and_leaves_nothing(at, tmp_path):
    before = os.environ["KRB5CCNAME"]
    assert kerberos.given() is None
    assert kerberos.ticket() is None
    kerberos.login(who(at))
    assert kerberos.given() == who(at)
    found = kerberos.ticket()
    assert (found.principal, found.realm, found.ended) == (f"ada@{REALM}", REALM, False)
    cache = os.environ["KRB5CCNAME"]
    assert found.cache == f"FILE:{cache}"
    assert stat.S_IMODE(os.stat(cache).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(cache)).st_mode) == 0o700
    kerberos.end()
    assert kerberos.given() is None
    assert os.environ["KRB5CCNAME"] == before
    assert not list(tmp_path.iterdir())


def test_a_ticket_is_renewable_though_krb5_conf_does_not_say_so(at, monkeypatch, tmp_path):
    text = (at / "kdc/krb5.conf").read_text()
    plain = tmp_path / "krb5.conf"
    plain.write_text(re.sub(r"\n *renew_lifetime.*", "", text))
    monkeypatch.setenv("KRB5_CONFIG", str(plain))
    kerberos.login(who(at))
    assert kerberos.ticket().renewable_until > kerberos.ticket().end


def test_a_child_has_the_ticket_and_the_realm_s_own_variables_do_not_come_first(at, monkeypatch):
    monkeypatch.setenv("KRB5KEYTAB", "/another")
    monkeypatch.setenv("KRB5PRINCIPAL", "another")
    kerberos.login(who(at))
    shown = subprocess.run(["klist"], capture_output=True, text=True, check=True, timeout=250).stdout
    assert f"ada@{REALM}" in shown
    assert "KRB5KEYTAB" not in os.environ
    assert "KRB5PRINCIPAL" not in os.environ


def test_a_ticket_is_read_in_any_language_and_time_zone(at, monkeypatch):
    kerberos.login(who(at))
    ends, real, variables = [], by_keytab.programs.run, []

    def run(command, seconds, environment):
        variables.append((environment["LC_ALL"], environment["LANGUAGE"]))
        return real(command, seconds, environment=environment)

    monkeypatch.setattr(by_keytab.programs, "run", run)
    # For children alone: C's own messages in this process would keep the language after the test.
    monkeypatch.setattr(os, "environ", {**os.environ, "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"})
    for zone in ("UTC", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        ends.append(kerberos.ticket().end)
    assert set(variables) == {("C", "")}
    assert ends[0] == ends[1]
    assert 0 < ends[0] - time.time() <= 24 * 3600


def test_the_next_ticket_is_fetched_before_one_ends(at, monkeypatch):
    monkeypatch.setattr(by_keytab, "_pause", lambda: 0.05)
    kerberos.login(who(at))
    cache = os.environ["KRB5CCNAME"]
    first = os.stat(cache).st_ino
    deadline = time.monotonic() + 250
    while os.stat(cache).st_ino == first:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert kerberos.ticket().principal == f"ada@{REALM}"


def test_a_next_ticket_that_is_refused_is_told_once_and_asked_for_again(at, monkeypatch, tmp_path):
    monkeypatch.setattr(by_keytab, "_pause", lambda: 0.05)
    told, asked, real = [], [], by_keytab._fetch

    def refused(*arguments):
        asked.append(arguments)
        if 1 < len(asked) < 5:
            raise DeadlineError("no KDC answers")
        real(*arguments)

    monkeypatch.setattr(by_keytab, "_fetch", refused)
    kerberos.login(who(at), told.append)
    deadline = time.monotonic() + 250
    while len(asked) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kerberos.end()
    assert told == ["no new Kerberos ticket yet; hdl goes on trying: no KDC answers"]


def test_what_a_killed_process_left_is_removed_by_the_next_one(at, tmp_path):
    code = (
        "import os, signal, sys, tempfile\nfrom hdl import kerberos\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "kerberos.login(kerberos.Login('ada', sys.argv[1]))\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(keytab(at, "ada"))], timeout=250, check=False)
    left = list(tmp_path.iterdir())
    assert [path.name.startswith(by_keytab.PREFIX) for path in left] == [True]
    kerberos.login(who(at))
    assert not left[0].exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_of_two_living_processes_each_keeps_its_own(at, tmp_path):
    code = (
        "import os, sys, tempfile\nfrom hdl import kerberos\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "kerberos.login(kerberos.Login('ada', sys.argv[1]))\nprint(kerberos.ticket().principal, flush=True)\n"
        "sys.stdin.read()\nprint(kerberos.ticket().principal)\n"
    )
    command = [sys.executable, "-c", code, str(keytab(at, "ada"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == f"ada@{REALM}\n"
        kerberos.login(who(at))
        kerberos.end()
        said, _ = other.communicate("", timeout=250)
    assert said == f"ada@{REALM}\n"


@pytest.mark.parametrize(
    ("principal", "keys", "error", "sentence"),
    [
        ("bob", "ada", SpecError, r"--keytab \S+: holds no key of --principal bob; it holds those of ada@HDL.TEST"),
        ("gone", "gone", SpecError, r"--principal gone: the realm's KDC knows no such principal"),
        ("ada@ELSEWHERE", "ada", SpecError, r"holds no key of --principal ada@ELSEWHERE; it holds those of ada@"),
        ("eve", "eve", SpecError, r"--keytab \S+: the KDC refuses its key of eve, which was changed since; ask"),
    ],
)
def test_a_refused_login_is_one_sentence(at, principal, keys, error, sentence):
    if principal == "gone":
        administer(at, "delprinc -force gone\n")
    if principal == "eve":
        administer(at, f"ktadd -k {at}/new.keytab eve\n")  # which makes new keys
    with pytest.raises(error) as raised:
        kerberos.login(who(at, principal, keys))
    assert re.search(sentence, str(raised.value))
    assert "\n" not in str(raised.value)
    assert kerberos.given() is None


def test_files_that_are_no_keytab(at, tmp_path):
    with pytest.raises(SpecError, match=r"--keytab /nowhere: No such file or directory; expected a file of the"):
        kerberos.login(kerberos.Login("ada", "/nowhere"))
    with pytest.raises(SpecError, match=r"--keytab \S+: is no keytab"):
        kerberos.login(kerberos.Login("ada", str(at / "kdc/krb5.conf")))
    told, copy = [], tmp_path / "open.keytab"
    copy.write_bytes(keytab(at, "ada").read_bytes())
    copy.chmod(0o644)
    kerberos.login(kerberos.Login("ada", str(copy)), told.append)
    assert told == [f"--keytab {copy}: every user of this machine can read it; chmod 600 {copy}"]


def test_a_centre_that_does_not_answer_and_a_configuration_that_names_none(at, tmp_path, monkeypatch):
    text = (at / "kdc/krb5.conf").read_text()
    closed = tmp_path / "closed.conf"
    closed.write_text(re.sub(r"127.0.0.1:\d+", "127.0.0.1:1", text))
    monkeypatch.setenv("KRB5_CONFIG", str(closed))
    with pytest.raises(DeadlineError, match=rf"no KDC of ada's realm answers; {closed} says where they are"):
        kerberos.login(who(at))
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "missing.conf"))
    with pytest.raises(SpecError, match=r"--principal ada: has no realm, and .*missing.conf names no default one"):
        kerberos.login(who(at))
    with pytest.raises(SpecError, match=r"missing.conf names no KDC of that realm"):
        kerberos.login(who(at, f"ada@{REALM}"))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("kinit: Clock skew too great while getting initial credentials", LoginError),
        ("kinit: Client's entry in database has expired while getting initial credentials", SpecError),
        ("kinit: Client's credentials have been revoked while getting initial credentials", SpecError),
        ("kinit: Something new while getting initial credentials", LoginError),
    ],
)
def test_what_kinit_says_of_other_troubles(said, error):
    made = by_keytab._refusal(kerberos.Login("ada", "/k"), said)
    assert type(made) is error
    assert isinstance(made, HdlError)


def test_without_kinit_the_package_is_named(at, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match=r"--keytab needs kinit: apt-get install krb5-user"):
        kerberos.login(who(at))
    assert kerberos.ticket() is None


def test_why_a_ticket_is_refused(at, monkeypatch, tmp_path):
    monkeypatch.delenv("CONTAINER_ID", raising=False)
    assert "there is no Kerberos ticket in KRB5CCNAME" in kerberos.why_refused()
    cache = tmp_path / "short"
    subprocess.run(["kinit", "-l", "1s", "-c", cache, "-k", "-t", keytab(at, "ada"), "ada"], check=True, timeout=250)
    monkeypatch.setenv("KRB5CCNAME", str(cache))
    deadline = time.monotonic() + 250
    while not kerberos.ticket().ended:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert re.search(rf"the Kerberos ticket of ada@{REALM} ended at \d{{4}}-.*: run `kinit`", kerberos.why_refused())
    kerberos.login(who(at))
    assert f"did not let ada@{REALM} in, whose ticket is good until" in kerberos.why_refused()
    monkeypatch.setenv("CONTAINER_ID", "container_1")
    assert "was handed no token" in kerberos.why_refused()


@pytest.mark.parametrize(
    ("cache", "named", "words"),
    [
        ("KCM:1000", "KCM:1000", "which Java cannot read: export KRB5CCNAME=/tmp/krb5cc_"),
        ("KEYRING:persistent:0:0", None, "which Java cannot read: export KRB5CCNAME=/tmp/krb5cc_"),
        ("FILE:/run/user/1/cc", None, "where Java does not look: export KRB5CCNAME=/run/user/1/cc"),
        ("FILE:/run/user/1/cc", "/run/user/1/cc", ""),
        (f"FILE:/tmp/krb5cc_{os.getuid()}", None, ""),
    ],
)
def test_where_java_does_not_find_a_ticket(monkeypatch, cache, named, words):
    monkeypatch.delenv("KRB5CCNAME", raising=False)
    if named:
        monkeypatch.setenv("KRB5CCNAME", named)
    said = kerberos.unread_by_java(kerberos.Ticket("ada@R", "R", time.time() + 9, None, cache))
    assert words in said
    assert bool(said) == bool(words)


COMMANDS = [
    ["train", "a", "--out", "b"], ["import", "a", "b"], ["predict", "a", "b", "--out", "c"], ["evaluate", "a", "b"],
    ["encode", "a", "b", "c"], ["inspect", "a"], ["report", "a"], ["export", "a", "b"], ["sample", "a", "--out", "b"],
    ["status"], ["logs", "a"], ["attach", "a"], ["kill", "a"], ["env", "pack"], ["doctor"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(command[:2]))
def test_every_command_that_meets_hadoop_logs_in_first(monkeypatch, capsys, command):
    logins = []

    def login(who, say):
        logins.append(who)
        raise LoginError("stop here")

    monkeypatch.setattr(kerberos, "login", login)
    assert cli.run([*command, "--principal", "ada@R", "--keytab", "file:///k", "--proxy-user", "eve"]) == 10
    assert capsys.readouterr().err == "hdl: error: stop here\n"
    assert logins == [kerberos.Login("ada@R", "/k")]
    assert os.environ.pop("HADOOP_PROXY_USER") == "eve"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--principal", "ada"], "--principal needs --keytab FILE beside it; without both, the ticket that kinit got"),
        (["--keytab", "k"], "--keytab needs --principal NAME@REALM beside it; without both, the ticket that kinit got"),
        (["--proxy-user", " "], "--proxy-user: expected a name (given ' ')"),
        (["--principal", "", "--keytab", "k"], "--principal: expected a name (given '')"),
    ],
)
def test_flags_that_do_not_go_together(capsys, flags, sentence):
    assert cli.run(["status", *flags]) == 2
    assert sentence in capsys.readouterr().err
