"""Layers, activations and the loss's own output function as nodes of ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.data.labels import as_array
from hdl.export.graph import Graph, describe
from hdl.ops import losses
from hdl.spec import Spec


def activation(graph: Graph, spec: Spec, value: str) -> str:
    """Add the activation of hidden units."""
    match spec.activation:
        case "linear":
            return value
        case "leaky_relu":
            return graph.add("LeakyRelu", value, alpha=float(spec.leak))
        case "lecun_tanh":  # 1.7159 tanh(2/3 z), LeCun et al. 1998
            inner = graph.add("Tanh", graph.add("Mul", value, graph.number("two_thirds", 2 / 3)))
            return graph.add("Mul", inner, graph.number("stretch", 1.7159))
        case name:
            return graph.add({"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}[name], value)


def _mean(graph: Graph, kind: str | None, values: Sequence[str], output: str | None = None, **attributes: Any) -> str:
    """Add an output function (None: none) for what reaches the output of each net, and the mean of these answers."""
    if len(values) == 1:
        if kind is None and output is None:
            return values[0]
        return graph.add(kind or "Identity", values[0], output=output, **attributes)
    answers = values if kind is None else [graph.add(kind, value, **attributes) for value in values]
    return graph.add("Mean", *answers, output=output)


def outputs(
    graph: Graph, spec: Spec, values: Sequence[str], classes: Sequence[Any] | None,
    unit: tuple[NDArray, NDArray] | None,
) -> list[Any]:  # fmt: skip
    """Add the loss's own output function or the targets' unit, and the classes' names where there are any.

    Parameters
    ----------
    values : sequence of str
        What reaches the output of each net of an ensemble, whose answers are averaged; of one net one value.
    """
    outputs = spec.net[-1] if spec.net else 0
    name = "value" if spec.cost in losses.REGRESSION else "probabilities"
    kind: Any = np.float32
    link = "Exp" if spec.cost in losses.LOG_LINK else None
    if name == "value" and unit is not None:
        kind = np.float64
        value = graph.cast(_mean(graph, link, values), np.float64)
        value = graph.add("Mul", value, graph.constant("target_deviation", unit[0]))
        graph.add("Add", value, graph.constant("target_mean", unit[1]), output="value")
    elif name == "value":
        _mean(graph, None, [_mean(graph, link, values)], output="value")
    elif classes is not None and spec.loss == "sigmoid" and outputs == 1:
        second = _mean(graph, "Sigmoid", values)
        first = graph.add("Sub", graph.number("one", 1), second)
        graph.add("Concat", first, second, output="probabilities", axis=1)
        outputs = 2
    elif spec.loss == "sigmoid":
        _mean(graph, "Sigmoid", values, output="probabilities")
    else:
        _mean(graph, "Softmax", values, output="probabilities", axis=1)
    scores = describe(graph, name, kind, outputs)
    if classes is None:
        return [scores]
    names = as_array(classes)
    if names.dtype.kind in "UO":
        names = np.asarray([str(name) for name in classes], object)
    best = graph.add("ArgMax", name, axis=1, keepdims=0)
    graph.add("Gather", graph.constant("classes", names), best, output="label", axis=0)
    return [describe(graph, "label", names.dtype), scores]
