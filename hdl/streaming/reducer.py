"""Joins the updates of all shards to one line, for a driver or for ``python -m hdl.streaming.publish TABLE``."""

import sys
import time

from hdl.runners.task import joined, note_of
from hdl.streaming import incoming, order, outgoing, script


def main(arguments: list[str]) -> None:
    began = time.time()
    outgoing(joined(incoming(sys.stdin.buffer), order(arguments)), "")
    outgoing([note_of("reduce", began)], "")


if __name__ == "__main__":
    script(main)
