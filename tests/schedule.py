"""Tells each process of a pytest-xdist run which test file comes next.

A file is run by one process, so what its module sets up is set up once. Tests on a cluster's daemons wait more than
they compute: while one process runs those, the others run files that compute. Tests of one cluster never run at the
same time. Otherwise the longest file comes first, so that the last ones are short and all processes end together.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SLOW = Path(__file__).with_name("seconds.json")  # how long the long files take
LONG = 3.0  # seconds
ROOT = Path(__file__).resolve().parent.parent


@dataclass
class File:
    """The tests of one file that are still to be given out, as their places in the collection."""

    name: str
    cluster: str | None
    seconds: float
    tests: list[int] = field(default_factory=list)


def cluster_of(name: str) -> str | None:
    """Name the cluster of a file of tests/hadoop: the simple one, or the one with Kerberos."""
    if not name.startswith("tests/hadoop/"):
        return None
    return "secure" if re.search(r"/test_(secure_\w+|pages|refused|tokens)\.py$", name) else "cluster"


def recorded() -> dict[str, float]:
    """Return how many seconds the long files took when that was last recorded."""
    return json.loads(SLOW.read_text()) if SLOW.exists() else {}


def record(took: dict[str, float]) -> None:
    """Write how many seconds the long files of this run took; of files that it did not run, what was known stays."""
    known = {name: seconds for name, seconds in recorded().items() if name not in took and (ROOT / name).exists()}
    took = {name: round(seconds) for name, seconds in took.items() if seconds >= LONG}
    SLOW.write_text(json.dumps(known | took, indent=1, sort_keys=True) + "\n")


class Schedule:
    """Gives out files to processes; pytest-xdist calls it (``xdist.scheduler.protocol.Scheduling``).

    A process begins a test when it has another one after it, or is told that no more will come. So it is given the next
    file while one test is left of its last, and is shut down then if there is nothing for it to do.

    Parameters
    ----------
    processes : int
        How many the run starts with.
    seconds : dict
        How long files take, by name; others count as none.
    ready : callable, optional
        Whether a cluster, by name, stands already; until then other files come first.
    """

    def __init__(self, processes: int, seconds: dict[str, float], ready: Callable[[str], bool] = lambda name: True):
        self.processes = processes
        self.seconds = seconds
        self.ready = ready
        self.collection: list[str] | None = None
        self.collections: dict = {}  # by process, whose tests are known
        self.given: dict = {}  # by process: the tests that it has not finished, in its order
        self.waiting: list[File] = []
        self.took: dict[str, float] = {}

    # --- what pytest-xdist asks

    @property
    def nodes(self) -> list:
        """The processes that run."""
        return list(self.given)

    @property
    def collection_is_completed(self) -> bool:
        """Whether as many processes as the run started with have said what tests there are."""
        return self.collection is not None or len(self.collections) >= self.processes

    @property
    def tests_finished(self) -> bool:
        """Whether all tests are given out, and no process has more than the one that it keeps until it is shut down."""
        return (
            self.collection_is_completed and not self.waiting and all(len(tests) < 2 for tests in self.given.values())
        )

    @property
    def has_pending(self) -> bool:
        """Whether tests are left to run."""
        return bool(self.waiting) or any(self.given.values())

    def add_node(self, node) -> None:
        """Take in a process that has started, at first or in place of one that crashed."""
        self.given[node] = []

    def add_node_collection(self, node, collection: Sequence[str]) -> None:
        """Take in what tests a process has found."""
        if self.collection is not None and list(collection) != self.collection:
            raise RuntimeError(f"{node.gateway.id} found other tests than the processes before it")
        self.collections[node] = list(collection)

    def schedule(self) -> None:
        """Give out the first files, or give files to the process that has come last."""
        if self.collection is None:
            first, *others = self.collections.values()
            for other in others:
                if other != first:
                    raise RuntimeError(f"two processes found other tests: {sorted(set(first) ^ set(other))[:10]}")
            self.collection = first
            self._put_back(range(len(first)))
        for node in self.nodes:
            self._give(node)

    def mark_test_complete(self, node, item_index: int, duration: float = 0) -> None:
        """Strike a test out, and give its process the next file where it has only one more test."""
        self.given[node].remove(item_index)
        name = self._file(item_index)
        self.took[name] = self.took.get(name, 0) + duration
        self._give(node)

    def remove_node(self, node) -> str | None:
        """Forget a process that ended; of one that crashed, name the test that it ran and keep the rest for others."""
        self.collections.pop(node, None)
        left = self.given.pop(node)
        if not left:
            return None
        self._put_back(left[1:])
        assert self.collection is not None
        return self.collection[left[0]]

    def mark_test_pending(self, item: str) -> None:
        """Not used: a test that crashes its process is not run again."""
        raise NotImplementedError

    def remove_pending_tests_from_node(self, node, indices: Sequence[int]) -> None:
        """Not used: no tests are taken away from a process."""
        raise NotImplementedError

    # --- which file comes next

    def _file(self, test: int) -> str:
        assert self.collection is not None
        return self.collection[test].partition("::")[0]

    def _put_back(self, tests) -> None:
        files = {file.name: file for file in self.waiting}
        for test in tests:
            name = self._file(test)
            if name not in files:
                files[name] = File(name, cluster_of(name), self.seconds.get(name, 0))
            files[name].tests.append(test)
        self.waiting = sorted(files.values(), key=lambda file: -file.seconds)  # stable: others as they were collected

    def _give(self, node) -> None:
        if node not in self.collections or node.shutting_down:
            return
        while len(self.given[node]) < 2:
            file = self._choose(node)
            if file is None:
                node.shutdown()
                return
            self.waiting.remove(file)
            self.given[node] += file.tests
            node.send_runtest_some(file.tests)

    def _choose(self, node) -> File | None:
        """Choose the next file for a process; None: all that is left is of clusters that others are using."""
        taken = {cluster_of(self._file(test)) for other, tests in self.given.items() if other != node for test in tests}
        free = [file for file in self.waiting if file.cluster is None or file.cluster not in taken]
        of_clusters = [file for file in free if file.cluster and self.ready(file.cluster)]
        computing = [file for file in free if not file.cluster]
        choices = [computing, of_clusters] if taken - {None} else [of_clusters, computing]
        return next((files[0] for files in [*choices, free] if files), None)
