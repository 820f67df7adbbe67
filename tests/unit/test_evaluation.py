"""The score of a dataset from file to figures: what scikit-learn says of the same predictions, by name."""

import numpy as np
import pytest
from sklearn import metrics as sk

from hdl import data, driver, evaluation
from hdl.data import Bad
from hdl.errors import SpecError
from hdl.metrics import Measures
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec, parse

N = 500
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2)).round(3)
NOISE = RNG.normal(size=N)
WEIGHT = RNG.integers(0, 4, N)
LABELS = {
    "binary": np.where(X.sum(axis=1) + NOISE > 1.5, "yes", "no"),
    "classes": np.array(["a", "b", "c"])[np.digitize(X[:, 0] + 0.5 * NOISE, [-0.5, 1])],
    "regression": (40 + 7 * X[:, 0] + NOISE).round(3),
}


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Each task's model, the file that it is measured on, and the score."""
    folder, out = tmp_path_factory.mktemp("scored"), {}
    for task, label in LABELS.items():
        path = folder / f"{task}.csv"
        rows = [f"{a},{b},{w},{y}" for (a, b), w, y in zip(X.tolist(), WEIGHT.tolist(), label.tolist(), strict=True)]
        path.write_text("\n".join(["a,b,w,y", *rows, ""]))
        options = data.Options.make({"label": ("y",), "weights": "w"})
        spec = parse({"net": (0, 8, 0), "epochs": 4, "batch": 16, "shards": 2, "seed": 3})
        driver.train(Job(str(path), str(folder / task), spec, options), LocalRunner(1, 1))
        model = Model(str(folder / task))
        out[task] = model, str(path), model.evaluate(data.open_source(str(path), model.reading, model.schema))
    return out


def answers(model, path):
    parts = list(model.predict(data.open_source(path, model.reading, model.schema, labels=False)))
    return np.concatenate([np.asarray(part.out) for part in parts])


def same(own, other):
    assert own == pytest.approx(other, rel=1e-12, abs=1e-12)


def test_two_classes(scored):
    model, path, score = scored["binary"]
    y, p = (LABELS["binary"] == "yes").astype(int), answers(model, path)[:, -1].astype(np.float64)
    own = {"sample_weight": WEIGHT}
    same(score.metrics["auc"], sk.roc_auc_score(y, p, **own))
    same(score.metrics["pr_auc"], sk.average_precision_score(y, p, **own))
    same(score.metrics["brier"], sk.brier_score_loss(y, p, **own))
    same(score.metrics["logloss"], sk.log_loss(y, p, **own))
    assert score.metrics["logloss"] == pytest.approx(score.cost, rel=1e-5)
    same(score.metrics["accuracy"], score.accuracy)
    same(score.metrics["f1"], sk.f1_score(y, p >= score.thresholds["f1"], **own))
    same(score.majority, max(WEIGHT[y == 0].sum(), WEIGHT[y == 1].sum()) / WEIGHT.sum())
    assert [row["samples"] for row in score.per_class] == [WEIGHT[y == 0].sum(), WEIGHT[y == 1].sum()]
    assert score.per_class[1]["auc"] == score.metrics["auc"]
    assert score.curves.roc["tpr"][-1] == 1
    assert score.weight == WEIGHT.sum()


def test_several_classes(scored):
    model, path, score = scored["classes"]
    names, p = np.array(model.schema.classes), answers(model, path).astype(np.float64)
    y = np.searchsorted(names, LABELS["classes"])
    aucs = [sk.roc_auc_score(y == k, p[:, k], sample_weight=WEIGHT) for k in range(3)]
    same(score.metrics["auc"], np.mean(aucs))
    same(score.metrics["mcc"], sk.matthews_corrcoef(y, p.argmax(axis=1), sample_weight=WEIGHT))
    for k, row in enumerate(score.per_class):
        same(row["auc"], aucs[k])
        same(row["recall"], sk.recall_score(y == k, p.argmax(axis=1) == k, sample_weight=WEIGHT))
    assert score.curves is None
    assert score.thresholds == {}


def test_numbers_are_measured_in_their_own_unit(scored):
    model, path, score = scored["regression"]
    y, p, own = LABELS["regression"], answers(model, path)[:, 0], {"sample_weight": WEIGHT}
    # Targets and answers are float32 in the net's unit.
    for name, value in {
        "rmse": sk.root_mean_squared_error(y, p, **own), "mae": sk.mean_absolute_error(y, p, **own),
        "r2": sk.r2_score(y, p, **own), "deviance": sk.mean_squared_error(y, p, **own),
    }.items():  # fmt: skip
        assert score.metrics[name] == pytest.approx(value, rel=1e-6)
    assert (score.rmse, score.r2) == (score.metrics["rmse"], score.metrics["r2"])
    assert score.per_class == []
    assert score.majority is None


def test_a_threshold_decides_the_answers_and_not_the_ranks(scored):
    model, path, plain = scored["binary"]
    y, p = (LABELS["binary"] == "yes").astype(int), answers(model, path)[:, -1]
    measures = Measures(model.spec, classes=True)
    label = y.astype(np.float32)[:, None] if model.schema.encoding == "binary" else y.astype(np.int32)
    measures.add(p[:, None] if model.spec.widths[-1] == 1 else np.stack([1 - p, p], axis=1), label)
    score = evaluation.score(measures, model.schema, model.spec, Bad(), threshold=0.2)
    assert score.confusion.tolist() == sk.confusion_matrix(y, p >= np.float32(0.2)).tolist()
    same(score.per_class[1]["precision"], sk.precision_score(y, p >= np.float32(0.2)))
    without = evaluation.score(measures, model.schema, model.spec, Bad())
    assert score.metrics | {"accuracy": 0} == without.metrics | {"accuracy": 0}
    assert score.accuracy != without.accuracy
    assert plain.samples == score.samples == N


def test_a_threshold_is_for_two_classes(scored):
    model, *_ = scored["regression"]
    with pytest.raises(SpecError, match="two classes"):
        evaluation.score(Measures(model.spec), model.schema, model.spec, Bad(), threshold=0.5)


def test_a_network_without_labels_has_a_cost_alone():
    seen = Measures(Spec(model="autoencoder", net="4-2-4", loss="squared"))
    seen.add(np.zeros((3, 4), np.float32), None)
    assert seen.metrics() == {"cost": None}
    assert Measures.from_parts(*seen.to_parts()).samples == 3
