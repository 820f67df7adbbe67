"""The rules that hold between the fields of a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdl.spec import tuning
from hdl.spec.parts import LINE_SEARCH_RULES

if TYPE_CHECKING:
    from hdl.spec import Spec


def consistent(spec: Spec) -> None:
    """Refuses fields that contradict each other, with a ValueError that names them."""
    if spec.model in ("autoencoder", "rbm"):
        _one_layer(spec)
    if spec.model in ("stacked", "dbn"):
        _layers(spec)
    if spec.model != "mlp" and spec.embedding:
        raise ValueError(f"embedding: given {spec.embedding} for {spec.model}; only mlp embeds categories")
    if spec.model in ("autoencoder", "stacked") and spec.autoencoder.beta and spec.activation != "sigmoid":
        raise ValueError("autoencoder.beta: average activations lie in (0, 1) with activation sigmoid only")
    if spec.model in ("rbm", "dbn") and spec.activation != "sigmoid":
        raise ValueError(f"{spec.model} has sigmoid units (given activation {spec.activation})")
    if spec.net is not None:
        if len(spec.net) < 2:
            raise ValueError(f"net {spec.net}: expected at least inputs and outputs")
        if any(width < 1 for width in spec.net[1:-1]):
            raise ValueError(f"net {spec.net}: hidden widths must be at least 1")
        if spec.loss == "softmax" and spec.net[-1] == 1:
            raise ValueError("softmax needs at least 2 outputs; use the sigmoid loss for one")
    _losses(spec)
    tuning.check(spec)
    if spec.sync.mode == "genetic" and spec.shards < 2:
        raise ValueError("genetic mode breeds the shards' networks: give at least 2 shards")
    if spec.optimizer.line_search and (spec.dropout or spec.input_dropout):
        raise ValueError(f"{spec.optimizer.name} searches along a line and needs a cost without dropout")
    if spec.optimizer.line_search and (spec.l1 or spec.max_norm):
        raise ValueError(f"{spec.optimizer.name} needs a smooth cost: l1 and max_norm must be 0")
    if spec.optimizer.line_search and spec.optimizer.weight_decay:
        raise ValueError(
            f"optimizer.weight_decay: given {spec.optimizer.weight_decay:g}, but {spec.optimizer.name} searches along "
            "lines of a cost and has no steps beside it; expected l2, which is part of the cost"
        )
    for name in ("patience", "metric"):
        if getattr(spec, name) and not spec.validated and "validation" not in spec.auto:
            raise ValueError(f"{name} needs samples held out: a validation share, file or condition (--validation 0.1)")
    if spec.validation and spec.holdout.validates:
        raise ValueError("validation is chosen by its share or by holdout's rule (given both)")
    if spec.members > 1 and spec.model != "mlp":
        raise ValueError(f"members: given {spec.members} for {spec.model}; only mlp is trained as an ensemble")
    if spec.members > 1 and spec.optimizer.line_search:
        raise ValueError(
            f"members: given {spec.members}, but {spec.optimizer.name} searches along one line for all weights; "
            "expected a rule of mini-batches, such as adam"
        )


def _losses(spec: Spec) -> None:
    """Refuses what only other losses have."""
    if spec.label_smoothing and spec.loss not in (None, "softmax", "sigmoid"):
        raise ValueError(f"label_smoothing is for classes, by loss softmax or sigmoid (given {spec.loss})")
    if spec.class_weight is not None and spec.loss not in (None, "softmax", "sigmoid"):
        raise ValueError(f"class_weight is for classes, by loss softmax or sigmoid (given {spec.loss})")
    if spec.loss in ("absolute", "quantile") and spec.optimizer.line_search:
        raise ValueError(f"{spec.optimizer.name} needs a smooth cost: loss {spec.loss} has a kink at every target")
    if spec.model != "mlp" and not spec.layer:
        for name in ("label_smoothing", "class_weight"):
            if getattr(spec, name):
                raise ValueError(f"{name}: model {spec.model} learns without labels first, and takes none")
        if spec.loss not in (None, "softmax", "sigmoid", "squared"):
            raise ValueError(f"model {spec.model} has no loss {spec.loss}")


def _layers(spec: Spec) -> None:
    """Refuses a stack whose layers cannot be trained as the spec says."""
    searched = spec.pretrain.optimizer in LINE_SEARCH_RULES
    if spec.sync.mode == "genetic":
        raise ValueError(f"{spec.model} has no genetic mode")
    if spec.model == "dbn" and searched:
        raise ValueError(f"contrastive divergence has no cost to search along with {spec.pretrain.optimizer}")
    if spec.model == "dbn" and spec.rbm.persistent and spec.sync.mode == "async":
        raise ValueError("rbm.persistent: mode async keeps no chains")
    if spec.model == "stacked" and searched and spec.autoencoder.corruption:
        raise ValueError(
            f"{spec.pretrain.optimizer} searches along a line and needs a cost without autoencoder.corruption"
        )


def _one_layer(spec: Spec) -> None:
    """Refuses an autoencoder or an RBM with a net, a loss or an optimiser that it cannot have."""
    net, widths = spec.net, 3 if spec.model == "autoencoder" else 2
    if net is not None:
        if spec.model == "autoencoder" and len(net) == 2:
            raise ValueError(f"net {net}: expected inputs, codes and inputs again, such as 64-25-64")
        if len(net) != widths or (widths == 3 and 0 not in net[::2] and net[0] != net[2]):
            raise ValueError(f"net {net}: expected {'64-25-64' if widths == 3 else '784-500'}, as an {spec.model} has")
    if spec.dropout or spec.input_dropout:
        raise ValueError(f"{spec.model} has no dropout; an autoencoder has autoencoder.corruption")
    if spec.max_norm:
        raise ValueError(f"{spec.model} has no max_norm")
    if spec.loss not in (None, "squared"):
        raise ValueError(f"{spec.model} has no loss of labels (given {spec.loss})")
    if spec.model == "autoencoder" and spec.optimizer.line_search and spec.autoencoder.corruption:
        raise ValueError(f"{spec.optimizer.name} searches along a line and needs a cost without corruption")
    if spec.model == "rbm":
        if spec.optimizer.line_search:
            raise ValueError(f"contrastive divergence has no cost to search along with {spec.optimizer.name}")
        if spec.rbm.persistent and spec.sync.mode in ("genetic", "async"):
            raise ValueError(f"rbm.persistent: mode {spec.sync.mode} keeps no chains")
