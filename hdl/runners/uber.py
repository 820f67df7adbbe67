"""Jobs whose tasks run one after the other inside of the application master: it saves the start of containers."""

from __future__ import annotations

from collections.abc import Iterable

from hdl.runners.task_stats import TaskStats

UBER_MB = 1536  # of an application master that runs the tasks itself
UBER_BYTES, UBER_SECONDS = 64 << 20, 20.0  # of data; of work in the tasks of the round before
UBER_MAPS = 9
UBER = {
    "mapreduce.job.ubertask.enable": "true",
    "mapreduce.job.ubertask.maxmaps": UBER_MAPS,
    "yarn.app.mapreduce.am.resource.mb": UBER_MB,
}


def pays(maps: int, reduces: int, before: Iterable[TaskStats], size: int) -> bool:
    """Decide whether the work of the next job is so little that its tasks are quicker there.

    Parameters
    ----------
    maps, reduces : int
        Tasks.
    before : iterable of TaskStats
        Of the tasks of the job before; none before the first one.
    size : int
        Bytes of the data.
    """
    if maps > UBER_MAPS or reduces > 1:
        return False
    before = list(before)
    return sum(task.read + task.compute for task in before) < UBER_SECONDS if before else size < UBER_BYTES
