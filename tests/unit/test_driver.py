"""The loop over rounds: what it writes, when it stops, what it refuses to go on with."""

import numpy as np
import pytest

from hdl import data as data_
from hdl import driver
from hdl.data import Options, Schema, open_source
from hdl.driver import Round, Stage, Started
from hdl.errors import DataError, NonFinite, SpecError, TableError
from hdl.ops import make
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "a.csv"
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    np.savetxt(path, np.c_[rng.normal(size=(120, 3)) + y[:, None], y], fmt="%.5g", delimiter=",")
    return str(path)


@pytest.fixture
def train(data, tmp_path):
    def run(table="model", resume=False, on_event=None, options=None, path=data, **fields):
        spec = parse({"net": "0-5-0", "shards": 2, "epochs": 3, "batch": 16, "seed": 3, "scale": "none", **fields})
        rest = {"options": options} if options else {}
        job = Job(path, str(tmp_path / table), spec, resume=resume, **rest)
        return driver.train(job, LocalRunner(1), on_event)

    return run


def test_version_0_holds_what_a_worker_and_a_resumed_run_need(data, train):
    outcome = train(scale="standard")
    zero = Table(outcome.table).read(0)
    assert zero.weights.round == 0
    assert zero.about["data"] == data
    assert zero.about["samples"] == 120
    assert [split[0] for splits in zero.about["cuts"] for split in splits] == [data, data]
    assert zero.about["isa"] == make(parse({"net": "1-1", "loss": "squared"})).platform
    assert zero.about["device"] == "cpu"
    assert zero.schema["scale"].shape == (3,)
    assert zero.spec["net"] == [3, 5, 2]
    assert zero.spec["loss"] == "softmax"


def test_rows_tell_every_round_and_cost_falls(train):
    events = []
    outcome = train(on_event=events.append, epochs=10, validation=0.25, optimizer={"name": "adam", "lr": 0.02})
    rows = Table(outcome.table).rows()
    assert rows == outcome.rows == [event.row for event in events if isinstance(event, Round)]
    assert [row["version"] for row in rows] == list(range(1, 12))
    assert [row["parent"] for row in rows] == list(range(11))
    assert [row["final"] for row in rows] == [False] * 10 + [True]
    assert rows[9]["cost"] < rows[0]["cost"]
    assert rows[0]["samples"] + rows[0]["val_samples"] == 120
    assert (rows[10]["cost"], rows[10]["samples"]) == (None, 0)
    assert {len(row["seconds"]["workers"]) for row in rows} == {1}
    assert [event.name for event in events if isinstance(event, Stage)] == ["summarise", *["train"] * 10, "measure"]
    started = next(event for event in events if isinstance(event, Started))
    assert (started.samples, started.rounds, started.version, started.spec.net) == (120, 10, 0, (3, 5, 2))


def test_the_closing_version_has_its_parents_weights_and_is_left_out_without_validation(train):
    measured, plain = Table(train(validation=0.2).table), Table(train("plain").table)
    assert measured.numbers()[-1] == 4
    assert measured.read(4).signature == measured.read(3).signature
    assert measured.read(4).weights.round == 3
    assert plain.numbers()[-1] == 3


def test_validation_in_a_row_is_what_its_parent_scores(train, tmp_path):
    outcome = train(validation=0.3, keep=10)
    source = data_.open_source(str(tmp_path / "a.csv"))
    schema = Schema.from_parts(Table(outcome.table).read(0).about["schema"], {})
    shards = [data_.load(source, splits, schema, 3, k, 0.3) for k, splits in enumerate(source.splits(2))]
    ops, w = make(outcome.spec, "reference"), Table(outcome.table).read(2).weights.w
    found = [ops.forward(w, shard.validation)[1] for shard in shards]
    row = outcome.rows[2]
    assert row["parent"] == 2
    assert row["val_samples"] == sum(part.samples for part in found)
    assert row["val_cost"] == pytest.approx(sum(part.cost for part in found) / row["val_samples"], rel=1e-4)
    assert row["val_accuracy"] == sum(part.correct for part in found) / row["val_samples"]


def test_early_stopping_keeps_the_best(train):
    outcome = train(epochs=500, validation=0.3, patience=4, keep=1, optimizer={"name": "adam", "lr": 0.3})
    costs = [row["val_cost"] for row in outcome.rows]
    assert outcome.reason == "patience"
    assert outcome.best == int(np.argmin(costs))
    assert outcome.version == outcome.best + 6  # 4 measured in vain, one unmeasured, the closing one
    table = Table(outcome.table)
    assert table.best() == outcome.best
    assert {0, outcome.best} <= set(table.numbers())
    assert len(table.numbers()) <= 5


def test_a_search_that_finds_no_more_ends_the_run(train):
    outcome = train(net="0-0", epochs=1000, l2=1.0, optimizer="lbfgs", sync={"mode": "gradient"})
    assert outcome.reason == "converged"
    assert outcome.version < 200


def test_resume_with_more_epochs_is_the_longer_run_to_the_byte(train):
    long = Table(train("long", epochs=6, optimizer="adam").table)
    train("short", epochs=2, optimizer="adam")
    short = Table(train("short", resume=True, epochs=6, optimizer="adam").table)
    assert short.read().signature == long.read().signature
    assert short.read().weights.state["rule"].tobytes() == long.read().weights.state["rule"].tobytes()
    train("measured", epochs=2, validation=0.2)
    train("whole", epochs=4, validation=0.2)
    train("measured", resume=True, epochs=4, validation=0.2)  # goes on from the closing version
    measured, whole = (
        Table(train(name, resume=True, epochs=4, validation=0.2).table) for name in ("measured", "whole")
    )
    assert measured.read().signature == whole.read().signature


def test_a_training_cut_short_between_merges_is_not_lengthened(train):
    """It merged at epoch 3 where a longer one merges at 4: nothing would be the same from there."""
    train(epochs=3, sync={"every": 2})
    with pytest.raises(SpecError, match="cut short at epoch 3"):
        train(resume=True, epochs=6, sync={"every": 2})
    train("even", epochs=4, sync={"every": 2})
    assert train("even", resume=True, epochs=6, sync={"every": 2}).version == 3


def test_a_table_that_is_there_needs_resume_and_resume_needs_a_table(train):
    with pytest.raises(TableError, match="no table to resume"):
        train(resume=True)
    train()
    with pytest.raises(TableError, match="there is a table already"):
        train()


@pytest.mark.parametrize(("change", "match"), [
    ({"seed": 4}, "seed was 3, given 4"), ({"shards": 3}, "shards was 2, given 3"),
    ({"optimizer": "sgd"}, "optimizer was"), ({"net": "0-6-0"}, "net was"), ({"loss": "sigmoid"}, "loss was"),
])  # fmt: skip
def test_resume_refuses_another_spec(train, change, match):
    train()
    with pytest.raises(SpecError, match=match):
        train(resume=True, **change)


def test_resume_refuses_changed_data_and_names_it(data, train):
    train()
    with open(data, "a") as file:
        file.write("1,2,3,1\n")
    with pytest.raises(DataError, match=r"a\.csv had length \d+, now \d+"):
        train(resume=True)


def test_weights_that_diverge_are_not_published(train, tmp_path):
    with pytest.raises(NonFinite):
        train(net="0-5-5-0", activation="linear", epochs=50, optimizer={"name": "sgd", "lr": 1e9})
    assert np.isfinite(Table(str(tmp_path / "model")).read().weights.w).all()


def test_unlabelled_data_cannot_train(train):
    with pytest.raises(DataError, match="no labels"):
        train(options=Options(labelled=False))


def test_the_runner_is_closed_whatever_happens(data, tmp_path):
    class Closing(LocalRunner):
        closed = 0

        def close(self):
            self.closed += 1
            super().close()

    runner = Closing(1)
    with pytest.raises(SpecError, match="net starts with 4"):
        driver.train(Job(data, str(tmp_path / "m"), parse({"net": "4-2"})), runner)
    assert runner.closed
    assert Table(str(tmp_path / "m")).numbers() == []


def test_genetic_candidates_are_measured_on_samples_kept_in_the_table(train):
    outcome = train(sync={"mode": "genetic", "genetic": {"fitness_samples": 30}}, epochs=6, optimizer="adam")
    table = Table(outcome.table)
    _, tensors = table.common()
    assert tensors["x"].shape == (30, 3)
    assert tensors["y"].shape == (30,)
    assert {len(row["genetic"]["parents"]) for row in outcome.rows} == {2}
    assert table.read().weights.state["population"].shape == (2, table.read().weights.w.size)
    assert min(outcome.rows[-1]["genetic"]["costs"]) < min(outcome.rows[0]["genetic"]["costs"])


def test_common_samples_of_sparse_data_stay_sparse(tmp_path):
    rows = [f"{i % 2} {i % 7 + 1}:{i % 5 + 1} 200000:1" for i in range(60)]
    (tmp_path / "a.svm").write_text("\n".join(rows) + "\n")
    spec = parse(
        {"net": "0-3-0", "shards": 2, "epochs": 2, "sync": {"mode": "genetic", "genetic": {"fitness_samples": 30}}}
    )
    outcome = driver.train(Job(str(tmp_path / "a.svm"), str(tmp_path / "m"), spec), LocalRunner(1))
    table = Table(outcome.table)
    _, tensors = table.common()
    assert sorted(tensors) == ["data", "indices", "indptr", "y"]
    assert len(tensors["indptr"]) == 31
    assert table.read().weights.state["population"].shape[0] == 2


# --- the trained network in use ------------------------------------------------------------------


def test_a_model_scores_and_predicts_in_input_order(data, train):
    model = Model(train(epochs=30, optimizer={"name": "adam", "lr": 0.05}, scale="standard").table)
    score = model.evaluate(open_source(data))
    answers = list(model.predict(open_source(data)))
    labels = np.concatenate([answer.labels for answer in answers])
    out = np.concatenate([answer.out for answer in answers])
    truth = np.loadtxt(data, delimiter=",")[:, 3]
    assert score.samples == len(labels) == len(out) == 120
    assert score.accuracy == (labels == truth).mean() > 0.8
    assert score.confusion.tolist() == [
        [int(((truth == a) & (labels == b)).sum()) for b in (0, 1)] for a in (0, 1)
    ]  # fmt: skip
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-5)


def test_a_regression_scores_by_r2(tmp_path):
    path = tmp_path / "r.csv"
    x = np.random.default_rng(0).normal(size=(200, 2))
    np.savetxt(path, np.c_[x, x @ [1.5, -2] + 0.25], fmt="%.6g", delimiter=",")
    spec = parse({"net": "2-1", "loss": "squared", "epochs": 20, "optimizer": "lbfgs", "sync": {"mode": "gradient"}})
    outcome = driver.train(Job(str(path), str(tmp_path / "m"), spec), LocalRunner(1))
    score = Model(outcome.table).evaluate(open_source(str(path)))
    assert score.r2 > 0.999
    assert (score.accuracy, score.confusion) == (None, None)
    assert next(Model(outcome.table).predict(open_source(str(path)))).labels is None


def stacked(folder, table, **more):
    x = np.random.default_rng(0).random((80, 5))
    path = folder / "stack.csv"
    np.savetxt(path, np.c_[x, np.arange(80) % 2], fmt="%.4f", delimiter=",")
    fields = {"model": "stacked", "net": "0-4-3-0", "batch": 8, "shards": 2, "pretrain": {"epochs": 2}, "epochs": 2}
    resume = more.pop("resume", False)
    job = Job(str(path), str(table), parse({**fields, **more}), resume=resume)
    return driver.train(job, LocalRunner(1))


def test_layers_that_others_stand_on_stay_as_they_are(tmp_path):
    """A longer patience goes on with the whole, not with the layers below it."""
    table, more = tmp_path / "m", {"validation": 0.2, "pretrain": {"epochs": 30}}
    stacked(tmp_path, table, patience=1, **more)
    before = [Table(f"{table}/layer{number}").latest() for number in (1, 2)]
    whole = Table(str(table)).latest()
    stacked(tmp_path, table, patience=20, epochs=6, resume=True, **more)
    assert [Table(f"{table}/layer{number}").latest() for number in (1, 2)] == before
    assert Table(str(table)).latest() > whole


def test_a_layer_is_not_trained_as_if_it_were_the_whole(tmp_path):
    stacked(tmp_path, tmp_path / "m")
    with pytest.raises(TableError, match="a layer of a stack"):
        stacked(tmp_path, tmp_path / "m" / "layer1", resume=True)
    assert not (tmp_path / "m" / "layer1" / "layer1").exists()


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"model": "mlp", "finetune": "none"}, "finetune: given none for mlp"), ({"layer": 2}, "layer: given 2")],
)
def test_what_only_stages_are_is_refused(tmp_path, fields, told):
    with pytest.raises(SpecError, match=told):
        stacked(tmp_path, tmp_path / "m", **fields)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(("model", "net"), [("autoencoder", "0-4-0"), ("rbm", "0-4")])
def test_networks_without_labels_are_bred_too(tmp_path, model, net):
    sync = {"mode": "genetic", "genetic": {"fitness_samples": 10}}
    optimizer = "sgd"
    outcome = stacked(tmp_path, tmp_path / "m", model=model, net=net, sync=sync, optimizer=optimizer, pretrain={})
    assert len(outcome.rows[-1]["genetic"]["parents"]) == 2
