"""Sessions of ordinary users on a cluster with Kerberos: one trains again and again, two do not see each other."""

import json
import re
import sys
from contextlib import contextmanager

import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from tests.hadoop.yarn_jobs import NET, SMALL

UPLOAD = "import sys, pathlib; from hdl import envpack; print(envpack.upload(pathlib.Path(sys.argv[1])))"
SPEC = ["--epochs", "2", "--no-report", *NET]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A CSV file of this machine."""
    path = tmp_path_factory.mktemp("here") / "data.csv"
    path.write_text("a,b,class\n" + "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(90)))
    return path


@pytest.fixture(scope="module")
def of(secure, packed, here, tmp_path_factory):
    """`of("ada")("train", …)`: a command of that user's, whose sessions, data and environment are that user's own."""
    made = {}

    def of(user):
        if user not in made:
            archive = secure.run(sys.executable, "-c", UPLOAD, packed, user=user).stdout.strip()
            assert archive.startswith(f"hdfs:///user/{user}/")
            state = str(tmp_path_factory.mktemp(user))

            def hdl(*words, check=True):
                return secure.run(sys.executable, "-m", "hdl", *words, user=user, check=check,
                                  HDL_NODE_ARCHIVE=archive, XDG_STATE_HOME=state)  # fmt: skip

            made[user] = hdl
            hdl("import", here, f"hdfs:///user/{user}/sessions/data", "--shards", 4)
        return made[user]

    yield of
    for user in made:
        secure.run("hadoop", "fs", "-rm", "-r", "-skipTrash", f"/user/{user}/sessions", user=user)


@contextmanager
def session(hdl):
    """Keep a session of a user's; gives what it says of itself."""
    hdl("session", "start", "--runner", "yarn", "--workers", "2", "--gather-timeout", 600, *SMALL)
    try:
        (state,) = json.loads(hdl("session", "list", "--json").stdout)
        yield state
    finally:
        hdl("session", "stop", "yarn")


def signature(hdl, table):
    return json.loads(hdl("inspect", table, "--json").stdout)["sha256"]


def left(secure, application, user="ada"):
    """What `hadoop fs -ls` says of an application's folder."""
    return secure.run("hadoop", "fs", "-ls", "-d", f"/user/{user}/.hdl/apps/{application}", user=user, check=False)


@pytest.mark.full
def test_two_trainings_by_one_application_whose_folder_is_its_owners(secure, of, here, tmp_path):
    hdl, home = of("ada"), "hdfs:///user/ada/sessions"
    hdl("train", f"{home}/data", "--out", tmp_path / "local", *SPEC)
    with session(hdl) as state:
        for name in ("a", "b"):
            hdl("train", f"{home}/data", "--out", f"{home}/{name}", *SPEC, "--session", "yarn")
        expected = signature(hdl, tmp_path / "local")
        assert {signature(hdl, f"{home}/{name}") for name in ("a", "b")} == {expected}
        assert left(secure, state["application"]).stdout.startswith("drwx------")
    assert left(secure, state["application"]).returncode  # it has gone with the session
    assert json.loads(hdl("session", "list", "--json").stdout) == []


@pytest.mark.full
def test_neither_of_two_users_lists_uses_or_stops_the_others_session(secure, of):
    ada, bob = of("ada"), of("bob")
    with session(ada) as hers, session(bob) as his:
        assert hers["application"] != his["application"]
        for user, hdl, other in (("ada", ada, his), ("bob", bob, hers)):
            mine, home = (hers if user == "ada" else his), f"hdfs:///user/{user}/sessions"
            theirs = "bob" if user == "ada" else "ada"
            assert [one["application"] for one in json.loads(hdl("session", "list", "--json").stdout)] == [
                mine["application"]
            ]
            shown = hdl("status").stdout
            assert mine["application"] in shown
            assert other["application"] not in shown
            for command in ("kill", "attach"):
                refused = hdl(command, other["application"], check=False)
                assert refused.returncode
                assert refused.stderr.count("\n") == 1, refused.stderr
                assert theirs in refused.stderr
            looked = secure.run("hadoop", "fs", "-ls", f"/user/{theirs}/.hdl/apps/{other['application']}", user=user,
                                check=False)  # fmt: skip
            assert f"Permission denied: user={user}" in looked.stderr
            hdl("train", f"{home}/data", "--out", f"{home}/side-by-side", *SPEC, "--session", "yarn")
        assert signature(ada, "hdfs:///user/ada/sessions/side-by-side") == signature(
            bob, "hdfs:///user/bob/sessions/side-by-side"
        )
        refused = bob("train", "hdfs:///user/ada/sessions/data", "--out", "hdfs:///user/bob/sessions/c", *SPEC,
                      "--session", "yarn", check=False)  # fmt: skip
        assert refused.returncode
        assert re.search("bob.*/user/ada", refused.stderr), refused.stderr
