"""Finds the hosts near which workers' containers are asked for, so that the master need not look at the data first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hdl.data import FileSplit
from hdl.runners.base import Job, groups
from hdl.yarn.resource_manager import java
from hdl.yarn.settings import Settings

MOST = 2000  # pieces of files whose blocks are asked for; the master asks where there are more


def near(configuration: Callable[[], Any], job: Job, settings: Settings) -> list[list[str]]:
    """List for each worker the hosts that hold its shards' blocks, those with most bytes first.

    It is a hint: whatever hinders finding them leaves it to the master, which says what is wrong with the data.

    Parameters
    ----------
    configuration : function
        Gives Java's Configuration, and may wait for it.
    job : Job
    settings : Settings

    Returns
    -------
    list of list of str
        Empty where they are not known.
    """
    if job.spec is None or job.resume or job.asked is not None:
        return []
    with suppress(Exception):
        splits = job.source().splits(job.spec.shards)
        shards = groups(len(splits), min(settings.workers, len(splits)))
        if sum(map(len, splits)) <= MOST:
            conf = configuration()
            return [_hosts(conf, [split for shard in own for split in splits[shard]]) for own in shards]
    return []


def _hosts(conf: Any, splits: list[FileSplit]) -> list[str]:
    held: dict[str, int] = {}
    with java.call("the blocks of the data"):
        for split in splits:
            place = java.load_class("org.apache.hadoop.fs.Path")(split.path)
            blocks = place.getFileSystem(conf).getFileBlockLocations(place, split.start, split.length)
            for host in {str(host) for block in blocks for host in block.getHosts()}:
                held[host] = held.get(host, 0) + split.length
    return sorted(held, key=lambda host: (-held[host], host))
