"""The Streaming runner: `hdl.streaming`'s scripts under the hadoop-streaming jar, one job a round.

A shard is a text file that Hadoop does not split, numbered like the shard. Where the dataset is such files already
they are read where they lie. Any other dataset is written out once, into the runner's working folder: text as it is,
anything else as typed bytes, a sequence file of blocks of arrays, so that no number is rounded and uint8 stays uint8.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hdl import fs, passes, wire
from hdl.data import FileSplit, Source, Summary
from hdl.data.base import numbered
from hdl.data.block import Bad
from hdl.data.streams import compression
from hdl.data.text import TextSource
from hdl.envpack import UNPACKED
from hdl.errors import Unavailable
from hdl.passes import Partial, Pass
from hdl.programs import hadoop
from hdl.runners import typed
from hdl.runners.hadoop import HadoopRunner
from hdl.runners.uber import UBER, UBER_BYTES
from hdl.streaming import HEAD, incoming
from hdl.wire.blocks import pack_block

WHOLE = {"mapreduce.input.fileinputformat.split.minsize": 2**63 - 1}  # a file is never split
TYPED = {"stream.map.input": "typedbytes"}
HEAD_BYTES = 1 << 16  # of the first file: its first two lines say whether there are names, and what parts columns


class StreamingRunner(HadoopRunner):
    """Carries each round out as one Streaming job; parameters as `HadoopRunner`'s, but each shard is a map task.

    Examples
    --------
    >>> with StreamingRunner() as runner:  # doctest: +SKIP
    ...     outcome = hdl.driver.train(Job("hdfs:///digits", "hdfs:///model", Spec(shards=4)), runner)
    """

    name = "streaming"

    def _prepare_data(self) -> None:
        """Find the shards' files, or write them."""
        self.workers = len(self._splits)
        source = self._job.source()
        self._meta = source.describe()
        self._bad = Bad(source.options.max_bad_records)  # records that no mapper sees
        self._typed = not isinstance(source, TextSource)
        if not isinstance(source, TextSource):
            self._inputs = [self._write(source, number) for number in range(len(self._splits))]
            return
        first = FileSplit(source.paths[0], 0, HEAD_BYTES)
        head = b"".join(block for _, block in source.blocks(first, Bad(source.options.max_bad_records)))
        self._files[HEAD] = self._put(HEAD, head)
        if numbered(source.paths, len(self._splits)) and not any(map(compression, source.paths)):
            self._inputs = source.paths
        else:
            self._inputs = [self._write(source, number) for number in range(len(self._splits))]

    def summarise(self) -> Summary:
        bad, found = self._bad, super().summarise()
        lost = Summary(bad=bad.count, places=tuple(bad.places), limit=bad.limit, unlabelled=bad.unlabelled)
        return replace(lost.join(found), meta=self._meta)

    def measure(self, asked: Pass) -> Sequence[Partial | wire.Buffer]:
        found = super().measure(asked)
        return passes.with_lost(found, self._bad, passes.make) if asked.kind == "evaluate" else found

    def _write(self, source: Source, number: int) -> str:
        """Write one shard as a file in the working folder."""
        path, splits = f"{self._work}/part-{number:05d}", self._splits[number]

        def write(file: Any) -> None:
            if not isinstance(source, TextSource):
                blocks = source.read(splits, self._bad)
                typed.write_sequence(file, (pack_block(block, source.columns) for block in blocks))
                return
            for block in _lines(source, splits):
                file.write(block if block.endswith(b"\n") else block + b"\n")

        with self._there():
            fs.publish(path, write, private=True)
        return path

    def _command(self, properties: dict[str, Any], out: str) -> tuple[list[str], dict[str, str]]:
        sent = self._environment()
        # One after the other in the master nothing is gained by joining before the driver does, as long as all that the
        # driver then reads is little. And a shuffle needs Hadoop's native libraries where nodes ask for Kerberos.
        few = UBER.items() <= properties.items() and self._weights_bytes * len(self._inputs) <= UBER_BYTES
        few = few or properties["mapreduce.job.reduces"] == 0
        if few:
            properties = {**properties, "mapreduce.job.reduces": 0}
        if self._typed:
            properties = {**properties, **TYPED, "hdl.typed": "true"}
        words = [word for name, value in {**WHOLE, **properties}.items() for word in ("-D", f"{name}={value}")]
        command = [hadoop(), "jar", streaming_jar(), *words]
        if self._files:
            command += ["-files", self._cache()]
        if sent:
            command += ["-archives", sent]
        for path in self._inputs:
            command += ["-input", path]
        if self._typed:
            command += ["-inputformat", "org.apache.hadoop.mapred.SequenceFileInputFormat"]
        command += ["-output", out, "-mapper", self._script("mapper")]
        if not few:
            command += ["-reducer", self._script("reducer")]
            if self.combiner:
                command += ["-combiner", self._script("combiner")]
        return [*command, "-cmdenv", f"PYTHONPATH={UNPACKED if sent else ''}"], {}

    def _script(self, name: str) -> str:
        return shlex.join([self._python(), "-P", "-m", f"hdl.streaming.{name}"])

    def _collect(self, out: str) -> Iterator[bytes]:
        for name in fs.list(out):
            if name.startswith("part-"):
                with fs.open(fs.join(out, name)) as file:
                    yield from incoming(file)


def streaming_jar() -> str:
    """Find Hadoop's own jar: HADOOP_STREAMING_JAR, or the one of the release.

    Raises
    ------
    Unavailable
    """
    if given := os.environ.get("HADOOP_STREAMING_JAR"):
        return given
    home = Path(hadoop()).resolve().parent.parent
    jars = sorted(home.glob("**/tools/lib/hadoop-streaming-[0-9]*.jar"))
    if not jars:
        raise Unavailable(f"no hadoop-streaming-*.jar below {home}: set HADOOP_STREAMING_JAR")
    return str(jars[-1])


def _lines(source: TextSource, splits: Iterable[FileSplit]) -> Iterator[bytes]:
    """Read the splits' samples as they are, bad ones too: the task that reads them reports their places."""
    for split in splits:
        for at, block in source.blocks(split, Bad(source.options.max_bad_records)):
            yield source.like_first(split.path, at, block)
