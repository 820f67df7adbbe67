"""Joins the updates of one map task, or of several on one node, as far as they are siblings of the tree.

Hadoop may run it never, once or twice: it changes what travels, and no byte of the result.
"""

import sys

from hdl.runners.task import joined
from hdl.streaming import incoming, order, outgoing, script


def main(arguments: list[str]) -> None:
    outgoing(joined(incoming(sys.stdin.buffer), order(arguments)), "0\t")


if __name__ == "__main__":
    script(main)
