"""Merges the reducer's line into a table's next version: ``… | python -m hdl.streaming.publish TABLE``."""

import sys

from hdl import versions, wire
from hdl.data import Schema
from hdl.runners.task_messages import separate
from hdl.streaming import incoming, script
from hdl.table import Table


def main(arguments: list[str]) -> None:
    table = Table(arguments[0])
    updates, _ = separate(incoming(sys.stdin.buffer))
    zero, last = table.with_zero("last")
    schema = Schema.from_parts(zero.about["schema"], zero.schema)
    decoded = [wire.decode_as(wire.Update, update) for update in updates]
    table.publish(versions.following(last, decoded, schema))


if __name__ == "__main__":
    script(main)
