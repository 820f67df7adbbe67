"""scikit-learn's tests that cannot hold for hdl, with the reason, and what a user does instead."""

from typing import NamedTuple


class Exempt(NamedTuple):
    """The reason why a test fails, and what a user does instead."""

    why: str
    instead: str


MLP = {
    "test_gradient": Exempt(
        "asks the private _loss_grad_lbfgs for gradients in float64; hdl's gradients are float32 and made in its core",
        "hdl's gradients are tested against central differences in tests/unit/test_ops.py; a user reads loss_curve_",
    ),
    "test_learning_rate_warmstart": Exempt(
        "reads the private _optimizer.learning_rate", "learning_rate_ is the rate of the next epoch"
    ),
    "test_adaptive_learning_rate": Exempt(
        "reads the private _optimizer.learning_rate", "learning_rate_ is the rate of the next epoch"
    ),
    "test_n_iter_no_change": Exempt(
        "reads the private _no_improvement_count", "n_iter_ and loss_curve_ tell when a training ended"
    ),
    "test_n_iter_no_change_inf": Exempt(
        "reads the private _no_improvement_count", "n_iter_ and loss_curve_ tell when a training ended"
    ),
    "test_early_stopping_stratified": Exempt(
        "expects a message that names the class by scikit-learn's inner code, 'True'",
        "the same error, which names the class as y has it: '1'",
    ),
}
RBM = {
    "test_transform": Exempt("calls the private _mean_hiddens", "transform gives the same probabilities"),
    "test_sample_hiddens": Exempt(
        "calls the private _mean_hiddens and _sample_hiddens", "transform, and numpy's own draws; or h_samples_"
    ),
    "test_fit_gibbs": Exempt(
        "compares weights with those that NumPy's generator of seed 42 leads to; hdl draws from counters, so that a "
        "retried task draws the same on every machine",
        "gibbs and components_ mean the same; only the seeds' meaning differs",
    ),
}
