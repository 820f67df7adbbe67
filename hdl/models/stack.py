"""Stacked autoencoders and deep belief networks: layers that are learned one after the other, then the whole.

Each layer is a training of its own, of an autoencoder or an RBM, on the codes of the layers below, which stay as they
are. The whole is an ordinary network that starts from the layers (Hinton & Salakhutdinov 2006; Bengio et al. 2007).

Letters: I inputs and H codes of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError
from hdl.models import mlp
from hdl.ops import layout

if TYPE_CHECKING:
    from hdl.spec import Spec

STACKS = {"stacked": "autoencoder", "dbn": "rbm"}  # and the model of their layers
LABELLED = ("mlp", "stacked", "dbn")
Layer = tuple["Spec", NDArray[np.float32]]  # a layer that has been learned


def labelled(spec: Spec) -> bool:
    """Tell whether a model learns from labels."""
    return spec.model in LABELLED and spec.finetune == "classify"


def units(spec: Spec) -> str:
    """Name the range that the first layer's inputs should have: 'free', 'bounded' in [0, 1], or 'gaussian'."""
    if spec.model in ("autoencoder", "stacked"):
        return "bounded" if spec.autoencoder.decoder == "sigmoid" else "free"
    if spec.model in ("rbm", "dbn"):
        return "bounded" if spec.rbm.visible == "binary" else "gaussian"
    return "free"


def check(spec: Spec) -> None:
    """Refuse fields of a spec that only the stages of a stack have, or that a stack alone may have.

    Raises
    ------
    SpecError
    """
    if spec.layer:
        raise SpecError(f"layer: given {spec.layer}; stacked and dbn number their layers themselves")
    if spec.finetune != "classify" and spec.model not in STACKS:
        raise SpecError(f"finetune: given {spec.finetune} for {spec.model}; only stacked and dbn are fine-tuned")


def stages(spec: Spec) -> list[Spec]:
    """List the trainings that a spec, filled in from the data, is made of: its layers from below, then the whole."""
    if spec.model not in STACKS:
        return [spec]
    widths = hidden(spec)
    layers = [_layer(spec, number, *widths[number - 1 : number + 1]) for number in range(1, len(widths))]
    return [*layers, _whole(spec, widths)]


def hidden(spec: Spec) -> tuple[int, ...]:
    """Return the widths of inputs and codes of the layers that are learned one after the other."""
    return spec.widths[:-1] if spec.finetune == "classify" else spec.widths


def folder(table: str, spec: Spec) -> str:
    """Name the weight table of a stage in the folder of the whole."""
    return f"{table.rstrip('/')}/layer{spec.layer}" if spec.layer else table


def start(spec: Spec, below: Sequence[Layer]) -> NDArray[np.float32]:
    """Make the first weights [P] of the whole: the layers' encoders, then, unrolled, their decoders, or a new top."""
    w = mlp.initial(spec)
    parts = mlp.layout(spec).split(w)
    pairs = [layout.of(layer).split(own) for layer, own in below]
    taken = [pair[0] for pair in pairs]
    if spec.finetune == "reconstruct":
        taken += [pair[1] for pair in reversed(pairs)]
    for (weights, biases), (own_weights, own_biases) in zip(parts, taken, strict=False):
        weights[:], biases[:] = own_weights, own_biases
    return w


def _layer(spec: Spec, number: int, inputs: int, codes: int) -> Spec:
    kind, own = STACKS[spec.model], spec.pretrain
    name = own.optimizer or ("adam" if kind == "autoencoder" else "momentum")
    lr = own.lr or (0.05 if kind == "rbm" and not own.optimizer else None)
    rule = {**spec.optimizer.model_dump(), "name": name, "lr": lr}
    part = {"autoencoder": spec.autoencoder, "rbm": spec.rbm}
    if number > 1:  # the codes below are between 0 and 1 where they are sigmoid
        bounded = spec.activation == "sigmoid"
        part["autoencoder"] = spec.autoencoder.model_copy(update={"decoder": "sigmoid" if bounded else "linear"})
        part["rbm"] = spec.rbm.model_copy(update={"visible": "binary"})
    net = (inputs, codes, inputs) if kind == "autoencoder" else (inputs, codes)
    return spec.with_(
        model=kind, layer=number, net=net, loss="squared", optimizer=rule, epochs=own.epochs, l1=0.0, l2=own.l2,
        max_norm=0.0, dropout=0.0, input_dropout=0.0, batch=own.batch or spec.batch, finetune="classify",
        tuning={},  # of the whole alone
        metric=None,  # of labels, which a layer does not see
        **{name: value.model_dump() for name, value in part.items()},
    )  # fmt: skip


def _whole(spec: Spec, widths: tuple[int, ...]) -> Spec:
    """Make the spec of the network of all layers: with a softmax on top, unrolled, or ending with the last codes."""
    if spec.finetune == "classify":
        return spec.with_(model="mlp")
    bounded = spec.autoencoder.decoder == "sigmoid" if spec.model == "stacked" else spec.rbm.visible == "binary"
    if spec.finetune == "reconstruct":
        net = widths + widths[-2::-1]
    else:
        net, bounded = widths, spec.activation == "sigmoid"
    return spec.with_(model="mlp", net=net, loss="sigmoid" if bounded else "squared")
