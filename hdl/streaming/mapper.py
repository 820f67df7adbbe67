"""Samples of one shard on standard input; its update, or its summary, as one line on standard output.

``cat part-00003.csv | HDL_SHARD=3 python -m hdl.streaming.mapper TABLE``: TABLE is a local weight table, or a folder
with copies of its first and last version (and of its common.safetensors in genetic mode); a job has them by -files.
"""

import sys

from hdl.runners.task import Task
from hdl.runners.task_messages import messages_or_error
from hdl.streaming import Reporter, outgoing, samples, script, shard, source, task_config


def main(arguments: list[str]) -> None:
    config, number, reporter = task_config(arguments), shard(), Reporter()

    def messages() -> list[bytes]:
        with samples(sys.stdin.buffer, config) as (path, splits, opened):
            task = Task(config, path, {number: splits}, opened, source())
            message = task.message(number, reporter.beat)
            stats = task.stats
            reporter.count(samples=stats.samples, batches=stats.batches, bad_records=stats.bad,
                           update_bytes=len(message))  # fmt: skip
            return [message, stats.end()]

    outgoing(messages_or_error(messages, config), "0\t")


if __name__ == "__main__":
    script(main)
