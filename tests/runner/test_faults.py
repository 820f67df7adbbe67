"""Faults of the local runner: what is killed is done again, and what cannot be is told with its reason."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import psutil
import pytest

from hdl import driver
from hdl.driver import Round
from hdl.errors import DeadlineError, Fenced, Interrupted, SpecError, WorkerError
from hdl.runners.base import Job, Progress, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from tests.runner.common import signatures, state_bytes


class Killer:
    """Kills a worker at a stage, as often as told."""

    def __init__(self, runner, stage="round", times=1, victim=0, after=0):
        self.runner, self.stage, self.left, self.victim = runner, stage, times, victim
        self.after, self.replaced, self.rounds = after, [], 0

    def __call__(self, event):
        self.rounds += isinstance(event, Round)
        if isinstance(event, Replaced):
            self.replaced.append(event)
        if isinstance(event, Progress) and event.stage == self.stage and self.left and self.rounds >= self.after:
            self.left -= 1
            self.runner._processes[self.victim].process.kill()
            self.runner._processes[self.victim].process.wait()


KILLED = {"summarise": ("summarise", 1, 0), "round": ("round", 1, 0), "twice": ("round", 2, 1)}
CASES = [
    # The summary pass is the same in all modes.
    pytest.param(mode, when, marks=() if when == "round" or mode == other else pytest.mark.full)
    for mode in ("average", "gradient", "genetic")
    for when, other in (("summarise", "average"), ("round", ""), ("twice", "genetic"))
]


@pytest.mark.parametrize(("mode", "when"), CASES)
def test_a_worker_killed_at_work_changes_nothing(csv, train, mode, when):
    stage, times, after = KILLED[when]
    data, fields = csv(), {"sync": {"mode": mode}, "optimizer": "adam"}
    expected = train(data, LocalRunner(1), **fields)
    runner = LocalRunner(2)
    killer = Killer(runner, stage, times, after=after)
    outcome = train(data, runner, on_event=killer, **fields)
    assert killer.replaced
    assert "killed by signal 9" in killer.replaced[0].reason
    assert signatures(outcome) == signatures(expected)
    assert state_bytes(outcome) == state_bytes(expected)


def test_three_deaths_on_one_shard_stop_the_run_with_the_workers_words(csv, train, tmp_path, monkeypatch):
    # A sitecustomize that is found first makes the workers die, and only them, with a message.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'hdl.runners.local_worker' in ' '.join(sys.orig_argv):\n"
        "    import os; os.write(2, b'out of coffee'); os._exit(9)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    events = []
    with pytest.raises(WorkerError, match=r"3 times at shard [02].*status 9.*\nout of coffee"):
        train(csv(), LocalRunner(2), on_event=events.append)
    assert any(isinstance(event, Replaced) for event in events)


def test_a_hung_worker_is_named(csv, train):
    runner = LocalRunner(2)
    stopped = []

    def stop(event):
        if isinstance(event, Round) and not stopped:
            stopped.append(runner._processes[1].process.pid)
            os.kill(stopped[0], signal.SIGSTOP)
        # Not before the other one has answered: on a busy machine it may be silent for as long.
        if isinstance(event, Progress) and stopped and event.done == len(runner._processes[0].shards):
            runner.deadline = 1.0

    with pytest.raises(DeadlineError, match=r"worker 1 \(process \d+\).*no sign of life for 1 s") as error:
        train(csv(), runner, on_event=stop)
    assert str(stopped[0]) in str(error.value)
    assert not psutil.pid_exists(stopped[0])


def test_workers_end_with_the_run_and_leave_nothing(csv, train):
    train(csv(), LocalRunner(3))
    own = [each.info for each in psutil.process_iter(["ppid", "cmdline"]) if each.info["ppid"] == os.getpid()]
    assert not [child for child in own if "local_worker" in " ".join(child["cmdline"] or [])]  # a zombie has none


DRIVER = """
import os, sys, time
from hdl import driver, fs
from hdl.driver import Round
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
data, table, spec, resume, workers, place, count = sys.argv[1:]
times = 0
def at(word):  # waits at its place to be killed
    global times
    times += word == place
    if times == int(count) and word == place:
        os.write(1, b"here\\n")
        time.sleep(600)
def tell(event):
    if isinstance(event, Round):
        at("round")
publish = fs.publish
def slow(path, content, **how):
    def write(file):
        file.write(content[:100]); file.flush()
        at("writing")
        file.write(content[100:])
    publish(path, write, **how)
    at("published")
fs.publish = slow
driver.train(Job(data, table, parse(spec), resume=bool(int(resume))), LocalRunner(int(workers)), tell)
"""


@contextmanager
def driving(data, table, spec, place, count=1, resume=False, workers=1):
    """A driver that waits at a place that it has come to so many times, and is killed there."""
    arguments = [data, table, spec.to_json(), str(int(resume)), str(workers), place, str(count)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", DRIVER, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = process.stdout.readline()
            assert line, f"the driver ended with status {process.wait()} before {place}"
            yield process
        finally:
            process.kill()


# That an average is resumed is in other files, such as tests/unit/test_table_damage.py.
@pytest.mark.parametrize("kind", [pytest.param("average", marks=pytest.mark.full), "gradient", "genetic"])
def test_a_driver_killed_anywhere_resumes_to_the_same_bytes(csv, train, tmp_path, kind):
    data, table = csv(), str(tmp_path / "killed")
    fields = {
        "average": {"optimizer": "adam", "validation": 0.2, "dropout": 0.1},
        "gradient": {"optimizer": "lbfgs", "sync": {"mode": "gradient"}, "validation": 0.2},
        "genetic": {"optimizer": "sgd", "sync": {"mode": "genetic"}},
    }[kind]
    fields |= {"shards": 3, "epochs": 4}
    expected = train(data, LocalRunner(1), **fields)
    spec = parse({"net": "0-5-0", "batch": 8, "seed": 3, **fields})
    # Between rounds, while a version's bytes are being written, and just after it has its name.
    for place, count in ("writing", 3), ("round", 1), ("published", 1):
        with driving(data, table, spec, place, count, resume=Table(table).latest() is not None):
            pass
    outcome = driver.train(Job(data, table, spec, resume=True), LocalRunner(1))
    assert signatures(outcome) == signatures(expected)
    assert state_bytes(outcome) == state_bytes(expected)
    again = driver.train(Job(data, table, None, resume=True), LocalRunner(1))
    assert (again.version, again.rows) == (outcome.version, outcome.rows)


def test_workers_die_with_a_killed_driver(csv, tmp_path):
    spec = parse({"net": "0-5-0", "shards": 2, "epochs": 1000})
    with driving(csv(), str(tmp_path / "model"), spec, "round", workers=2) as process:
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) == 2
    _, alive = psutil.wait_procs(workers, timeout=250)
    assert not alive


def test_of_two_drivers_on_one_table_one_stops_and_the_other_is_whole(csv, train, tmp_path):
    data, table = csv(), str(tmp_path / "model")
    expected = train(data, LocalRunner(1), epochs=6)
    train(data, LocalRunner(1), table=table, epochs=2)
    other = []

    def interfere(event):
        if isinstance(event, driver.Started):
            other.append(train(data, LocalRunner(1), table=table, resume=True, epochs=6))

    with pytest.raises(Fenced, match=r"the table belongs to run"):
        train(data, LocalRunner(1), table=table, resume=True, epochs=6, on_event=interfere)
    assert signatures(other[0])[0] == signatures(expected)[0]


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_keeps_the_last_version_and_is_quick(csv, train, tmp_path, workers):
    # Rounds of many seconds: the interrupt falls into one, while the core works.
    data, table, timers = csv(20_000), str(tmp_path / "model"), []
    fields = {"net": "0-600-600-0", "epochs": 100_000, "sync": {"every": 100}, "keep": 1}

    def press(event):
        if isinstance(event, Progress) and event.stage == "round" and event.done % 1 and not timers:
            timers.append(threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)))
            timers[0].start()

    with pytest.raises(Interrupted, match="holds version 0"):
        train(data, LocalRunner(workers), table=table, on_event=press, **fields)
    assert Table(table).read().number == 0  # it was not the round's end, minutes later, that ended it


def test_a_script_without_a_main_guard_uses_workers(csv, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from hdl import driver\nfrom hdl.runners.base import Job\nfrom hdl.runners.local import LocalRunner\n"
        "from hdl.spec import Spec\n"
        f"job = Job({csv()!r}, {str(tmp_path / 'm')!r}, Spec(shards=2, epochs=1))\n"
        "print(driver.train(job, LocalRunner(2)).version)\n"
    )
    # A module of the user's that is called like one of ours does not reach the workers.
    (tmp_path / "struct.py").write_text("")
    (tmp_path / "numpy.py").write_text("raise RuntimeError")
    run = subprocess.run(
        [sys.executable, "-P", "script.py"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert run.stdout.strip() == "1", run.stderr


def test_workers_below_one_are_refused():
    with pytest.raises(SpecError, match="workers"):
        LocalRunner(0)
