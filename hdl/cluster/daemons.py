"""Start, watch and stop the daemons of one cluster.

A cluster is a folder: ``conf/`` (HADOOP_CONF_DIR), ``data/``, ``logs/`` and ``cluster.json``, which says what was
asked for and which processes run. Several clusters are several folders.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hdl.cluster import commands, config, folders, kdc, process, state
from hdl.cluster.assemble import DEFAULT_VERSION, hadoop_home, java_home, locked
from hdl.cluster.config import kerberos as realm
from hdl.cluster.federation import Federation
from hdl.cluster.ha import Pair
from hdl.cluster.masters import Masters
from hdl.cluster.process import Daemon
from hdl.errors import DeadlineError, HdlError, SpecError

START_SECONDS = 120
KERBEROS_SUPERUSER = "hdfs"


def default_folder() -> Path:
    """Return the folder of a cluster where nothing else is said: ``$XDG_STATE_HOME/hdl/cluster``."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "hdl/cluster"


@dataclass
class Cluster:
    """Runs one cluster on this machine.

    Examples
    --------
    >>> cluster = Cluster.start(Path("/tmp/demo"), datanodes=2)      # doctest: +SKIP
    >>> cluster.environment()["HADOOP_CONF_DIR"]                     # doctest: +SKIP
    '/tmp/demo/conf'
    >>> cluster.stop(purge=True)                                     # doctest: +SKIP
    """

    root: Path
    version: str
    home: Path
    ports: dict[str, int]
    options: dict[str, Any]
    daemons: dict[str, Daemon] = field(default_factory=dict)
    superuser: str = field(default_factory=folders.this_user)

    @classmethod
    def start(
        cls, root: Path, *, version: str = DEFAULT_VERSION, datanodes: int = 1, nodemanagers: int = 1,
        memory: int = 4096, vcores: int = 4, gpus: int = 0, superuser: str | None = None,
        kerberos: bool = False, ha: bool = False, federation: bool = False, seconds: float = START_SECONDS,
    ) -> Cluster:  # fmt: skip
        """Start a cluster, or start one again over the data that its folder holds, and return when it is ready.

        Parameters
        ----------
        root : Path
            The cluster's folder.
        version : str
            Hadoop's version.
        datanodes, nodemanagers : int
            How many; number k of each goes by the name `config.node_host` (k).
        memory, vcores, gpus : int
            What one NodeManager offers, in MiB, virtual cores and GPUs; these are counted, and need not be there.
        superuser : str, optional
            HDFS's superuser, by whose name the daemons go. None: the user who starts the cluster, who then may do
            everything on HDFS. With another name that user is an ordinary one, as on a company's cluster. With Kerberos
            it is always ``hdfs``.
        kerberos : bool
            Everybody proves who they are to a Kerberos realm of the cluster's own; all that travels is encrypted.
        ha : bool
            Two NameNodes and two ResourceManagers, of which one is active (`hdl.cluster.ha`).
        federation : bool
            Two NameNodes with a namespace each, and a view of both as default file system (`hdl.cluster.federation`).
        seconds : float
            Deadline for the daemons to be ready; fetching the jars has its own.

        Raises
        ------
        SpecError
            If the folder's cluster runs already, or holds data of another Hadoop version.
        HdlError
            If a daemon ends; the message holds the end of its log.
        DeadlineError
            If the cluster is not ready in time; the daemons that were started are stopped.
        """
        root = root.expanduser().resolve()
        for name, count in (("datanodes", datanodes), ("nodemanagers", nodemanagers)):
            if not 1 <= count <= 200:
                raise SpecError(f"{name} = {count}: expected 1 to 200")
        if kerberos and superuser not in (None, KERBEROS_SUPERUSER):
            raise SpecError(f"superuser = {superuser!r}: with Kerberos it is {KERBEROS_SUPERUSER!r}")
        if kerberos + ha + federation > 1:
            raise SpecError("expected at most one of kerberos, ha and federation")
        superuser = superuser or (KERBEROS_SUPERUSER if kerberos else folders.this_user())
        home = hadoop_home(version)
        with locked(root / "lock"):
            if (root / "cluster.json").exists():
                before = cls.load(root)
                if any(daemon.alive for daemon in before.daemons.values()):
                    raise SpecError(f"{root} holds a cluster that runs; `hdl cluster stop --dir {root}` ends it")
                if before.version != version:
                    raise SpecError(f"{root} holds data of Hadoop {before.version}, not {version}; purge it first")
            options = {"datanodes": datanodes, "nodemanagers": nodemanagers, "memory": memory, "vcores": vcores,
                       "gpus": gpus, "kerberos": kerberos, "ha": ha, "federation": federation}  # fmt: skip
            ports = config.free_ports(config.ports_of(options))
            cluster = cls(root, version, home, ports, options, superuser=superuser)
            cluster._forget()
            config.write(config.Layout(root, home, ports, options))
            try:
                cluster._launch(time.monotonic() + seconds)
            except BaseException:
                cluster.stop()
                raise
        return cluster

    @classmethod
    def load(cls, root: Path) -> Cluster:
        """Load the cluster of a folder, running or not.

        Raises
        ------
        SpecError
            If the folder holds no cluster.
        """
        root = root.expanduser().resolve()
        try:
            held = json.loads((root / "cluster.json").read_text())
        except FileNotFoundError:
            raise SpecError(f"no cluster in {root}; `hdl cluster start --dir {root}` makes one") from None
        daemons = {name: Daemon(**values) for name, values in held["daemons"].items()}
        superuser = held.get("superuser") or folders.this_user()
        return cls(root, held["version"], Path(held["home"]), held["ports"], held["options"], daemons, superuser)

    @property
    def conf(self) -> Path:
        """The cluster's HADOOP_CONF_DIR."""
        return self.root / "conf"

    @property
    def uri(self) -> str:
        """The default file system, ``hdfs://host:port``; of pairs and federations by its name."""
        return self.masters.uri

    @property
    def masters(self) -> Masters:
        """What the cluster has of NameNodes and ResourceManagers."""
        kinds = {"ha": Pair, "federation": Federation}
        return next((kinds[name] for name in kinds if self.options.get(name)), Masters)(self.ports)

    @property
    def secure(self) -> bool:
        """Tells whether the cluster has Kerberos."""
        return bool(self.options.get("kerberos"))

    def environment(self, user: str | None = None) -> dict[str, str]:
        """Return the variables that a shell needs to use this cluster; ``PATH`` begins with Hadoop's ``bin``.

        Parameters
        ----------
        user : str, optional
            As whom. With Kerberos ``KRB5CCNAME`` names a cache with a new ticket of that user (None: no ticket, as
            before `kinit`); without, ``HADOOP_USER_NAME`` claims the name.

        Raises
        ------
        SpecError
            The realm has no such user.
        """
        made = {
            "HADOOP_HOME": str(self.home),
            "HADOOP_CONF_DIR": str(self.conf),
            "JAVA_HOME": str(java_home()),
            "PATH": f"{self.home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        if not self.secure:
            return made | ({"HADOOP_USER_NAME": user} if user else {})
        flag = realm.java_flag(self.root)
        made |= {realm.NAMED: str(realm.krb5_conf(self.root)), "HADOOP_OPTS": flag, "LIBHDFS_OPTS": flag}
        return made | ({"KRB5CCNAME": f"FILE:{kdc.ticket(self.root, user)}"} if user else {})

    def keytab(self, user: str) -> Path:
        """Return the keytab of a user on a cluster with Kerberos, or of a service."""
        return realm.keytab(self.root, user)

    def web(self) -> dict[str, str]:
        """Return the web addresses of the masters, by daemon."""
        return {**self.masters.web(), "historyserver": self.masters.address("history_web")}

    def names(self) -> list[str]:
        """List all daemons of the cluster, in the order they are started in."""
        data = [f"datanode{k}" for k in range(1, self.options["datanodes"] + 1)]
        nodes = [f"nodemanager{k}" for k in range(1, self.options["nodemanagers"] + 1)]
        first, made = ["kdc"] if self.secure else [], self.masters
        return [*first, *made.first, *made.resource_managers, *nodes, *made.name_nodes, *data, "historyserver"]

    def status(self) -> dict:
        """Ask what runs, and what the masters know.

        Returns
        -------
        dict
            ``ready``, ``version``, ``dir``, ``uri``, ``web`` (see `web`), ``safe_mode``, ``datanodes`` and
            ``nodemanagers`` (names of those that live), ``history`` (whether its server answers) and ``daemons``
            (of each ``alive``, ``pid`` and ``log``).
        """
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
        self._wait(lambda status: status["ready"], time.monotonic() + seconds)

    def _wait(self, reached: Callable[[dict], bool], deadline: float) -> None:
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

    def ticket(self) -> dict[str, str] | None:
        """Return the variables that name a ticket of the superuser; None without Kerberos.

        Raises
        ------
        HdlError
            The key distribution centre does not answer.
        """
        if not self.secure:
            return None
        cache = kdc.ticket(self.root, self.superuser, reuse=True)
        return {**kdc.environment(self.root), "KRB5CCNAME": f"FILE:{cache}"}

    def add_user(self, name: str) -> None:
        """Make a user's home on HDFS, /user/NAME, if it is not there; with Kerberos their principal and keytab too."""
        if self.secure:
            kdc.add(self.root, name)
        self.own(f"/user/{name}", name)

    def own(self, path: str, user: str) -> None:
        """Give a folder on HDFS to a user; a new one is made where there is none, and closed to all others."""
        self._folders().own(path, user)

    def _folders(self) -> folders.Folders:
        return folders.Folders(self.web()["namenode"], self.superuser, self.ticket())

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send one daemon a signal; for tests of faults."""
        self.daemons[name].signal(number)

    def restart(self, name: str) -> None:
        """Start one daemon again, over its data, dead or alive; containers of a NodeManager go on meanwhile."""
        if name.startswith("nodemanager"):  # one that is asked to end would end its containers
            self.kill(name)
        process.stop([self.daemons[name]])
        self._spawn(name)

    def stop(self, purge: bool = False) -> None:
        """Stop all daemons; with `purge` remove the cluster's folder too."""
        # NodeManagers first: they end their containers, which still may write to HDFS.
        groups = ("nodemanager", "resourcemanager historyserver", "datanode zkfc", "namenode",
                  "journalnode zookeeper kdc")  # fmt: skip
        for group in groups:
            process.stop([d for name, d in self.daemons.items() if commands.kind_of(name) in group.split()])
        if purge:
            shutil.rmtree(self.root, ignore_errors=True)

    def _forget(self) -> None:
        """Remove the state that daemons kept of running applications, which ended with the cluster."""
        data = self.root / "data"
        for folder in (data / config.RM_STATE, data / "zookeeper", *data.glob(f"nodemanager*/{config.NM_STATE}")):
            shutil.rmtree(folder, ignore_errors=True)

    def _launch(self, deadline: float) -> None:
        """Start all daemons, make the folders that users need, and wait until all is ready."""
        if self.secure:
            kdc.make(self.root, self.ports["kdc"], realm.web_hosts(self.options))
        # With Kerberos the history server is a user of its own, and finds its folders made.
        late = ["historyserver"] if self.secure else []
        for name in self.names():
            if name == self.masters.name_nodes[0]:
                self.masters.format(self)
            if name not in late:
                self._spawn(name)
        self._wait(lambda status: status["writable"], deadline)
        self._folders().make("mapred" if late else None)
        for name in late:
            self._spawn(name)
        for user in dict.fromkeys((os.environ.get("HADOOP_USER_NAME") or folders.this_user(), folders.this_user())):
            self.add_user(user)
        self._wait(lambda status: status["ready"], deadline)

    def _save(self) -> None:
        held = {"version": self.version, "home": str(self.home), "ports": self.ports, "options": self.options,
                "superuser": self.superuser,
                "daemons": {name: asdict(daemon) for name, daemon in self.daemons.items()}}  # fmt: skip
        new = self.root / "cluster.json.new"
        new.write_text(json.dumps(held, indent=1))
        new.replace(self.root / "cluster.json")

    def _spawn(self, name: str) -> None:
        log = self.root / "logs" / f"{name}.log"
        if name == "kdc":
            command, environment = kdc.command(), kdc.environment(self.root)
        else:
            command, environment = self.command(name)
        self.daemons[name] = process.spawn(name, command, log, environment)
        if name == "kdc":
            kdc.wait(self.ports["kdc"], self.daemons[name])
        self._save()

    def command(self, name: str) -> tuple[list[str], dict[str, str]]:
        """Make the command line of a daemon, and its environment."""
        own = commands.own_options(name, self.ports, self.root, self.options)
        return [*commands.java_command(name, self.home, self.root, self._flags()), *own], self._clean()

    def _flags(self) -> list[str]:
        return [realm.java_flag(self.root)] if self.secure else []

    def _clean(self) -> dict[str, str]:
        """Make a daemon's environment: nothing of the user's virtual environment, as on a real node."""
        kept = {name: os.environ[name] for name in ("HOME", "USER", "LANG", "TZ") if name in os.environ}
        path = f"{self.home / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        who = {} if self.secure else {"HADOOP_USER_NAME": self.superuser}
        return kept | self.environment() | {"PATH": path} | who
