"""The user's end of an application: submitting it, asking after it, ending it. `follow` has the rest."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

from hdl import envpack
from hdl.errors import SpecError
from hdl.runners.base import Job
from hdl.yarn import java, launch
from hdl.yarn.launch import RECORDS
from hdl.yarn.settings import Settings, to_order

KIND = "hdl"  # the applications' type in YARN's lists
FAILURES_SECONDS = 600  # a master's failures are forgotten after so long
MASTER_VCORES = 1
ORDER, OUTCOME = "order.json", "outcome.json"
OVER = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Report:
    """What YARN knows of an application.

    Parameters
    ----------
    application, name, user, queue : str
    state : str
        YARN's: NEW, …, ACCEPTED, RUNNING, FINISHED, FAILED, KILLED.
    final : str
        SUCCEEDED, FAILED, KILLED, or UNDEFINED while it runs.
    progress : float
    started, finished : float
        Unix time; finished is 0 while it runs.
    url : str
        Of its page, through YARN's proxy; empty before the master has registered.
    host : str
        Of the master.
    diagnostics : str
    attempt : int
        Number of the master's attempt.
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

    @property
    def over(self) -> bool:
        return self.state in OVER


def submit(job: Job, settings: Settings, seconds: dict[str, float] | None = None) -> str:
    """Submits an application that trains as the job says.

    Parameters
    ----------
    job : Job
        Its data and table are on HDFS.
    settings : Settings
        Without an archive or a Python, this environment is packed and sent, once.
    seconds : dict, optional
        Gets what each step took.

    Returns
    -------
    str
        The application's id.

    Raises
    ------
    SpecError
        The cluster has no such queue or label, or no node that is large enough.
    DeadlineError
        YARN or HDFS does not answer.
    HdlError
        YARN rejects the application; the message holds its diagnostics.
    """
    for name, path in (("data", job.data), ("table", job.table)):
        if not path.startswith("hdfs://"):
            raise SpecError(f"{name} {path}: runner yarn reads and writes HDFS; expected hdfs://…")
    took, began = {} if seconds is None else seconds, time.perf_counter()

    def done(step: str) -> None:
        nonlocal began
        now = time.perf_counter()
        took[step], began = now - began, now

    pool = ThreadPoolExecutor(2)
    packed: Future | None = None
    if not (settings.python or settings.archive):  # reads 180 MB, while Java starts
        packed = pool.submit(envpack.pack)
    reached = pool.submit(_reach, configured())  # HDFS, beside YARN
    pool.shutdown(wait=False)
    conf, yarn = connect()
    done("connect")
    with java.told("a new application"):
        new = yarn.createApplication()
    context, answer = new.getApplicationSubmissionContext(), new.getNewApplicationResponse()
    application = str(context.getApplicationId())
    _check(settings, answer.getMaximumResourceCapability())
    _check_place(settings, yarn)
    done("create")
    if packed:
        settings = settings.model_copy(update={"archive": envpack.upload(packed.result())})
        done("environment")
    reached.result()
    folder = staging(application)
    try:
        _put(conf, folder, json.dumps(to_order(job, settings)).encode())
        done("staging")
        _fill(context, conf, settings, folder)
        with java.told(f"YARN rejected the application: name {settings.name!r}, queue {settings.queue or 'default'!r}"):
            yarn.submitApplication(context)
    except BaseException:
        remove(folder)
        raise
    done("submit")
    return application


@cache
def configured() -> Any:
    """The cluster's configuration, with Java started and its ResourceManager there."""
    java.start()
    conf = java.configuration(java.IMPATIENT)
    java.knock(conf)
    return conf


@cache
def connect() -> tuple[Any, Any]:
    """The configuration, and a client of its ResourceManager, which this process keeps.

    Raises
    ------
    DeadlineError
        The ResourceManager does not answer.
    Unavailable
        JPype, Java, Hadoop or its configuration is missing.
    """
    conf = configured()
    with java.told("YARN's client"):
        client = java.of("org.apache.hadoop.yarn.client.api.YarnClient").createYarnClient()
        client.init(conf)
        client.start()
    return conf, client


def report(application: str) -> Report:
    """What YARN says of an application.

    Raises
    ------
    SpecError
        That is no application's id, or YARN does not know it.
    """
    _, yarn = connect()
    number = _id(application)
    with java.told(application):
        try:
            return _report(yarn.getApplicationReport(number))
        except java.of("org.apache.hadoop.yarn.exceptions.ApplicationNotFoundException"):
            raise SpecError(f"{application}: this cluster has no such application, or has forgotten it") from None


def applications() -> list[Report]:
    """This user's applications of hdl, the newest first."""
    _, yarn = connect()
    kinds = java.of("java.util.HashSet")()
    kinds.add(KIND)
    with java.told("YARN's list of applications"):
        own = [_report(found) for found in yarn.getApplications(kinds) if str(found.getUser()) == launch.user()]
    return sorted(own, key=lambda found: found.started, reverse=True)


def kill(application: str) -> None:
    """Ends an application; one that is over stays as it is."""
    _, yarn = connect()
    with java.told(f"{application}: killing it"):
        yarn.killApplication(_id(application))
    remove(staging(application))


def staging(application: str) -> str:
    """The application's folder on HDFS, which its user alone may read."""
    return f"hdfs:///user/{launch.user()}/.hdl/apps/{application}"


def remove(folder: str) -> None:
    """Removes an application's folder, if it is there."""
    conf, _ = connect()
    with java.told(folder):
        place = java.of("org.apache.hadoop.fs.Path")(folder)
        place.getFileSystem(conf).delete(place, True)


def _id(application: str) -> Any:
    try:
        return java.of(f"{RECORDS}.ApplicationId").fromString(application)
    except Exception:
        raise SpecError(f"{application!r}: expected an application's id, like application_1700000000000_0001") from None


def _report(found: Any) -> Report:
    attempt = found.getCurrentApplicationAttemptId()
    url = str(found.getTrackingUrl() or "")
    return Report(
        application=str(found.getApplicationId()),
        name=str(found.getName()),
        user=str(found.getUser()),
        queue=str(found.getQueue()),
        state=str(found.getYarnApplicationState()),
        final=str(found.getFinalApplicationStatus()),
        progress=float(found.getProgress()),
        started=found.getStartTime() / 1000,
        finished=found.getFinishTime() / 1000,
        url="" if url in ("N/A", "null") else url,
        host=str(found.getHost() or ""),
        diagnostics=" ".join(str(found.getDiagnostics() or "").split()),
        attempt=int(attempt.getAttemptId()) if attempt is not None else 0,
    )


def _check(settings: Settings, most: Any) -> None:
    """Refuses containers that no node of the cluster can hold."""
    memory, vcores = int(most.getMemorySize()), int(most.getVirtualCores())
    gpus = {str(one.getName()): int(one.getValue()) for one in most.getResources()}.get("yarn.io/gpu", 0)
    for flag, given, possible, unit in (
        ("--worker-memory", settings.memory, memory, " MiB"),
        ("--master-memory", settings.master_memory, memory, " MiB"),
        ("--worker-vcores", settings.vcores, vcores, ""),
        ("--worker-gpus", settings.gpus, gpus, ""),
    ):
        if given > possible:
            raise SpecError(f"{flag}: given {given}{unit}; a container of this cluster has at most {possible}{unit}")


def _check_place(settings: Settings, yarn: Any) -> None:
    """Refuses a queue or a label that the cluster has not."""
    if settings.queue:
        try:
            found = yarn.getQueueInfo(settings.queue)
        except Exception:  # some schedulers answer so
            found = None
        if found is None:
            with java.told("YARN's queues"):
                names = sorted(str(queue.getQueueName()) for queue in yarn.getAllQueues())
            raise SpecError(f"--queue: expected one of {', '.join(names)} (given {settings.queue!r})")
    if settings.label:
        with java.told("YARN's node labels"):
            labels = sorted(str(label.getName()) for label in yarn.getClusterNodeLabels())
        if settings.label not in labels:
            raise SpecError(
                f"--node-label: expected one of {', '.join(labels) or '(this cluster has none)'} "
                f"(given {settings.label!r})"
            )


def _reach(conf: Any) -> None:
    """Connects to HDFS."""
    with java.told("HDFS"):
        java.of("org.apache.hadoop.fs.FileSystem").get(conf).exists(java.of("org.apache.hadoop.fs.Path")("/"))


def _put(conf: Any, folder: str, order: bytes) -> None:
    """Makes the application's folder, for its user alone, with the order in it."""
    from jpype import JArray, JByte

    with java.told(folder):
        place = java.of("org.apache.hadoop.fs.Path")(folder)
        system = place.getFileSystem(conf)
        allowed = java.of("org.apache.hadoop.fs.permission.FsPermission")
        java.of("org.apache.hadoop.fs.FileSystem").mkdirs(system, place, allowed("700"))
        file = system.create(java.of("org.apache.hadoop.fs.Path")(place, ORDER))
        try:
            file.write(JArray(JByte)(order))
        finally:
            file.close()


def _fill(context: Any, conf: Any, settings: Settings, folder: str) -> None:
    """Everything that YARN is told of the application."""
    from hdl.yarn.secrets import Secrets

    files = {}
    if settings.archive:
        files[launch.ENVIRONMENT] = launch.resource(conf, settings.archive, archive=True)
    variables = launch.environment(settings, bool(settings.archive), 1)
    words = launch.command(launch.python_of(settings), "hdl.yarn.master", [folder])
    credentials = java.secret_bytes(Secrets.make().to_dict(), _file_tokens(conf))
    context.setAMContainerSpec(launch.context(words, variables, files, credentials))
    context.setApplicationName(settings.name)
    context.setApplicationType(KIND)
    context.setResource(launch.capability(settings.master_memory, MASTER_VCORES))
    context.setMaxAppAttempts(settings.attempts)
    context.setKeepContainersAcrossApplicationAttempts(True)
    context.setAttemptFailuresValidityInterval(1000 * FAILURES_SECONDS)
    if settings.queue:
        context.setQueue(settings.queue)
    if settings.label:
        context.setNodeLabelExpression(settings.label)


def _file_tokens(conf: Any) -> Any:
    """On a cluster with Kerberos: tokens with which the application reads and writes HDFS as its user."""
    if not java.of("org.apache.hadoop.security.UserGroupInformation").isSecurityEnabled():
        return None
    tokens = java.of("org.apache.hadoop.security.Credentials")()
    with java.told("tokens for HDFS"):
        renewer = java.of("org.apache.hadoop.yarn.client.util.YarnClientUtils").getRmPrincipal(conf)
        java.of("org.apache.hadoop.fs.FileSystem").get(conf).addDelegationTokens(renewer, tokens)
    return tokens
