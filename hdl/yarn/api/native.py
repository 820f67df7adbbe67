"""YARN without a Java virtual machine: the ResourceManager by Hadoop's RPC, HDFS by hdfs-native.

For clusters that ask for no proof of who calls. A ResourceManager is asked what Hadoop's client would ask it, so its
lists of who may do what, its queues' defaults and its words are the same. What cannot be done so is Unable.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hdl import hadoop_conf, hdfs_choice, identity, kerberos, timeline
from hdl.errors import DeadlineError, HdlError, SpecError
from hdl.yarn.api import messages
from hdl.yarn.api.interface import TYPE, Offer, Report, Submission, Unable, unknown
from hdl.yarn.api.native_files import Files
from hdl.yarn.api.protobuf import Message
from hdl.yarn.api.rpc import Connection, Refused
from hdl.yarn.resource_manager import java, listening

CONF = (*hadoop_conf.FILES, "yarn-site.xml")
PROTOCOL = "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB"
NOT_FOUND = "org.apache.hadoop.yarn.exceptions.ApplicationNotFoundException"
NEW = ("NEW", "NEW_SAVING", "SUBMITTED")
SETTLE_SECONDS = 30.0  # for an application to be taken, or to be killed
LOOK_SECONDS = 0.05
HOST = "yarn.resourcemanager.hostname"
# Settings that only Hadoop's client heeds.
FOREIGN = ("hadoop.socks.server", "hadoop.rpc.socket.factory.class.default", "yarn.client.failover-proxy-provider")
# Settings of clusters whose ResourceManager is found, or spoken to, in another way.
OTHERWISE = ("yarn.resourcemanager.ha.enabled", "yarn.federation.enabled")


def unfit(settings: Mapping[str, str]) -> str:
    """Say what asks for Hadoop's own client; empty where nothing in the configuration or the environment does."""
    for name in ("HADOOP_PROXY_USER", "HADOOP_TOKEN_FILE_LOCATION"):
        if os.environ.get(name):
            return f"{name} is set"
    if settings.get("hadoop.security.authentication", "simple").strip().lower() != "simple" or kerberos.given():
        return "the cluster is secured, and who calls is proved by Hadoop's client"
    if (protection := settings.get("hadoop.rpc.protection", "authentication")) != "authentication":
        return f"hadoop.rpc.protection is {protection}"
    if not hadoop_conf.default(settings).startswith("hdfs://"):
        return f"fs.defaultFS is {hadoop_conf.default(settings)}"
    if _address(settings) is None:
        return f"yarn-site.xml in {hadoop_conf.folder() or 'no folder'} does not say where the ResourceManager is"
    if name := next((name for name in FOREIGN if settings.get(name)), ""):
        return f"{name} is set"
    if name := next((name for name in OTHERWISE if settings.get(name, "").strip().lower() == "true"), ""):
        return f"{name} is true"
    if identity.unasked() is None:
        return "only Hadoop's client knows who we are"
    return ""


def _address(settings: Mapping[str, str]) -> tuple[str, int] | None:
    """Return where the ResourceManager listens; None where the configuration does not say."""
    text = settings.get(listening.ADDRESS) or settings.get(HOST) or ""
    match = re.fullmatch(r"([\w.-]+)(?::(\d{1,5}))?", text.strip(), re.ASCII)
    return (match[1], int(match[2] or listening.PORT)) if match else None


class Native(Files):
    """Does what `interface.Yarn` says; its methods may raise Unable.

    Parameters
    ----------
    settings : mapping
        Properties of `CONF`, for which `unfit` has nothing to say.

    Raises
    ------
    DeadlineError
        No ResourceManager listens, or no NameNode.
    Unable
        HDFS is not served by hdfs-native.
    """

    def __init__(self, settings: Mapping[str, str]):
        super().__init__(settings)
        self._where = _address(settings) or ("", 0)
        listening.check_one(*self._where)
        files = hdfs_choice.client("hdfs:///")
        if not files.native:
            raise Unable(f"HDFS is not read without Java: {files.why}")
        self._connection = Connection(*self._where, PROTOCOL, identity.unproved())
        timeline.reached("client", "YARN's client")

    def offer(self) -> Offer:
        return messages.offer(self._call("a new application", "getNewApplication", {}))

    def has_queue(self, name: str) -> bool:
        with suppress(HdlError):  # for an unknown queue some schedulers raise, others return nothing
            return 1 in self._call(f"queue {name}", "getQueueInfo", {1: name, 2: False, 3: False, 4: False})
        return False

    def queues(self) -> list[str]:
        answer = self._call("YARN's queues", "getQueueInfo", {1: "root", 2: False, 3: True, 4: True})
        return messages.queues(answer.message(1))

    def labels(self) -> list[str]:
        answer = self._call("YARN's node labels", "getClusterNodeLabels", {})
        return [label.text(1) for label in answer.messages(2)] or answer.texts(1)

    def submit(self, submission: Submission) -> None:
        doing, request = submission.doing, {1: messages.context(submission)}
        report, until = None, time.monotonic() + SETTLE_SECONDS
        while True:
            if report is None:  # or it is again: YARN has restarted before it kept it
                self._call(doing, "submitApplication", request)
            report = self._known(submission.application)
            if report is not None and report.state not in NEW:
                break
            if time.monotonic() > until:
                state = report.state.lower() if report else "not known to YARN"
                raise DeadlineError(f"{doing}: it is {state} after {SETTLE_SECONDS:g} s")
            time.sleep(LOOK_SECONDS)
        if report.state in ("FAILED", "KILLED"):  # in the words of Hadoop's client
            said = f"Failed to submit {submission.application} to YARN : {report.diagnostics}"
            raise java.error_of(doing, [("org.apache.hadoop.yarn.exceptions.YarnException", said)])

    def _known(self, application: str) -> Report | None:
        with suppress(SpecError):
            return self.report(application)
        return None

    def report(self, application: str) -> Report:
        answer = self._about("getApplicationReport", application, application)
        return messages.report(answer.message(1))

    def applications(self) -> list[Report]:
        answer = self._call("YARN's list of applications", "getApplications", {1: [TYPE]})
        return [messages.report(each) for each in answer.messages(1)]

    def kill(self, application: str) -> None:
        until = time.monotonic() + SETTLE_SECONDS
        while not self._about("forceKillApplication", application, f"{application}: killing it").number(1):
            if time.monotonic() > until:
                raise DeadlineError(f"{application}: killing it: it has not ended within {SETTLE_SECONDS:g} s")
            time.sleep(LOOK_SECONDS)

    def tokens(self, roots: list[str]) -> None:
        return None

    def cluster(self) -> str:
        given = self.settings.get("yarn.resourcemanager.cluster-id") or self.settings.get(listening.ADDRESS)
        return given or "{}:{}".format(*self._where)

    def _about(self, method: str, application: str, doing: str) -> Message:
        """Call a method on an application; SpecError: YARN does not know it."""
        request = {1: messages.numbered(application)}
        try:
            return self._connection.call(method, request)
        except Refused as error:
            if error.name == NOT_FOUND:
                raise unknown(application) from None
            raise _worded(doing, error) from None

    def _call(self, doing: str, method: str, request: Mapping[int, Any]) -> Message:
        try:
            return self._connection.call(method, request)
        except Refused as error:
            raise _worded(doing, error) from None


def _worded(doing: str, refused: Refused) -> HdlError:
    made = java.error_of(doing, [(refused.name, refused.text)])
    made.add_note(str(refused))  # `--traceback` shows it
    return made
