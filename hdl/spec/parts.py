"""The parts of a spec, each frozen, each with its defaults: optimiser, sync mode, scaling, and those of one model."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Activation = Literal["linear", "sigmoid", "tanh", "lecun_tanh", "relu", "leaky_relu"]
Loss = Literal["softmax", "sigmoid", "squared", "huber", "absolute", "quantile", "poisson", "gamma", "tweedie"]
CLASSES = ("softmax", "sigmoid")
LOG_LINK = ("poisson", "gamma", "tweedie")  # losses whose answer is e^z
REGRESSION = ("squared", "huber", "absolute", "quantile", *LOG_LINK)
# Measures by which versions are compared; what each means, and which way is better: `hdl.metrics`.
Metric = Literal[
    "cost", "accuracy", "auc", "pr_auc", "logloss", "brier", "f1", "mcc", "balanced_accuracy", "top_k",
    "rmse", "mae", "r2", "deviance",
]  # fmt: skip
HOLDOUTS = ("path", "where", "column", "folds")  # fields of `Holdout` that are rules, of which one may be given
Rule = Literal["sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "gd", "cg", "lbfgs"]
InitName = Literal["glorot", "he", "lecun", "uniform"]
Probability = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Small = Annotated[int, Field(ge=1, le=10**6)]  # a count; above a million it is a typing error
Batch = Annotated[int, Field(ge=1, le=2**31 - 1)]

LINE_SEARCH_RULES = ("gd", "cg", "lbfgs")
MINI_BATCH_RULES = tuple(name for name in get_args(Rule) if name not in LINE_SEARCH_RULES)
DEFAULT_LR = {"adam": 0.001, "rmsprop": 0.001, "adadelta": 1.0, "adagrad": 0.05}  # others: 0.1
DEFAULT_INIT: dict[str, InitName] = {"relu": "he", "leaky_relu": "he", "lecun_tanh": "lecun"}  # others: glorot


class Part(BaseModel):
    """Base of the spec's parts: frozen, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Init(Part):
    """The initialiser of the weights; biases start at 0 except with `uniform`, which fills them too.

    `glorot` (Glorot & Bengio 2010, uniform), `he` (He et al. 2015, normal), `lecun`
    (LeCun et al. 1998, normal) or `uniform` on [low, high].
    """

    name: InitName = "glorot"
    low: float = -0.05
    high: float = 0.05

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Schedule(Part):
    """The learning rate over training: lr(t) with t in epochs.

    `constant`; `inverse` lr/(1 + decay·t); `exponential` lr·decay^t; `step` lr·decay^⌊t/every⌋;
    `cosine` from lr to 0 over all epochs. `warmup` epochs rise linearly from 0.
    """

    name: Literal["constant", "inverse", "exponential", "step", "cosine"] = "constant"
    decay: NonNegative = 0.95
    every: Positive = 10
    warmup: NonNegative = 0


class Optimizer(Part):
    """An update rule. `gd`, `cg` and `lbfgs` search along a line; the others take mini-batch steps."""

    name: Rule = "adam"
    lr: Positive | None = None  # None: DEFAULT_LR
    schedule: Schedule = Schedule()
    weight_decay: NonNegative = 0.0  # decoupled from the gradient (Loshchilov & Hutter 2019); biases are exempt
    momentum: Probability = 0.9
    beta1: Probability = 0.9
    beta2: Probability = 0.999
    rho: Probability = 0.9
    epsilon: Positive = 1e-8
    history: Small = 10  # lbfgs: pairs kept
    max_evaluations: Small = 30  # evaluations a line search may take
    iterations: Small = 5  # line-search iterations in a row on one mini-batch, inside a worker

    @property
    def rate(self) -> float:
        """Learning rate: the given one, or the rule's default."""
        return self.lr if self.lr is not None else DEFAULT_LR.get(self.name, 0.1)

    @property
    def line_search(self) -> bool:
        """Tells whether the rule searches along lines, for a cost and gradient over many samples."""
        return self.name in LINE_SEARCH_RULES


class Genetic(Part):
    """Breeding of the shards' networks: truncation selection, roulette wheel, crossover, mutation."""

    keep: Fraction = 0.5  # truncation share: the best that may be parents
    elite: Annotated[int, Field(ge=0)] = 1  # best networks passed on unchanged
    crossover: Literal["rows", "uniform_rows", "single_point", "arithmetic"] = "uniform_rows"
    mutation_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    mutation_scale: NonNegative = 0.1  # standard deviation, as a share of each layer's own
    fitness_samples: Count = 1000  # common data on which every candidate is measured


class Holdout(Part):
    """The rule by which validation samples are chosen, where it is more than a share of all.

    Parameters
    ----------
    stratified : bool or None
        Whether each class is held out by the same share; None: filled in from the data, and not in older tables.
    path : str or None
        A dataset of its own that is the validation part.
    where : str or None
        A condition on columns: rows that meet it are held out.
    column, value : str or None
        A column that says which rows are held out, and is no feature then: those that have this value, or, without
        one, those where it is true, or 1.
    folds, fold : int
        Of so many parts (0: none), chosen as the share is, the one of this number, from 0, is held out.
    """

    stratified: bool | None = None
    path: str | None = None
    where: str | None = None
    column: str | None = None
    value: str | None = None
    folds: Annotated[int, Field(ge=0, le=1000)] = 0
    fold: Annotated[int, Field(ge=0)] = 0

    @property
    def validates(self) -> bool:
        """Tells whether the rule holds samples out."""
        return any(getattr(self, name) for name in HOLDOUTS)

    @model_validator(mode="after")
    def _one(self):
        chosen = [name for name in HOLDOUTS if getattr(self, name)]
        if self.value is not None and not self.column:
            raise ValueError(f"value {self.value!r} is a column's; no column is given")
        if len(chosen) > 1:
            raise ValueError(f"validation is chosen by one rule (given {' and '.join(chosen)})")
        if self.folds == 1 or self.fold >= max(1, self.folds):
            raise ValueError(f"fold {self.fold} of {self.folds}: expected 2 folds or more, and one of them from 0")
        return self


class Sync(Part):
    """The sync mode: what a worker does in a round. `every` counts epochs or mini-batches (`unit`) between merges."""

    mode: Literal["gradient", "average", "genetic", "async"] = "average"
    every: Count = 1
    unit: Literal["epochs", "batches"] = "epochs"
    equal: Small = 5  # async: rounds of the fastest worker between two merges of all
    staleness: Annotated[int, Field(ge=0)] = 5  # async: rounds that merged weights may be behind
    genetic: Genetic = Genetic()


class Autoencoder(Part):
    """The cost of an autoencoder, and of the layers of a stacked one.

    Over m samples, with codes a = f(x·W1 + b1) and reconstructions r of x:
    1/m Σ ½‖r − x‖² + l2/2·(‖W1‖² + ‖W2‖²) + beta·Σ_j KL(rho‖ρ̂_j) + contractive/2·1/m Σ ‖∂a/∂x‖².

    Parameters
    ----------
    decoder : {'sigmoid', 'linear'}
    tied : bool
        Whether the decoder's weights are the encoder's, transposed.
    rho, beta : float
        Target of each code's average activation ρ̂ over all samples of all shards, and the weight of that term.
    memory : float
        In mini-batch modes ρ̂ is a running mean that keeps this share of itself at each step.
    corruption : float
        Probability that an input is set to 0 before it is encoded (Vincent et al. 2010).
    contractive : float
        Weight of the squared Frobenius norm of the codes' Jacobian (Rifai et al. 2011).
    """

    decoder: Literal["sigmoid", "linear"] = "sigmoid"
    tied: bool = False
    rho: Annotated[float, Field(gt=0, lt=1)] = 0.05
    beta: NonNegative = 0.0
    memory: Probability = 0.9
    corruption: Probability = 0.0
    contractive: NonNegative = 0.0


class Rbm(Part):
    """A restricted Boltzmann machine, and the layers of a deep belief network (there `visible` is the first one's).

    Parameters
    ----------
    visible : {'binary', 'gaussian'}
        Gaussian units have variance 1: the data is standardised.
    k : int
        Gibbs steps of contrastive divergence.
    persistent : bool
        Whether the negative phase goes on from `chains` particles a shard, kept from step to step (Tieleman 2008).
    rho, beta : float
        Target of each hidden unit's average activation, and the rate at which the biases are moved towards it.
    """

    visible: Literal["binary", "gaussian"] = "binary"
    k: Small = 1
    persistent: bool = False
    chains: Small = 100
    rho: Annotated[float, Field(gt=0, lt=1)] = 0.05
    beta: NonNegative = 0.0


class Pretrain(Part):
    """The training of each layer of a stacked autoencoder or a deep belief network, before that of the whole network.

    Everything that has no field here is as for the whole network.
    """

    epochs: Small = 10
    optimizer: Rule | None = None  # None: adam for autoencoders, momentum for RBMs
    lr: Positive | None = None  # None: the rule's own; for RBMs 0.05
    batch: Batch | None = None
    l2: NonNegative = 0.0


class Scale(Part):
    """The scaling of features before the net sees them; the fitted numbers are stored with the model.

    `auto`: divide images by the value of white, standardise other features (sparse: divide by the largest magnitude);
    of a table's numbers, scale those with far outliers as `robust` does: by median and interquartile range, clipped
    smoothly.
    """

    name: Literal["auto", "none", "minmax", "standard", "divide", "robust", "quantile", "log"] = "auto"
    constant: Positive = 255.0  # divide

    @property
    def fitted(self) -> bool:
        """Whether the scaling depends on the data."""
        return self.name not in ("none", "divide")


class Preprocessing(Part):
    """The rules by which the columns of a table become inputs; what is fitted is stored with the model.

    Parameters
    ----------
    missing : {'mean', 'median', 'indicator', 'drop', 'error'}
        What stands for a number that is missing: the mean or the median, with an input that says so; 0 with such an
        input (`indicator`); or the row is dropped, or refused.
    min_count : int
        Levels of a category that fewer rows have are one level, `other`.
    max_levels : int
        Levels of a category at most: of more, the most frequent ones.
    hash_buckets : int
        Levels share so many inputs by their hash; 0: each has its own.
    numeric_embedding : {'ple', 'periodic'} or None
        Piecewise linear encoding of numbers, or periodic activations (Gorishniy et al. 2022).
    bins : int
        Inputs of a number with a numeric embedding.
    """

    missing: Literal["mean", "median", "indicator", "drop", "error"] = "mean"
    min_count: Count = 1
    max_levels: Count = 10_000
    hash_buckets: Annotated[int, Field(ge=0, le=10**7)] = 0
    numeric_embedding: Literal["ple", "periodic"] | None = None
    bins: Annotated[int, Field(ge=2, le=1024)] = 16


def named(text: str) -> dict[str, Any]:
    """Parses the value of a flag to a part's fields: `uniform[0,1]`, `divide:16`, or a plain name."""
    if match := re.fullmatch(r"(\w+)\[([^,\]]+),([^,\]]+)\]", text):
        return {"name": match[1], "low": match[2], "high": match[3]}
    if match := re.fullmatch(r"(divide):(.+)", text):
        return {"name": match[1], "constant": match[2]}
    return {"name": text}
