"""The base of the MapReduce and the Streaming runner: a working folder on HDFS, one job a round, its messages."""

from __future__ import annotations

import os
import re
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from hdl import envpack, fs, hadoop_conf, identity, scratch, wire
from hdl.data import FileSplit, Summary
from hdl.errors import HdlError, SpecError, WorkerError
from hdl.passes import Partial, Pass
from hdl.runners import platform, uber
from hdl.runners.base import Job, Log, Notify, Plan, Progress, Replaced, RoundRunner
from hdl.runners.job import HadoopJob
from hdl.runners.messages import plan_message
from hdl.runners.task import PASS, PLAN, WEIGHTS
from hdl.runners.task_config import PREFIX
from hdl.runners.task_messages import join_summaries, separate
from hdl.runners.task_stats import TaskStats, negotiate, phases
from hdl.runners.working_folder import WorkingFolder
from hdl.table import Table, names
from hdl.wire import Update, Weights

JOBS = ".hdl/jobs"  # below our home on HDFS: the drivers' working folders
ENCRYPTED = "mapreduce.job.encrypted-intermediate-data"  # what map tasks spill and reducers fetch
NODE_MB = 1024  # of a map or reduce container: Hadoop's JVM, Python, and a JVM in it that reads HDFS
SETTINGS = {
    "mapreduce.map.memory.mb": NODE_MB,
    "mapreduce.reduce.memory.mb": NODE_MB,
    "mapreduce.map.output.compress": "false",  # random floats do not shrink
    "mapreduce.job.reduces": 1,
}


class HadoopRunner(RoundRunner):
    """Carries each round out as one Hadoop job.

    Parameters
    ----------
    workers : int, optional
        Map tasks; None: one a shard.
    threads : int, optional
        Of each task; None: 1.
    device : {'cpu', 'cuda', 'cuda:N', 'auto'}
    deadline : float
        Seconds without news of a job after which it counts as hung.
    python : str, optional
        A Python on every node that has hdl and its requirements. None: this environment is packed and sent to them,
        once, with its interpreter.
    archive : str, optional
        The packed environment on HDFS, as `hdl env pack --upload` prints it.
    bare_python : str, optional
        A Python of this version on every node, without hdl: the environment is packed without its interpreter.
    combiner : bool
        Let Hadoop join updates on the map side: it changes the traffic, and no byte of the result.
    uber : bool, optional
        Run all tasks of a job one after the other inside of its application master, which saves their containers'
        start. None: where the work is so little that this is quicker.
    settings : dict, optional
        Properties of the jobs, over `SETTINGS`.
    """

    def __init__(
        self,
        workers: int | None = None,
        threads: int | None = None,
        device: str = "cpu",
        deadline: float = 1800.0,
        python: str | None = None,
        archive: str | None = None,
        combiner: bool = True,
        uber: bool | None = None,
        settings: dict[str, Any] | None = None,
        bare_python: str | None = None,
    ):
        if workers is not None and workers < 1:
            raise SpecError(f"workers: expected at least 1 (given {workers})")
        self.asked, self.workers, self.threads = workers, workers or 1, threads or 1
        self.device = platform.check(device)
        self.deadline, self.combiner, self.uber = deadline, combiner, uber
        self.python = python or os.environ.get("HDL_NODE_PYTHON")
        closing = hadoop_conf.closing(hadoop_conf.read(hadoop_conf.folder()))
        self.settings = {**SETTINGS, **closing, **(settings or {})}
        self.counters: dict[str, dict[str, int]] = {}
        self.application: str | None = None
        self._notify: Notify = lambda event: None
        self._jobs, self._platform, self._weights_bytes = 0, "", 0
        self._folder: WorkingFolder | None = None
        self._sent_files: dict[str, str] = {}  # in the working folder on HDFS: name to path
        self._files: dict[str, str] = {}  # of the distributed cache: name in a task's folder to path on HDFS
        self.archive = archive or os.environ.get("HDL_NODE_ARCHIVE")
        self.bare_python = bare_python
        self._archive: Future[str] | None = None
        self._stats: list[TaskStats] = []
        self._phases: dict[str, float] = {}

    def open(self, job: Job, splits: Sequence[Sequence[FileSplit]], notify: Notify) -> None:
        if not fs.is_remote(job.data):
            raise SpecError(f"{job.data}: runner {self.name} reads HDFS; `hdl import` or `hadoop fs -put` brings data")
        self._job, self._splits, self._notify = job, [list(own) for own in splits], notify
        self.workers = min(self.asked or len(splits), len(splits))
        self._bytes = sum(fs.size(path) for path in {path for own in self._splits for path, _, _ in own})
        self._folder = WorkingFolder(fs.join(identity.home(), JOBS))
        if not self.python and not self.archive:  # packing and sending take seconds: the data is looked at meanwhile
            pool = ThreadPoolExecutor(1)
            self._archive = pool.submit(lambda: envpack.upload(envpack.pack(python=self.bare_python)))
            pool.shutdown(wait=False)
        self._prepare_data()

    def platform(self) -> str:
        return self._platform

    def summarise(self) -> Summary:
        summaries = self._run("summarise", {})
        self._platform = negotiate(self._stats, self.device, self._log)
        return join_summaries(summaries, len(self._splits))

    def prepare(self, plan: Plan) -> None:
        self._files[PLAN] = self._put(f"{PLAN}-{self._jobs}", plan_message(plan))
        common, name = Table(plan.table).common_file, names.common()
        if fs.exists(common):
            if not fs.is_remote(common):
                with fs.open(common) as file:
                    common = self._put(f"{name}-{self._jobs}", file.read())
            self._files[name] = common
        else:
            self._files.pop(name, None)

    def round(self, weights: Weights, evaluate_only: bool = False) -> list[Update]:
        encoded = wire.encode(weights)
        self._weights_bytes = len(encoded)
        self._files[WEIGHTS] = self._put(f"{WEIGHTS}-{self._jobs}", encoded)
        return [wire.decode_as(Update, message) for message in self._run("round", {"evaluate_only": evaluate_only})]

    def measure(self, asked: Pass) -> Sequence[Partial | wire.Buffer]:
        """Carry a pass out as one job without reducers: the driver joins what its tasks have found."""
        self.take_table(asked.table, sorted({0, asked.version}))
        self._files[PASS] = self._put(f"{PASS}-{self._jobs}", asked.pack())
        return self._run("measure", {}, asked.kind, {"mapreduce.job.reduces": 0})

    def timings(self) -> list[dict[str, Any]]:
        maps = [task for task in self._stats if task.kind == "map"]
        return [
            {"worker": number, "seconds": task.ended - task.began, "shards": task.shards, "host": task.host}
            for number, task in enumerate(sorted(maps, key=lambda task: task.shards))
        ]

    def phases(self) -> dict[str, float]:
        return self._phases

    def close(self) -> None:
        if self._archive:
            self._archive.cancel()
        if self._folder:
            self._folder.close()
        self._folder = None

    @property
    def _work(self) -> str:
        """The path of the working folder."""
        assert self._folder is not None, "the runner is not open"
        return self._folder.path

    def _there(self) -> AbstractContextManager[None]:
        """Give the reason for what fails within this context, where the working folder was removed by somebody else."""
        return self._folder.there() if self._folder else nullcontext()

    def _prepare_data(self) -> None:
        """Make sure that tasks find their shards."""

    @abstractmethod
    def _command(self, properties: dict[str, Any], out: str) -> tuple[list[str], dict[str, str]]:
        """Give the client's command, and what it finds in its environment."""

    @abstractmethod
    def _collect(self, out: str) -> Iterable[bytes]:
        """Read the messages that a job has written."""

    def take_table(self, table: str, numbers: Iterable[int], common: bool = True) -> None:
        """Let tasks find versions of a table in their folders, and with `common` the file that these have in common."""
        stored, numbers = Table(table), list(numbers)
        if 0 in numbers:
            stored.read(0)  # so that `file` knows whether it is whole
        wanted = {names.version(number): stored.file(number) for number in numbers}
        if common and fs.exists(stored.common_file):
            wanted[names.common()] = stored.common_file
        for name, path in wanted.items():  # there, of one run alone, they need not say whose they are
            if not fs.is_remote(path):
                with fs.open(path) as file:
                    path = self._put(name, file.read())
            self._files[name] = path

    def run(
        self, stage: str, config: dict[str, Any], out: str, name: str = "", settings: Mapping[str, Any] | None = None
    ) -> HadoopJob:
        """Run one job, which writes to `out`; raise what a task raised, or how the job failed.

        Parameters
        ----------
        stage : {'round', 'summarise', 'predict', 'measure'}
        config : dict
            Other fields of `hdl.runners.task_config.TaskConfig`.
        out : str
            A folder on HDFS.
        name : str
            Of what is done, where that is not the stage.
        settings : mapping, optional
            Properties of this job alone.
        """
        name = name or stage
        self._jobs += 1
        number = f" {self._jobs}" if stage == "round" else ""
        given = {"stage": stage, "driver": True, "device": self.device, "threads": self.threads,
                 "combiner": self.combiner, "data": self._job.data, "memory": self._memory(),
                 "options": self._job.options.model_dump_json(), **config}  # fmt: skip
        if scratch.encrypting():
            given["encrypt_spill"] = True
        properties = {
            "mapreduce.job.name": f"hdl {name}{number}: {self._job.table}",
            **self._file_systems(out),
            **({ENCRYPTED: "true"} if scratch.encrypting() else {}),
            **self.settings,
            **(settings or {}),
            **{PREFIX + name: value for name, value in given.items()},
        }
        if not self._fits():
            return self._once(name, properties, out)
        try:
            return self._once(name, {**properties, **uber.UBER}, out)
        except WorkerError as error:  # inside of the master Hadoop tries a task once; in containers, again
            if not self.application:
                raise
            self._notify(Replaced(0, (), f"tasks start again, in containers: {error}"))
            with suppress(FileNotFoundError):
                fs.remove(out)
            return self._once(name, properties, out)

    def _once(self, stage: str, properties: dict[str, Any], out: str) -> HadoopJob:
        job = HadoopJob(*self._command(properties, out), self.deadline, self._progress(stage), self._failed)
        try:
            with self._there():
                job.run()
        finally:
            self.application, self.counters = job.application, job.counters
        return job

    def _run(
        self, stage: str, config: dict[str, Any], name: str = "", settings: Mapping[str, Any] | None = None
    ) -> list[bytes]:
        """Run one job, as `run` does; return its messages: updates, summaries, or partial results."""
        out = f"{self._work}/out-{self._jobs + 1}"
        began = time.time()
        job = self.run(stage, config, out, name, settings)
        ended = time.time()
        try:
            with self._there():
                results, self._stats = separate(self._collect(out))
        except HdlError as error:
            raise job.placed(error) from None
        fs.remove(out)
        self._phases = phases(self._stats, began, ended)
        return results

    def _file_systems(self, out: str) -> dict[str, str]:
        """Name the file systems that tasks read and write beside the default one, whose tokens the job takes along."""
        paths = [out, self._job.table, *(path for own in self._splits for path, _, _ in own)]
        if self._job.spec and self._job.spec.holdout.path:
            paths.append(self._job.spec.holdout.path)
        roots = {match[0] for match in map(re.compile(r"[A-Za-z][\w.+-]*://[^/]+").match, paths) if match}
        return {"mapreduce.job.hdfs-servers": ",".join(sorted(roots))} if roots else {}

    def _fits(self) -> bool:
        """Decide whether the next job's tasks run inside of its application master."""
        if self.uber is not None:
            return self.uber
        return uber.pays(self.workers, int(self.settings["mapreduce.job.reduces"]), self._stats, self._bytes)

    def _progress(self, stage: str) -> Any:
        """Make the function that reports progress: maps are nearly all of the work, the reducer only adds up."""
        total = len(self._splits)

        def tell(maps: float, reduces: float) -> None:
            self._notify(Progress(stage, total * (0.95 * maps + 0.05 * reduces), total))

        return tell

    def _log(self, text: str) -> None:
        self._notify(Log(time.time(), text))

    def _failed(self, attempt: str, reason: str) -> None:
        number = int(attempt.split("_")[4])
        self._notify(Replaced(number, (), f"{attempt}: {reason}"))

    def _memory(self) -> int:
        """Count the bytes of features that a task may keep: its container's, less two JVMs and Python."""
        return max(64, int(self.settings["mapreduce.map.memory.mb"]) - 768) << 20

    def _put(self, name: str, content: bytes) -> str:
        """Put a file into the working folder on HDFS."""
        path = self._sent_files[name] = f"{self._work}/{name}"
        with self._there():
            fs.publish(path, content, private=True, closed=True)  # for the distributed cache
        return path

    def _cache(self) -> str:
        """List the files of the distributed cache, as Hadoop's properties and options take them."""
        return ",".join(f"{path}#{name}" for name, path in sorted(self._files.items()))

    def _python(self) -> str:
        return self.python or envpack.PYTHON

    def _environment(self) -> str | None:
        """Name the packed environment on HDFS and its name in a task's folder; None if the nodes have one."""
        if self._archive:
            self.archive = self._archive.result()
        return f"{self.archive}#{envpack.UNPACKED}" if self.archive else None
