"""A cluster with Kerberos as tests use it, and commands that are run to their end."""

import json
import os
import signal
import subprocess
import time

import pytest

from hdl.cluster import config, web
from hdl.cluster.config import kerberos
from hdl.errors import HdlError

SECURE_USERS = ("ada", "bob", kerberos.GATEWAY)
SECONDS = 600.0  # that anything may take
# HDL_FAULT of trainings that go on until they are ended: from round 100 on a round takes 3 s, and no processor.
SLOW = "computing:100:*:9:SLOW"
QUICK = {name: " ".join(config.QUICK_JAVA) for name in ("HADOOP_CLIENT_OPTS", "LIBHDFS_OPTS")}


def finished(command, folder, environment, seconds, check, text=True):
    """Run a command to its end; a failing one fails the test with what it said."""
    words = [str(word) for word in command]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": text}
    # A session of its own: the client behind a script is a JVM, which outlives the script that is killed.
    with subprocess.Popen(words, **pipes, env=environment, cwd=folder, start_new_session=True) as child:
        try:
            out, err = child.communicate(timeout=seconds)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
    done = subprocess.CompletedProcess(words, child.returncode, out, err)
    if check and done.returncode:
        pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
    return done


class Secure:
    """A running cluster with Kerberos, seen by one of its ordinary users at a time."""

    def __init__(self, cluster):
        self.cluster, self.realm = cluster, kerberos.REALM
        for user in SECURE_USERS:
            cluster.add_user(user)

    def environment(self, user="ada"):
        """Return the whole environment of a command of that user's, who has a new ticket; None: of nobody's."""
        names = {*QUICK, "HADOOP_USER_NAME", "KRB5CCNAME"}
        outer = {name: value for name, value in os.environ.items() if name not in names}
        made = self.cluster.environment(user)
        quick = {**QUICK, "LIBHDFS_OPTS": f"{made['LIBHDFS_OPTS']} {QUICK['LIBHDFS_OPTS']}"}
        nobody = {} if user else {"KRB5CCNAME": f"FILE:{self.cluster.root}/kdc/tickets/.nobody"}
        return outer | made | quick | nobody

    def keytab(self, user):
        """Return the path of a user's keytab."""
        return self.cluster.keytab(user)

    def run(self, *command, user="ada", check=True, seconds=600, text=True, **environment):
        """Run a command as a user to its end; a failing one fails the test with what it said."""
        return finished(command, self.cluster.root, self.environment(user) | environment, seconds, check, text)

    def collected(self, application, user="ada"):
        """List the logs that nodes have handed over of an application of a user's that is over, one a node."""
        kind, number = f"/tmp/logs/{user}/bucket-logs-tfile", int(application.rpartition("_")[2]) % 10000
        address = f"{self.cluster.web()['namenode']}/webhdfs/v1{kind}/{number:04d}/{application}?op=LISTSTATUS"
        try:
            answer = web.send(address, "GET", self.environment(user), self.cluster.authority)
        except HdlError:  # no node yet
            return []
        found = json.loads(answer)["FileStatuses"]["FileStatus"]
        return [each["pathSuffix"] for each in found if not each["pathSuffix"].endswith(".tmp")]

    def said(self, application, ask, wanted):
        """Ask for an application's logs whenever another node has handed them over, until something is in them."""
        deadline, known = time.monotonic() + SECONDS, []
        while True:
            if (there := self.collected(application)) != known:
                known = there
                if wanted in (logs := ask()):
                    return logs
            assert time.monotonic() < deadline, (known, ask())
            time.sleep(0.3)
