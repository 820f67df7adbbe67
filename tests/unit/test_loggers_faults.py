"""`--log`: places that cannot take one are refused before the training; what breaks meanwhile never ends it."""

import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from hdl import driver, loggers
from hdl.errors import HdlError, OutputError, SpecError
from hdl.loggers import Log, Point, Training, Writer, feeder, open_log, points, secrets
from hdl.spec import Spec
from hdl.table import Table
from tests.unit.logged import SPEC, check_csv, train


@pytest.mark.parametrize("kind", ["csv", "tensorboard"])
def test_the_log_of_another_training_is_refused_and_stays(home, said, kind):
    if kind == "tensorboard":
        pytest.importorskip("tensorboardX")
    text = f"{kind}:logs"
    train([text], said)
    before = {path: path.read_bytes() for path in home.glob("logs*")} if kind == "csv" else sorted(home.glob("logs/*"))
    with pytest.raises(SpecError, match="another training"):
        train([text], said, table="other")
    train([], said, table="other")
    with pytest.raises(SpecError, match="another training"):
        train([text], said, SPEC.with_(epochs=5), table="other")
    after = {path: path.read_bytes() for path in home.glob("logs*")} if kind == "csv" else sorted(home.glob("logs/*"))
    assert before == after
    log = open_log([text], "third", said.append, overwrite=True)
    table = train([], said, table="third", log=log)
    if kind == "csv":
        assert check_csv("logs", table) == [0, 1, 2, 3]
    else:
        assert len([*home.glob("logs/*")]) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wandb:x", "expected one of tensorboard:DIR, mlflow:URI, csv:FILE"),
        ("csv:", "expected one of"),
        ("csv", "expected one of"),
        ("csv:nowhere/log.csv", "no folder nowhere"),
        ("csv:.", "is a folder"),
        ("csv:a.csv", "something else than a log"),
        ("csv:hdfs://h/log.csv", "this machine"),
        ("csv:/proc/log.csv", "takes no new files"),
    ],
)
def test_a_wrong_place_ends_the_command_before_it_trains(home, said, text, words):
    with pytest.raises((SpecError, OutputError), match=words):
        open_log([text], "model", said.append)
    assert Path("a.csv").read_text().startswith("a,b,c,label")


def test_the_same_place_twice_is_refused(home, said):
    with pytest.raises(SpecError, match="twice"):
        open_log(["csv:log.csv", "csv:log.csv"], "model", said.append)


def test_a_missing_package_is_named_with_the_command_that_installs_it(home, said, monkeypatch):
    import sys

    for name in ("tensorboardX.event_file_writer", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
    for text in ("tensorboard:logs", "mlflow:sqlite:///runs.db"):
        with pytest.raises(HdlError, match=r"pip install 'hdl-hadoop\[log\]'"):
            open_log([text], "model", said.append)


class Broken(Writer):
    """A place that fails some times, in the middle of a write, and then works."""

    def __init__(self, failures):
        super().__init__("csv", "http://ada:secret@place")
        self.failures, self.kept, self.state = failures, [], ""

    def begin(self, training, overwrite):
        last = {}
        for step, name, _ in self.kept:
            last[name] = max(step, last.get(name, -1))
        return last

    def write(self, points):
        for number, point in enumerate(points):
            if number == 1 and self.failures:
                self.failures -= 1
                raise OSError(28, "No space left on device at secret")
            self.kept += [(point.step, name, value) for name, value in point.values.items()]

    def end(self, state):
        self.state = state


def test_a_writer_that_fails_for_a_while_warns_once_and_misses_nothing(said):
    writer, spec = Broken(3), Spec()
    feed = feeder.Feeder(writer, Training("run", "model", "", spec.model_dump(), False), False, said.append, 0.01)
    feed.put([Point(step, 0.0, {"cost": step, "accuracy": 1.0}) for step in range(5)])
    until = time.monotonic() + 250
    while writer.failures and time.monotonic() < until:
        time.sleep(0.01)
    feed.put([Point(5, 0.0, {"cost": 5})])
    feed.end("finished")
    assert [step for step, name, _ in writer.kept if name == "cost"] == [0, 1, 2, 3, 4, 5]
    assert writer.state == "finished"
    assert len(said) == 1
    assert "No space left" in said[0]
    assert "secret" not in said[0]
    assert "ada:***@place" in said[0]


def test_a_writer_that_fails_for_good_never_ends_a_training(home, said):
    writer = Broken(10**9)
    table = train([], said, log=Log([writer], "model", said.append))
    assert table.header()["round"] == 3
    assert "some rounds are missing there" in said[-1]


def test_a_writer_that_hangs_is_left_alone_at_the_end(home, said):
    released = threading.Event()

    class Hanging(Broken):
        seconds = 0.05

        def write(self, points):
            released.wait(30)

    train([], said, log=Log([Hanging(0)], "model", said.append))
    assert not released.is_set()
    assert "does not answer" in said[-1]
    released.set()


def test_how_a_training_ended_is_told(home, said):
    for error, state in ((None, "finished"), (KeyboardInterrupt(), "stopped"), (SpecError("x"), "failed")):
        table, writer = f"model-{state}", Broken(0)
        train([], said, table=table)
        log = Log([writer], table, said.append)
        with pytest.raises(type(error)) if error else nullcontext(), log:
            log(driver.Started(Spec(**Table(table).header()["spec"]), 120, 3, 0))
            if error:
                raise error
        assert writer.state == state


def test_a_full_disk_is_told_of(home, said):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    table = train(["csv:/dev/full"], said)
    assert table.header()["round"] == 3
    assert "No space left on device" in said[0]


def test_values_that_are_no_numbers_are_left_out():
    row = {"round": 4, "time": 5.0, "cost": float("nan"), "accuracy": None, "val_cost": 0.5, "val_auc": float("inf"),
           "val_samples": 10, "val_f1": 1, "seconds": {"round": 0.25}}  # fmt: skip
    first, second = points.of(row, Spec(epochs=9, batch=8), 100)
    assert first == Point(4, 5.0, {"val_cost": 0.5, "val_f1": 1.0})
    assert (second.step, sorted(second.values)) == (5, ["learning_rate", "seconds"])
    assert points.of({"round": 9, "final": True}, Spec(), 100) == []


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://ada:p@ss:w/rd?@host/x", "http://ada:***@host/x"),
        ("http://ada:p@ss@host:50/x", "http://ada:***@host:50/x"),
        ("postgresql://ada:pw@host/db?sslmode=on", "postgresql://ada:***@host/db?sslmode=on"),
        ("https://dapi123@host", "https://***@host"),
        ("https://host/?api_key=k1&a=b&access_token=t;x", "https://host/?api_key=***&a=b&access_token=***;x"),
        ("sqlite:////tmp/a@b.db", "sqlite:////tmp/a@b.db"),
        ("logs/run", "logs/run"),
    ],
)
def test_passwords_are_masked(uri, shown):
    assert secrets.masked(uri) == shown
    assert secrets.masked(shown) == shown


def test_passwords_are_masked_in_what_libraries_say():
    uri = "http://ada:p%40ss@host?token=abc"
    assert secrets.hidden("cannot log in as ada with p@ss or p%40ss (abc) at http://eve:pw@x/", uri) == (
        "cannot log in as ada with *** or *** (***) at http://eve:***@x/"
    )
    assert "p%40ss" not in loggers.parse("csv:" + uri).shown
