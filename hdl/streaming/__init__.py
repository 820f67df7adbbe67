"""Training over Hadoop Streaming: samples on standard input, one line with an update on standard output.

`mapper`, `combiner` and `reducer` run under the hadoop-streaming jar and in a shell pipe alike. Samples are CSV or
libsvm, or, as typed bytes, blocks of arrays. A line of output is ``0<tab>message``, a message of `hdl.wire` in base64;
what has no tab is the message alone. Everything else goes to standard error.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO
from urllib.parse import urlsplit

from hdl import scratch
from hdl.data import FileSplit, Options, Source
from hdl.errors import DataError, HdlError, SpecError
from hdl.runners.task import act_for_submitter, report_error
from hdl.runners.task_config import TaskConfig
from hdl.runners.typed import TypedBytes

HEAD = "head"  # the dataset's first lines: a shard without a header reads as the whole does
INPUT = "mapreduce_map_input_file"  # as Streaming spells the property


def task_config(arguments: list[str]) -> TaskConfig:
    """Read the job's configuration: Streaming puts its properties into the environment, such as hdl_table; in a pipe,
    the table's folder may be an argument instead."""
    given = dict(os.environ)
    if arguments:
        given["hdl_table"] = arguments[0]
    return TaskConfig.of(given, "hdl_")


def source() -> str:
    """Name the file that standard input comes from, where Streaming says it."""
    return os.environ.get(INPUT) or "standard input"


def shard() -> int:
    """Read the shard's number in the input file's name, such as 3 of part-00003.csv; HDL_SHARD in a pipe; else 0.

    Raises
    ------
    SpecError
        The name has no number.
    """
    path = os.environ.get(INPUT)
    if path is None:
        return int(os.environ.get("HDL_SHARD", 0))
    numbers = re.findall(r"\d+", os.path.basename(urlsplit(path).path))
    if not numbers:
        raise SpecError(f"{path}: Streaming tells shards by the number in a file's name, such as part-00003.csv")
    return int(numbers[0])


@contextmanager
def samples(stream: BinaryIO, config: TaskConfig) -> Iterator[tuple[str, list[FileSplit], Source | None]]:
    """Make a dataset of a stream: a path to open, the split of it that is the stream, and the source if it is open.

    It is copied to a temporary file, for the same readers as any other. Errors name where they really came from.
    """
    with scratch.directory("hdl-") as folder:
        body = os.path.join(folder, "part-00001")  # parts that an engine numbered may begin alike
        head = os.path.join(config.table, HEAD)
        if os.path.exists(head):
            shutil.copyfile(head, os.path.join(folder, "part-00000"))
        if scratch.encrypting():  # readers want a file: one that is in memory has a name in /proc
            held = os.fdopen(os.memfd_create("hdl"), "wb")
            os.symlink(f"/proc/self/fd/{held.fileno()}", body)
        else:
            held = open(body, "xb")  # noqa: SIM115
        shutil.copyfileobj(stream, held, 1 << 20)
        held.flush()
        try:
            opened = TypedBytes([body], Options.make(config.options)) if config.typed else None
            yield folder, [FileSplit(body, 0, 1 << 62)], opened
        except DataError as error:
            path = source() if error.path == body else error.path
            raise DataError(error.message.replace(body, source()), path, error.line, error.offset) from None
        finally:
            held.close()


def incoming(stream: BinaryIO) -> Iterator[bytes]:
    """Read the messages in lines of a stream, with or without their key."""
    for number, line in enumerate(stream, 1):
        text = line.strip().rpartition(b"\t")[2]
        try:
            if text:
                yield base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise DataError(f"not a message in base64: {error}", "standard input", number) from None


def outgoing(messages: Iterable[bytes], key: str) -> None:
    """Write the messages as lines to standard output."""
    for message in messages:
        sys.stdout.write(f"{key}{base64.b64encode(message).decode()}\n")
    sys.stdout.flush()


class Reporter:
    """Reports status and counters to Streaming on standard error; silent outside of it."""

    def __init__(self) -> None:
        self.there, self.last = "mapreduce_task_attempt_id" in os.environ, 0.0

    def beat(self, number: int, share: float) -> None:
        """Give a sign of life, at most one a second."""
        now = time.monotonic()
        if self.there and now - self.last > 1:
            self.last = now
            print(f"reporter:status:shard {number}: {share:.0%}", file=sys.stderr, flush=True)

    def count(self, **amounts: int) -> None:
        for name, amount in amounts.items():
            if self.there and amount:
                print(f"reporter:counter:hdl,{name},{amount}", file=sys.stderr, flush=True)


def script(main: Callable[[list[str]], None]) -> None:
    """Run a script; an error of hdl ends it with its message and its exit status."""
    act_for_submitter()
    try:
        main(sys.argv[1:])
    except HdlError as error:
        report_error(error)
        sys.exit(error.exit_code)
