"""A job in scikit-learn's words and in hdl's: the estimators' parameters to a spec and back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, get_args

import numpy as np
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)

from hdl import spec as specs
from hdl.data import Schema, resolve
from hdl.data.tabular.frame import Column
from hdl.fitting.pace import PACES
from hdl.ops import losses
from hdl.spec import LINE_SEARCH_RULES, Spec
from hdl.spec.parts import Metric

ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"}  # scikit-learn's names of ours; the others are the same
REGRESSIONS = {"squared": "squared_error", "absolute": "absolute_error"} | {
    name: name for name in losses.REGRESSION if name not in ("squared", "absolute")
}  # our names of losses, and scikit-learn's
OWN = ("delta", "quantile", "power", "label_smoothing")  # fields of the spec that are parameters of one estimator alone
_COUNT = [Interval(Integral, 1, None, closed="left")]
_SWITCH = ["boolean"]
_POSITIVE = [Interval(Real, 0, None, closed="left")]
# What a parameter may be, of every estimator that has it. What is not here the spec judges.
_CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", *_COUNT],
    "batch_size": [StrOptions({"auto"}), *_COUNT],
    "n_iter_no_change": [*_COUNT, Options(Real, {np.inf})],
    "n_jobs": [Integral, None],
    **dict.fromkeys(("max_iter", "max_fun", "n_iter", "n_components", "k", "members"), _COUNT),
    "chains": [*_COUNT, None],
    **dict.fromkeys(("alpha", "l1", "l2", "max_norm", "tol", "weight_decay", "power_t"), _POSITIVE),
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "verbose": ["verbose"],
    "loss": [StrOptions(set(REGRESSIONS.values()))],
    "metric": [StrOptions(set(get_args(Metric))), None],
    "class_weight": [StrOptions({"balanced"}), dict, None],
    "delta": [Interval(Real, 0, None, closed="neither")],
    "quantile": [Interval(Real, 0, 1, closed="neither")],
    "power": [Interval(Real, 1, 2, closed="neither")],
    "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    **dict.fromkeys(("shuffle", "warm_start", "early_stopping", "nesterovs_momentum", "tied"), _SWITCH),
    "persistent": [*_SWITCH, None],
}


def check(estimator: Any) -> None:
    """Refuse parameters that are out of their range, in scikit-learn's words.

    Raises
    ------
    InvalidParameterError
        A ValueError and a TypeError.
    """
    given, name = estimator.get_params(deep=False), type(estimator).__name__
    known = {key: value for key, value in given.items() if key in _CONSTRAINTS}
    validate_parameter_constraints({key: _CONSTRAINTS[key] for key in known}, known, caller_name=name)
    sizes = np.atleast_1d(np.asarray(given.get("hidden_layer_sizes", ())))
    if sizes.size and (sizes.dtype.kind not in "iu" or sizes.ndim > 1 or sizes.min() < 1):
        raise InvalidParameterError(
            f"The 'hidden_layer_sizes' parameter of {name} must be an array-like of ints in the range [1, inf) or an "
            f"int in the range [1, inf). Got {given['hidden_layer_sizes']!r} instead."
        )


def preprocessing(estimator: Any) -> dict[str, Any]:
    """Return the fields of `hdl.spec.Preprocessing` that an estimator's parameters mean."""
    return {name: getattr(estimator, name) for name in ("missing", "min_count", "numeric_embedding")}


def scale_of(estimator: Any, columns: Sequence[Column]) -> str:
    """Return the scaling of features as a spec names it; without a wish that of mixed columns is automatic."""
    return estimator.scale or ("auto" if any(column.kind != "number" for column in columns) else "none")


def extended(init: Callable[..., None], first: str = "", /, **more: Any) -> Callable[..., None]:
    """Make an `__init__` with more parameters by keyword, which scikit-learn finds by its signature.

    One of them may come `first` as text too, before all others: scikit-learn 1.7 has put a regressor's loss there.

    Examples
    --------
    >>> class Base:
    ...     def __init__(self, a=1): self.a = a
    >>> class Other(Base):
    ...     __init__ = extended(Base.__init__, b=2)
    >>> vars(Other(3)), vars(Other(b=4))
    ({'b': 2, 'a': 3}, {'b': 4, 'a': 1})
    """

    def __init__(self: Any, *given: Any, **named: Any) -> None:
        if first and given and isinstance(given[0], str):
            named, given = {first: given[0], **named}, given[1:]
        for name, default in more.items():
            setattr(self, name, named.pop(name, default))
        init(self, *given, **named)

    own = inspect.signature(init)
    added = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in more.items()]
    __init__.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    return __init__


def to_spec(estimator: Any, schema: Schema, seed: int, samples: int, epochs: int, weight: float = 1.0) -> Spec:
    """Return the job that an estimator's parameters describe, for data of this schema.

    Parameters
    ----------
    weight : float
        Mean weight of a sample.

    Raises
    ------
    SpecError
        A parameter is out of its range.
    """
    search = estimator.solver in LINE_SEARCH_RULES
    batch = min(200, samples) if estimator.batch_size == "auto" else min(estimator.batch_size, samples)
    name = estimator.solver
    if name == "sgd" and estimator.momentum:
        name = "nesterov" if estimator.nesterovs_momentum else "momentum"
    rate = estimator.learning_rate
    rule = {
        "name": name,
        "lr": estimator.learning_rate_init,
        "schedule": {"name": "constant" if rate in PACES else rate} if isinstance(rate, str) else rate,
        "momentum": estimator.momentum,
        "beta1": estimator.beta_1,
        "beta2": estimator.beta_2,
        "epsilon": estimator.epsilon,
        "weight_decay": estimator.weight_decay,
    }
    divisor = (
        samples if search else batch
    ) * weight  # scikit-learn divides penalties by what a gradient's samples weigh
    columns = () if schema.encodings is None else schema.encodings.columns
    hidden = np.atleast_1d(np.asarray(estimator.hidden_layer_sizes, int)).tolist()
    spec = specs.parse(
        {
            "net": [schema.inputs, *hidden, schema.outputs],
            "activation": ACTIVATIONS.get(estimator.activation, estimator.activation),
            "loss": schema.loss,
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
            "scale": scale_of(estimator, columns),
            "shuffle_window": samples if estimator.shuffle else 0,
            "preprocessing": preprocessing(estimator),
            "embedding": estimator.embedding,
            "members": estimator.members,
            **{name: getattr(estimator, name) for name in OWN if hasattr(estimator, name)},
            "class_weight": _class_weight(estimator),
        }
    )
    return spec if schema.encodings is None else resolve(spec, schema)


def _class_weight(estimator: Any) -> Any:
    """Return the weights of classes as a spec has them: by their names as text."""
    chosen = getattr(estimator, "class_weight", None)
    return {str(name): weight for name, weight in chosen.items()} if isinstance(chosen, dict) else chosen


def to_parameters(spec: Spec, schema: Schema) -> dict[str, Any]:
    """Return parameters with which an estimator would train as `spec` says, on one shard of the schema's samples."""
    rule, batch = spec.optimizer, max(1, min(spec.batch_size, schema.samples))
    if spec.cost in losses.REGRESSION:
        own: dict[str, Any] = {"loss": REGRESSIONS[spec.cost]}
    else:
        own = {"class_weight": spec.class_weight}
        if isinstance(spec.class_weight, dict) and schema.class_weights is not None:  # a spec names classes by text
            own["class_weight"] = dict(zip(schema.classes, schema.class_weights.tolist(), strict=True))
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
        "shuffle": spec.shuffle_window > 0,
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
        **{name: getattr(spec.preprocessing, name) for name in ("missing", "min_count", "numeric_embedding")},
        "embedding": spec.embedding,
        "members": spec.members,
        "weight_decay": rule.weight_decay,
        "metric": spec.metric,
        **own,
        **{name: getattr(spec, name) for name in OWN if (name == "label_smoothing") != (spec.cost in REGRESSIONS)},
        "scale": f"divide:{scale.constant}" if scale.name == "divide" else scale.name,
    }
