"""The MapReduce runner: each round is a job of this package's tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pydoop

from hdl import fs, hdfs_choice
from hdl.envpack import UNPACKED
from hdl.programs import hadoop
from hdl.runners import frames, splits
from hdl.runners.base import groups
from hdl.runners.hadoop import HadoopRunner
from hdl.runners.job import TASK_LOG
from hdl.runners.task_config import PREFIX
from hdl.runners.uber import UBER

# bash, as other shells drop variables with a dot in their names, which is how Hadoop tells the task its port. Inside of
# the application master pydoop would put standard error where YARN collects no logs; the master's own file is written
# by Java, at its own offset.
PROGRAM = """#!/bin/bash
[ -d "${{LOG_DIRS%%,*}}" ] && exec 2>> "${{LOG_DIRS%%,*}}/{log}"
HDL_HDFS={client} PYTHONPATH={path} exec {python} -P -m hdl.runners.mapreduce
"""


class MapReduceRunner(HadoopRunner):
    """Carries each round out as one MapReduce job of `tasks`' classes; parameters as `HadoopRunner`'s.

    Examples
    --------
    >>> with MapReduceRunner() as runner:  # doctest: +SKIP
    ...     outcome = hdl.driver.train(Job("hdfs:///digits", "hdfs:///model", Spec(shards=4)), runner)
    """

    name = "mapreduce"

    def _prepare_data(self) -> None:
        """Make shards input splits, each with the hosts that hold most of it."""
        lengths: dict[str, int] = {}  # in the reader's unit
        for path, start, length in (split for own in self._splits for split in own):
            lengths[path] = max(lengths.get(path, 0), start + length)
        scale = {path: fs.size(path) / length for path, length in lengths.items()}  # bytes a unit
        input_splits = []
        for own in groups(len(self._splits), self.workers):
            held: Counter[str] = Counter()
            for path, start, length in (split for shard in own for split in self._splits[shard]):
                size = int(length * scale[path])
                for place, host in enumerate(fs.hosts(path, int(start * scale[path]), size)):
                    held[host] += size >> place
            payload = {"cuts": [[shard, self._splits[shard]] for shard in own]}
            input_splits.append((payload, [host for host, _ in held.most_common()]))
        self._put("splits", splits.encode(input_splits))
        whole = {"cuts": [*enumerate(self._splits)]}
        self._put("one-split", splits.encode([(whole, [])]))  # for tasks that would run one after the other anyway

    def _command(self, properties: dict[str, Any], out: str) -> tuple[list[str], dict[str, str]]:
        if "program" not in self._sent_files:
            path = UNPACKED if self._environment() else ""
            self._put(
                "program",
                PROGRAM.format(path=path, python=self._python(), log=TASK_LOG, client=hdfs_choice.forced()).encode(),
            )
        one = UBER.items() <= properties.items() and properties[PREFIX + "stage"] != "predict"
        if one:  # a task that has all shards joins their updates itself: there is nothing left to reduce
            properties = {**properties, "mapreduce.job.reduces": 0}
        given = {
            **properties,
            splits.URI: self._sent_files["one-split" if one else "splits"],
            "mapreduce.pipes.isjavarecordreader": "false",
            "mapreduce.pipes.isjavarecordwriter": "false",
            "mapreduce.job.cache.files": self._cache(),
        }
        if sent := self._environment():
            given["mapreduce.job.cache.archives"] = sent
        jar = pydoop.jar_path()
        words = [word for name, value in given.items() for word in ("-D", f"{name}={value}")]
        command = [hadoop(), "it.crs4.pydoop.mapreduce.pipes.Submitter", *words, "-libjars", jar]
        return [*command, "-output", out, "-program", self._sent_files["program"]], {"HADOOP_CLASSPATH": jar}

    def _collect(self, out: str) -> Iterator[bytes]:
        for name in fs.list(out):
            if name.startswith("part-"):
                with fs.open(fs.join(out, name)) as file:
                    yield from frames.unpack(file)
