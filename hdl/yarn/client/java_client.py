"""YARN and HDFS by Hadoop's own client, in a Java virtual machine: any cluster, any file system."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from hdl import timeline
from hdl.yarn.client.interface import MASTER_VCORES, TYPE, Offer, Report, Submission, by_bytes, checked, unknown
from hdl.yarn.names import GPU
from hdl.yarn.resource_manager import java, listening

if TYPE_CHECKING:
    from hdl.data import FileSplit

RECORDS = "org.apache.hadoop.yarn.api.records"
FILES = "org.apache.hadoop.fs"


@cache
def connect() -> tuple[Any, Any]:
    """Start Java, read the configuration, check that its ResourceManager listens, and make YARN's client.

    Once a process: this one keeps both.

    Returns
    -------
    Java's Configuration, YarnClient

    Raises
    ------
    DeadlineError
        The ResourceManager does not answer.
    Unavailable
        JPype, Java, Hadoop or its configuration is missing.
    """
    java.start()
    timeline.reached("client", "java")
    conf = java.configuration(java.IMPATIENT)
    timeline.reached("client", "configuration")
    listening.check_listening(conf)
    java.check_login()
    with java.call("YARN's client"):
        client = java.load_class("org.apache.hadoop.yarn.client.api.YarnClient").createYarnClient()
        client.init(conf)
        client.start()
    timeline.reached("client", "YARN's client")
    return conf, client


class Java:
    """Does what `interface.Yarn` says; it connects when it is first asked.

    Parameters
    ----------
    connect : function
        As the one of this name; only one thread is in it at a time.
    """

    def __init__(self, connect: Any):
        self._connect = connect

    @property
    def _conf(self) -> Any:
        return self._connect()[0]

    @property
    def _yarn(self) -> Any:
        return self._connect()[1]

    def offer(self) -> Offer:
        yarn = self._yarn
        with java.call("a new application"):
            answer = yarn.createApplication().getNewApplicationResponse()
        most = answer.getMaximumResourceCapability()
        gpus = {str(each.getName()): int(each.getValue()) for each in most.getResources()}.get(GPU)
        application = str(answer.getApplicationId())
        return Offer(application, int(most.getMemorySize()), int(most.getVirtualCores()), gpus)

    def has_queue(self, name: str) -> bool:
        yarn = self._yarn
        with suppress(Exception):  # for an unknown queue some schedulers raise, others return null
            return yarn.getQueueInfo(name) is not None
        return False

    def queues(self) -> list[str]:
        yarn = self._yarn
        with java.call("YARN's queues"):
            return [str(each.getQueueName()) for each in yarn.getAllQueues()]

    def labels(self) -> list[str]:
        yarn = self._yarn
        with java.call("YARN's node labels"):
            return [str(label.getName()) for label in yarn.getClusterNodeLabels()]

    def submit(self, submission: Submission) -> None:
        from hdl.yarn.client.submission import rejected

        context, yarn = _context(submission), self._yarn
        with java.call(rejected(submission.settings)):
            yarn.submitApplication(context)

    def report(self, application: str) -> Report:
        yarn, number = self._yarn, _id(application)
        with java.call(application):
            try:
                return _report(yarn.getApplicationReport(number))
            except java.load_class("org.apache.hadoop.yarn.exceptions.ApplicationNotFoundException"):
                raise unknown(application) from None

    def applications(self) -> list[Report]:
        yarn = self._yarn
        types = java.load_class("java.util.HashSet")()
        types.add(TYPE)
        with java.call("YARN's list of applications"):
            return [_report(each) for each in yarn.getApplications(types)]

    def kill(self, application: str) -> None:
        yarn, number = self._yarn, _id(application)
        with java.call(f"{application}: killing it"):
            yarn.killApplication(number)

    def tokens(self, roots: list[str]) -> Any:
        from hdl.yarn.resource_manager import tokens

        return tokens.for_submission(self._conf, roots)

    def cluster(self) -> str:
        conf = self._conf
        return str(conf.get("yarn.resourcemanager.cluster-id") or conf.get("yarn.resourcemanager.address") or "")

    # --- HDFS ---------------------------------------------------------------------------------------------------------

    def reach(self, folder: str) -> None:
        conf = self._conf
        with java.call("HDFS"):
            java.load_class(f"{FILES}.FileSystem").get(conf).exists(_path(folder))

    def make_folder(self, folder: str) -> None:
        conf = self._conf
        with java.call(folder):
            allowed = java.load_class(f"{FILES}.permission.FsPermission")("700")
            place = _path(folder)
            java.load_class(f"{FILES}.FileSystem").mkdirs(place.getFileSystem(conf), place, allowed)

    def put(self, path: str, content: bytes) -> None:
        conf = self._conf
        from jpype import JArray, JByte

        with java.call(path):
            allowed = java.load_class(f"{FILES}.permission.FsPermission")("600")
            place = _path(path)
            file = java.load_class(f"{FILES}.FileSystem").create(place.getFileSystem(conf), place, allowed)
            try:
                file.write(JArray(JByte)(content))
            finally:
                file.close()

    def located(self, path: str) -> dict[str, Any]:
        from hdl.yarn.resource_manager import launch

        return launch.located(self._conf, path)

    def changed(self, folder: str) -> dict[str, float]:
        conf = self._conf
        with java.call(folder):
            place = _path(folder)
            listed = place.getFileSystem(conf).listStatus(place)
            return {str(each.getPath().getName()): each.getModificationTime() / 1000 for each in listed}

    def remove(self, folder: str) -> None:
        conf = self._conf
        with java.call(folder):
            place = _path(folder)
            place.getFileSystem(conf).delete(place, True)

    def hosts(self, splits: list[FileSplit]) -> list[str]:
        conf = self._conf

        def held(split: FileSplit) -> set[str]:
            place = _path(split.path)
            blocks = place.getFileSystem(conf).getFileBlockLocations(place, split.start, split.length)
            return {str(host) for block in blocks for host in block.getHosts()}

        with java.call("the blocks of the data"):
            return by_bytes((host, split.length) for split in splits for host in held(split))
        raise AssertionError

    def preload(self) -> None:
        """Load a thousand classes and a configuration, which HDFS's client needs."""
        with suppress(Exception):
            java.load_class(f"{FILES}.FileSystem").get(self._conf)


def _path(path: str) -> Any:
    return java.load_class(f"{FILES}.Path")(path)


def _id(application: str) -> Any:
    checked(application)
    return java.load_class(f"{RECORDS}.ApplicationId").fromString(application)


def _report(answer: Any) -> Report:
    attempt = answer.getCurrentApplicationAttemptId()
    return Report.made(
        application=str(answer.getApplicationId()),
        name=str(answer.getName()),
        user=str(answer.getUser()),
        queue=str(answer.getQueue()),
        state=str(answer.getYarnApplicationState()),
        final=str(answer.getFinalApplicationStatus()),
        progress=float(answer.getProgress()),
        started=answer.getStartTime() / 1000,
        finished=answer.getFinishTime() / 1000,
        url=str(answer.getTrackingUrl() or ""),
        host=str(answer.getHost() or ""),
        diagnostics=str(answer.getDiagnostics() or ""),
        attempt=int(attempt.getAttemptId()) if attempt is not None else 0,
        tags=[str(tag) for tag in answer.getApplicationTags() or ()],
    )


def _context(submission: Submission) -> Any:
    """Make YARN's ApplicationSubmissionContext; what is not set is the queue's to say."""
    from hdl.yarn.resource_manager import launch

    settings = submission.settings
    made = java.load_class("org.apache.hadoop.yarn.util.Records")
    context = made.newRecord(java.load_class(f"{RECORDS}.ApplicationSubmissionContext").class_)
    context.setApplicationId(_id(submission.application))
    files = {
        name: launch.resource(file, archive=file["archive"], shared=file["shared"])
        for name, file in submission.files.items()
    }
    buffer = java.credentials_buffer(dict(submission.secret_keys), submission.tokens)
    context.setAMContainerSpec(launch.context(submission.command, submission.variables, files, buffer, settings))
    context.setApplicationName(settings.name)
    context.setApplicationType(TYPE)
    if settings.tags:
        tags = java.load_class("java.util.HashSet")()
        for tag in settings.tags:
            tags.add(tag)
        context.setApplicationTags(tags)
    context.setResource(launch.capability(settings.master_memory, MASTER_VCORES))
    context.setMaxAppAttempts(settings.attempts)
    context.setKeepContainersAcrossApplicationAttempts(True)
    context.setAttemptFailuresValidityInterval(round(1000 * settings.failures_validity))
    if settings.queue:
        context.setQueue(settings.queue)
    if settings.label:
        context.setNodeLabelExpression(settings.label)
    return context
