"""Start, watch and stop the daemons of one cluster.

A cluster is a folder: ``conf/`` (HADOOP_CONF_DIR), ``data/``, ``logs/`` and ``cluster.json``, which says what was
asked for and which processes run. Several clusters are several folders.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hdl.cluster import commands, config, folders, kdc, launch, process, state
from hdl.cluster.assemble import DEFAULT_VERSION, hadoop_home, locked
from hdl.cluster.description import Description
from hdl.cluster.options import Options
from hdl.errors import DeadlineError, HdlError, SpecError

START_SECONDS = 120


def default_folder() -> Path:
    """Return the folder of a cluster where nothing else is said: ``$XDG_STATE_HOME/hdl/cluster``."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "hdl/cluster"


class Cluster(Description):
    """Runs one cluster on this machine.

    Examples
    --------
    >>> cluster = Cluster.start(Path("/tmp/demo"), datanodes=2)      # doctest: +SKIP
    >>> cluster.environment()["HADOOP_CONF_DIR"]                     # doctest: +SKIP
    '/tmp/demo/conf'
    >>> cluster.stop(purge=True)                                     # doctest: +SKIP
    """

    @classmethod
    def start(
        cls, root: Path, *, version: str = DEFAULT_VERSION, superuser: str | None = None,
        seconds: float = START_SECONDS, **asked: Any,
    ) -> Cluster:  # fmt: skip
        """Start a cluster, or start one again over the data that its folder holds, and return when it is ready.

        Parameters
        ----------
        root : Path
            The cluster's folder.
        version : str
            Hadoop's version.
        superuser : str, optional
            HDFS's superuser, by whose name the daemons go. None: the user who starts the cluster, who then may do
            everything on HDFS. With another name that user is an ordinary one, as on a company's cluster. With Kerberos
            it is always ``hdfs``.
        seconds : float
            Deadline for the daemons to be ready; fetching the jars has its own.
        **asked
            Fields of `Options`.

        Raises
        ------
        SpecError
            If an option is wrong, or the folder's cluster runs already, or holds data of another Hadoop version.
        HdlError
            If a daemon ends; the message holds the end of its log.
        DeadlineError
            If the cluster is not ready in time; the daemons that were started are stopped.
        """
        root = root.expanduser().resolve()
        wanted = Options(**asked)
        superuser = wanted.superuser(superuser, folders.this_user())
        home = hadoop_home(version)
        process.close(root)
        with locked(root / "lock"):
            if (root / "cluster.json").exists():
                before = cls.load(root)
                if any(daemon.alive for daemon in before.daemons.values()):
                    raise SpecError(f"{root} holds a cluster that runs; `hdl cluster stop --dir {root}` ends it")
                if before.version != version:
                    raise SpecError(f"{root} holds data of Hadoop {before.version}, not {version}; purge it first")
            here = {superuser, folders.this_user(), os.environ.get("HADOOP_USER_NAME") or superuser}
            options = wanted.kept() | {"users": sorted({*wanted.users, *here})}
            ports = config.free_ports(config.ports_of(options))
            cluster = cls(root, version, home, ports, options, superuser=superuser)
            cluster._forget()
            for name in ("conf", "data", "logs"):
                process.close(root / name)
            launch.secrets_of(cluster)
            config.write(config.Layout(root, home, ports, options))
            try:
                launch.everything(cluster, time.monotonic() + seconds)
            except BaseException:
                cluster.stop()
                raise
        return cluster

    def status(self) -> dict:
        """Ask what runs, and what the masters know.

        Returns
        -------
        dict
            ``ready``, ``version``, ``dir``, ``uri``, ``web`` (see `web`), ``safe_mode``, ``writable`` (HDFS answers and
            is out of safe mode), ``datanodes`` and ``nodemanagers`` (names of those that live), ``history`` (whether
            its server answers), ``realm`` (None without Kerberos) and ``daemons`` (of each ``alive``, ``pid`` and
            ``log``).
        """
        self.refresh()
        return state.of(self)

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until every daemon is up, registered and out of safe mode.

        Raises
        ------
        HdlError
            If a daemon ends; the message holds the end of its log.
        DeadlineError
            If that takes longer than `seconds`.
        """
        self.wait(lambda status: status["ready"], time.monotonic() + seconds)

    def wait(self, reached: Callable[[dict], bool], deadline: float) -> None:
        """Wait until `status` is as wanted, up to a time of the monotonic clock. Errors as of `wait_ready`."""
        began = time.monotonic()
        while not reached(status := self.status()):
            for daemon in self.daemons.values():
                if not daemon.alive:
                    raise HdlError(f"{daemon.name} ended; the end of {daemon.log}:\n{daemon.tail()}")
            if time.monotonic() > deadline:
                missing = {key: status[key] for key in ("safe_mode", "datanodes", "nodemanagers", "history")}
                seconds = deadline - began
                raise DeadlineError(f"the cluster in {self.root} was not ready within {seconds:.0f} s: {missing}")
            time.sleep(0.2)

    def add_user(self, name: str) -> None:
        """Let a user submit applications, and make their home on HDFS, /user/NAME.

        With Kerberos their principal and keytab are made; without, the ResourceManager's list is read anew.
        """
        if self.secure:
            kdc.add(self.root, name)
        elif name not in self.options.get("users", [name]):  # a cluster of an older hdl has no list
            self._list(name)
        self.own(f"/user/{name}", name)

    def _list(self, name: str) -> None:
        with locked(self.root / "users.lock"):
            self.refresh()
            self.options["users"] = sorted({*self.options["users"], name})
            self.save()
            config.write_policy(config.Layout(self.root, self.home, self.ports, self.options))
            launch.administer(self, "rmadmin", "-refreshServiceAcl")

    def own(self, path: str, user: str) -> None:
        """Give a folder on HDFS to a user; a new one is made where there is none, and closed to all others."""
        self.folders().own(path, user)

    def encrypt(self, path: str, key: str) -> None:
        """Make an empty folder on HDFS an encryption zone, with a key that is made if it is not there.

        Raises
        ------
        HdlError
            The folder is not empty, or there is no key server (option ``kms``).
        """
        if f"{key}\n" not in launch.administer(self, "key", "list"):
            launch.administer(self, "key", "create", key)
        launch.administer(self, "crypto", "-createZone", "-keyName", key, "-path", path)

    def folders(self) -> folders.Folders:
        """Return what makes folders on HDFS as the superuser."""
        return folders.Folders(self.web()["namenode"], self.superuser, self.ticket(), self.authority)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send one daemon a signal; for tests of faults."""
        self.refresh()
        self.daemons[name].signal(number)

    def restart(self, name: str) -> None:
        """Start one daemon again, over its data, dead or alive; containers of a NodeManager go on meanwhile."""
        self.refresh()
        if name.startswith("nodemanager"):  # one that is asked to end would end its containers
            self.kill(name)
        process.stop([self.daemons[name]])
        launch.daemon(self, name)

    def stop(self, purge: bool = False) -> None:
        """Stop all daemons; with `purge` remove the cluster's folder too."""
        self.refresh()
        # NodeManagers first: they end their containers, which still may write to HDFS.
        groups = ("nodemanager", "resourcemanager historyserver", "datanode zkfc", "namenode",
                  "journalnode zookeeper kms", "kdc")  # fmt: skip
        for group in groups:
            process.stop([d for name, d in self.daemons.items() if commands.kind_of(name) in group.split()])
        if purge:
            shutil.rmtree(self.root, ignore_errors=True)

    def _forget(self) -> None:
        """Remove the state that daemons kept of running applications, which ended with the cluster."""
        data = self.root / "data"
        for folder in (data / config.RM_STATE, data / "zookeeper", *data.glob(f"nodemanager*/{config.NM_STATE}")):
            shutil.rmtree(folder, ignore_errors=True)
