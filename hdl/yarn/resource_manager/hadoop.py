"""Gets containers from YARN: Hadoop's AMRMClient and NMClient behind the worker group's interface.

A thread of its own keeps up the heartbeat, so that neither a round that computes nor a ResourceManager that restarts
holds anybody up; starting and stopping containers, which waits for their nodes, has threads too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from hdl.envpack import UNPACKED
from hdl.errors import HdlError, WorkerError
from hdl.yarn.resource_manager import java, launch, tokens
from hdl.yarn.resource_manager.clients import CALLS, Clients
from hdl.yarn.resource_manager.endings import ending
from hdl.yarn.resource_manager.launch import RECORDS
from hdl.yarn.resource_manager.leaving import leaving
from hdl.yarn.resource_manager.resources import Changes, Container, Ended, Resources
from hdl.yarn.settings import Settings

BEAT_SECONDS = 1.0
# Between two heartbeats while a request is not met: how long at first, for the next seconds, and until when.
FIRST_SECONDS, FIRST_FOR = 0.02, 1.0
EAGER_SECONDS, EAGER_FOR = 0.1, 15.0
UNREGISTER_SECONDS = 20.0
NUMBERS = 1 << 16  # of requests; a priority is a number plus how often it was asked, times this


class Hadoop(Resources):
    """Hands out containers of this application, from YARN.

    Parameters
    ----------
    settings : Settings
        Memory, vcores, GPUs, label of a worker, and its Python or archive.
    staging : str
        The application's folder on HDFS: the worker's only argument.
    module : str
        Name of the module that a container runs.
    clients : Clients, optional
        Started before; else they are started here.
    files : mapping, optional
        What a worker's container gets, by its name there: see `launch.located`. None: the archive of the settings.

    Raises
    ------
    HdlError
        The archive cannot be read, or the cluster knows no GPUs.
    """

    def __init__(
        self, settings: Settings, staging: str, module: str = "hdl.yarn.worker", clients: Clients | None = None,
        files: Mapping[str, Mapping[str, Any]] | None = None,
    ):  # fmt: skip
        clients = clients or Clients()
        self._settings, self._conf, self._pool, self._clients = settings, clients.conf, clients.pool, clients
        if files is None:
            files = {UNPACKED: launch.located(self._conf, settings.archive)} if settings.archive else {}
        self._described = files
        threads = settings.threads or settings.vcores
        self._variables = launch.environment(settings, bool(settings.archive), threads)
        self._command = launch.command(launch.python_of(settings), module, [staging])
        self._size = launch.capability(settings.memory, settings.vcores, settings.gpus)
        types = java.load_class(f"{RECORDS}.ExecutionType")
        kind = types.OPPORTUNISTIC if settings.opportunistic else types.GUARANTEED
        self._execution = java.load_class(f"{RECORDS}.ExecutionTypeRequest").newInstance(kind, True)
        self._master = clients.master
        self._lock = threading.Lock()  # of all below
        self._asked: dict[int, Any] = {}  # number to request
        self._times = 0
        self._asked_last = -EAGER_FOR  # by the clock
        self._held: dict[str, Any] = {}  # id to Java's container
        self._stopping: set[str] = set()
        self._changes = Changes()
        self._avoided: set[str] = set()
        self._progress = 0.0
        self._failed: HdlError | None = None
        self._wake, self._over = threading.Event(), threading.Event()
        self._beat: threading.Thread | None = None

    @cached_property
    def _files(self) -> dict[str, Any]:
        return {name: launch.resource(file, archive=name == UNPACKED) for name, file in self._described.items()}

    @cached_property
    def _scheme(self) -> str:
        return java.web_scheme(self._conf)

    def register(self, host: str, port: int, url: str) -> list[Container]:
        with java.call("registering with YARN"):
            answer = self._master.registerApplicationMaster(host, port, url)
            before = [self._hold(container) for container in answer.getContainersFromPreviousAttempts()]
        self._beat = threading.Thread(target=self._heartbeat, name="hdl-yarn", daemon=True)
        self._beat.start()
        return before

    def ask(self, number: int, hosts: Sequence[str] = (), strict: bool = False) -> None:
        if not 0 <= number < NUMBERS:
            raise ValueError(f"request {number}: expected 0 to {NUMBERS - 1}")
        with self._lock, java.call(f"asking for container {number}"):
            self._withdraw(number)
            # A priority of its own, never used again: by it a granted container names its request, and YARN refuses to
            # change hosts or strictness under one priority.
            priority = java.load_class(f"{RECORDS}.Priority").newInstance(number + NUMBERS * self._times)
            self._times = (self._times + 1) % (1 << 14)
            request = java.load_class(f"{CALLS}.AMRMClient$ContainerRequest")(
                self._size, _strings(hosts), None, priority, 0, not (strict and hosts), self._settings.label or None,
                self._execution,
            )  # fmt: skip
            self._master.addContainerRequest(request)
            self._asked[number] = request
            self._asked_last = time.monotonic()
        self._wake.set()

    def cancel(self, number: int) -> None:
        with self._lock:
            self._withdraw(number)
        self._wake.set()

    def avoid(self, hosts: Sequence[str]) -> None:
        with self._lock, java.call("avoiding nodes"):
            more, fewer = {*hosts} - self._avoided, self._avoided - {*hosts}
            self._avoided = {*hosts}
            self._master.updateBlacklist(_list(sorted(more)), _list(sorted(fewer)))
        self._wake.set()

    def poll(self, progress: float) -> Changes:
        with self._lock:
            if self._failed:
                raise self._failed
            self._progress = min(max(progress, 0.0), 1.0)
            last = self._changes
            changes, self._changes = last, Changes(available=last.available, nodes=last.nodes)
        return changes

    def launch(self, container: Container, secret_keys: Mapping[str, bytes]) -> None:
        with self._lock:
            held = self._held.get(container.id)
        if held is None:  # it ended in between, and `poll` has said so
            return
        credentials = java.credentials_buffer(dict(secret_keys), tokens.own())
        context = launch.context(self._command, self._variables, self._files, credentials, self._settings)
        self._pool.submit(
            self._call_node, container.id, lambda: self._clients.nodes.startContainer(held, context), "starting it"
        )

    def stop(self, container: str) -> None:
        with self._lock:
            held = self._held.get(container)
            if held is None or container in self._stopping:
                return
            self._stopping.add(container)
        self._pool.submit(
            self._call_node, container, lambda: self._clients.nodes.stopContainer(held.getId(), held.getNodeId()),
            "stopping it",
        )  # fmt: skip

    def unregister(self, succeeded: bool, message: str, url: str = "") -> None:
        self._end_beat()
        status = java.load_class(f"{RECORDS}.FinalApplicationStatus")
        status = status.SUCCEEDED if succeeded else status.FAILED
        call = self._master.unregisterApplicationMaster
        java.call_within(UNREGISTER_SECONDS, "unregistering from YARN", lambda: call(status, message, url))

    def close(self) -> None:
        self._end_beat()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _end_beat(self) -> None:
        self._over.set()
        self._wake.set()
        if self._beat:
            self._beat.join(UNREGISTER_SECONDS)  # longer only while YARN is away

    def _heartbeat(self) -> None:
        while not self._over.is_set():
            self._wake.wait(self._pause())
            self._wake.clear()
            if self._over.is_set():
                return
            try:
                with java.call("YARN's heartbeat"):
                    answer = self._master.allocate(self._progress)
                    with self._lock:
                        self._take(answer)
            except Exception as error:
                with self._lock:
                    self._failed = error if isinstance(error, HdlError) else WorkerError(f"YARN's heartbeat: {error}")
                return

    def _pause(self) -> float:
        """Return the seconds until the next heartbeat."""
        with self._lock:
            waited = time.monotonic() - self._asked_last if self._asked else EAGER_FOR
        return FIRST_SECONDS if waited < FIRST_FOR else EAGER_SECONDS if waited < EAGER_FOR else BEAT_SECONDS

    def _take(self, answer: Any) -> None:
        """Process the ResourceManager's answer to a heartbeat; the caller holds the lock."""
        for container in answer.getAllocatedContainers():
            number = int(container.getPriority().getPriority()) % NUMBERS
            if number in self._asked:
                self._withdraw(number)  # else it would be asked for again when the ResourceManager restarts
                self._changes.granted.append(self._hold(container))
            else:
                self._master.releaseAssignedContainer(container.getId())
        for status in answer.getCompletedContainersStatuses():
            name = str(status.getContainerId())
            if self._held.pop(name, None) is None:  # never taken: nobody had asked for it any more
                continue
            kind, reason = ending(int(status.getExitStatus()), str(status.getDiagnostics() or ""))
            if name in self._stopping:
                self._stopping.discard(name)
                kind = "stopped"
            self._changes.ended.append(Ended(name, kind, reason))
        self._changes.nodes = int(answer.getNumClusterNodes())
        self._changes.leaving += leaving(answer, self._held, self._settings.memory)
        if left := answer.getAvailableResources():
            gpus = f" and {launch.amounts(left).get(launch.GPU, 0)} GPUs" if self._settings.gpus else ""
            self._changes.available = f"{left.getMemorySize()} MiB and {left.getVirtualCores()} vcores{gpus} are free"

    def _withdraw(self, number: int) -> None:
        if request := self._asked.pop(number, None):
            self._master.removeContainerRequest(request)

    def _hold(self, container: Any) -> Container:
        name = str(container.getId())
        self._held[name] = container
        web = str(container.getNodeHttpAddress() or "")
        log = f"{self._scheme}{web}/node/containerlogs/{name}/{launch.user()}" if web else ""
        number = int(container.getPriority().getPriority()) % NUMBERS
        return Container(name, str(container.getNodeId().getHost()), number, log)

    def _call_node(self, name: str, call: Callable[[], Any], doing: str) -> None:
        """Call a node's NodeManager; a container whose call fails is given back: its node did not start it."""
        try:
            with java.call(doing):
                call()
        except Exception as error:
            with self._lock:
                held = self._held.pop(name, None)
                if held is None:
                    return
                kind = "stopped" if name in self._stopping else "node"
                self._stopping.discard(name)
                self._changes.ended.append(Ended(name, kind, f"its node {held.getNodeId()} failed: {error}"))
            self._master.releaseAssignedContainer(held.getId())
            self._wake.set()


def _list(words: Sequence[str]) -> Any:
    listed = java.load_class("java.util.ArrayList")()
    for word in words:
        listed.add(word)
    return listed


def _strings(words: Sequence[str]) -> Any:
    if not words:
        return None
    from jpype import JArray, JString

    return JArray(JString)(list(words))
