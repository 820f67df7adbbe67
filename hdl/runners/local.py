"""The local runner: N worker processes on this machine, or none for one worker.

Workers are processes of their own program, not forks and not `multiprocessing`: they start from a script without a
`__main__` guard, from Jupyter and from pytest alike. Messages travel over a socket pair; see `local_worker`.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hdl
from hdl import sync, wire
from hdl.data import FileSplit, Summary
from hdl.devices import cores
from hdl.errors import DeadlineError, SpecError, WorkerError
from hdl.runners import platform
from hdl.runners.base import Job, Log, Notify, Plan, Progress, Replaced, RoundRunner, groups
from hdl.runners.frames import receive, send
from hdl.runners.messages import error_from, plan_message
from hdl.runners.work import Host, physical_memory
from hdl.wire import Update, Weights

DEATHS = 3  # on one shard, after which the run stops
START = 60.0  # seconds that a worker has to start, beside the deadline: a busy machine's disk may be slow
_STDERR = 8000  # bytes of a dead worker's standard error that are shown


class LocalRunner(RoundRunner):
    """Carries rounds out on this machine.

    Parameters
    ----------
    workers : int
        Processes; 1 works in this process.
    threads : int, optional
        Of each worker; None: the cores that this process may use, shared out.
    deadline : float
        Seconds without a sign of life after which a worker counts as hung. Workers give one at least every second,
        except while one block of data is decoded or a worker waits for the processor.
    device : {'cpu', 'cuda', 'cuda:N', 'auto'}
    memory : int, optional
        Bytes of decoded features that all workers together keep in memory; None: half of the machine's.

    Examples
    --------
    >>> with LocalRunner(workers=2) as runner:  # doctest: +SKIP
    ...     outcome = hdl.driver.train(Job("data.csv", "model", Spec()), runner)
    """

    name = "local"

    def __init__(
        self,
        workers: int = 1,
        threads: int | None = None,
        deadline: float = 600.0,
        device: str = "cpu",
        memory: int | None = None,
    ):
        if workers < 1:
            raise SpecError(f"workers: expected at least 1 (given {workers})")
        platform.lacks(device)  # a GPU that is not there is told of before anything is made
        self.workers, self.deadline, self.device = workers, deadline, device
        self.threads = threads or max(1, cores() // workers)
        self.memory = physical_memory() // 2 if memory is None else memory
        self._staff: list[_Process] = []
        self._host: Host | None = None
        self._plan: bytes | None = None
        self._deaths: Counter[int] = Counter()
        self._notify: Notify = lambda event: None
        self._timings: list[dict[str, Any]] = []
        self._phases: dict[str, float] = {}

    def open(self, job: Job, splits: Sequence[Sequence[FileSplit]], notify: Notify) -> None:
        self._notify, self._shards = notify, len(splits)
        if self.workers == 1:
            self._host = self.host(job, dict(enumerate(splits)))
            return
        count = min(self.workers, len(splits))
        for number, own in enumerate(groups(len(splits), count)):
            fields = {
                "path": job.data,
                "options": job.options.model_dump(mode="json"),
                "cuts": [[shard, splits[shard]] for shard in own],
                "threads": self.threads,
                "device": self.device,
                "memory": self.memory // count,
            }
            self._staff.append(_Process(number, list(own), wire.pack("open", fields), self.threads, self.deadline))

    def host(self, job: Job, splits: Mapping[int, Sequence[FileSplit]]) -> Host:
        """What does the work in this process, where one worker does all of it."""
        return Host(job.data, job.options, splits, self.threads, self.device, self.memory)

    def platform(self) -> str:
        def tell(text: str) -> None:
            self._notify(Log(time.time(), text))

        return platform.negotiate([("this machine", platform.capabilities(self.device))], self.device, tell)

    def summarise(self) -> Summary:
        shards = range(self._shards)
        if self._host:
            found = self._host.summarise(shards, self._beat("summarise"))
        else:
            commands = {worker: [wire.pack("summarise", {"shards": worker.shards})] for worker in self._staff}
            answers = self._ask("summarise", commands)
            found = [summary for worker in self._staff for summary in answers[worker]]
        return sync.tree_reduce(found, lambda a, b: a.join(b))

    def prepare(self, plan: Plan) -> None:
        if self._host:
            self._host.prepare(plan)
        self._plan = plan_message(plan)
        for worker in self._staff:
            worker.tell(self._plan)

    def round(self, weights: Weights, evaluate_only: bool = False) -> list[Update]:
        updates = self._round(weights, evaluate_only)
        names = sorted({name for update in updates for name in update.seconds})
        self._phases = {name: sum(update.seconds.get(name, 0.0) for update in updates) for name in names}
        return updates

    def _round(self, weights: Weights, evaluate_only: bool) -> list[Update]:
        began = time.perf_counter()
        if self._host:
            updates = self._host.round(weights, range(self._shards), evaluate_only, self._beat("round"))
            seconds = time.perf_counter() - began
            self._timings = [{"worker": 0, "shards": list(range(self._shards)), "seconds": seconds}]
            return updates
        payload = wire.encode_parts(weights)
        commands = {
            worker: [wire.pack("round", {"shards": worker.shards, "evaluate_only": evaluate_only}), payload]
            for worker in self._staff
        }
        answers = self._ask("round", commands)
        self._timings = [
            {"worker": worker.number, "shards": worker.shards, "seconds": worker.answered - began}
            for worker in self._staff
        ]
        return [update for worker in self._staff for update in answers[worker]]

    def timings(self) -> list[dict[str, Any]]:
        return self._timings

    def phases(self) -> dict[str, float]:
        """Seconds of loading, measuring and training, each summed over all shards."""
        return self._phases

    def close(self) -> None:
        for worker in self._staff:
            worker.kill()
        self._staff, self._host = [], None

    def _beat(self, stage: str) -> Any:
        """What the host of this process calls: shards are taken one after the other."""

        def beat(shard: int, share: float) -> None:
            self._notify(Progress(stage, shard + share, self._shards))

        return beat

    def _ask(self, stage: str, commands: dict[_Process, list[Any]]) -> dict[_Process, list[Any]]:
        """Gives each worker its command and waits for all answers; a worker that dies is replaced and asked again."""
        answers: dict[_Process, list[Any]] = {}
        for worker, messages in commands.items():
            worker.busy, worker.done = None, 0.0
            worker.tell(*messages)
        while len(answers) < len(commands):
            waiting = [worker for worker in commands if worker not in answers]
            for worker in self._ready(waiting):
                try:
                    kind, fields, _ = wire.unpack(receive(worker.channel))
                    worker.seen = time.monotonic()
                    if kind == "done":
                        answers[worker] = [wire.decode(receive(worker.channel)) for _ in range(fields["count"])]
                        worker.answered, worker.done = time.perf_counter(), len(worker.shards)
                except (EOFError, ConnectionError):
                    self._replace(worker, stage, commands[worker])
                    continue
                except TimeoutError:
                    raise self._hung(worker) from None
                if kind == "error":
                    raise error_from(fields, f"worker {worker.number}")
                if kind == "busy":
                    worker.busy = fields["shard"]
                    worker.done = worker.shards.index(worker.busy) + fields["share"]
                self._notify(Progress(stage, sum(member.done for member in self._staff), self._shards))
        return answers

    def _ready(self, waiting: list[_Process]) -> list[_Process]:
        """The workers that have something to say; raises if one has been silent for too long."""
        with selectors.DefaultSelector() as selector:
            for worker in waiting:
                selector.register(worker.channel, selectors.EVENT_READ, worker)
            silent = min(waiting, key=lambda worker: worker.seen)
            left = silent.seen + self.deadline - time.monotonic()
            found = [key.data for key, _ in selector.select(max(0.0, left))]
        if not found and time.monotonic() - silent.seen >= self.deadline:
            raise self._hung(silent)
        return found

    def _hung(self, worker: _Process) -> DeadlineError:
        doing = f"shard {worker.busy}" if worker.busy is not None else f"shards {worker.shards}"
        return DeadlineError(
            f"worker {worker.number} (process {worker.process.pid}) has given no sign of life for "
            f"{self.deadline:g} s at {doing}{worker.said()}"
        )

    def _replace(self, worker: _Process, stage: str, messages: list[Any]) -> None:
        """A new process for a dead one, with the same command; the third death on one shard stops the run."""
        shard = worker.shards[0] if worker.busy is None else worker.busy
        reason = worker.end()
        self._deaths[shard] += 1
        if self._deaths[shard] >= DEATHS:
            raise WorkerError(f"workers died {DEATHS} times at shard {shard}, the last one: {reason}{worker.said()}")
        self._notify(Replaced(worker.number, tuple(worker.shards), reason))
        worker.start()
        if stage == "round" and self._plan:
            worker.tell(self._plan)
        worker.tell(*messages)


class _Process:
    """One worker process, its socket and its standard error."""

    def __init__(self, number: int, shards: list[int], opening: bytes, threads: int, deadline: float):
        self.number, self.shards, self.opening = number, shards, opening
        self.threads, self.deadline = threads, deadline
        self.answered = 0.0
        self.start()

    def start(self) -> None:
        """Starts the process and returns at once; what it is told meanwhile waits in the socket."""
        self.busy: int | None = None  # the shard it last spoke of
        self.done = 0.0
        self.seen = time.monotonic() + START  # of the last sign of life, or when the first is due
        self.errors = tempfile.TemporaryFile(prefix="hdl-worker-")  # noqa: SIM115
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(self.deadline)
        root = str(Path(hdl.__file__).resolve().parent.parent)
        path = [root, *(entry for entry in sys.path if entry and entry != root)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        for name in "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS":  # the NumPy backend's
            environment[name] = str(self.threads)
        with theirs:
            self.process = subprocess.Popen(
                # -P: a numpy.py in the user's folder is not ours
                [sys.executable, "-P", "-m", "hdl.runners.local_worker", str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self.errors,
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        self.tell(self.opening)

    def tell(self, *messages: bytes | list[wire.Buffer]) -> None:
        """Sends messages; a worker that is dead is noticed when it does not answer."""
        self.seen = max(self.seen, time.monotonic())
        try:
            send(self.channel, *messages)
        except ConnectionError:
            pass
        except TimeoutError:
            who = f"worker {self.number} (process {self.process.pid})"
            raise DeadlineError(f"{who} has taken no message for {self.deadline:g} s{self.said()}") from None

    def said(self) -> str:
        """The end of its standard error, on lines of its own."""
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - _STDERR))
        text = self.errors.read().decode(errors="replace").strip()
        return f"; its standard error:\n{text}" if text else "; its standard error is empty"

    def end(self) -> str:
        """Reaps the dead process; how it ended."""
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:  # it has closed its socket and lives on
            self.process.kill()
            code = self.process.wait()
        self._release()
        return f"killed by signal {-code}" if code < 0 else f"exited with status {code}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._release()
        self.errors.close()

    def _release(self) -> None:
        self.channel.close()
        self.process.stdin.close()
