"""Messages between the tasks of a Hadoop job and its driver: joined, separated, or an error in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from hdl import sync, wire
from hdl.data import Summary
from hdl.errors import HdlError, WorkerError
from hdl.runners import task_stats
from hdl.runners.messages import error_from, error_message
from hdl.runners.task import starting_point
from hdl.runners.task_config import TaskConfig
from hdl.runners.task_stats import TaskStats
from hdl.wire import Update


def join_updates(messages: Iterable[bytes], config: TaskConfig) -> Iterator[bytes]:
    """Join all updates that are siblings of the tree; other messages pass as they are.

    Joining as they come keeps as many updates as the tree is deep, not as many as there are shards.
    """
    updates: list[Update] = []
    spec = None
    for message in messages:
        if wire.header(message, len(message))[0] == "update":
            spec = spec or starting_point(config).plan.spec
            updates = sync.join_siblings(spec, [*updates, wire.decode_as(Update, message)])
        else:
            yield message
    yield from map(wire.encode, updates)


def join_summaries(messages: Iterable[bytes], shards: int) -> Summary:
    """Join the summaries of all shards to the dataset's.

    Raises
    ------
    WorkerError
        There is none of a shard.
    """
    held = {wire.header(message, len(message))[1]["shard"]: message for message in messages}
    if missing := [shard for shard in range(shards) if shard not in held]:
        raise WorkerError(f"the tasks gave no summary of shards {missing}")

    def summary(node: int | Summary) -> Summary:  # unpacked when its turn comes: those of tables are large
        if isinstance(node, Summary):
            return node
        _, fields, tensors = wire.unpack(held.pop(node))
        return Summary.from_parts(fields["summary"], tensors)

    return summary(sync.tree_reduce(range(shards), lambda a, b: summary(a).join(summary(b))))


def separate(messages: Iterable[bytes]) -> tuple[list[bytes], list[TaskStats]]:
    """Separate the updates or summaries among messages from the statistics of their tasks.

    Raises
    ------
    HdlError
        A message is an error: as it was raised in its task.
    """
    results, stats = [], []
    for message in messages:
        kind, fields = wire.header(message, len(message))
        if kind == "error":
            raise error_from(fields, "a task")
        if kind == task_stats.MESSAGE:
            stats.append(TaskStats.from_fields(fields))
        else:
            results.append(message)
    return results, stats


def messages_or_error(make: Callable[[], Iterable[bytes]], config: TaskConfig) -> list[bytes]:
    """Make messages; where a driver waits for them, an error of hdl becomes a message."""
    try:
        return list(make())
    except HdlError as error:
        if not config.driver:
            raise
        return [error_message(error)]
