"""Searches of other libraries work with hdl's estimators."""

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score

import hdl


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    y = np.arange(240) % 2
    return (rng.normal(size=(240, 4)) + 1.5 * np.eye(2, 4)[y]).astype(np.float32), y


def net(**settings):
    return hdl.MLPClassifier(hidden_layer_sizes=(4,), random_state=0, **settings)


def test_halving_and_grids_of_scikit_learn(samples):
    space = {"learning_rate_init": [1e-5, 1e-2]}
    halving = HalvingRandomSearchCV(
        net(), space, n_candidates=2, factor=2, resource="max_iter", max_resources=8, random_state=0, cv=2
    ).fit(*samples)
    assert halving.best_params_["learning_rate_init"] == 1e-2
    assert GridSearchCV(net(max_iter=8), space, cv=2).fit(*samples).best_params_["learning_rate_init"] == 1e-2


def test_optunas_own_loop(samples):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial):
        rate = trial.suggest_float("learning_rate_init", 1e-5, 1e-1, log=True)
        return cross_val_score(net(max_iter=20, batch_size=20, learning_rate_init=rate), *samples, cv=2).mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=6)
    assert study.best_value > 0.7
    assert study.best_value > min(trial.value for trial in study.trials)
