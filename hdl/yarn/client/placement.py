"""Finds the hosts near which workers' containers are asked for, so that the master need not look at the data first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from hdl.data import FileSplit
from hdl.runners.base import Job, groups
from hdl.yarn.settings import Settings

MOST = 2000  # pieces of files whose blocks are asked for; the master asks where there are more


def near(hosts: Callable[[list[FileSplit]], list[str]], job: Job, settings: Settings) -> list[list[str]]:
    """List for each worker the hosts that hold its shards' blocks, those with most bytes first.

    It is a hint: whatever hinders finding them leaves it to the master, which says what is wrong with the data.

    Parameters
    ----------
    hosts : function
        See `interface.Yarn.hosts`; may wait for a connection.
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
            return [hosts([split for shard in own for split in splits[shard]]) for own in shards]
    return []
