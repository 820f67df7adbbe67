"""A job in scikit-learn's words and in hdl's: the estimators' parameters to a spec and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from hdl import spec as specs
from hdl.spec import LINE_SEARCH_RULES, Spec

ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"}  # scikit-learn's names of ours; the others are the same


def to_spec(estimator: Any, inputs: int, outputs: int, loss: str, seed: int, samples: int, epochs: int) -> Spec:
    """The job that an estimator's parameters describe.

    Raises
    ------
    SpecError
        A parameter is out of its range.
    """
    search = estimator.solver in LINE_SEARCH_RULES
    batch = min(200, samples) if estimator.batch_size == "auto" else max(1, min(estimator.batch_size, samples))
    name = estimator.solver
    if name == "sgd" and estimator.momentum:
        name = "nesterov" if estimator.nesterovs_momentum else "momentum"
    rate = estimator.learning_rate
    rule = {
        "name": name,
        "lr": estimator.learning_rate_init,
        "schedule": {"name": rate} if isinstance(rate, str) else rate,
        "momentum": estimator.momentum,
        "beta1": estimator.beta_1,
        "beta2": estimator.beta_2,
        "epsilon": estimator.epsilon,
    }
    divisor = samples if search else batch  # scikit-learn divides penalties by the samples that a gradient saw
    return specs.parse(
        {
            "net": [inputs, *np.atleast_1d(np.asarray(estimator.hidden_layer_sizes, int)).tolist(), outputs],
            "activation": ACTIVATIONS.get(estimator.activation, estimator.activation),
            "loss": loss,
            "init": estimator.init,
            "l1": estimator.l1 / divisor,
            "l2": estimator.alpha / divisor,
            "max_norm": estimator.max_norm,
            "dropout": estimator.dropout,
            "input_dropout": estimator.input_dropout,
            "optimizer": rule,
            "batch": 0 if search else batch,
            "epochs": epochs,
            "sync": {"mode": "gradient" if search else "average"},
            "seed": seed,
            "precision": estimator.precision,
            "scale": estimator.scale,
            "shuffle_window": samples,
        }
    )


def to_parameters(spec: Spec, samples: int) -> dict[str, Any]:
    """Parameters with which an estimator would train as `spec` says, on one shard of so many samples."""
    rule, batch = spec.optimizer, max(1, min(spec.batch_size, samples))
    names = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
    init, scale = spec.init, spec.scale
    return {
        "hidden_layer_sizes": spec.widths[1:-1],
        "activation": names.get(spec.activation, spec.activation),
        "solver": "sgd" if rule.name in ("momentum", "nesterov") else rule.name,
        "alpha": spec.l2 * batch,
        "l1": spec.l1 * batch,
        "batch_size": batch,
        "learning_rate": rule.schedule.model_dump(),
        "learning_rate_init": rule.rate,
        "max_iter": spec.epochs,
        "random_state": spec.seed,
        "precision": spec.precision,
        "momentum": 0.0 if rule.name == "sgd" else rule.momentum,
        "nesterovs_momentum": rule.name == "nesterov",
        "beta_1": rule.beta1,
        "beta_2": rule.beta2,
        "epsilon": rule.epsilon,
        "max_norm": spec.max_norm,
        "dropout": spec.dropout,
        "input_dropout": spec.input_dropout,
        "init": None if init is None else f"uniform[{init.low},{init.high}]" if init.name == "uniform" else init.name,
        "scale": f"divide:{scale.constant}" if scale.name == "divide" else scale.name,
    }
