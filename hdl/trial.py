"""A training that one worker carries out alone, over all of its shards: a trial of a search, in a process that stays.

The worker has the driver, too, and writes the table: who gave it the job is told of events, and in the end of the
outcome, and nothing is passed back and forth between rounds. The bytes are those of any other runner, as they depend on
the number of shards and not on who computes them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hdl import driver
from hdl import spec as specs
from hdl.data import FileSplit, Options
from hdl.events import Outcome
from hdl.runners.base import Job, Notify
from hdl.runners.kept import KeptHosts
from hdl.runners.local import LocalRunner
from hdl.runners.messages import open_fields
from hdl.runners.watched import Beat
from hdl.runners.work import Host
from hdl.table import Table


class Alone(LocalRunner):
    """Carries rounds out in this process, whose decoded data stays for the next training.

    Parameters
    ----------
    kept : KeptHosts
    threads : int
    device : str
    memory : int
        Bytes of decoded samples.
    beat : function of a shard and its share
        Called as the work gets on; what it raises ends the training.
    """

    keeps = True

    def __init__(self, kept: KeptHosts, threads: int, device: str, memory: int, beat: Beat):
        super().__init__(1, threads, device=device, memory=memory)
        self.kept, self.beat = kept, beat

    def host(self, job: Job, splits: Mapping[int, Sequence[FileSplit]]) -> Host:
        fields = open_fields(job, [*splits.values()], splits, self.threads, self.device, self.memory)
        fields = {**fields, "folder": os.getcwd()}  # where a path begins that is not absolute
        return self.kept.open(fields) if job.content else Host.from_fields(fields)

    def _beat(self, stage: str) -> Beat:
        return self.beat


def train(job: Job, runner: Alone, notify: Notify) -> Outcome:
    """Train up to a share of the rounds, from the table's last version where there is one.

    Raises
    ------
    HdlError
        As of `driver.train`; and what `notify` and the runner's beat raise.
    """
    return driver.train(replace(job, resume=driver.begun(job.table) is not None), runner, notify)


# --- as plain values --------------------------------------------------------------------------------------------------


def job_fields(job: Job) -> dict[str, Any]:
    """Make plain values of a job that trains; `job_of` makes the job of them."""
    return {"data": job.data, "table": job.table, "spec": job.spec.to_json() if job.spec else None,
            "options": job.options.model_dump(mode="json"), "strict": job.strict, "until": job.until,
            "init_from": job.init_from}  # fmt: skip


def job_of(fields: Mapping[str, Any]) -> Job:
    """Make a job of plain values."""
    spec = specs.parse(fields["spec"]) if fields["spec"] else None
    return Job(fields["data"], fields["table"], spec, Options.make(fields["options"]), strict=fields["strict"],
               until=fields["until"], init_from=fields["init_from"])  # fmt: skip


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """Make plain values of an outcome; its rows are in the table."""
    return {**vars(outcome), "spec": outcome.spec.to_json(), "rows": []}


def outcome_of(fields: Mapping[str, Any]) -> Outcome:
    """Make the outcome of plain values, with the rows of its table's last version."""
    rows = Table(fields["table"]).read(fields["version"]).rows
    return Outcome(**{**fields, "spec": specs.parse(fields["spec"]), "rows": list(rows)})
