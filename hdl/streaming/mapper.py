"""Samples of one shard on standard input; its update, or its summary, as one line on standard output.

``cat part-00003.csv | HDL_SHARD=3 python -m hdl.streaming.mapper TABLE``: TABLE is a local weight table, or a folder
with copies of its first and last version (and of its common.safetensors in genetic mode); a job has them by -files.
"""

import sys
from typing import Any

from hdl.runners.task import Task, told
from hdl.streaming import Reporter, order, outgoing, samples, script, shard


def main(arguments: list[str]) -> None:
    asked, number, reporter = order(arguments), shard(), Reporter()

    def messages() -> list[bytes]:
        with samples(sys.stdin.buffer, asked) as (path, splits, source):
            task = Task(asked, path, {number: splits}, source)
            message = task.message(number, reporter.beat)
            note: dict[str, Any] = task.note
            reporter.count(samples=note["samples"], batches=note["batches"], bad_records=note["bad"],
                           update_bytes=len(message))  # fmt: skip
            return [message, task.closing()]

    outgoing(told(messages, asked), "0\t")


if __name__ == "__main__":
    script(main)
