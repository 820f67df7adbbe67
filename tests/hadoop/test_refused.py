"""What a user is told whom the cluster with Kerberos refuses: one sentence on standard error, and nothing of Java's.

No training gets far: each command ends at the first thing that it asks of the cluster.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest

from hdl.cluster import kdc

HDL = [sys.executable, "-m", "hdl"]
HOME = "hdfs:///user/ada/refused"
DATA, TABLE = f"{HOME}/d.csv", f"{HOME}/table"
CLOSED = "hdfs:///user/bob/closed"  # in a folder that bob alone may enter
RUNNERS = ("local", "mapreduce", "streaming", "yarn")
# Goes the same way as another one that is always run: HDFS asks first for a ticket, a clock and rights in one place,
# and YARN in another. tests/unit has the sentences (test_java_errors.py) and what a login says (test_kerberos.py).
full = pytest.mark.full


def train(runner, data=DATA, table=TABLE):
    return ["train", data, "--out", table, "--net", "3-4-2", "--epochs", "1", "--runner", runner, "--workers", "1"]


COMMANDS = {
    "import": ["import", DATA, f"{HOME}/parts"],
    "predict": ["predict", TABLE, DATA, "--out", "-"],
    "status": ["status"],
    **{runner: train(runner) for runner in RUNNERS},
}


def first(*names):
    """Parameters of all commands, of which these are always run: `import` asks HDFS first, and `status` YARN."""
    return [*names, *(pytest.param(name, marks=full) for name in COMMANDS if name not in names)]


def refused(done, sentence, status=None):
    """Check that a command was refused in one sentence; return what it said."""
    assert done.returncode == status if status else done.returncode > 0, done.stderr
    told = [line for line in done.stderr.splitlines() if not re.match(r"reading the data|\d+ shard|data|model", line)]
    assert len(told) == 1, done.stderr
    assert told[0].startswith("hdl: error: ")
    assert re.search(sentence, told[0]), told[0]
    assert not re.search(r"Exception|\bat org\.|Errno|unexpected", done.stderr)
    assert done.stdout == ""
    return told[0]


@pytest.fixture(scope="module")
def asked(secure, tmp_path_factory):
    """`asked("import", user="ada", …)`: what a command of `COMMANDS`, or a list of arguments, has said."""
    folder = tmp_path_factory.mktemp("refused") / "refused"
    folder.mkdir()
    (folder / "d.csv").write_text("a,b,c,label\n" + "".join(f"{k},{k % 3},{k % 5},{k % 2}\n" for k in range(40)))
    secure.run("hadoop", "fs", "-put", "-f", folder, HOME)

    def asked(command, *flags, before=(), **settings):
        arguments = [*before, *HDL, *(COMMANDS[command] if isinstance(command, str) else command), *flags]
        # The nodes' Python is named, so that nothing is packed and sent.
        return secure.run(*arguments, **{"check": False, "seconds": 600, "HDL_NODE_PYTHON": sys.executable, **settings})

    yield asked
    left = secure.run("hadoop", "fs", "-ls", "-R", HOME).stdout.splitlines()
    assert [line.split()[-1] for line in left] == [DATA]  # nothing half-written
    secure.run("hadoop", "fs", "-rm", "-r", "-skipTrash", HOME)


@pytest.fixture(scope="module")
def clock():
    """The command that shifts the clock of what it runs."""
    command = shutil.which("faketime")
    return [command, "-f"] if command else pytest.skip("no faketime: apt-get install faketime")


@pytest.fixture
def configured(secure, tmp_path):
    """`configured("core-site.xml", {name: value})`: the variables of a client with other settings; None: without."""

    def configured(file, properties):
        folder = shutil.copytree(secure.cluster.conf, tmp_path / "conf", dirs_exist_ok=True)
        changed(folder / file, properties)
        return {"HADOOP_CONF_DIR": str(folder)}

    return configured


def changed(path, properties):
    """Change properties in a file of Hadoop's configuration."""
    tree = ElementTree.parse(path)
    for prop in [prop for prop in tree.getroot() if prop.findtext("name") in properties]:
        tree.getroot().remove(prop)
    for name, value in properties.items():
        if value is not None:
            prop = ElementTree.SubElement(tree.getroot(), "property")
            ElementTree.SubElement(prop, "name").text = name
            ElementTree.SubElement(prop, "value").text = value
    tree.write(path)


@pytest.mark.parametrize("command", first("import", "status"))
def test_no_ticket(asked, command):
    refused(
        asked(command, user=None), r"there is no Kerberos ticket in KRB5CCNAME \(.*\): run `kinit`, or give --pri", 10
    )


@pytest.mark.parametrize("command", first("import"))
def test_an_expired_ticket(asked, clock, secure, command):
    # This machine's clock is a month ahead, so that the ticket has ended here.
    done = asked(command, before=[*clock, "+720h"])
    refused(
        done, rf"the Kerberos ticket of ada@{secure.realm} ended at \d{{4}}-\S+ \S+: run `kinit`, or give --pri", 10
    )


@full  # tests/unit/test_java_errors.py has the sentence, tests/runner/test_clocks.py workers whose clocks differ
@pytest.mark.parametrize("command", COMMANDS)
def test_a_clock_that_differs(asked, clock, command):
    sentence = r"this machine's clock differs from the cluster's by more than Kerberos allows, mostly 5 minutes"
    refused(asked(command, before=[*clock, "+20m"]), sentence, 10)


@pytest.mark.parametrize(
    ("principal", "keys", "sentence"),
    [
        ("nobody", "ada", r"--keytab \S+: holds no key of --principal nobody; it holds those of ada@"),
        ("ada@ELSE.TEST", "ada", r"--keytab \S+: holds no key of --principal ada@ELSE.TEST; it holds those of ada@"),
    ],
)
@full  # tests/unit/test_kerberos.py has it, by a KDC of its own
def test_a_wrong_principal(asked, secure, principal, keys, sentence):
    refused(asked("import", "--principal", principal, "--keytab", secure.keytab(keys), user=None), sentence, 2)


@pytest.mark.parametrize("command", [pytest.param("import", marks=full), "status"])
def test_a_keytab_and_no_ticket_is_let_in(asked, secure, command):
    login = ["--principal", "ada", "--keytab", secure.keytab("ada")]
    done = asked(COMMANDS[command] if command == "status" else ["inspect", TABLE], *login, user=None)
    assert done.returncode == (0 if command == "status" else 4), done.stderr
    assert command == "status" or "no weight table here" in done.stderr


@pytest.fixture(scope="module")
def elsewhere(secure, tmp_path_factory):
    """The variables of a user who has a ticket of another realm, which knows nothing of the cluster's."""
    root, realm = tmp_path_factory.mktemp("elsewhere"), "ELSE.TEST"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client, centre = root / "krb5.conf", root / "kdc.conf"
    text = (secure.cluster.root / "kdc/krb5.conf").read_text()
    client.write_text(text.replace("[realms]", f"[realms]\n  {realm} = {{\n    kdc = 127.0.0.1:{port}\n  }}"))
    listen = f"kdc_listen = 127.0.0.1:{port}\nkdc_tcp_listen = 127.0.0.1:{port}"
    centre.write_text(
        f"[realms]\n{realm} = {{\ndatabase_name = {root}/db\nkey_stash_file = {root}/stash\n{listen}\n}}\n"
    )
    variables = {"KRB5_CONFIG": str(client), "KRB5CCNAME": str(root / "cache"),
                 "LIBHDFS_OPTS": f"-Djava.security.krb5.conf={client}"}  # fmt: skip
    environment = {**os.environ, **variables, "KRB5_KDC_PROFILE": str(centre)}

    def administer(*command, said=""):
        subprocess.run(command, input=said, text=True, env=environment, check=True, timeout=300, capture_output=True)

    administer(kdc.tool("kdb5_util"), "-r", realm, "create", "-s", said="secret\nsecret\n")
    administer(kdc.tool("kadmin.local"), "-r", realm, said=f"addprinc -randkey ada\nktadd -k {root}/keys ada\n")
    with subprocess.Popen(
        [kdc.tool("krb5kdc"), "-r", realm, "-n"], env=environment, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 600
        login = [kdc.tool("kinit"), "-k", "-t", f"{root}/keys", f"ada@{realm}"]
        while subprocess.run(login, env=environment, check=False, capture_output=True, timeout=300).returncode:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield variables
        process.terminate()


@full
@pytest.mark.parametrize("command", COMMANDS)
def test_a_ticket_of_another_realm(asked, elsewhere, command):
    sentence = (
        r"no rule of hadoop.security.auth_to_local makes a user of ada@ELSE.TEST: log in as a principal of the clu"
    )
    refused(asked(command, **elsewhere), sentence, 10)


@full  # Hadoop's client tries five times
def test_a_ticket_of_another_realm_that_has_a_rule(asked, elsewhere, configured):
    rule = {"hadoop.security.auth_to_local": "RULE:[1:$1@$0](.*@ELSE.TEST)s/@.*//\nDEFAULT"}
    sentence = (
        r"the KDC of your ticket's realm \(ELSE.TEST\) gives no ticket for this service: log in as a principal of"
    )
    refused(asked("import", **elsewhere, **configured("core-site.xml", rule)), sentence, 10)


@pytest.mark.parametrize(
    ("command", "file", "properties", "sentence"),
    [
        pytest.param(
            "import", "core-site.xml", {"hadoop.security.authentication": "simple"}, "this cluster demands Kerberos an",
            marks=full,
        ),
        pytest.param(
            "status", "core-site.xml", {"hadoop.security.authentication": "simple"}, "this cluster demands Kerberos an",
            marks=full,
        ),
        pytest.param(
            "status", "core-site.xml", {"hadoop.rpc.protection": "authentication"}, "client and cluster agree on no",
            marks=full,
        ),
        pytest.param(
            "status", "yarn-site.xml", {"yarn.resourcemanager.principal": "rm/else@HDL.TEST"},
            "expects rm/else@HDL.TEST:", marks=full,
        ),
        (
            "status",
            "yarn-site.xml",
            {"yarn.resourcemanager.principal": None},
            "does not say which principal the server",
        ),
    ],
)  # fmt: skip
def test_another_cluster_s_configuration(asked, configured, command, file, properties, sentence):
    refused(asked(command, **configured(file, properties)), sentence, 10)


@pytest.mark.parametrize("command", [pytest.param("import", marks=full), "status"])
def test_acting_for_another_user(asked, command):
    refused(asked(command, "--proxy-user", "bob"), r"ada@\S+ may not act for bob: hadoop.proxyuser.ada.users", 10)
    if command == "status":
        allowed = asked(["status"], "--proxy-user", "ada", user="gateway")
        assert allowed.returncode == 0, allowed.stderr


MAY_NOT = (
    r"hdfs:///user/bob/closed: permission denied by HDFS as user ada: no right to enter the folder hdfs:///user/bob"
)


@pytest.mark.parametrize("runner", ["yarn", *(pytest.param(name, marks=full) for name in RUNNERS[:3])])
def test_no_rights_on_data_or_table(asked, runner):
    refused(asked(train(runner, data=CLOSED)), MAY_NOT)
    refused(asked(train(runner, table=CLOSED)), MAY_NOT)


@pytest.mark.parametrize(
    "command",
    [["import", CLOSED, f"{HOME}/parts"], pytest.param(["predict", CLOSED, DATA, "--out", "-"], marks=full)],
)
def test_no_rights_on_what_other_commands_read(asked, command):
    refused(asked(command), MAY_NOT)


@full
@pytest.mark.parametrize("runner", ["streaming", "mapreduce"])
def test_no_rights_on_the_staging_folder_of_jobs(asked, configured, runner):
    staging = configured("mapred-site.xml", {"yarn.app.mapreduce.am.staging-dir": "/user/bob/staging"})
    sentence = (
        r"the job could not be submitted: ada may not enter /user/bob, which is bob's \(group supergroup, drwx------\)"
    )
    refused(asked(runner, **staging), sentence)


@pytest.mark.parametrize("runner", ["yarn", *(pytest.param(name, marks=full) for name in RUNNERS[1:3])])
def test_no_home_folder(asked, configured, runner):
    # hdl's own staging is there.
    moved = configured("hdfs-site.xml", {"dfs.user.home.dir.prefix": "/nowhere"})
    refused(
        asked(runner, **moved),
        r"hdfs:///nowhere/ada\S*: .*(no right to write to the folder hdfs:///|ada may not write to /,)",
    )


@pytest.fixture(scope="module")
def private(secure):
    """A queue to which bob alone may submit, for as long as these tests take."""
    path, queue = secure.cluster.conf / "capacity-scheduler.xml", "yarn.scheduler.capacity.root"
    before = path.read_bytes()
    settings = {"queues": "default,private", "acl_submit_applications": " ", "default.acl_submit_applications": "*",
                "default.capacity": "90", "private.capacity": "10", "private.acl_submit_applications": "bob",
                "private.acl_administer_queue": "bob", "acl_administer_queue": " "}  # fmt: skip
    changed(path, {f"{queue}.{name}": value for name, value in settings.items()})
    try:
        secure.run("yarn", "rmadmin", "-refreshQueues", user="yarn")
        yield "private"
    finally:
        path.write_bytes(before)
        secure.run("yarn", "rmadmin", "-refreshQueues", user="yarn", check=False)


@full
@pytest.mark.parametrize("runner", ["yarn", *RUNNERS[1:3]])
def test_no_rights_on_a_queue(asked, configured, private, runner):
    flags = ["--queue", private, "--detach"] if runner == "yarn" else []
    named = configured("mapred-site.xml", {"mapreduce.job.queuename": private})
    sentence = r"ada may not submit to YARN's queue (root\.)?private: --queue names another"
    refused(asked(runner, *flags, **named), sentence)


@full  # tests/unit/test_hadoop_access.py has what it says of tickets
def test_doctor_says_what_to_do(asked, secure):
    done = asked(["doctor"], user=None)
    assert re.search(r"ticket +none in KRB5CCNAME.*\n +→ kinit", done.stdout)
    assert re.search(r"user on the cluster +not known\n +→ there is no Kerberos ticket", done.stdout)
    done = asked(["doctor"])
    assert re.search(rf"principal +ada@{secure.realm}\n.*realm +{secure.realm} ", done.stdout)
    assert re.search(r"ticket +until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", done.stdout)
    assert re.search(r"user on the cluster +ada, home hdfs:///user/ada\n", done.stdout)
