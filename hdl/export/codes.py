"""Codes of a network's hidden units and the way back from them, as nodes of ONNX.

Letters: H codes, I inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.export.graph import Graph, describe
from hdl.export.network import activation, dense, layers
from hdl.models import codes
from hdl.models.stack import Layer
from hdl.ops import layout
from hdl.spec import Spec

# Begins a net: its spec and weights to a value, the number of the first layer above it, and the layers that are left.
Begin = Callable[[Spec, NDArray[np.float32]], tuple[str, int, list[tuple[NDArray, NDArray]]]]


def makes_codes(spec: Spec) -> bool:
    """Tell whether a network has codes and no answers."""
    return spec.model != "mlp" or spec.finetune != "classify"


def outputs(
    graph: Graph, spec: Spec, nets: Sequence[NDArray[np.float32]], below: Sequence[Layer], layer: int | None,
    begin: Begin,
) -> list[Any]:  # fmt: skip
    """Add the codes of a layer, those of an ensemble's members beside each other, and what comes back of them.

    Parameters
    ----------
    nets : sequence of float32 [P]
        One, or those of an ensemble.
    layer : int or None
        None: the usual one, and the reconstruction too, where there is a way back.

    Raises
    ------
    SpecError
        There is no such layer.
    """
    spec = spec.with_(members=1)
    found = [_codes(graph, codes.upwards(spec, net, layer, below), begin) for net in nets]
    if len(found) > 1:
        graph.add("Concat", *(value for value, _ in found), output="codes", axis=1)
    else:
        graph.add("Identity", found[0][0], output="codes")
    made = [describe(graph, "codes", np.float32, sum(width for _, width in found))]
    if layer is not None or not makes_codes(spec) or spec.finetune == "none":
        return made
    value, inputs = found[0]
    for number, (weights, bias, kind) in enumerate(codes.downwards(spec, nets[0], layer, below), 1):
        value = activation(graph, kind, spec.leak, dense(graph, value, number, weights, bias))
        inputs = len(bias)
    graph.add("Identity", value, output="reconstruction")
    return [*made, describe(graph, "reconstruction", np.float32, inputs)]


def _codes(graph: Graph, parts: Sequence[tuple[Spec, NDArray, int]], begin: Begin) -> tuple[str, int]:
    """Add the layers from the data up to the codes of one net; give their number too."""
    value, width = "", 0
    for spec, weights, count in parts:
        value, first, left = begin(spec, weights) if not value else (value, 1, layout.of(spec).split(weights))
        value = layers(graph, spec, value, first, left[: count - first + 1])
        value = activation(graph, spec.activation, spec.leak, value)
        width = spec.widths[count]
    return value, width
