"""Submits applications to YARN, reports their state and kills them; `follow` follows one, `logs` reads its logs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hdl import envpack, fs, identity, timeline
from hdl.errors import HdlError, SpecError
from hdl.runners.base import Job
from hdl.yarn.client import classes, connection, leftovers, placement, renewal, submission
from hdl.yarn.client.interface import TYPE, Offer, Report
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.resource_manager import java, launch, tokens
from hdl.yarn.resource_manager.lifetimes import renewal_fields
from hdl.yarn.settings import KEYTAB, MAX_ORDER, ORDER, RENEWAL, TASK_CONFIG, Settings, to_task_config


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
    application : Future of Offer
    credentials : Future of Credentials
        The application's keys.
    """

    packed: Future[Path] | None
    storage: Future[None]
    classes: Future[str]
    application: Future[Offer]
    credentials: Future[Credentials]


def begin(settings: Settings) -> Begun:
    """Begin what a submission by these settings needs, before its job is known; `submit` is told of any error."""
    connection.prepare()
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
    near = pool.submit(placement.near, lambda splits: connection.client().hosts(splits), job, settings)
    offer = begun.application.result()  # first: what keeps it from being had is told once
    yarn, application = connection.client(), offer.application
    clock("connect")
    submission.check(settings, offer)
    submission.check_place(settings, yarn)
    clock("create")
    if begun.packed:
        settings = settings.model_copy(update={"archive": envpack.upload(begun.packed.result())})
        clock("environment")
    begun.storage.result()
    folder = staging(application)
    file_systems = tokens.file_systems(job, settings, folder)
    try:
        yarn.make_folder(folder)
        files = submission.files(yarn, settings, begun.classes.result())
        config = {**to_task_config(job, settings, near.result()), leftovers.CLUSTER: yarn.cluster()}
        order = json.dumps({**config, "files": submission.of_workers(files)}).encode()
        written = pool.submit(yarn.put, f"{folder}/{TASK_CONFIG}", order)
        principal = submission.put_keytab(yarn, folder)
        credentials = begun.credentials.result()
        made(credentials)
        entries, first = credentials.to_dict(), yarn.tokens(file_systems)
        if len(order) <= MAX_ORDER:
            entries[ORDER] = order
        if first is not None and (lifetime := tokens.longest(first)):
            every = settings.renew_seconds
            fields = renewal_fields(file_systems, lifetime, principal, every)
            entries[RENEWAL] = json.dumps(fields).encode()
            renewal.keep(application, folder, file_systems, lifetime, every, bool(principal), credentials)
            clock("tokens")
        keytab = yarn.located(f"{folder}/{KEYTAB}") if principal else None
        described = submission.describe(application, settings, folder, entries, first, files, keytab)
        written.result()
        clock("staging")
        yarn.submit(described)
    except BaseException:
        renewal.forget(application)
        remove(folder)
        raise
    finally:
        pool.shutdown(wait=False)
    clock("submit")
    leftovers.remove_ended(yarn, folder)
    return application


def report(application: str) -> Report:
    """Ask YARN for its report about an application.

    Raises
    ------
    SpecError
        The text is no application's id, or YARN does not know the application.
    """
    return connection.client().report(application)


def applications(tags: Sequence[str] = ()) -> list[Report]:
    """List this user's applications of hdl, the newest first; with `tags` those that have all of them."""
    found = connection.client().applications()
    me = launch.user()  # afterwards: where Java is needed it runs by now
    own = [one for one in found if one.user == me]
    own = [one for one in own if set(tags) <= set(one.tags)]
    return sorted(own, key=lambda report: report.started, reverse=True)


def kill(application: str) -> None:
    """Kill an application, if it runs, and remove its folder.

    Raises
    ------
    HdlError
        It is somebody else's, who does not let this user end it.
    """
    try:
        connection.client().kill(application)
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
    connection.client().remove(folder)


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


def _reach_storage() -> None:
    """Connect to HDFS."""
    connection.client().reach(os.path.dirname(staging(TYPE)))
