"""Clusters and the packed environment, made by threads while tests run that need none of them.

One process makes them for all of a run: the only one, or pytest-xdist's controller, which collects no tests itself and
so is told by its workers what is wanted. What stands, or why it does not, is handed on as files in a folder.
"""

import json
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.schedule import SLOW, Schedule, cluster_of, record, recorded

SUPERUSER, USER = "hdfs", "ada"
SECONDS = 600
NODES = {"datanodes": 2, "nodemanagers": 2, "seconds": SECONDS}
# What needs two nodes is shown on the other cluster: here a second one would unpack the environment once more.
ONE = {"datanodes": 1, "nodemanagers": 1, "memory": 8192, "vcores": 8, "seconds": SECONDS}
# Folders of clusters that run, while tests are written.
RUNNING = {"cluster": os.environ.get("HDL_TEST_CLUSTER"), "secure": os.environ.get("HDL_TEST_SECURE_CLUSTER")}
WANTED = "wanted.json"
NONE = SimpleNamespace(params={})


class Ahead:
    """What tests want made ahead, by name: ``cluster``, ``secure`` and ``packed``.

    Parameters
    ----------
    folder : Path, optional
        Of the process that makes it all; None: this one does.
    """

    def __init__(self, folder: Path | None = None):
        self.makes = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="hdl-tests-"))
        self.pool: ThreadPoolExecutor | None = None

    def want(self, names: set[str]) -> None:
        """Begin to make what is named, or tell who does."""
        if self.makes:
            self._start(names)
        else:
            _write(self.folder / WANTED, sorted(names))  # all workers collect the same

    def start_what_is_wanted(self) -> None:
        """Begin to make what workers want."""
        self._start(set(json.loads((self.folder / WANTED).read_text())))

    def get(self, name: str) -> Path:
        """Wait for what is made, and return its path; a test that waits in vain fails with the reason."""
        if where := RUNNING.get(name):
            return Path(where)
        made, deadline = self.folder / f"{name}.json", time.monotonic() + SECONDS
        while not made.exists():
            if time.monotonic() > deadline:
                pytest.fail(f"{name}: not there after {SECONDS} s")
            time.sleep(0.1)
        answer = json.loads(made.read_text())
        if "error" in answer:
            pytest.fail(f"{name}: {answer['error']}")
        return Path(answer["path"])

    def stands(self, name: str) -> bool:
        """Whether a cluster is made, or that has failed, so that its tests need not wait."""
        return bool(RUNNING.get(name)) or (self.folder / f"{name}.json").exists()

    def end(self) -> None:
        """Stop and remove all that was made."""
        if not self.makes:
            return
        if self.pool:
            from hdl.cluster.daemons import Cluster

            self.pool.shutdown(cancel_futures=True)
            for name in ("cluster", "secure"):
                if (self.folder / name / "cluster.json").exists():
                    Cluster.load(self.folder / name).stop(purge=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, names: set[str]) -> None:
        names = {name for name in names if not RUNNING.get(name)}
        if not names or self.pool:
            return
        self.pool = ThreadPoolExecutor(2)
        for name, make in (("cluster", self._cluster), ("packed", self._packed), ("secure", self._secure)):
            if name in names:
                self.pool.submit(self._make, name, make)

    def _make(self, name: str, make) -> None:
        try:
            answer = {"path": str(make())}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        _write(self.folder / f"{name}.json", answer)

    def _cluster(self) -> Path:
        from hdl.cluster.daemons import Cluster

        return Cluster.start(self.folder / "cluster", superuser=SUPERUSER, users=(USER,), **NODES).root

    def _secure(self) -> Path:
        from hdl.cluster.daemons import Cluster
        from tests.hadoop.secure import SECURE_USERS

        folder = self.folder / "secure"
        return Cluster.start(folder, kerberos=True, spnego=True, node_user=USER, users=SECURE_USERS, **ONE).root

    def _packed(self) -> Path:
        from hdl import envpack

        (self.folder / "env").mkdir()
        return envpack.pack(self.folder / "env")


def _write(path: Path, content) -> None:
    unfinished = Path(tempfile.mkstemp(dir=path.parent)[1])
    unfinished.write_text(json.dumps(content))
    unfinished.replace(path)


AHEAD = pytest.StashKey[Ahead]()
SCHEDULE = pytest.StashKey[Schedule]()


def pytest_addoption(parser):
    say = f"write how long test files take to {SLOW.name}, by which the next runs are planned (with -n)"
    parser.addoption("--record-seconds", action="store_true", help=say)


def pytest_configure(config):
    given = getattr(config, "workerinput", {}).get("ahead")
    config.stash[AHEAD] = Ahead(Path(given) if given else None)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["ahead"] = str(node.config.stash[AHEAD].folder)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist tells the controller that this worker has collected
def pytest_collection_finish(session):
    if not session.config.option.collectonly:
        session.config.stash[AHEAD].want(wanted_by(session.items))


def wanted_by(items):
    """List what the tests on daemons that will run want; elsewhere a parameter called `cluster` is another thing."""
    here = [item for item in items if cluster_of(item.nodeid.partition("::")[0])]
    run = [item for item in here if not item.get_closest_marker("skip")]
    names = {name for item in run for name in item.fixturenames}
    for item in run:  # a cluster may be a test's parameter
        names |= {value for value in getattr(item, "callspec", NONE).params.values() if isinstance(value, str)}
    return {"cluster", "secure", "packed"} & names


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node):
    node.config.stash[AHEAD].start_what_is_wanted()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    if ahead := config.stash.get(AHEAD, None):
        ahead.end()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config):
    from xdist.workermanage import parse_tx_spec_config

    schedule = Schedule(len(parse_tx_spec_config(config)), recorded(), config.stash[AHEAD].stands)
    config.stash[SCHEDULE] = schedule
    return schedule


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    config = session.config
    if config.option.record_seconds and (schedule := config.stash.get(SCHEDULE, None)):
        record(schedule.took)
