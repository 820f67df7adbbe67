"""The spec of a training: validated, immutable, to and from JSON.

A `Spec` holds everything that decides the weights, and nothing that does not: runner, workers,
threads and paths are elsewhere. Two runs of the same `Spec` over the same shards give the same bytes.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from hdl.errors import SpecError
from hdl.spec import checks
from hdl.spec.parts import (
    DEFAULT_INIT,
    LINE_SEARCH_RULES,
    MINI_BATCH_RULES,
    REGRESSION,
    Activation,
    Autoencoder,
    Batch,
    Count,
    Genetic,
    Holdout,
    Init,
    Loss,
    Metric,
    NonNegative,
    Optimizer,
    Part,
    Positive,
    Preprocessing,
    Pretrain,
    Probability,
    Rbm,
    Scale,
    Schedule,
    Small,
    Sync,
    named,
)  # fmt: skip
from hdl.spec.tuning import Tuning

__all__ = [
    "LINE_SEARCH_RULES", "MINI_BATCH_RULES", "Activation", "Autoencoder", "Genetic", "Holdout", "Init", "Optimizer",
    "Part", "Preprocessing", "Pretrain", "Rbm", "Scale", "Schedule", "Spec", "Sync", "Tuning",
    "parse",
]  # fmt: skip


class Spec(Part):
    """The spec of one training.

    Parameters
    ----------
    model : {'mlp', 'autoencoder', 'stacked', 'rbm', 'dbn'}
        `stacked` and `dbn` learn their layers one after the other, as `pretrain` says, and then the whole network, as
        `finetune` says.
    net : tuple of int or None
        Widths, inputs and outputs included, e.g. (784, 100, 32, 10). None or an end of 0 is filled
        in from the data (`hdl.data.resolve`).
    activation : {'linear', 'sigmoid', 'tanh', 'lecun_tanh', 'relu', 'leaky_relu'}
        Of hidden units; `leak` is the slope of `leaky_relu` below 0.
    loss : {'softmax', 'sigmoid', 'squared', 'huber', 'absolute', 'quantile', 'poisson', 'gamma', 'tweedie'} or None
        None: chosen from the labels. Regressions compute with standardised targets (`hdl.ops.losses`).
    delta : float
        Of the loss huber: from how many standard deviations of the targets on an error counts by its magnitude.
    quantile : float
        That the loss quantile asks for.
    power : float
        Of the mean, to which the variance of the loss tweedie is proportional.
    label_smoothing : float
        Share of a class's probability that all classes get in equal parts, in training (Szegedy et al. 2016); a
        measured cost is without.
    class_weight : 'balanced', dict of str to float, or None
        What a sample of each class counts, times the sample's own weight; `balanced`: n/(C·n_c). Classes that are not
        named count 1.
    init : Init or None
        None: he for relu and leaky_relu, lecun for lecun_tanh, else glorot.
    l1, l2 : float
        l1·|w|₁ + l2/2·|w|² is added to the mean cost; biases are exempt.
    max_norm : float
        Largest norm of the weights into one unit (Srivastava et al. 2014, section 5.1); 0 for none.
    dropout, input_dropout : float
        Probabilities that a hidden unit and an input are dropped (Srivastava et al. 2014).
    optimizer : Optimizer
    batch : int or None
        Samples of a mini-batch; 0 in flags and files means the whole shard. None: chosen from the data.
    epochs : int
        Passes over the data.
    sync : Sync
    shards : int
        Parts of the dataset that are trained on side by side.
    seed : int
    precision : {'float32', 'tf32', 'bf16'}
        What the factors of products are rounded to, before these are added in float32. tf32 is for GPUs: a CPU uses
        float32 then. RBMs take bf16 on GPUs alone.
    scale : Scale
    validation : float
        Share of the training samples held out, chosen by the seed; 0 for none.
    holdout : Holdout
        How validation samples are chosen, where it is not by their share alone.
    metric : str or None
        Measure of the validation samples that decides the best version and early stopping; None: the cost.
    patience : int
        Early stopping: rounds without a better metric; 0 for never.
    keep : int
        Versions kept in the table besides version 0, the best and the last.
    autoencoder, rbm, pretrain : Autoencoder, Rbm, Pretrain
        Of these models alone.
    finetune : {'classify', 'reconstruct', 'none'}
        Of a stack: the whole has a softmax on top, or is unrolled into a deep autoencoder, or is not trained.
    layer : int
        Number of a stack's layer, from 1, which hdl sets; 0 for all other networks.
    shuffle_window : int
        Samples shuffled together: bounds random reads of data on disk. 0: each epoch takes a shard in its own order.
    preprocessing : Preprocessing
        Of a table.
    embedding : int or 'auto'
        Width of the learned vector that stands for each level of a category (Guo & Berkhahn 2016); 0: a level's weights
        are those of an input of its own.
    members : int
        Nets of an ensemble, trained on the same samples, whose answers are averaged (Lakshminarayanan et al. 2017).
    tuning : Tuning
        What of a network is trained, and how fast, where it starts from learned weights.
    auto : tuple of str
        Paths of fields that are left to hdl, such as "optimizer.lr": filled in from the data, by the recipe for tables
        or by the fields' own defaults. Empty once filled in.
    numbers : int
    embeddings : tuple of (levels, width)
        How many inputs are numbers, and each category's levels and width, where there are embeddings; filled in from
        the data.

    Examples
    --------
    >>> Spec(net="784-100-32-10", activation="tanh", optimizer="sgd").net
    (784, 100, 32, 10)
    """

    model: Literal["mlp", "autoencoder", "stacked", "rbm", "dbn"] = "mlp"
    net: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    activation: Activation = "relu"
    loss: Loss | None = None
    leak: NonNegative = 0.01
    init: Init | None = None
    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    max_norm: NonNegative = 0.0
    dropout: Probability = 0.0
    input_dropout: Probability = 0.0
    optimizer: Optimizer = Optimizer()
    batch: Batch | None = None
    epochs: Small = 20
    sync: Sync = Sync()
    shards: Small = 1
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    scale: Scale = Scale()
    validation: Probability = 0.0
    holdout: Holdout = Holdout()
    metric: Metric | None = None
    patience: Annotated[int, Field(ge=0)] = 0
    keep: Count = 3
    autoencoder: Autoencoder = Autoencoder()
    rbm: Rbm = Rbm()
    pretrain: Pretrain = Pretrain()
    finetune: Literal["classify", "reconstruct", "none"] = "classify"
    layer: Annotated[int, Field(ge=0)] = 0
    shuffle_window: Annotated[int, Field(ge=0)] = 65536
    delta: Positive = 1.0
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    power: Annotated[float, Field(gt=1, lt=2)] = 1.5
    label_smoothing: Probability = 0.0
    class_weight: Literal["balanced"] | dict[str, NonNegative] | None = None
    preprocessing: Preprocessing = Preprocessing()
    embedding: Annotated[int, Field(ge=0, le=4096)] | Literal["auto"] = 0
    numbers: Annotated[int, Field(ge=0)] = 0
    embeddings: tuple[tuple[Count, Count], ...] = ()
    members: Annotated[int, Field(ge=1, le=1000)] = 1
    tuning: Tuning = Tuning()
    auto: tuple[str, ...] = ()

    @field_validator("net", mode="before")
    @classmethod
    def _net(cls, value: Any) -> Any:
        if isinstance(value, str):
            if not re.fullmatch(r"\d+(-\d+)+", value):
                raise ValueError(f"{value!r}: expected widths joined by '-', such as 784-100-32-10")
            return tuple(int(width) for width in value.split("-"))
        return value

    @field_validator("init", "optimizer", "scale", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return named(value) if isinstance(value, str) else value

    @field_validator("batch", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        return 2**31 - 1 if value in (0, "all") else value

    @model_validator(mode="before")
    @classmethod
    def _by_model(cls, value: Any) -> Any:
        """Makes sigmoid the default activation of codes: the sparsity term and the RBM need it."""
        if isinstance(value, dict) and value.get("model", "mlp") != "mlp":
            return {**value, "activation": value.get("activation") or "sigmoid"}
        return value

    @model_validator(mode="after")
    def _consistent(self):
        checks.consistent(self)
        return self

    def initializer(self) -> Init:
        """Chooses the initialiser: the spec's own, or the activation's default."""
        if self.init is not None:
            return self.init
        return Init(name=DEFAULT_INIT.get(self.activation, "glorot"))

    @property
    def widths(self) -> tuple[int, ...]:
        """The net's widths; SpecError before they are filled in from the data."""
        if self.net is None:
            raise SpecError("net: not yet filled in from the data")
        return self.net

    @property
    def batch_size(self) -> int:
        """Samples of a mini-batch; SpecError before they are filled in from the data."""
        if self.batch is None:
            raise SpecError("batch: not yet filled in from the data")
        return self.batch

    @property
    def cost(self) -> Loss:
        """The loss; SpecError before it is filled in from the data."""
        if self.loss is None:
            raise SpecError("loss: not yet filled in from the data")
        return self.loss

    @property
    def validated(self) -> bool:
        """Tells whether some samples are held out to measure the weights of each round."""
        return self.validation > 0 or self.holdout.validates

    @property
    def regression(self) -> bool:
        """Tells whether the net predicts numbers, and no classes."""
        return self.loss in REGRESSION

    def with_(self, **changes: Any) -> Spec:
        """Makes a validated copy with other fields.

        Raises
        ------
        SpecError
        """
        return parse({**self.model_dump(), **changes})

    def to_json(self) -> str:
        """Writes one line of JSON with sorted keys: equal specs give equal text."""
        import json

        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def parse(value: str | bytes | dict[str, Any]) -> Spec:
    """Reads a `Spec` from JSON or a dictionary.

    Raises
    ------
    SpecError
        Names each wrong field, the value given and the one expected.
    """
    try:
        return Spec.model_validate_json(value) if isinstance(value, (str, bytes)) else Spec.model_validate(value)
    except ValidationError as error:
        raise SpecError("; ".join(_sentence(item) for item in error.errors())) from None


def _sentence(item: Any) -> str:
    branch = re.compile(r"constrained-\w+|literal\[.*\]")  # of a union; no field
    field = ".".join(part for part in map(str, item["loc"]) if not branch.fullmatch(part))
    given = "" if isinstance(item["input"], dict) else f" (given {item['input']!r})"
    return f"{field + ': ' if field else 'spec: '}{item['msg'].removeprefix('Value error, ')}{given}"
