"""The local runner: N worker processes on this machine, or none for one worker.

Workers are processes of their own program, not forks and not `multiprocessing`: they start from a script without a
`__main__` guard, from Jupyter and from pytest alike. Messages travel over a socket pair; see `local_worker`.
"""

from __future__ import annotations

import selectors
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

from hdl import sync, wire
from hdl.data import FileSplit, Summary
from hdl.devices import cores
from hdl.errors import DeadlineError, SpecError, WorkerError
from hdl.passes import Partial, Pass
from hdl.runners import platform
from hdl.runners.base import Job, Log, Notify, Plan, Progress, Replaced, RoundRunner, groups
from hdl.runners.frames import receive
from hdl.runners.messages import error_from, open_fields, plan_message
from hdl.runners.work import Beat, Host, physical_memory
from hdl.runners.worker_process import WorkerProcess
from hdl.wire import Update, Weights

DEATHS = 3  # on one shard, after which the run stops


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
    alone_here = True  # one worker works in this process

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
        self._processes: list[WorkerProcess] = []
        self._owing = set[WorkerProcess]()  # that have not answered the present command
        self._host: Host | None = None
        self._plan: bytes | None = None
        self._deaths: Counter[int] = Counter()
        self._notify: Notify = lambda event: None
        self._timings: list[dict[str, Any]] = []
        self._phases: dict[str, float] = {}

    def open(self, job: Job, splits: Sequence[Sequence[FileSplit]], notify: Notify) -> None:
        self._notify, self._shards = notify, len(splits)
        if self.workers == 1 and self.alone_here:
            self._host = self.host(job, dict(enumerate(splits)))
            return
        count = min(self.workers, len(splits))
        for number, own in enumerate(groups(len(splits), count)):
            fields = open_fields(job, splits, own, self.threads, self.device, self.memory // count)
            self._processes.append(self.process(number, list(own), fields))

    def process(self, number: int, shards: list[int], fields: dict[str, Any]) -> WorkerProcess:
        """Start the process of a worker that opens the dataset by these fields."""
        return WorkerProcess(number, shards, wire.pack("open", fields), self.threads, self.deadline)

    def host(self, job: Job, splits: Mapping[int, Sequence[FileSplit]]) -> Host:
        """Make the host that does the work in this process, where one worker does all of it."""
        return Host(job.data, job.options, splits, self.threads, self.device, self.memory)

    def platform(self) -> str:
        def log(text: str) -> None:
            self._notify(Log(time.time(), text))

        return platform.negotiate([("this machine", platform.capabilities(self.device))], self.device, log)

    def summarise(self) -> Summary:
        shards = range(self._shards)
        if self._host:
            summaries = self._host.summarise(shards, self._beat("summarise"))
        else:
            commands = {worker: [wire.pack("summarise", {"shards": worker.shards})] for worker in self._processes}
            answers = self._ask("summarise", commands)
            summaries = [summary for worker in self._processes for summary in answers[worker]]
        return sync.tree_reduce(summaries, lambda a, b: a.join(b))

    def prepare(self, plan: Plan) -> None:
        if self._host:
            self._host.prepare(plan)
        self._plan = plan_message(plan)
        for worker in self._processes:
            worker.send(self._plan)

    def round(self, weights: Weights, evaluate_only: bool = False) -> list[Update]:
        updates = self._round(weights, evaluate_only)
        self._phases = reduce(sync.add_sums, (update.seconds for update in updates), {})
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
            for worker in self._processes
        }
        answers = self._ask("round", commands)
        self._timings = [
            {"worker": worker.number, "shards": worker.shards, "seconds": worker.answered - began}
            for worker in self._processes
        ]
        return [update for worker in self._processes for update in answers[worker]]

    def measure(self, asked: Pass) -> Sequence[Partial | wire.Buffer]:
        if self._host:
            return self._host.measure(asked, range(self._shards), self._beat(asked.kind))
        message = asked.pack()
        commands: dict[WorkerProcess, list[Any]] = {
            worker: [wire.pack("measure", {"shards": worker.shards}), message] for worker in self._processes
        }
        answers = self._ask(asked.kind, commands, decode=lambda answer: answer)
        return [answer for worker in self._processes for answer in answers[worker]]

    def timings(self) -> list[dict[str, Any]]:
        return self._timings

    def phases(self) -> dict[str, float]:
        """Return seconds of loading, measuring and training, each summed over all shards."""
        return self._phases

    def close(self) -> None:
        for worker in self._processes:
            worker.kill()
        self._processes, self._host = [], None

    def _beat(self, stage: str) -> Beat:
        """Make the function that the host of this process calls: shards are taken one after the other."""

        def beat(shard: int, share: float) -> None:
            self._notify(Progress(stage, shard + share, self._shards))

        return beat

    def _ask(
        self, stage: str, commands: dict[WorkerProcess, list[Any]], decode: Callable[[bytearray], Any] = wire.decode
    ) -> dict[WorkerProcess, list[Any]]:
        """Give each worker its command and wait for all answers; a worker that dies is replaced and asked again."""
        answers: dict[WorkerProcess, list[Any]] = {}
        self._owing = set(commands)
        for worker, messages in commands.items():
            worker.busy, worker.done = None, 0.0
            worker.send(*messages)
        while len(answers) < len(commands):
            waiting = [worker for worker in commands if worker not in answers]
            for worker in self._ready(waiting):
                try:
                    worker.midway = True
                    kind, fields, _ = wire.unpack(receive(worker.channel))
                    worker.seen = time.monotonic()
                    if kind == "done":
                        answers[worker] = [decode(receive(worker.channel)) for _ in range(fields["count"])]
                        worker.answered, worker.done = time.perf_counter(), len(worker.shards)
                    worker.midway = False
                except (EOFError, ConnectionError):
                    self._replace(worker, stage, commands[worker])
                    continue
                except TimeoutError:
                    raise self._hung(worker) from None
                if kind in ("done", "error"):
                    self._owing.discard(worker)
                if kind == "error":
                    raise error_from(fields, f"worker {worker.number}")
                if kind == "busy":
                    worker.busy = fields["shard"]
                    worker.done = worker.shards.index(worker.busy) + fields["share"]
                self._notify(Progress(stage, sum(process.done for process in self._processes), self._shards))
        return answers

    def _ready(self, waiting: list[WorkerProcess]) -> list[WorkerProcess]:
        """Wait for workers whose messages can be read; raise if one has been silent for too long."""
        with selectors.DefaultSelector() as selector:
            for worker in waiting:
                selector.register(worker.channel, selectors.EVENT_READ, worker)
            silent = min(waiting, key=lambda worker: worker.seen)
            left = silent.seen + self.deadline - time.monotonic()
            readable = [key.data for key, _ in selector.select(max(0.0, left))]
        if not readable and time.monotonic() - silent.seen >= self.deadline:
            raise self._hung(silent)
        return readable

    def _hung(self, worker: WorkerProcess) -> DeadlineError:
        doing = f"shard {worker.busy}" if worker.busy is not None else f"shards {worker.shards}"
        return DeadlineError(
            f"worker {worker.number} (process {worker.process.pid}) has given no sign of life for "
            f"{self.deadline:g} s at {doing}{worker.standard_error()}"
        )

    def _replace(self, worker: WorkerProcess, stage: str, messages: list[Any]) -> None:
        """Start a new process for a dead one, with the same command; the third death on one shard stops the run."""
        shard = worker.shards[0] if worker.busy is None else worker.busy
        reason = worker.reap()
        self._deaths[shard] += 1
        if self._deaths[shard] >= DEATHS:
            raise WorkerError(
                f"workers died {DEATHS} times at shard {shard}, the last one: {reason}{worker.standard_error()}"
            )
        self._notify(Replaced(worker.number, tuple(worker.shards), reason))
        worker.start()
        if stage == "round" and self._plan:
            worker.send(self._plan)
        worker.send(*messages)
