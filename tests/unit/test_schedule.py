"""Which process runs which test file: the longest first, one process a cluster, and nothing lost with a crashed one."""

import os
import random
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.ahead import wanted_by
from tests.schedule import Schedule

ONE, TWO, PAGES = "tests/hadoop/test_one.py", "tests/hadoop/test_two.py", "tests/hadoop/test_pages.py"


class Process:
    """What a schedule knows of a process, which here runs a test when it is told to."""

    def __init__(self, name):
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.queue = []

    def send_runtest_some(self, tests):
        assert not self.shutting_down
        self.queue += tests

    def shutdown(self):
        self.shutting_down = True


@pytest.fixture
def begin():
    """A function that starts a schedule of two processes over files of so many tests each."""

    def begin(files, seconds=(), ready=lambda name: True):
        collection = [f"{name}::test_{i}" for name, tests in files.items() for i in range(tests)]
        schedule = Schedule(2, dict(seconds), ready)
        processes = [Process("a"), Process("b")]
        for process in processes:
            schedule.add_node(process)
            schedule.add_node_collection(process, collection)
        schedule.schedule()
        return schedule, *processes

    return begin


def files_of(schedule, process):
    """The files given to a process, in order."""
    return list(dict.fromkeys(schedule.collection[test].partition("::")[0] for test in process.queue))


def finish(schedule, process, tests):
    for _ in range(tests):
        assert len(process.queue) > 1 or process.shutting_down, "a process waits for its next test"
        schedule.mark_test_complete(process, process.queue.pop(0))


def test_the_longest_file_comes_first(begin):
    schedule, a, b = begin({"x.py": 3, "y.py": 3, "z.py": 3}, {"z.py": 9, "y.py": 5})
    assert (files_of(schedule, a), files_of(schedule, b)) == (["z.py"], ["y.py"])
    finish(schedule, b, 2)
    assert files_of(schedule, b) == ["y.py", "x.py"]


def test_one_process_runs_a_cluster_s_tests_while_the_other_computes(begin):
    schedule, a, b = begin({ONE: 2, TWO: 2, PAGES: 2, "x.py": 2, "y.py": 2}, {"x.py": 100})
    assert (files_of(schedule, a), files_of(schedule, b)) == ([ONE], ["x.py"])
    finish(schedule, b, 1)
    finish(schedule, a, 1)
    assert (files_of(schedule, a), files_of(schedule, b)) == ([ONE, TWO], ["x.py", "y.py"])
    finish(schedule, b, 2)
    assert files_of(schedule, b) == ["y.py", PAGES], "the other cluster's, since nothing else is left"
    finish(schedule, b, 2)
    assert b.shutting_down, "what is left waits for the cluster that the other process uses"
    finish(schedule, a, 2)
    assert a.shutting_down
    assert schedule.tests_finished
    assert schedule.has_pending


def test_a_cluster_s_tests_wait_until_it_stands(begin):
    standing = set()
    schedule, a, b = begin({ONE: 2, "x.py": 2, "y.py": 2, "z.py": 2}, ready=standing.__contains__)
    assert (files_of(schedule, a), files_of(schedule, b)) == (["x.py"], ["y.py"])
    standing.add("cluster")
    finish(schedule, b, 1)
    assert files_of(schedule, b) == ["y.py", ONE]


def test_a_replacement_runs_what_a_crashed_process_left(begin):
    schedule, a, b = begin({"x.py": 3, "y.py": 1, "z.py": 1, "u.py": 1})
    while not b.shutting_down:
        finish(schedule, b, 1)
    assert files_of(schedule, b) == ["u.py"]
    finish(schedule, a, 1)
    assert schedule.remove_node(a) == "x.py::test_1", "it ran when the process crashed, and is not run again"
    assert not schedule.tests_finished
    c = Process("c")
    schedule.add_node(c)
    schedule.add_node_collection(c, schedule.collection)
    schedule.schedule()
    assert [schedule.collection[test] for test in c.queue] == ["x.py::test_2"]
    assert c.shutting_down, "or it would wait for another test with the one that it has"


@pytest.mark.parametrize("seed", range(100))
def test_in_any_order_of_ends_and_crashes_every_test_is_begun_once(seed):
    """By the rules of pytest-xdist: a process runs a test if it has another one after it, or is shut down."""
    rng = random.Random(seed)
    files = [ONE, TWO, PAGES, "x.py", "y.py", "z.py"]
    collection = [f"{name}::test_{i}" for name in files for i in range(rng.randint(1, 4))]
    schedule = Schedule(2, {name: rng.random() for name in files}, lambda name: rng.random() < 0.7)
    new, alive, begun, crashes = [Process("a"), Process("b")], [], [], 6
    while new or alive:
        moves = [("starts", one) for one in new]
        moves += [("collects", one) for one in alive if one not in schedule.collections]
        moves += [("runs", one) for one in alive if len(one.queue) > one.shutting_down ^ 1]
        moves += [("ends", one) for one in alive if one.shutting_down and not one.queue]
        moves += [("crashes", one) for one in alive] if crashes and rng.random() < 0.3 else []
        assert moves, "everybody waits"
        move, one = rng.choice(moves)
        if move == "starts":
            new.remove(one)
            alive.append(one)
            schedule.add_node(one)
        elif move == "collects":
            schedule.add_node_collection(one, collection)
            if schedule.collection_is_completed:
                schedule.schedule()
        elif move == "runs":
            begun.append(one.queue.pop(0))
            schedule.mark_test_complete(one, begun[-1])
        else:
            alive.remove(one)
            crashed = schedule.remove_node(one)
            if move == "ends":
                assert crashed is None
            else:
                crashes -= 1
                new.append(Process(f"new{crashes}"))
                begun += one.queue[:1]
                assert crashed == (collection[one.queue[0]] if one.queue else None)
        if schedule.tests_finished:
            for each in schedule.nodes:
                each.shutdown()
    assert sorted(begun) == [*range(len(collection))]


def test_processes_that_find_other_tests_end_the_run(begin):
    schedule, *_ = begin({"x.py": 2})
    with pytest.raises(RuntimeError, match="c found other tests"):
        schedule.add_node_collection(Process("c"), ["x.py::test_9"])


def test_a_run_with_crashes_ends_and_loses_no_test(tmp_path, root):
    for name in "abcd":
        (tmp_path / f"test_{name}.py").write_text(
            "import os, pytest\n"
            "@pytest.mark.parametrize('i', range(3))\n"
            f"def test_it(i):\n    if (i, '{name}') in ((1, 'a'), (2, 'c'), (0, 'd')):\n        os._exit(3)\n"
        )
    command = [sys.executable, "-m", "pytest", "-p", "tests.ahead", "-p", "no:cacheprovider", "-n", "2", "-q", tmp_path]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        command, cwd=tmp_path, env=clean | {"PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=250
    )
    assert re.search(r"^3 failed, 9 passed", done.stdout, re.M), done.stdout + done.stderr
    assert done.returncode == 1
    for test in ("test_a.py::test_it[1]", "test_c.py::test_it[2]", "test_d.py::test_it[0]"):
        assert re.search(f"crashed while running '{re.escape(test)}'", done.stdout)


def item(nodeid, *fixtures, skip=None, **params):
    return SimpleNamespace(
        nodeid=nodeid,
        fixturenames=fixtures,
        callspec=SimpleNamespace(params=params),
        get_closest_marker=lambda name: skip,
    )


def test_clusters_are_begun_for_tests_on_daemons_alone():
    assert wanted_by([item("tests/unit/test_layers.py::test_it[cluster]", "package", package="cluster")]) == set()
    assert wanted_by([item(f"{ONE}::test_it", "cluster", "packed"), item(f"{ONE}::test_b", kind="secure")]) == {
        "cluster", "packed", "secure",
    }  # fmt: skip
    assert wanted_by([item(f"{ONE}::test_it", "cluster", skip=pytest.mark.skip)]) == set()
