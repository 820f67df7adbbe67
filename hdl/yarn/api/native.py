"""YARN without a Java virtual machine: the ResourceManager by Hadoop's RPC, HDFS by hdfs-native.

For clusters that ask for no proof of who calls. A ResourceManager is asked what Hadoop's client would ask it, so its
lists of who may do what, its queues' defaults and its words are the same. What cannot be done so is Unable.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hdl import hadoop_conf, hdfs_choice, identity, timeline
from hdl.errors import DeadlineError, HdlError, SpecError
from hdl.yarn.api import messages
from hdl.yarn.api.interface import TYPE, Offer, Report, Submission, Unable, unknown
from hdl.yarn.api.native_files import Files
from hdl.yarn.api.protobuf import Message
from hdl.yarn.api.rpc import Connection, Refused
from hdl.yarn.names import GPU
from hdl.yarn.resource_manager import java, listening

PROTOCOL = "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB"
NOT_FOUND = "org.apache.hadoop.yarn.exceptions.ApplicationNotFoundException"
NEW = ("NEW", "NEW_SAVING", "SUBMITTED")
SETTLE_SECONDS = 30.0  # for an application to be taken, or to be killed
LOOK_SECONDS = 0.05


class Native(Files):
    """Does what `interface.Yarn` says; its methods may raise Unable.

    Parameters
    ----------
    settings : mapping
        The configuration's properties.
    where : (str, int)
        Host and port of the ResourceManager.

    Raises
    ------
    DeadlineError
        No ResourceManager listens, or no NameNode.
    Unable
        The ResourceManager asks for proof of who calls, or HDFS is not served by hdfs-native.
    """

    def __init__(self, settings: Mapping[str, str], where: tuple[str, int]):
        super().__init__(settings)
        self._where = where
        listening.check_one(*where)
        files = hdfs_choice.client("hdfs:///")
        if not files.native:
            raise Unable(f"HDFS is not read without Java: {files.why}")
        self._connection = Connection(*where, PROTOCOL, identity.unproved())
        self._call("YARN", "getClusterMetrics", {})  # a trial: whether it asks for proof of who calls
        timeline.reached("client", "YARN's client")

    def offer(self) -> Offer:
        offer = messages.offer(self._call("a new application", "getNewApplication", {}))
        known = GPU in hadoop_conf.names(self.settings.get("yarn.resource-types"))
        return offer if known else replace(offer, gpus=None)  # as Hadoop's client knows none that is not configured

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
