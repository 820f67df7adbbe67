"""The product's signature: same spec, seed and shards, same SHA-256, whoever computes and however many they are."""

import numpy as np
import pytest

from hdl.errors import DataError
from hdl.table import Table
from tests.runner.common import signatures, state_bytes

MODES = {
    "gradient-sgd": {"sync": {"mode": "gradient"}, "optimizer": {"name": "sgd", "lr": 0.5}},
    "gradient-adam": {"sync": {"mode": "gradient"}, "optimizer": "adam"},
    "gradient-lbfgs": {"sync": {"mode": "gradient"}, "optimizer": "lbfgs", "l2": 0.01, "epochs": 6},
    "gradient-cg": {"sync": {"mode": "gradient"}, "optimizer": "cg", "l2": 0.01, "epochs": 6},
    "average-sgd": {"optimizer": "sgd", "validation": 0.2},
    "average-adam": {"optimizer": "adam", "dropout": 0.2, "sync": {"every": 2}},
    "average-cg": {"optimizer": "cg", "sync": {"every": 2}},
    "average-batches": {"optimizer": "momentum", "sync": {"every": 2, "unit": "batches"}, "validation": 0.1},
    "genetic": {"optimizer": "sgd", "sync": {"mode": "genetic", "genetic": {"fitness_samples": 20}}},
    "genetic-validation": {"optimizer": "adam", "sync": {"mode": "genetic"}, "validation": 0.3},
    "autoencoder-lbfgs": {"model": "autoencoder", "sync": {"mode": "gradient"}, "optimizer": "lbfgs", "l2": 0.01,
                          "autoencoder": {"beta": 3, "rho": 0.2}, "epochs": 6},
    "autoencoder-sgd": {"model": "autoencoder", "sync": {"mode": "gradient"}, "optimizer": "sgd",
                        "autoencoder": {"beta": 3, "rho": 0.2, "tied": True, "decoder": "linear"}},
    "autoencoder-adam": {"model": "autoencoder", "optimizer": "adam", "validation": 0.2,
                         "autoencoder": {"beta": 3, "rho": 0.2, "corruption": 0.3}},
    "stacked": {"model": "stacked", "net": "0-5-4-0", "pretrain": {"epochs": 2}, "validation": 0.2},
    "stacked-unrolled": {"model": "stacked", "net": "0-5-2", "finetune": "reconstruct", "epochs": 4,
                         "optimizer": "lbfgs", "sync": {"mode": "gradient"},
                         "pretrain": {"epochs": 4, "optimizer": "lbfgs"}},
    "rbm": {"model": "rbm", "net": "0-5", "optimizer": "momentum", "validation": 0.2, "rbm": {"k": 2, "beta": 0.1}},
    "rbm-gradient": {"model": "rbm", "net": "0-5", "sync": {"mode": "gradient"}, "optimizer": "sgd",
                     "rbm": {"visible": "gaussian"}},
    "rbm-persistent": {"model": "rbm", "net": "0-5", "optimizer": "sgd", "rbm": {"persistent": True, "chains": 10}},
    "rbm-persistent-gradient": {"model": "rbm", "net": "0-5", "optimizer": "adam", "sync": {"mode": "gradient"},
                                "rbm": {"persistent": True, "chains": 10}},
    "ensemble": {"members": 3, "optimizer": "adam", "validation": 0.2, "metric": "auc", "dropout": 0.2},
    "ensemble-gradient": {"members": 2, "sync": {"mode": "gradient"},
                          "optimizer": {"name": "adam", "weight_decay": 0.1}, "validation": 0.2},
    "ensemble-genetic": {"members": 2, "sync": {"mode": "genetic"}, "optimizer": "sgd", "validation": 0.2},
    "decay": {"optimizer": {"name": "adam", "weight_decay": 0.1}, "sync": {"every": 2}},
    "dbn": {"model": "dbn", "net": "0-5-4-0", "pretrain": {"epochs": 2}},
    "tuned": {"net": "0-5-4-0", "optimizer": {"name": "adam", "weight_decay": 0.1}, "validation": 0.2,
              "tuning": {"freeze": "1", "lr": "head=2", "l2_sp": 0.1}},
    "tuned-gradient": {"net": "0-5-4-0", "optimizer": "momentum", "sync": {"mode": "gradient"},
                       "tuning": {"freeze": "2", "layer_decay": 0.5, "l2_sp": 0.1}},
    "tuned-lbfgs": {"net": "0-5-4-0", "sync": {"mode": "gradient"}, "optimizer": "lbfgs", "epochs": 6,
                    "tuning": {"freeze": "all but last", "l2_sp": 0.1}},
    "tuned-cg": {"net": "0-5-4-0", "optimizer": "cg", "tuning": {"freeze": "1", "l2_sp": 0.1}},
    "tuned-genetic": {"net": "0-5-4-0", "sync": {"mode": "genetic"}, "optimizer": "adam", "members": 2,
                      "tuning": {"freeze": "1", "l2_sp": 0.1}},
    "bf16": {"net": "0-9-7-0", "precision": "bf16", "optimizer": "adam", "dropout": 0.2, "validation": 0.2},
    "bf16-gradient": {"precision": "bf16", "sync": {"mode": "gradient"}, "optimizer": "lbfgs", "l2": 0.01},
}  # fmt: skip


def compare(make_runner, data, train, mode, crews):
    found = []
    for workers, threads in crews:
        outcome = train(data, make_runner(workers, threads), **MODES[mode])
        found.append((signatures(outcome), state_bytes(outcome)))
    assert all(other == found[0] for other in found[1:])
    signed, rows = found[0][0]
    assert len(set(signed.values())) > 1  # it has learned something
    assert len(rows) >= 2


# One mode of each way to join and kind of model, that a worker group of YARN trains by default too, with so many
# workers: test_yarn_here.py. Of these only the threads are tried here.
GROUPS = {"gradient-lbfgs": 3, "average-adam": 3, "genetic-validation": 2, "rbm-persistent": 3, "dbn": 3}
# So it is of those whose workers keep and send what those of another mode do, which by default has a crew or a group.
ALIKE = {
    "gradient-adam": "gradient-sgd", "gradient-cg": "gradient-lbfgs", "average-batches": "average-sgd",
    "autoencoder-lbfgs": "autoencoder-sgd", "autoencoder-adam": "autoencoder-sgd", "stacked": "stacked-unrolled",
    "rbm": "rbm-gradient", "ensemble": "ensemble-genetic", "ensemble-gradient": "ensemble-genetic",
    "decay": "average-adam", "tuned": "tuned-genetic", "tuned-cg": "tuned-lbfgs", "bf16": "bf16-gradient",
}  # fmt: skip
assert {*ALIKE.values()} <= {*MODES} - {*ALIKE}
CREWS = {
    mode: (1, 2) if mode in GROUPS or mode in ALIKE else ((2, 2), (2, 1), (3, 1))[i % 3] for i, mode in enumerate(MODES)
}


@pytest.mark.parametrize(("mode", "crew"), CREWS.items())
def test_workers_and_threads_change_no_byte(make_runner, csv, train, mode, crew):
    compare(make_runner, csv(), train, mode, [(1, 1), crew])


@pytest.mark.parametrize("mode", ["gradient-adam", "average-sgd", "genetic"])
def test_centred_columns_and_targets_by_any_crew(make_runner, tmp_path, train, mode):
    """Seconds within a minute, a column that never changes, and prices as targets."""
    rng = np.random.default_rng(0)
    x = np.c_[1.7e9 + 60 * rng.random(90), rng.normal(size=90), np.full(90, 7)]
    np.savez(tmp_path / "seconds.npz", x=x, y=250_000 + 90_000 * x[:, 1])
    compare(make_runner, str(tmp_path / "seconds.npz"), train, mode, [(1, 1), (3, 2)])


@pytest.mark.full
@pytest.mark.parametrize("mode", MODES)
def test_no_crew_changes_a_byte(make_runner, csv, train, mode):
    compare(make_runner, csv(), train, mode, [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (4, 1), (4, 2)])


def test_another_seed_gives_other_bytes(make_runner, csv, train):
    data = csv()
    one, two = (train(data, make_runner(1), seed=seed) for seed in (1, 2))
    assert not set(signatures(one)[0].values()) & set(signatures(two)[0].values())


FEW = ((3, 5), (5, 5), (7, 3))
USUAL = {"gradient-sgd": FEW[:1], "average-adam": FEW, "average-cg": FEW[1:2], "genetic": FEW[:1]}


@pytest.mark.parametrize(
    ("mode", "samples", "shards"),
    [
        pytest.param(mode, *few, marks=() if few in usual else pytest.mark.full)
        for mode, usual in USUAL.items()
        for few in FEW
    ],
)
def test_few_samples_in_many_shards(make_runner, csv, train, mode, samples, shards):
    """Shards of one sample, smaller than a batch, and empty ones."""
    data, found = csv(samples), []
    for workers in 1, 2:
        outcome = train(data, make_runner(workers), **{**MODES[mode], "shards": shards})
        found.append(state_bytes(outcome))
        assert outcome.rows[0]["samples"] >= samples
    assert found[0] == found[1]


def test_gradient_mode_over_uneven_shards_is_the_whole_to_float_accuracy(make_runner, csv, train):
    data = csv(50)
    one, seven = (
        Table(train(data, make_runner(2), **{**MODES["gradient-sgd"], "shards": shards, "epochs": 5}).table).read()
        for shards in (1, 7)
    )
    np.testing.assert_allclose(one.weights.w, seven.weights.w, rtol=1e-4, atol=1e-6)


def test_a_workers_error_arrives_with_its_type_and_place(make_runner, tmp_path, train):
    path = tmp_path / "bad.csv"
    path.write_text("a,class\n" + "1,0\n2,1\n" * 30 + "x,1\n" + "1,0\n2,1\n" * 30)
    with pytest.raises(DataError, match=r"bad\.csv:62: .*'x'"):
        train(str(path), make_runner(2))
