"""Finds the hosts near which workers' containers are asked for, so that the master need not look at the data first."""

from __future__ import annotations

from contextlib import suppress

from hdl.runners.base import Job, groups
from hdl.yarn.api import choice
from hdl.yarn.settings import Settings

MOST = 2000  # pieces of files whose blocks are asked for; the master asks where there are more


def near(job: Job, settings: Settings) -> list[list[str]]:
    """List for each worker the hosts that hold its shards' blocks, those with most bytes first.

    It is a hint: whatever hinders finding them leaves it to the master, which says what is wrong with the data.

    Parameters
    ----------
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
            return [choice.yarn().hosts([split for shard in own for split in splits[shard]]) for own in shards]
    return []
