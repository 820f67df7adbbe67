"""The spec of a training: validated, immutable, to and from JSON.

A `Spec` holds everything that decides the weights, and nothing that does not: runner, workers,
threads and paths are elsewhere. Two runs of the same `Spec` over the same shards give the same bytes.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from hdl.errors import SpecError
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
    Init,
    Loss,
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

__all__ = [
    "LINE_SEARCH_RULES", "MINI_BATCH_RULES", "Activation", "Autoencoder", "Genetic", "Init", "Optimizer", "Part",
    "Preprocessing", "Pretrain", "Rbm", "Scale", "Schedule", "Spec", "Sync", "parse",
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
        Type to which a GPU rounds the factors of its products, before it adds these in float32. The CPU uses float32.
    scale : Scale
    validation : float
        Share of the training samples held out, chosen by the seed; 0 for none.
    patience : int
        Early stopping: rounds without a better validation cost; 0 for never.
    keep : int
        Versions kept in the table besides version 0, the best and the last.
    autoencoder, rbm, pretrain : Autoencoder, Rbm, Pretrain
        Of these models alone.
    finetune : {'classify', 'reconstruct', 'none'}
        Of a stack: the whole has a softmax on top, or is unrolled into a deep autoencoder, or is not trained.
    layer : int
        Number of a stack's layer, from 1, which hdl sets; 0 for all other networks.
    shuffle_window : int
        Samples shuffled together: bounds random reads of data on disk.
    preprocessing : Preprocessing
        Of a table.
    embedding : int or 'auto'
        Width of the learned vector that stands for each level of a category (Guo & Berkhahn 2016); 0: a level's weights
        are those of an input of its own.
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
    patience: Annotated[int, Field(ge=0)] = 0
    keep: Count = 3
    autoencoder: Autoencoder = Autoencoder()
    rbm: Rbm = Rbm()
    pretrain: Pretrain = Pretrain()
    finetune: Literal["classify", "reconstruct", "none"] = "classify"
    layer: Annotated[int, Field(ge=0)] = 0
    shuffle_window: Count = 65536
    delta: Positive = 1.0
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    power: Annotated[float, Field(gt=1, lt=2)] = 1.5
    label_smoothing: Probability = 0.0
    class_weight: Literal["balanced"] | dict[str, NonNegative] | None = None
    preprocessing: Preprocessing = Preprocessing()
    embedding: Annotated[int, Field(ge=0, le=4096)] | Literal["auto"] = 0
    numbers: Annotated[int, Field(ge=0)] = 0
    embeddings: tuple[tuple[Count, Count], ...] = ()

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
        if self.model in ("autoencoder", "rbm"):
            self._one_layer()
        if self.model in ("stacked", "dbn"):
            self._layers()
        if self.model != "mlp" and self.embedding:
            raise ValueError(f"embedding: given {self.embedding} for {self.model}; only mlp embeds categories")
        if self.model in ("autoencoder", "stacked") and self.autoencoder.beta and self.activation != "sigmoid":
            raise ValueError("autoencoder.beta: average activations lie in (0, 1) with activation sigmoid only")
        if self.model in ("rbm", "dbn") and self.activation != "sigmoid":
            raise ValueError(f"{self.model} has sigmoid units (given activation {self.activation})")
        if self.net is not None:
            if len(self.net) < 2:
                raise ValueError(f"net {self.net}: expected at least inputs and outputs")
            if any(width < 1 for width in self.net[1:-1]):
                raise ValueError(f"net {self.net}: hidden widths must be at least 1")
            if self.loss == "softmax" and self.net[-1] == 1:
                raise ValueError("softmax needs at least 2 outputs; use the sigmoid loss for one")
        self._losses()
        if self.sync.mode == "genetic" and self.shards < 2:
            raise ValueError("genetic mode breeds the shards' networks: give at least 2 shards")
        if self.optimizer.line_search and (self.dropout or self.input_dropout):
            raise ValueError(f"{self.optimizer.name} searches along a line and needs a cost without dropout")
        if self.optimizer.line_search and (self.l1 or self.max_norm):
            raise ValueError(f"{self.optimizer.name} needs a smooth cost: l1 and max_norm must be 0")
        if self.patience and not self.validation:
            raise ValueError("patience needs a validation share")
        return self

    def _losses(self) -> None:
        """Refuses what only other losses have."""
        if self.label_smoothing and self.loss not in (None, "softmax", "sigmoid"):
            raise ValueError(f"label_smoothing is for classes, by loss softmax or sigmoid (given {self.loss})")
        if self.class_weight is not None and self.loss not in (None, "softmax", "sigmoid"):
            raise ValueError(f"class_weight is for classes, by loss softmax or sigmoid (given {self.loss})")
        if self.loss in ("absolute", "quantile") and self.optimizer.line_search:
            raise ValueError(f"{self.optimizer.name} needs a smooth cost: loss {self.loss} has a kink at every target")
        if self.model != "mlp" and not self.layer:
            for name in ("label_smoothing", "class_weight"):
                if getattr(self, name):
                    raise ValueError(f"{name}: model {self.model} learns without labels first, and takes none")
            if self.loss not in (None, "softmax", "sigmoid", "squared"):
                raise ValueError(f"model {self.model} has no loss {self.loss}")

    def _layers(self) -> None:
        """Refuses a stack whose layers cannot be trained as the spec says."""
        searched = self.pretrain.optimizer in LINE_SEARCH_RULES
        if self.sync.mode == "genetic":
            raise ValueError(f"{self.model} has no genetic mode")
        if self.model == "dbn" and searched:
            raise ValueError(f"contrastive divergence has no cost to search along with {self.pretrain.optimizer}")
        if self.model == "dbn" and self.rbm.persistent and self.sync.mode == "async":
            raise ValueError("rbm.persistent: mode async keeps no chains")
        if self.model == "stacked" and searched and self.autoencoder.corruption:
            raise ValueError(
                f"{self.pretrain.optimizer} searches along a line and needs a cost without autoencoder.corruption"
            )

    def _one_layer(self) -> None:
        """Refuses an autoencoder or an RBM with a net, a loss or an optimiser that it cannot have."""
        net, widths = self.net, 3 if self.model == "autoencoder" else 2
        if net is not None:
            if self.model == "autoencoder" and len(net) == 2:
                raise ValueError(f"net {net}: expected inputs, codes and inputs again, such as 64-25-64")
            if len(net) != widths or (widths == 3 and 0 not in net[::2] and net[0] != net[2]):
                raise ValueError(
                    f"net {net}: expected {'64-25-64' if widths == 3 else '784-500'}, as an {self.model} has"
                )
        if self.dropout or self.input_dropout:
            raise ValueError(f"{self.model} has no dropout; an autoencoder has autoencoder.corruption")
        if self.max_norm:
            raise ValueError(f"{self.model} has no max_norm")
        if self.loss not in (None, "squared"):
            raise ValueError(f"{self.model} has no loss of labels (given {self.loss})")
        if self.model == "autoencoder" and self.optimizer.line_search and self.autoencoder.corruption:
            raise ValueError(f"{self.optimizer.name} searches along a line and needs a cost without corruption")
        if self.model == "rbm":
            if self.optimizer.line_search:
                raise ValueError(f"contrastive divergence has no cost to search along with {self.optimizer.name}")
            if self.rbm.persistent and self.sync.mode in ("genetic", "async"):
                raise ValueError(f"rbm.persistent: mode {self.sync.mode} keeps no chains")

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
