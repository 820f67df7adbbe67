"""Early stopping of estimators by a metric of the samples held out."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, root_mean_squared_error

from hdl.errors import SpecError
from hdl.estimators import MLPClassifier, MLPRegressor

FIELDS = {"hidden_layer_sizes": (20,), "random_state": 2, "batch_size": 20, "learning_rate_init": 0.03, "max_iter": 60}


@pytest.fixture(autouse=True)
def quiet(recwarn):
    import warnings

    warnings.simplefilter("ignore", ConvergenceWarning)


@pytest.fixture
def rare():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    return x, np.where(x[:, 0] + rng.normal(size=300) > 1.5, "yes", "no")


def stops(scores, patience, tol=0.0):
    """After how many epochs nothing better has come for so long."""
    idle, best = 0, -np.inf
    for number, score in enumerate(scores, 1):
        idle = idle + 1 if number > 1 and score < best + tol else 0
        best = max(best, score)
        if idle > patience:
            return number
    return None


def test_the_metric_ends_the_training_and_chooses_the_weights(rare):
    x, y = rare
    more = {**FIELDS, "early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 3, "tol": 0.0}
    usual, by_auc, by_loss = (MLPClassifier(metric=metric, **more).fit(x, y) for metric in (None, "auc", "logloss"))
    for net in by_auc, by_loss:
        assert len(net.validation_scores_) == stops(net.validation_scores_, 3)
    assert 0.5 < by_auc.best_validation_score_ <= 1
    assert by_loss.best_validation_score_ < 0
    assert by_auc.validation_scores_ != usual.validation_scores_
    one = MLPClassifier(metric="accuracy", **more).fit(x, y)
    assert one.validation_scores_ == usual.validation_scores_
    assert all((a == b).all() for a, b in zip(one.coefs_, usual.coefs_, strict=True))


def test_scores_are_those_of_scikit_learn(rare):
    x, y = rare
    seen, held = slice(0, 200), slice(200, 300)
    net = MLPClassifier(metric="logloss", **{**FIELDS, "max_iter": 3}).fit(
        x[seen], y[seen], validation=(x[held], y[held])
    )
    expected = -log_loss(y[held], net.predict_proba(x[held]).astype(float))
    assert net.validation_scores_[-1] == pytest.approx(expected, rel=1e-6)
    prices = 1e5 + 2e4 * x[:, 0]
    net = MLPRegressor(metric="rmse", **{**FIELDS, "max_iter": 3}).fit(
        x[seen], prices[seen], validation=(x[held], prices[held])
    )
    assert net.validation_scores_[-1] == pytest.approx(
        -root_mean_squared_error(prices[held], net.predict(x[held])), rel=1e-6
    )  # in the unit of the targets


def test_what_cannot_be_is_told(rare):
    x, y = rare
    with pytest.raises(SpecError, match="metric: given rmse, which loss sigmoid does not have"):
        MLPClassifier(metric="rmse", early_stopping=True).fit(x, y)
    with pytest.raises(ValueError, match="The 'metric' parameter of MLPClassifier must be a str among"):
        MLPClassifier(metric="luck").fit(x, y)
    with pytest.raises(ValueError, match="metric='auc' is not defined for the samples held out"):
        MLPClassifier(metric="auc", max_iter=2).fit(x, y, validation=(x[y == "no"], y[y == "no"]))
