"""Settings of an application on YARN, and the files of its folder: its task config says what to train and how."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hdl.errors import SpecError
from hdl.runners import access

if TYPE_CHECKING:
    from hdl.runners.base import Job

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Acl = Annotated[str, AfterValidator(access.acl)]
Tags = Annotated[tuple[str, ...], AfterValidator(access.tags)]


# Of a container, which YARN or hdl sets; others of these names would keep it from starting.
OURS = re.compile(r"HADOOP_USER_NAME|HADOOP_TOKEN_FILE_LOCATION|CONTAINER_ID|NM_\w+|PWD|PYTHON\w+|HDL_(FAULT|THREADS)")


def _variables(given: Any) -> dict[str, str]:
    """Check environment variables, given as a mapping or as pairs."""
    checked = {str(name): str(value) for name, value in dict(given).items()}
    for name in checked:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise ValueError(f"--container-env: expected NAME=VALUE with a variable's name (given {name!r})")
        if OURS.fullmatch(name):
            raise ValueError(f"--container-env: {name} is set by YARN or hdl itself")
    return checked


Variables = Annotated[dict[str, str], BeforeValidator(_variables)]

# In an application's folder on HDFS
TASK_CONFIG = "order.json"  # written by the client, read by the master: `to_task_config`
MASTER_ADDRESS = "master-{:04d}.json"  # where the master of an attempt listens
OUTCOME = "outcome-{:04d}.json"  # how an attempt ended: written by its master; the client reads the last one's
MEASURED = "measured-{:04d}.bin"  # what a network measured, where that was asked: an attempt's, before the outcome

ORDER = "hdl.order"  # among the master's credentials: the task config, unless it is too long; it is on HDFS too
MAX_ORDER = 64 << 10  # bytes that the ResourceManager has to keep with the application
DATA_SHARE = 0.5  # of a container's memory that decoded samples may take before they go to its disk
CONTROL = "hdl.control"  # among a worker's credentials: the address of the master that launched it
RENEWAL = "hdl.renewal"  # among the master's, on a cluster with Kerberos: how it comes to fresh tokens, as JSON
KEYTAB = "hdl.keytab"  # name of the keytab in the master's container, where the user gave one


class Settings(BaseModel):
    """Holds the settings of one application.

    Parameters
    ----------
    workers : int
        At most; of a training never more than its shards.
    fewest : int
        Workers without which nothing is computed: others join between rounds when they come, and the shards of one that
        is lost go to those that are left. 0: all of them.
    join_seconds : float
        Wait for others than the fewest before the first round.
    memory, master_memory : int
        MiB of a container.
    vcores, gpus : int
        Of a worker's container; GPUs are asked for as ``yarn.io/gpu``: one where the device is a GPU, else none.
    threads : int
        Of a worker's core; 0: its vcores.
    device : {'cpu', 'cuda', 'cuda:N', 'auto'}
        Of each worker, among those that its container sees.
    queue, label : str
        Empty: the cluster's default.
    name : str
        Of the application, as lists show it.
    view_acl, modify_acl : str
        Who beside the owner may see the application, and who may end it: users, a blank, groups, as YARN writes them.
    tags : tuple of str
        Words by which YARN's lists find it.
    archive, python : str
        The packed environment on HDFS, or a Python on every node that has hdl.
    bare_python : str
        A Python of this version on every node, without hdl; empty: the packed environment has its own.
    publish_every : int
        Rounds between two versions of the table; 0: as often as the storage keeps up, and every round where validation
        decides. The last one is always published.
    relax_seconds : float
        Wait for a container beside its shard's blocks before any other will do.
    gather_seconds : float
        Wait for all workers before the application gives up.
    silence_seconds : float
        Without a sign of life, after which a worker counts as dead.
    stall_seconds : float
        Without progress of any worker, after which the run stops: all workers live, and something hangs.
    straggler : float
        A worker that computes so many times longer than the median of the others, in two rounds one after the other and
        by more than 2 s, is replaced and its shards go to another container; 0: never.
    failures : int
        Workers that may fail at one shard before the run stops; preemptions and lost nodes do not count.
    failures_validity : float
        Seconds after which a failure is forgotten, of a worker, a node or the master.
    opportunistic : bool
        Workers ask for opportunistic containers.
    environment : dict of str to str
        Variables of all containers.
    avoid_seconds : float
        That a node is avoided, the first time, whose disk is full or that fails what runs there; 0: never.
    attempts : int
        Times that YARN may start the master.
    renew_seconds : float
        On a cluster with Kerberos: fresh tokens are taken after so many seconds at the latest; 0: by their lifetime.
    relay_above : int
        Workers beyond which messages between them and the master pass through a tree of relays.
    relay_fan : int
        Workers next to the master in this tree, and below each of them.
    session : bool
        The application takes one order after the other from the client that began it: see `hdl.session`.
    session_idle : float
        Seconds without an order after which it ends; 0: never.
    encrypt_spill : bool
        What master and workers put on their nodes' disks for a while is encrypted: see `hdl.sealed`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: Count = 1
    fewest: Annotated[int, Field(ge=0)] = 0
    memory: Annotated[int, Field(ge=128)] = 1024
    master_memory: Annotated[int, Field(ge=128)] = 1024
    vcores: Count = 1
    gpus: Annotated[int, Field(ge=0)] = 0
    threads: Annotated[int, Field(ge=0)] = 0
    device: str = "cpu"
    queue: str = ""
    label: str = ""
    name: str = "hdl"
    view_acl: Acl = ""
    modify_acl: Acl = ""
    tags: Tags = ()
    archive: str = ""
    python: str = ""
    bare_python: str = ""
    publish_every: Annotated[int, Field(ge=0)] = 0
    relax_seconds: Seconds = 3.0
    gather_seconds: Seconds = 180.0
    join_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 4.0
    silence_seconds: Seconds = 20.0
    stall_seconds: Seconds = 600.0
    straggler: Annotated[float, Field(ge=0)] = 0.0
    failures: Count = 3
    failures_validity: Seconds = 3600.0
    avoid_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
    opportunistic: bool = False
    environment: Variables = {}
    attempts: Count = 2
    renew_seconds: Annotated[float, Field(ge=0)] = 0.0
    relay_above: Count = 64
    relay_fan: Annotated[int, Field(ge=2)] = 16
    session: bool = False
    session_idle: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    encrypt_spill: bool = False

    @classmethod
    def make(cls, **fields: Any) -> Settings:
        """Validate fields; those that are None keep their default.

        Raises
        ------
        SpecError
            A field is unknown, or its value is not allowed.
        """
        given = {name: value for name, value in fields.items() if value is not None}
        if (device := given.get("device", "cpu")) != "cpu":
            from hdl.runners import platform  # numpy comes with it, and a master asks for containers before

            if platform.device_class(platform.check(device)) == platform.CUDA:
                given.setdefault("gpus", 1)
        try:
            made = cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            own = str((first.get("ctx") or {}).get("error", ""))
            if own.startswith("--"):  # it names the flag and the name; values may be nobody's business
                raise SpecError(own) from None
            raise SpecError(f"{'.'.join(map(str, first['loc']))}: {first['msg']} (given {first['input']!r})") from None
        if made.fewest > made.workers:
            raise SpecError(f"fewest: expected at most as many as workers, {made.workers} (given {made.fewest})")
        return made

    @property
    def number(self) -> str:
        """The number of workers for people: '4', or '2 to 8'."""
        return f"{self.fewest} to {self.workers}" if 0 < self.fewest < self.workers else str(self.workers)

    def check_mode(self, mode: str) -> None:
        """Refuse a mode whose result depends on the number of workers, where that may change.

        Raises
        ------
        SpecError
        """
        if mode == "async" and 0 < self.fewest < self.workers:
            raise SpecError(
                f"workers: expected one number with sync.mode async, whose workers' own rounds are its result "
                f"(given {self.number}; the other modes take a range)"
            )


def to_task_config(job: Job, settings: Settings, near: Sequence[Sequence[str]] = ()) -> dict[str, Any]:
    """Make the task config, which the master reads as JSON from its credentials or from the application's folder.

    Parameters
    ----------
    job : Job
    settings : Settings
    near : sequence of sequence of str
        Of each worker, the hosts that hold its shards' blocks, where the client knows: its container is asked for at
        once.
    """
    return {
        "near": [list(hosts) for hosts in near],
        "data": job.data,
        "table": job.table,
        "spec": job.spec.to_json() if job.spec else None,
        "options": job.options.model_dump(mode="json"),
        "resume": job.resume,
        "strict": job.strict,
        "init_from": job.init_from,
        "asked": job.asked,
        "until": job.until,
        "settings": settings.model_dump(mode="json"),
    }


def from_task_config(config: dict[str, Any]) -> tuple[Job, Settings]:
    """Read job and settings from a task config: the inverse of `to_task_config`."""
    # A master asks for containers by its settings alone, before it has imported what knows of data.
    from hdl.data import Options
    from hdl.runners.base import Job
    from hdl.spec import parse

    spec = parse(config["spec"]) if config["spec"] else None
    rest = {
        "asked": config.get("asked"),
        "strict": config.get("strict", False),
        "init_from": config.get("init_from", ""),
        "until": config.get("until", 1.0),
    }
    job = Job(config["data"], config["table"], spec, Options.make(config["options"]), config["resume"], **rest)
    return job, Settings.make(**config["settings"])
