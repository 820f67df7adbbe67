"""What measures a table's network in these tests: the runners, and a job's tasks without Hadoop."""

import base64
import json
import shutil

from hdl import passes
from hdl.data import Bad, FileSplit
from hdl.runners.base import RoundRunner
from hdl.runners.local import LocalRunner
from hdl.runners.task import Task
from hdl.runners.task_config import TaskConfig
from hdl.runners.task_messages import separate
from hdl.table import Table
from hdl.wire.blocks import pack_block
from tests.runner.test_streaming_pipe import called


class Tasks(RoundRunner):
    """A MapReduce job's tasks in this process: `groups` of shards each, in the wrong order."""

    name, device = "tasks", "cpu"

    def __init__(self, folder):
        self.folder, self.asked = folder, []

    def open(self, job, splits, notify):
        self.job, self.shards = job, splits

    def platform(self):
        return ""

    def summarise(self):
        raise NotImplementedError

    prepare = round = summarise

    def measure(self, asked):
        self.asked.append(asked.kind)
        folder = self.begin(asked)
        messages = []
        for number in reversed(range(len(self.shards))):
            config = TaskConfig(stage="measure", table=str(folder), options=self.job.options.model_dump_json())
            task = Task(config, self.job.data, {number: [FileSplit(*split) for split in self.shards[number]]})
            messages += [task.message(number, lambda *_: None), task.stats.end()]
        return separate([*messages, messages[0]])[0]  # one of them twice

    def begin(self, asked):
        """Make a folder as tasks find it."""
        folder = self.folder / f"task{len(self.asked)}"
        folder.mkdir(parents=True)
        for number in {0, asked.version}:
            shutil.copy(Table(asked.table).file(number), folder)
        (folder / "pass").write_bytes(asked.pack())
        return folder

    def close(self):
        pass


class Pipe(Tasks):
    """Streaming's mapper in a pipe: lines as they are, or blocks as typed bytes."""

    name = "pipe"

    def measure(self, asked):
        self.asked.append(asked.kind)
        folder, source = self.begin(asked), self.job.source()
        self.lost = Bad(source.options.max_bad_records)  # records that no mapper sees
        typed = source.format != "csv"
        environment = {"hdl_stage": "measure", "hdl_options": json.dumps(self.job.options.model_dump(mode="json"))}
        environment |= {"hdl_driver": "true"} | ({"hdl_typed": "true"} if typed else {})
        if not typed:
            with open(source.paths[0], "rb") as file:
                (folder / "head").write_bytes(file.read(1 << 16))
        messages = []
        for number, splits in enumerate(self.shards):
            content = self.typed(source, splits) if typed else self.lines(splits)
            name = f"{self.job.data}/part-{number:05}.csv"  # by which Streaming tells the shard
            status, out, said = called(
                "mapper", str(folder), stdin=content, mapreduce_map_input_file=name, **environment
            )
            assert status == 0, said
            messages += [base64.b64decode(line.split(b"\t")[1]) for line in out.splitlines()]
        found = separate(messages)[0]
        return passes.with_lost(found, self.lost, passes.make) if asked.kind == "evaluate" else found

    def typed(self, source, splits):
        packed = [pack_block(block, source.columns) for block in source.read(splits, self.lost)]
        head = bytes([0]) + (0).to_bytes(4, "big")
        return b"".join(head + bytes([0]) + len(block).to_bytes(4, "big") + block for block in packed)

    def lines(self, splits):
        (split,) = splits
        with open(split.path, "rb") as file:
            return file.read()


class Yarn:
    """The application on YARN, its workers as processes of this machine; made for one use."""

    def __init__(self, workers):
        from tests.runner.yarn_here import YarnHere

        self.application = YarnHere(workers)

    def train(self, job, drive, notify):
        return self.application.train(job, notify)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


RUNNERS = {
    "local": lambda folder: LocalRunner(1, 1),
    "two": lambda folder: LocalRunner(2, 2),
    "three": lambda folder: LocalRunner(3, 1),
    "seven": lambda folder: LocalRunner(7, 1),
    "tasks": Tasks,
    "pipe": Pipe,
    "yarn": lambda folder: Yarn(2),
}
