"""Submits applications to YARN, reports their state and kills them; `follow` follows one, `logs` reads its logs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdl import envpack, fs, identity, timeline
from hdl.errors import HdlError, SpecError
from hdl.runners.base import Job
from hdl.yarn.client import classes, connection, leftovers, placement, renewal, submission
from hdl.yarn.client.connection import connect
from hdl.yarn.client.submission import TYPE
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.resource_manager import java, launch, tokens
from hdl.yarn.resource_manager.launch import RECORDS
from hdl.yarn.resource_manager.lifetimes import renewal_fields
from hdl.yarn.settings import MAX_ORDER, ORDER, RENEWAL, TASK_CONFIG, Settings, to_task_config

OVER = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Report:
    """Holds YARN's report about an application.

    Parameters
    ----------
    application, name, user, queue : str
    state : str
        YARN's: NEW, …, ACCEPTED, RUNNING, FINISHED, FAILED, KILLED.
    final : str
        SUCCEEDED, FAILED, KILLED, or UNDEFINED while it runs.
    progress : float
        Share of the training that is done.
    started, finished : float
        Unix time; finished is 0 while it runs.
    url : str
        Of the application's page, through YARN's proxy; empty before the master has registered.
    host : str
        Of the master.
    diagnostics : str
    attempt : int
        Number of the master's attempt; -1 where YARN shows it to its owner and those of its view ACL only.
    tags : tuple of str
        In small letters, sorted.
    """

    application: str
    name: str
    user: str
    queue: str
    state: str
    final: str
    progress: float
    started: float
    finished: float
    url: str
    host: str
    diagnostics: str
    attempt: int
    tags: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        """Tells whether the application has ended."""
        return self.state in OVER


@dataclass(frozen=True)
class Begun:
    """Holds what a submission needs whatever the job is, each made in a thread of its own.

    Parameters
    ----------
    packed : Future of Path, or None
        The packed environment; None where the nodes have a Python, or an archive is named.
    storage : Future
        HDFS is there.
    classes : Future of str
        See `classes.ready`.
    application : Future
        YARN's answer to who wants a new application.
    credentials : Future of Credentials
        The application's keys.
    """

    packed: Future[Path] | None
    storage: Future[None]
    classes: Future[str]
    application: Future[Any]
    credentials: Future[Credentials]

    def configuration(self) -> Any:
        """Wait for Java's Configuration; fails at once where YARN cannot be reached."""
        self.application.result()
        return connect()[0]


def begin(settings: Settings) -> Begun:
    """Begin what a submission by these settings needs, before its job is known; `submit` is told of any error."""
    pool = ThreadPoolExecutor(5, thread_name_prefix=java.THREAD)
    packs = not (settings.python or settings.archive)
    begun = Begun(
        pool.submit(envpack.pack, python=settings.bare_python or None) if packs else None,
        pool.submit(_reach_storage),
        pool.submit(classes.ready, make=packs),
        pool.submit(connection.new_application),
        pool.submit(Credentials.make),
    )
    pool.shutdown(wait=False)
    return begun


def submit(
    job: Job, settings: Settings, seconds: dict[str, float] | None = None,
    made: Callable[[Credentials], object] = lambda credentials: None, begun: Begun | None = None,
) -> str:  # fmt: skip
    """Submit an application that trains as the job says.

    Parameters
    ----------
    job : Job
        With data and table on HDFS.
    settings : Settings
        Without an archive or a Python, this environment is packed and sent, once.
    seconds : dict, optional
        Gets the seconds that each step took, by name.
    made : function of Credentials, optional
        Is given the application's keys: a session's client speaks to its master by them.
    begun : Begun, optional
        What `begin` has begun.

    Returns
    -------
    str
        The application's id.

    Raises
    ------
    SpecError
        Data or table are not on HDFS, the cluster has no such queue or label, or no node is large enough.
    DeadlineError
        YARN or HDFS does not answer.
    HdlError
        YARN rejects the application; the message holds its diagnostics.
    """
    for name, path in (("data", job.data), ("table", job.table)):
        if not fs.is_remote(path):
            raise SpecError(f"{name} {path}: runner yarn reads and writes HDFS; expected hdfs://…")
    took, began = {} if seconds is None else seconds, time.perf_counter()

    def clock(step: str) -> None:
        nonlocal began
        now = time.perf_counter()
        took[step], began = now - began, now
        timeline.reached("client", step)

    begun = begun or begin(settings)
    pool = ThreadPoolExecutor(2, thread_name_prefix=java.THREAD)
    near = pool.submit(placement.near, begun.configuration, job, settings)
    new = begun.application.result()  # first: what keeps it from being had is told once
    conf, yarn = connect()
    clock("connect")
    context, offer = new.getApplicationSubmissionContext(), new.getNewApplicationResponse()
    application = str(context.getApplicationId())
    submission.check(settings, offer.getMaximumResourceCapability())
    submission.check_place(settings, yarn)
    clock("create")
    if begun.packed:
        settings = settings.model_copy(update={"archive": envpack.upload(begun.packed.result())})
        clock("environment")
    begun.storage.result()
    folder = staging(application)
    file_systems = tokens.file_systems(job, settings, folder)
    try:
        submission.make_folder(conf, folder)
        files = submission.files(conf, settings, begun.classes.result())
        config = {**to_task_config(job, settings, near.result()), leftovers.CLUSTER: leftovers.cluster_of(conf)}
        order = json.dumps({**config, "files": submission.of_workers(files)}).encode()
        written = pool.submit(submission.put, conf, f"{folder}/{TASK_CONFIG}", order)
        principal = submission.put_keytab(conf, folder)
        credentials = begun.credentials.result()
        made(credentials)
        entries, first = credentials.to_dict(), tokens.for_submission(conf, file_systems)
        if len(order) <= MAX_ORDER:
            entries[ORDER] = order
        if first is not None and (lifetime := tokens.longest(first)):
            every = settings.renew_seconds
            fields = renewal_fields(file_systems, lifetime, principal, every)
            entries[RENEWAL] = json.dumps(fields).encode()
            renewal.keep(application, folder, file_systems, lifetime, every, bool(principal), credentials)
            clock("tokens")
        submission.fill(context, conf, settings, folder, entries, first, bool(principal), files)
        written.result()
        clock("staging")
        with java.call(f"YARN rejected the application: name {settings.name!r}, queue {settings.queue or 'default'!r}"):
            yarn.submitApplication(context)
    except BaseException:
        renewal.forget(application)
        remove(folder)
        raise
    finally:
        pool.shutdown(wait=False)
    clock("submit")
    leftovers.remove_ended(conf, folder, report)
    return application


def report(application: str) -> Report:
    """Ask YARN for its report about an application.

    Raises
    ------
    SpecError
        The text is no application's id, or YARN does not know the application.
    """
    _, yarn = connect()
    number = _id(application)
    with java.call(application):
        try:
            return _report(yarn.getApplicationReport(number))
        except java.load_class("org.apache.hadoop.yarn.exceptions.ApplicationNotFoundException"):
            raise SpecError(f"{application}: this cluster has no such application, or has forgotten it") from None


def applications(tags: Sequence[str] = ()) -> list[Report]:
    """List this user's applications of hdl, the newest first; with `tags` those that have all of them."""
    _, yarn = connect()
    types = java.load_class("java.util.HashSet")()
    types.add(TYPE)
    with java.call("YARN's list of applications"):
        own = [_report(each) for each in yarn.getApplications(types) if str(each.getUser()) == launch.user()]
    own = [one for one in own if set(tags) <= set(one.tags)]
    return sorted(own, key=lambda report: report.started, reverse=True)


def kill(application: str) -> None:
    """Kill an application, if it runs, and remove its folder.

    Raises
    ------
    HdlError
        It is somebody else's, who does not let this user end it.
    """
    _, yarn = connect()
    number = _id(application)
    try:
        with java.call(f"{application}: killing it"):
            yarn.killApplication(number)
    except HdlError as error:
        if "MODIFY_APP" not in str(error):
            raise
        raise HdlError(
            f"{application} is {report(application).user}'s, and {launch.user()} may not end it: "
            f"its owner lets you by `hdl train --modify-acl {launch.user()}`"
        ) from None
    renewal.forget(application)
    remove(staging(application))


def staging(application: str) -> str:
    """Name the application's folder on HDFS, which its user alone may read."""
    return f"{identity.home()}/.hdl/apps/{application}"


def remove(folder: str) -> None:
    """Remove an application's folder from HDFS, if it is there."""
    conf, _ = connect()
    with java.call(folder):
        place = java.load_class("org.apache.hadoop.fs.Path")(folder)
        place.getFileSystem(conf).delete(place, True)


def check_visible(one: Report) -> None:
    """Refuse a report that YARN has emptied, as this user may not see the application.

    Raises
    ------
    HdlError
    """
    if one.attempt < 0:
        raise HdlError(
            f"{one.application} ({one.state.lower()}) is {one.user}'s, and {launch.user()} may not look at it: "
            f"its owner lets you by `hdl train --view-acl {launch.user()}`"
        )


def _id(application: str) -> Any:
    try:
        return java.load_class(f"{RECORDS}.ApplicationId").fromString(application)
    except Exception:
        raise SpecError(f"{application!r}: expected an application's id, like application_1700000000000_0001") from None


def _report(answer: Any) -> Report:
    attempt = answer.getCurrentApplicationAttemptId()
    url = str(answer.getTrackingUrl() or "")
    return Report(
        application=str(answer.getApplicationId()),
        name=str(answer.getName()),
        user=str(answer.getUser()),
        queue=str(answer.getQueue()),
        state=str(answer.getYarnApplicationState()),
        final=str(answer.getFinalApplicationStatus()),
        progress=float(answer.getProgress()),
        started=answer.getStartTime() / 1000,
        finished=answer.getFinishTime() / 1000,
        url="" if url in ("N/A", "null") else url,
        host=str(answer.getHost() or ""),
        diagnostics=" ".join(str(answer.getDiagnostics() or "").split()),
        attempt=int(attempt.getAttemptId()) if attempt is not None else 0,
        tags=tuple(sorted(str(tag) for tag in answer.getApplicationTags() or ())),
    )


def _reach_storage() -> None:
    """Connect to HDFS."""
    conf, _ = connect()
    with java.call("HDFS"):
        parent = java.load_class("org.apache.hadoop.fs.Path")(os.path.dirname(staging(TYPE)))
        java.load_class("org.apache.hadoop.fs.FileSystem").get(conf).exists(parent)
