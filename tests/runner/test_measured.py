"""The validation part of a round is measured whole: the same numbers from every crew, and the metric decides."""

import numpy as np
import pytest
from sklearn import metrics as peer

from hdl import data, driver, ops
from hdl import spec as specs
from hdl.data import Options, Schema
from hdl.errors import SpecError
from hdl.metrics import METRICS
from hdl.runners.base import Job, Log
from hdl.runners.local import LocalRunner
from hdl.table import Table
from tests.runner.common import signatures, state_bytes
from tests.runner.measured import CASES, NAMES, put
from tests.runner.yarn_here import YarnHere


def fields_of(case, **more):
    return {"net": "0-6-0", "shards": 4, "epochs": 4, "batch": 8, "seed": 3, **CASES[case][1], **more}


@pytest.fixture
def by_crews(tmp_path):
    """A function that trains a case with each of some runners: outcomes."""

    def run(case, *runners):
        path = put(tmp_path / "data.csv", CASES[case][0])
        outcomes = []
        for number, runner in enumerate(runners):
            job = Job(path, str(tmp_path / f"model{number}"), specs.parse(fields_of(case)))
            outcomes.append(driver.train(job, runner) if isinstance(runner, LocalRunner) else runner.train(job))
        return outcomes

    return run


def check_same(case, outcomes):
    first = outcomes[0]
    for other in outcomes[1:]:
        assert signatures(other) == signatures(first)  # rows too, to the last digit
        assert state_bytes(other) == state_bytes(first)
        assert (other.best, other.reason) == (first.best, first.reason)
    last = first.rows[-1]
    assert {f"val_{name}" for name in NAMES[CASES[case][0]]} <= {*last}
    assert all(value is None or np.isfinite(value) for name, value in last.items() if name.startswith("val_"))


@pytest.mark.parametrize("case", [case if case in ("gradient", "batches", "genetic", "prices") else
                                  pytest.param(case, marks=pytest.mark.full) for case in CASES])  # fmt: skip
def test_any_crew_measures_the_same(make_runner, by_crews, case):
    check_same(case, by_crews(case, make_runner(1), make_runner(3)))


@pytest.mark.parametrize("case", [case if case in ("auc", "search") else pytest.param(case, marks=pytest.mark.full)
                                  for case in CASES])  # fmt: skip
def test_an_application_measures_the_same(by_crews, case):
    check_same(case, by_crews(case, LocalRunner(1), YarnHere(3)))


def held_out(outcome, path):
    """Labels and answers of each version that is there on the validation parts, in the unit of the labels."""
    table = Table(outcome.table)
    zero = table.read(0)
    schema = Schema.from_parts(zero.about["schema"], zero.schema)
    source = data.open_source(path, Options.make(zero.about.get("settled") or zero.about["options"]))
    spec = outcome.spec
    worker = ops.make(spec, "cpu", 1, zero.about["isa"])
    parts = [
        data.load(source, own, schema, spec.seed, number, spec.validation).validation
        for number, own in enumerate(source.splits(spec.shards))
    ]
    for number in table.numbers():
        w = table.read(number).weights.w
        out = np.concatenate([worker.forward(w, part, np.arange(len(part)))[0] for part in parts])
        yield number, schema, np.concatenate([part.y for part in parts]), out


@pytest.mark.parametrize("case", ["auc", "prices", "batches"])
def test_a_row_tells_what_the_held_out_samples_say(by_crews, tmp_path, case):
    (outcome,) = by_crews(case, LocalRunner(1))
    seen = 0
    for number, schema, y, out in held_out(outcome, str(tmp_path / "data.csv")):
        if number == outcome.version:
            continue
        row, seen = outcome.rows[number], seen + 1
        assert (row["parent"], row["val_samples"]) == (number, len(y))
        if case == "auc":
            score = out[:, -1]
            expected = {"auc": peer.roc_auc_score(y, score), "pr_auc": peer.average_precision_score(y, score)}
        elif case == "prices":
            true, answers = schema.in_units(y.astype(float)), schema.in_units(out.astype(float))
            expected = {
                "mae": peer.mean_absolute_error(true, answers), "r2": peer.r2_score(true, answers),
                "rmse": peer.root_mean_squared_error(true, answers),
            }  # fmt: skip
        else:
            expected = {"logloss": peer.log_loss(y, out.astype(float) / out.sum(1, dtype=float)[:, None])}
        for name, value in expected.items():
            assert row[f"val_{name}"] == pytest.approx(value, rel=1e-6 if name == "logloss" else 1e-12), name
    assert seen >= 3


def test_workers_that_wait_for_nobody_are_measured_at_what_all_share(tmp_path):
    path = put(tmp_path / "data.csv", "two")
    fields = fields_of("auc", sync={"mode": "async", "equal": 1}, keep=20)
    outcome = YarnHere(2).train(Job(path, str(tmp_path / "model"), specs.parse(fields)))
    held = {number: (y, out[:, -1]) for number, _, y, out in held_out(outcome, path)}
    measured = [row for row in outcome.rows if row["val_samples"] == len(held[0][0])]  # no worker was left out
    assert measured[-1]["final"]
    for row in measured:
        assert row["val_auc"] == pytest.approx(peer.roc_auc_score(*held[row["parent"]]), rel=1e-12)
    assert outcome.best == Table(outcome.table).best()


# --- the metric decides -----------------------------------------------------------------------------------------------

OVERFITS = {"metric": "auc", "epochs": 40, "patience": 4, "optimizer": {"name": "adam", "lr": 0.03}, "net": "0-30-0"}


def train(path, table, on_event=None, resume=False, workers=1, **more):
    spec = None if resume else specs.parse(fields_of("auc", **{**OVERFITS, **more}))
    return driver.train(Job(path, str(table), spec, resume=resume), LocalRunner(workers), on_event)


def expected_of(rows, metric, patience):
    """What follows of the rows by hand: the best version, and the rounds after which nothing better has come."""
    sign = -1 if METRICS[metric].higher else 1
    values = [sign * row[f"val_{metric}"] for row in rows]
    best = values.index(min(values))
    return best, next((n for n in range(len(values)) if n - values.index(min(values[: n + 1])) >= patience), None)


def test_the_metric_decides_where_the_cost_says_otherwise(tmp_path):
    path = put(tmp_path / "data.csv", "two", n=200, seed=1)
    by_auc, by_cost = train(path, tmp_path / "auc"), train(path, tmp_path / "cost", metric=None)
    for outcome, metric in (by_auc, "auc"), (by_cost, "cost"):
        best, ends = expected_of(outcome.rows, metric, 4)
        assert (outcome.best, Table(outcome.table).best(), outcome.reason) == (best, best, "patience")
        assert ends == len(outcome.rows) - 2  # the last row only measures
        assert best in Table(outcome.table).numbers()  # thinning leaves it
    shared = min(len(by_auc.rows), len(by_cost.rows)) - 1
    assert [row["cost"] for row in by_auc.rows[:shared]] == [row["cost"] for row in by_cost.rows[:shared]]
    assert (by_auc.best, by_auc.version) != (by_cost.best, by_cost.version)


def test_a_resumed_training_decides_the_same(tmp_path):
    path = put(tmp_path / "data.csv", "two", n=200, seed=1)
    whole = train(path, tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(event):
        if isinstance(event, driver.Round) and event.row["version"] == stop:
            raise Killed

    for stop in 1, whole.best + 1, whole.version - 1:
        table = tmp_path / f"killed{stop}"
        with pytest.raises(Killed):
            train(path, table, kill)
        resumed = train(path, table, resume=True)
        assert signatures(resumed) == signatures(whole)
        assert (resumed.best, resumed.reason) == (whole.best, "patience")


def test_a_resumed_training_keeps_its_metric(tmp_path):
    path = put(tmp_path / "data.csv", "two")
    train(path, tmp_path / "model", epochs=2, patience=0)
    more = {**OVERFITS, "epochs": 3, "patience": 0}
    for metric, said in (None, None), ("auc", None), ("logloss", "metric was auc, given logloss"):
        job = Job(
            path, str(tmp_path / "model"), specs.parse(fields_of("auc", **{**more, "metric": metric})), resume=True
        )
        if said:
            with pytest.raises(SpecError, match=said):
                driver.train(job, LocalRunner(1))
        else:
            outcome = driver.train(job, LocalRunner(1))
            assert outcome.spec.metric == Table(outcome.table).rows().metric == "auc"


def test_where_one_class_is_missing_no_round_is_the_best_and_it_is_told(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,answer\n" + "".join(f"{i % 7},{'yes' if i == 3 else 'no'}\n" for i in range(60)))
    told = []
    outcome = train(str(path), tmp_path / "model", told.append, epochs=6, patience=1, seed=1, shards=2)
    (said,) = [event.text for event in told if isinstance(event, Log) and "auc" in event.text]
    assert said.startswith("round 0: auc of the ")
    assert "one class is missing" in said
    assert all(row["val_auc"] is None and row["val_logloss"] is not None for row in outcome.rows)
    assert (outcome.best, outcome.reason) == (outcome.version, "rounds")
    assert Table(outcome.table).best() == outcome.version


def test_an_application_tells_it_too(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,answer\n" + "".join(f"{i % 7},{'yes' if i == 3 else 'no'}\n" for i in range(60)))
    runner, more = YarnHere(2), {"epochs": 2, "patience": 0, "seed": 1, "shards": 2}
    runner.train(Job(str(path), str(tmp_path / "model"), specs.parse(fields_of("auc", **{**OVERFITS, **more}))))
    assert sum("is not defined, as where one class is missing" in text for text in runner.messages) == 1


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        (
            "two",
            {"metric": "rmse"},
            "metric: given rmse, which loss softmax does not have; expected one of cost, accuracy,",
        ),
        ("two", {"metric": "top_k"}, "given top_k"),
        (
            "prices",
            {"metric": "auc"},
            "given auc, which loss squared does not have; expected one of cost, rmse, mae, r2",
        ),
        ("prices", {"metric": "deviance", "loss": "huber"}, "which loss huber does not have"),
        ("two", {"metric": "accuracy", "model": "autoencoder", "net": "0-2-0"}, "expected one of cost$"),
    ],
)
def test_a_metric_that_is_not_the_models_is_refused_before_the_first_round(tmp_path, kind, more, said):
    path, events = put(tmp_path / "data.csv", kind), []
    with pytest.raises(SpecError, match=said):
        train(path, tmp_path / "model", events.append, **{"net": "0-3-0", "patience": 0, **more})
    assert not any(isinstance(event, (driver.Round, driver.Started)) for event in events)
    assert Table(str(tmp_path / "model")).latest() is None


def test_layers_of_a_stack_are_decided_by_their_cost(tmp_path):
    path = put(tmp_path / "data.csv", "two")
    outcome = train(path, tmp_path / "model", model="stacked", net="0-4-3-0", pretrain={"epochs": 2}, epochs=3)
    layer = Table(f"{outcome.table}/layer1")
    assert layer.rows().metric == "cost"
    assert not {"val_auc", "val_rmse"} & {*layer.rows()[-1]}
    assert outcome.rows[-1]["val_auc"] is not None
