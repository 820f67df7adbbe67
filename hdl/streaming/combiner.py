"""Joins the updates of one map task, or of several on one node, as far as they are siblings of the tree.

Hadoop may run it never, once or twice: it changes what travels, and no byte of the result.
"""

import sys

from hdl.runners.task_messages import join_updates
from hdl.streaming import incoming, outgoing, script, task_config


def main(arguments: list[str]) -> None:
    outgoing(join_updates(incoming(sys.stdin.buffer), task_config(arguments)), "0\t")


if __name__ == "__main__":
    script(main)
