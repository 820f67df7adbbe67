"""Runs the application\'s master, in its first container: the driver\'s home.

The application's folder on HDFS holds `order.json` (the job, see `settings`), `master-NNNN.json` (the address of an
attempt's master) and `outcome-NNNN.json` (how the attempt ended; the last attempt's counts). A second attempt takes
over the containers that the first one left, and goes on from the table's last version.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from hdl import driver, fs, measuring, scratch, timeline, wire
from hdl.errors import HdlError, NodeError
from hdl.events import Outcome
from hdl.measuring import Gathered
from hdl.models import stack
from hdl.runners.base import Job, Log, Progress, Replaced
from hdl.runners.messages import error_message
from hdl.yarn.comm import tokens as token_file
from hdl.yarn.comm.control_server import Server
from hdl.yarn.comm.credentials import CLIENT, Credentials
from hdl.yarn.master import kept_nodes
from hdl.yarn.master.early import Early, registered
from hdl.yarn.master.remote_weights import WeightsLost
from hdl.yarn.master.renewal import MasterTokens
from hdl.yarn.master.runner import MasterRunner
from hdl.yarn.master.session import Session
from hdl.yarn.master.watcher import Live, Watcher
from hdl.yarn.master.worker_group import WorkerGroup
from hdl.yarn.names import MASTER_ADDRESS
from hdl.yarn.process import node_fault, run_and_exit, say
from hdl.yarn.resource_manager.clients import Clients
from hdl.yarn.resource_manager.resources import Resources, application_of
from hdl.yarn.settings import MEASURED, ORDER, OUTCOME, TASK_CONFIG, Settings, from_task_config

SHOW_SECONDS = 1.0  # between two looks of the page at many workers
RESTARTS = 5  # from the last version, after the weights of a round were lost with all workers


def lead(
    job: Job,
    settings: Settings,
    staging: str,
    resources: Resources,
    credentials: Credentials,
    host: str,
    attempt: int = 1,
    watcher: Watcher | None = None,
    tokens: MasterTokens | None = None,
    near: Sequence[Sequence[str]] = (),
    early: Early | None = None,
) -> Outcome | Gathered | int:
    """Train, measure, or take a session's orders, with containers of `resources`: the application from its registering
    to its end.

    Parameters
    ----------
    job : Job
    settings : Settings
    staging : str
        The application's folder.
    resources : Resources
    credentials : Credentials
    host : str
        This node's address, to listen on.
    attempt : int
        Of YARN's attempts at this application, from 1.
    watcher : Watcher, optional
    tokens : MasterTokens, optional
        On a cluster with Kerberos.
    near : sequence of sequence of str
        Of each worker, the hosts that hold its shards' blocks, where the client has found out: see `settings`.
    early : Early, optional
        Where this master registers already and has asked near those hosts: of it are `resources`, and the watcher's
        port.

    Raises
    ------
    HdlError
        As of `driver.train`, or no containers can be had for workers. YARN has been told of the failure.
    NodeError
        This node's disk is full or broken, and YARN has not been told: another attempt of the master goes on.
    """
    watcher = watcher or Watcher()
    if settings.encrypt_spill:
        scratch.encrypt()
    server = early.server if early else Server(credentials, host)
    pool = ThreadPoolExecutor(1, "hdl-address")
    if tokens:
        tokens.tell = watcher.message
        server.admit(CLIENT)
    try:
        if early:
            containers = early.containers.result()
        else:
            containers = registered(resources, server, credentials, settings, host, watcher.port, watcher.url,
                                    near if attempt == 1 else ())  # fmt: skip
        # Its first workers know the address by their credentials, so nobody waits for the file to be closed.
        address = json.dumps({"control": server.address}).encode()
        told = pool.submit(fs.publish, fs.join(staging, MASTER_ADDRESS.format(attempt)), address)
        group = WorkerGroup(settings, credentials, server, containers, attempt, watcher.message, tokens)
        kept_nodes.keep(group.failures, staging, attempt, watcher.message)
        group.avoid_told = watcher.avoided
        try:
            if settings.session:
                told.result()
                outcome: Outcome | Gathered | int = _serve(settings, group, attempt, watcher, staging)
            else:
                outcome = _train(job, settings, group, attempt, watcher, told)
            told.result()
        except Exception as error:
            fault = node_fault(error)
            if not fault or attempt >= settings.attempts:  # else the next attempt takes the workers over
                group.end()
            raise (fault or error) from None
        group.end()
        _publish_outcome(staging, attempt, _plain(outcome, staging, attempt))
        if tokens and not _superseded(staging, attempt):
            tokens.remove_keytab(staging)
        resources.unregister(True, _said(job, outcome))
        return outcome
    except Exception as error:
        if isinstance(error, NodeError) and attempt < settings.attempts:
            watcher.message(f"the master's node cannot go on, YARN starts another one: {error}")
            raise
        fields = wire.unpack(error_message(error))[1]
        _publish_outcome(staging, attempt, {"error": fields})
        if tokens and not _superseded(staging, attempt):
            tokens.remove_keytab(staging)
        resources.unregister(False, str(error)[:2000])
        raise
    finally:
        if tokens:
            tokens.close()
        server.close()
        resources.close()
        watcher.close()
        pool.shutdown(wait=False)


def _said(job: Job, outcome: Outcome | Gathered | int) -> str:
    """Say in a few words how the application ended."""
    if isinstance(outcome, int):
        return f"session: {outcome} orders"
    said = f"measured on {job.data}" if isinstance(outcome, Gathered) else f"version {outcome.version}"
    return f"{job.table}: {said}"


def _serve(settings: Settings, group: WorkerGroup, attempt: int, watcher: Watcher, staging: str) -> int:
    """Carry out a session's orders, each as an application of its own would; returns how many there were."""
    told = Future[None]()
    told.set_result(None)

    def carry_out(config: dict[str, Any], both: Watcher, number: int) -> dict[str, Any]:
        job, _ = from_task_config(config)
        both.begins(job)
        return _plain(_train(job, settings, group, attempt, both, told, number), staging, number)

    return Session(settings, group, watcher, carry_out).serve()


def _plain(outcome: Outcome | Gathered | int, staging: str, attempt: int) -> dict[str, Any]:
    """Make plain values of an outcome; what a network measured is written into a file of its own."""
    if isinstance(outcome, int):
        return {"orders": outcome}
    if isinstance(outcome, Gathered):
        name = MEASURED.format(attempt)
        fs.publish(fs.join(staging, name), outcome.pack())
        return {"measured": name}
    return {"outcome": {**asdict(replace(outcome, rows=[])), "spec": outcome.spec.to_json()}}


def _measure(job: Job, group: WorkerGroup, watcher: Watcher, number: int) -> Gathered:
    """Run the passes over the data that the job asks for."""
    runner = MasterRunner(group, number)

    def hear(event: Any) -> None:
        if isinstance(event, Progress):
            group.containers.progress = max(group.containers.progress, event.done / max(1.0, event.total))
        if isinstance(event, (Progress, Replaced)):
            watcher.workers(group.status(runner.timings()))
        watcher.hear(event)

    with runner:
        return measuring.gather(job, runner, hear)


def _train(
    job: Job,
    settings: Settings,
    group: WorkerGroup,
    attempt: int,
    watcher: Watcher,
    told: Future[None],
    number: int = 0,
) -> Outcome | Gathered:
    """Run the driver, again from the last version whenever all workers were lost at once.

    Rounds begin once it is `told` where this master is: a later one's workers would look for it in vain.
    """
    if job.asked is not None:
        return _measure(job, group, watcher, number)
    every = settings.publish_every or (1 if job.spec and (job.spec.validated or "validation" in job.spec.auto) else 0)
    job = replace(job, publish_every=every)

    layers = len(stack.hidden(job.spec)) - 1 if job.spec and job.spec.model in stack.STACKS else 0
    ended = 0  # layers that have been learned

    shown = 0.0

    def show(progress: dict[str, Any] | None = None, at_once: bool = False) -> None:
        """Tell the page of the workers, of many not after each round."""
        nonlocal shown
        now = time.monotonic()
        if at_once or len(group.places) <= settings.relay_above or now - shown >= SHOW_SECONDS:
            shown = now
            watcher.workers(group.status(runner.all_timings(), progress))

    def hear(event: Any) -> None:
        nonlocal ended
        if isinstance(event, driver.Round):
            group.faults.at("merging")
            share = min(1.0, event.row["round"] / max(1, group.rounds))
            group.containers.progress = max(group.containers.progress, (ended + share) / (max(layers, ended) + 1))
            show(event.row.get("async"))
        elif isinstance(event, driver.Started):
            told.result()
            group.rounds, ended = event.rounds, event.spec.layer - 1 if event.spec.layer else layers
            if attempt > 1:
                kept = sum(member.incarnation.inherited for member in group.places)
                watcher.message(
                    f"attempt {attempt} of the master goes on from version {event.version} with {kept} of "
                    f"{len(group.places)} workers that were there"
                )
        elif isinstance(event, Replaced):
            show(at_once=True)
        elif isinstance(event, Log):
            watcher.message(event.text)
        watcher.hear(event)

    for again in range(RESTARTS):
        # The first attempt, or the first try, may have begun the table: it was not there when the job was submitted.
        resume = job.resume or ((attempt > 1 or again > 0) and driver.begun(job.table) is not None)
        runner = MasterRunner(group, number)
        try:
            return driver.train(replace(job, resume=resume), runner, hear)
        except WeightsLost as error:
            if again == RESTARTS - 1:
                raise
            last = driver.begun(job.table)
            where = f"version {last.latest()} in {last.path}" if last else "the beginning"
            watcher.message(f"{error}; going on from {where}")
    raise AssertionError


def _publish_outcome(staging: str, attempt: int, outcome: dict[str, Any]) -> None:
    """Write how this attempt ended to the application's folder, for the client."""
    try:
        fs.publish(fs.join(staging, OUTCOME.format(attempt)), json.dumps(outcome).encode())
    except (OSError, HdlError) as error:
        say(f"hdl master: the outcome could not be written: {error}")


def _superseded(staging: str, attempt: int) -> bool:
    """Tell whether a later attempt has begun, as it does where this one was paused and YARN gave it up."""
    with suppress(OSError, HdlError):
        prefix, own = MASTER_ADDRESS.partition("{")[0], MASTER_ADDRESS.format(attempt)
        return any(name.startswith(prefix) and name > own for name in fs.list(staging))
    return False


def read_task_config(staging: str, entries: Mapping[str, bytes]) -> dict[str, Any]:
    """Read the task config of this application: from the container's credentials, or from the application's folder."""
    if ORDER in entries:
        return json.loads(entries[ORDER])
    with fs.open(fs.join(staging, TASK_CONFIG)) as file:
        return json.loads(file.read())


def main(clients: Clients | None = None, begun: Future[Early | None] | None = None) -> None:
    """Run the master: `python -m hdl.yarn.master STAGING`, in a container; ends the process.

    Parameters
    ----------
    clients : Clients, optional
        Of YARN, started before; else they are started here.
    begun : Future, optional
        Registers already: see `early.begin`.
    """
    run_and_exit("master", lambda: _run(sys.argv[1], clients or Clients(), begun))


def _run(staging: str, clients: Clients, begun: Future[Early | None] | None) -> None:
    """Train as the task config in the application's folder says, in this container of YARN."""
    from hdl.yarn.resource_manager import java, launch
    from hdl.yarn.resource_manager.hadoop import Hadoop
    from hdl.yarn.resource_manager.viewers import viewers as viewers_of

    timeline.reached("master", "imported")
    application, attempt = application_of(os.environ["CONTAINER_ID"])
    entries = token_file.read()
    # JPype's Java has to run before HDFS is used, which would start one of its own where it needs one.
    credentials, tokens = Credentials.from_dict(entries), MasterTokens.of(entries, clients.conf)
    timeline.reached("master", "java")
    if tokens:
        tokens.begin(wait=attempt > 1)
    config = read_task_config(staging, entries)
    job, settings = from_task_config(config)
    timeline.reached("master", "order")
    early, host = begun.result() if begun else None, os.environ["NM_HOST"]
    resources = early.resources if early else Hadoop(settings, staging, clients=clients, files=config.get("files"))
    viewers = viewers_of(clients.conf, launch.user(), settings.view_acl)
    watcher = Live(application, job, settings, host, java.proxies(), viewers, early.page if early else None)
    lead(job, settings, staging, resources, credentials, host, attempt, watcher, tokens,
         config.get("near") or (), early)  # fmt: skip
