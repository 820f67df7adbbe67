"""Joins the updates of all shards to one line, for a driver or for ``python -m hdl.streaming.publish TABLE``."""

import sys
import time

from hdl.runners.task_messages import join_updates
from hdl.runners.task_stats import TaskStats
from hdl.streaming import incoming, outgoing, script, task_config


def main(arguments: list[str]) -> None:
    stats = TaskStats("reduce", time.time())
    outgoing(join_updates(incoming(sys.stdin.buffer), task_config(arguments)), "")
    outgoing([stats.end()], "")


if __name__ == "__main__":
    script(main)
