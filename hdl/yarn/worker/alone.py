"""What a session's worker carries out alone: a trial of a search, the driver's part too, or an estimator's fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hdl import told
from hdl.events import Round, Started
from hdl.runners.kept import KeptHosts
from hdl.yarn.comm.faults import Faults
from hdl.yarn.protocol import AloneReport
from hdl.yarn.settings import DATA_SHARE, from_task_config
from hdl.yarn.worker.master_link import MasterLink

TELL_SECONDS = 0.1  # between two reports of what has happened


def train(
    config: dict[str, Any], kept: KeptHosts, link: MasterLink, faults: Faults, check: Callable[[], None],
    header: tuple[int, int],
) -> dict[str, Any]:  # fmt: skip
    """Train as a task config says; returns the outcome's fields, of a fit none.

    Parameters
    ----------
    config : dict
    kept : KeptHosts
        Where decoded data stays.
    link : MasterLink
    faults : Faults
    check : function
        Raises if there is another command, or no master.
    header : (int, int)
        The command's id, and the generation.
    """
    from hdl import trial  # with the driver, which other workers do without

    job, settings = from_task_config(config)
    link.memory_limit = settings.memory << 20
    faults.round, since, events = 0, time.monotonic(), list[dict[str, Any]]()

    def beat(shard: int, share: float) -> None:
        link.moved(shard, share)
        faults.at("computing")
        check()

    def flush() -> None:
        nonlocal since
        since = time.monotonic()
        if events:
            link.send(AloneReport(*header, [*events]))
            events.clear()

    def hear(event: Any) -> None:
        check()
        if plain := told.event_fields(event):
            events.append(plain)
        if isinstance(event, Round):
            faults.round = int(event.row["round"]) + 1
        elif isinstance(event, Started):
            faults.round = event.version
        if time.monotonic() - since >= TELL_SECONDS:
            flush()

    room = int(link.memory_limit * DATA_SHARE)
    if job.asked:
        from hdl.runners import fits

        fits.carry_out(job.asked["fit"], settings.threads or settings.vcores, settings.device, room, beat)
        return {}
    runner = trial.Alone(kept, settings.threads or settings.vcores, settings.device, room, beat)
    try:
        return trial.outcome_fields(trial.train(job, runner, hear))
    finally:
        flush()
