"""YARN without a Java virtual machine: the ResourceManager by Hadoop's RPC, HDFS by hdfs-native.

For clusters that ask for no proof of who calls. A ResourceManager is asked what Hadoop's client would ask it, so its
lists of who may do what, its queues' defaults and its words are the same. What cannot be done so is Unable.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from hdl import fs, hadoop_conf, identity
from hdl.errors import DeadlineError, HdlError, SpecError
from hdl.yarn.client.configured import Conf
from hdl.yarn.client.interface import MASTER_VCORES, TYPE, Offer, Report, Submission, Unable, by_bytes, checked, unknown
from hdl.yarn.client.protobuf import Malformed, Message
from hdl.yarn.client.rpc import Connection, Refused
from hdl.yarn.comm.tokens import to_tokens
from hdl.yarn.names import GPU
from hdl.yarn.resource_manager import java, listening

if TYPE_CHECKING:
    from hdl.data import FileSplit

PROTOCOL = "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB"
NOT_FOUND = "org.apache.hadoop.yarn.exceptions.ApplicationNotFoundException"
STATES = ("", "NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING", "FINISHED", "FAILED", "KILLED")
FINALS = ("UNDEFINED", "SUCCEEDED", "FAILED", "KILLED", "ENDED")
ARCHIVE, FILE = 1, 2  # kinds of what a container gets
PRIVATE, APPLICATION = 2, 3  # for whom a node keeps it
VIEW, MODIFY = 1, 2  # what a list lets its users do
SETTLE_SECONDS = 30.0  # for an application to be taken, or to be killed
LOOK_SECONDS = 0.05
HOSTS_SECONDS = 1.0  # for a NameNode's web server to say where a file's blocks are
PORT, RPC_PORT, WEB_PORT = 8032, 8020, 9870


class Native:
    """Does what `interface.Yarn` says; its methods may raise Unable.

    Parameters
    ----------
    settings : mapping
        Properties of `configured.FILES`.

    Raises
    ------
    DeadlineError
        No ResourceManager listens.
    """

    def __init__(self, settings: Mapping[str, str]):
        self._conf, self._user = Conf(settings), identity.unproved()
        listening.check_listening(self._conf)
        several = self._conf.getBoolean("yarn.resourcemanager.ha.enabled", False)
        found: list[tuple[str, int] | None]
        if several:
            ids = self._conf.getTrimmedStringCollection("yarn.resourcemanager.ha.rm-ids")
            found = [listening.address_of(self._conf, listening.ADDRESS, PORT, one) for one in ids]
        else:
            found = [self._conf.getSocketAddr(listening.ADDRESS, "", PORT)]
        addresses = [address for address in found if address]
        if not addresses:
            raise Unable("the configuration names no ResourceManager's address")
        patience = listening.FAILOVER_SECONDS if several else listening.CONNECT_SECONDS
        self._connection = Connection(addresses, PROTOCOL, self._user, patience)

    def offer(self) -> Offer:
        answer = self._call("a new application", "getNewApplication", {})
        most = answer.message(2)
        others = {each.text(1): each.number(2) for each in most.messages(3)}
        named = GPU in self._conf.getTrimmedStringCollection("yarn.resource-types")  # Java's client knows no others
        return Offer(_id(answer.message(1)), most.number(1), most.number(2), others.get(GPU) if named else None)

    def has_queue(self, name: str) -> bool:
        with suppress(HdlError):  # for an unknown queue some schedulers raise, others return nothing
            return 1 in self._call(f"queue {name}", "getQueueInfo", {1: name, 2: False, 3: False, 4: False})
        return False

    def queues(self) -> list[str]:
        answer = self._call("YARN's queues", "getQueueInfo", {1: "root", 2: False, 3: True, 4: True})
        return [*_below(answer.message(1))]

    def labels(self) -> list[str]:
        answer = self._call("YARN's node labels", "getClusterNodeLabels", {})
        return [label.text(1) for label in answer.messages(2)] or answer.texts(1)

    def submit(self, submission: Submission) -> None:
        from hdl.yarn.client.submission import rejected

        doing = rejected(submission.settings)
        request, report, until = {1: _context(submission)}, None, time.monotonic() + SETTLE_SECONDS
        while True:
            if report is None:  # or none again: YARN has restarted before it kept the application
                self._call(doing, "submitApplication", request)
            report = self._known(submission.application)
            if report is not None and report.state not in ("NEW", "NEW_SAVING", "SUBMITTED"):
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
        return _report(self._about(application, "getApplicationReport", application).message(1))

    def applications(self) -> list[Report]:
        answer = self._call("YARN's list of applications", "getApplications", {1: [TYPE]})
        return [_report(each) for each in answer.messages(1)]

    def kill(self, application: str) -> None:
        until = time.monotonic() + SETTLE_SECONDS
        while not self._about(application, "forceKillApplication", f"{application}: killing it").number(1):
            if time.monotonic() > until:
                raise DeadlineError(f"{application}: killing it: it has not ended within {SETTLE_SECONDS:g} s")
            time.sleep(LOOK_SECONDS)

    def tokens(self, roots: list[str]) -> None:
        return None

    def cluster(self) -> str:
        place = self._conf.getSocketAddr(listening.ADDRESS, "", PORT)
        return self._conf.get("yarn.resourcemanager.cluster-id") or f"{place.host}:{place.port}"

    # --- HDFS ---------------------------------------------------------------------------------------------------------

    def reach(self, folder: str) -> None:
        with _unable():
            fs.exists(folder)

    def make_folder(self, folder: str) -> None:
        with _unable():
            fs.mkdir(folder, private=True)

    def put(self, path: str, content: bytes) -> None:
        with _unable():
            fs.publish(path, content, private=True)

    def located(self, path: str) -> dict[str, Any]:
        if fs.scheme(path) != "hdfs":
            raise Unable(f"{path}: Hadoop's client knows what it stands for")
        with _unable():
            size, changed = fs.stamp(path)
        parts = urlsplit(path)
        authority = parts.netloc or urlsplit(hadoop_conf.default(self._conf)).netloc
        return {"path": f"hdfs://{authority.removesuffix(f':{RPC_PORT}')}{parts.path}", "size": size, "time": changed}

    def changed(self, folder: str) -> dict[str, float]:
        with _unable():
            return {name: fs.stamp(fs.join(folder, name))[1] / 1000 for name in fs.list(folder)}

    def remove(self, folder: str) -> None:
        with _unable(), suppress(FileNotFoundError):
            fs.remove(folder)

    def hosts(self, splits: list[FileSplit]) -> list[str]:
        until = time.monotonic() + HOSTS_SECONDS
        return by_bytes((host, split.length) for split in splits for host in self._block_hosts(split, until))

    def _block_hosts(self, split: FileSplit, until: float) -> set[str]:
        """Ask the NameNode's web server, as hdfs-native does not tell; raises HdlError where that cannot be."""
        parts, name_node = urlsplit(split.path), urlsplit(hadoop_conf.default(self._conf))
        host, _, port = self._conf.getTrimmed("dfs.namenode.http-address", "").rpartition(":")
        if parts.netloc not in ("", name_node.netloc) or not name_node.hostname or self._conf.get("dfs.nameservices"):
            raise HdlError(f"{split.path}: nobody says where its blocks are")
        asked = {"op": "GETFILEBLOCKLOCATIONS", "user.name": self._user, "offset": split.start, "length": split.length}
        server = http.client.HTTPConnection(
            host if host and host != "0.0.0.0" else name_node.hostname,
            int(port or WEB_PORT),
            timeout=max(0.01, until - time.monotonic()),
        )
        try:
            server.request("GET", f"/webhdfs/v1{quote(parts.path)}?{urlencode(asked)}")
            answer = server.getresponse()
            said = json.loads(answer.read(1 << 24)) if answer.status == 200 else {}
            return {str(each) for block in said["BlockLocations"]["BlockLocation"] for each in block["hosts"]}
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise HdlError(f"{split.path}: its blocks' hosts are not told ({error})") from None
        finally:
            server.close()

    # --- calls --------------------------------------------------------------------------------------------------------

    def _about(self, application: str, method: str, doing: str) -> Message:
        stamp, number = checked(application)
        return self._call(doing, method, {1: {1: number, 2: stamp}}, unknown(application))

    def _call(self, doing: str, method: str, request: Mapping[int, Any], missing: HdlError | None = None) -> Message:
        try:
            return self._connection.call(method, request)
        except Refused as error:
            if missing and error.name == NOT_FOUND:
                raise missing from None
            raise _error(doing, error) from None
        except Malformed as error:
            raise Unable(str(error)) from error


@contextmanager
def _unable() -> Iterator[None]:
    """Leave to Hadoop's client what HDFS refuses: it says why."""
    try:
        yield
    except OSError as error:
        raise Unable(str(error)) from error


def _error(doing: str, refused: Refused) -> HdlError:
    made = java.error_of(doing, [(refused.name, refused.text)])
    made.add_note(str(refused))  # `--traceback` shows it
    return made


def _id(message: Message) -> str:
    return f"application_{message.number(2)}_{message.number(1):04d}"


def _below(queue: Message) -> Iterator[str]:
    for child in queue.messages(6):
        yield child.text(1)
        yield from _below(child)


def _report(one: Message) -> Report:
    state, final = one.number(8), one.number(13)
    return Report.made(
        application=_id(one.message(1)),
        name=one.text(4),
        user=one.text(2),
        queue=one.text(3),
        state=STATES[state] if 0 < state < len(STATES) else f"STATE_{state}",
        final=FINALS[final] if 0 <= final < len(FINALS) else f"STATUS_{final}",
        progress=one.real(17),
        started=one.number(11) / 1000,
        finished=one.number(12) / 1000,
        url=one.text(9),
        host=one.text(5),
        diagnostics=one.text(10),
        attempt=one.message(16).number(2) if 16 in one else 0,
        tags=one.texts(20),
    )


def _context(submission: Submission) -> dict[int, Any]:
    """Describe an application as YARN's ApplicationSubmissionContextProto; what is None is the queue's to say."""
    settings = submission.settings
    stamp, number = checked(submission.application)
    files = [{1: name, 2: _resource(file)} for name, file in submission.files.items()]
    variables = [{1: name, 2: value} for name, value in submission.variables.items()]
    lists = [{1: VIEW, 2: settings.view_acl or " "}, {1: MODIFY, 2: settings.modify_acl or " "}]  # a blank: nobody
    keys = to_tokens(submission.secret_keys)
    return {
        1: {1: number, 2: stamp},
        2: settings.name,
        3: settings.queue or None,
        5: {1: files, 2: keys, 4: variables, 5: [submission.command], 6: lists},
        8: settings.attempts,
        9: {1: settings.master_memory, 2: MASTER_VCORES},
        10: TYPE,
        11: True,
        12: list(settings.tags),
        13: round(1000 * settings.failures_validity),
        16: settings.label or None,
    }


def _resource(file: Mapping[str, Any]) -> dict[int, Any]:
    match = re.fullmatch(r"(\w+)://([^/:@]+)(?::(\d+))?(/.*)", file["path"], re.DOTALL)
    if not match:
        raise Unable(f"{file['path']}: Hadoop's client knows its address")
    where = {1: match[1], 2: match[2], 3: int(match[3] or -1), 4: match[4]}
    kept = PRIVATE if file["shared"] else APPLICATION
    return {1: where, 2: file["size"], 3: file["time"], 4: ARCHIVE if file["archive"] else FILE, 5: kept}
