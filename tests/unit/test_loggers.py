"""`--log`: what other tools read of it is what the table holds, each round once."""

from pathlib import Path

import numpy as np
import pytest

from hdl import driver
from hdl.loggers import open_log, points
from hdl.metrics_log import rounds
from hdl.spec import Spec
from hdl.table import Table
from tests.unit.logged import SPEC, check_csv, column, lines, train


def test_csv_holds_the_tables_rounds_and_a_resumed_training_goes_on(home, said):
    table = train(["csv:log.csv"], said)
    assert check_csv("log.csv", table) == [0, 1, 2, 3]
    assert {line["run"] for line in lines("log.csv")} == {table.header()["run"]}
    table = train(["csv:log.csv"], said, SPEC.with_(epochs=5))
    assert check_csv("log.csv", table) == [0, 1, 2, 3, 4, 5]
    assert said == []


def test_without_validation_every_round_is_a_line_at_once(home, said):
    table = train(["csv:log.csv"], said, SPEC.with_(validation=0.0))
    assert check_csv("log.csv", table) == [1, 2, 3]
    assert "val_cost" not in lines("log.csv")[0]


def test_a_log_that_is_begun_late_has_all_rounds(home, said):
    train([], said)
    table = train(["csv:log.csv"], said, SPEC.with_(epochs=4))
    assert check_csv("log.csv", table) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("cut", [1, 30, 300])
def test_a_line_that_was_cut_by_the_end_of_a_process_is_written_again(home, said, cut):
    train(["csv:log.csv"], said)
    content = Path("log.csv").read_bytes()
    Path("log.csv").write_bytes(content[:-cut])
    table = train(["csv:log.csv"], said, SPEC.with_(epochs=4))
    assert check_csv("log.csv", table) == [0, 1, 2, 3, 4]


def test_rounds_whose_events_were_not_seen_come_from_the_table(home, said):
    table = train([], said)
    rows = list(table.rows())
    with open_log(["csv:log.csv"], "model", said.append) as log:
        log(driver.Started(Spec(**table.header()["spec"]), 120, 3, 0))
        log(driver.Round(rows[-1]))
    assert check_csv("log.csv", table) == [0, 1, 2, 3]


def test_a_stack_has_a_log_a_layer(home, said):
    spec = Spec(model="stacked", net="3-4-3-2", epochs=2, pretrain={"epochs": 2}, validation=0.25)
    train(["csv:log.csv"], said, spec)
    for name in ("layer1", "layer2"):
        check_csv(f"log.{name}.csv", Table(f"model/{name}"))
    check_csv("log.csv", Table("model"))
    train(["csv:log.csv"], said, spec.with_(epochs=3))
    assert check_csv("log.csv", Table("model")) == [0, 1, 2, 3]
    assert said == []


def test_learning_rates_are_those_of_the_schedule(home, said):
    cosine = {"name": "sgd", "lr": 0.5, "schedule": {"name": "cosine"}}
    train(["csv:log.csv"], said, SPEC.with_(optimizer=cosine))
    expected = [0.5 * 0.5 * (1 + np.cos(np.pi * done / 3)) for done in range(3)]
    np.testing.assert_allclose([*column("log.csv", "learning_rate").values()], expected, rtol=1e-6)
    assert points.learning_rate(Spec(optimizer="lbfgs", sync={"mode": "gradient"}), 100, 0) is None
    step = Spec(optimizer={"lr": 1.0, "schedule": {"name": "step", "decay": 0.1, "every": 1}}, batch=10,
                sync={"unit": "batches", "every": 5})  # fmt: skip
    assert [round(points.learning_rate(step, 100, done), 6) for done in range(4)] == [1.0, 1.0, 0.1, 0.1]


def test_tensorboard_reads_every_round_once(home, said):
    pytest.importorskip("tensorboardX", reason="hdl-hadoop[log] is not installed")
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(["tensorboard:logs/one"], said)
    newest = max(Path("logs/one").iterdir())
    newest.write_bytes(newest.read_bytes()[:-7])  # a process that ended while it wrote
    table = train(["tensorboard:logs/one"], said, SPEC.with_(epochs=5))
    events = reader.EventAccumulator("logs/one")
    events.Reload()
    kept = rounds(table.rows())
    for name in ("cost", "val_cost", "accuracy", "val_accuracy", "seconds"):
        found = [(event.step, event.value) for event in events.Scalars(name) if event.step]
        assert [step for step, _ in found] == [1, 2, 3, 4, 5], name
        np.testing.assert_allclose([value for _, value in found], [row[name] for row in kept], rtol=1e-6)
    moment = {row["round"] + 1: row["time"] for row in table.rows() if not row["final"]}
    assert all(abs(event.wall_time - moment[event.step]) < 1e-3 for event in events.Scalars("cost"))
    assert said == []


@pytest.mark.parametrize("uri", [pytest.param("sqlite:///runs.db", marks=pytest.mark.full), "runs"])
def test_mlflow_reads_every_round_once(home, said, uri):
    mlflow = pytest.importorskip("mlflow", reason="hdl-hadoop[log] is not installed")
    if uri.startswith("sqlite"):
        pytest.importorskip("sqlalchemy")
    train([f"mlflow:{uri}"], said)
    table = train([f"mlflow:{uri}"], said, SPEC.with_(epochs=5))
    client = mlflow.MlflowClient(uri if "://" in uri else str(home / uri))
    (run,) = client.search_runs([client.get_experiment_by_name("hdl").experiment_id])
    history = {one.step: one.value for one in client.get_metric_history(run.info.run_id, "val_cost") if one.step}
    kept = rounds(table.rows())
    assert history == {row["round"]: row["val_cost"] for row in kept}
    costs = client.get_metric_history(run.info.run_id, "cost")
    assert [(one.step, one.value) for one in costs] == [(row["round"], row["cost"]) for row in kept]
    assert run.data.tags["hdl.run"] == table.header()["run"]
    assert run.data.params["sync.mode"] == "average"
    assert run.data.params["epochs"] == "3"
    assert run.info.status == "FINISHED"
    assert said == []
