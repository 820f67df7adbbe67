"""Joins the updates of all shards to one line, for a driver or for ``python -m hdl.streaming.publish TABLE``."""

import sys

from hdl.runners.task import joined
from hdl.streaming import incoming, order, outgoing, script


def main(arguments: list[str]) -> None:
    outgoing(joined(incoming(sys.stdin.buffer), order(arguments)), "")


if __name__ == "__main__":
    script(main)
