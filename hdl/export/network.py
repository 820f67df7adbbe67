"""Layers, activations and the loss's own output function as nodes of ONNX."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.data.labels import as_array
from hdl.errors import SpecError
from hdl.export.graph import Graph, describe
from hdl.ops import losses
from hdl.spec import Spec


def activation(graph: Graph, kind: str, leak: float, value: str) -> str:
    """Add the activation of hidden units."""
    match kind:
        case "linear":
            return value
        case "leaky_relu":
            return graph.add("LeakyRelu", value, alpha=float(leak))
        case "lecun_tanh":  # 1.7159 tanh(2/3 z), LeCun et al. 1998
            inner = graph.add("Tanh", graph.add("Mul", value, graph.number("two_thirds", 2 / 3)))
            return graph.add("Mul", inner, graph.number("stretch", 1.7159))
        case name:
            return graph.add({"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}[name], value)


def dense(graph: Graph, value: str, number: int, weights: NDArray, bias: NDArray) -> str:
    """Add a layer of weights [I, O] and biases [O]."""
    return graph.add("Gemm", value, graph.constant(f"W{number}", weights), graph.constant(f"b{number}", bias))


def layers(graph: Graph, spec: Spec, value: str, first: int, parts: Iterable[tuple[NDArray, NDArray]]) -> str:
    """Add layers (W, b) of one net from number `first` on, up to what reaches the last one's units."""
    for number, part in enumerate(parts, first):
        if number > 1:
            value = activation(graph, spec.activation, spec.leak, value)
        value = dense(graph, value, number, *part)
    return value


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
    unit: tuple[NDArray, NDArray] | None, zipmap: bool = False,
) -> list[Any]:  # fmt: skip
    """Add the loss's own output function or the targets' unit, and the classes' names where there are any.

    Parameters
    ----------
    values : sequence of str
        What reaches the output of each net of an ensemble, whose answers are averaged; of one net one value.
    zipmap : bool
        Probabilities are a sequence of maps from classes.

    Raises
    ------
    SpecError
        `zipmap` without classes, or of classes that are neither text nor whole numbers.
    """
    outputs = spec.net[-1] if spec.net else 0
    name = "value" if spec.cost in losses.REGRESSION else "probabilities"
    if zipmap and (classes is None or name == "value"):
        raise SpecError("zipmap: maps classes to probabilities, and this network has no classes of which one is right")
    scores = graph.free("scores") if zipmap else name
    kind: Any = np.float32
    link = "Exp" if spec.cost in losses.LOG_LINK else None
    if name == "value" and unit is not None:
        kind = np.float64
        value = graph.cast(_mean(graph, link, values), np.float64)
        value = graph.add("Mul", value, graph.constant("target_deviation", unit[0]))
        graph.add("Add", value, graph.constant("target_mean", unit[1]), output=scores)
    elif name == "value":
        _mean(graph, None, [_mean(graph, link, values)], output=scores)
    elif classes is not None and spec.loss == "sigmoid" and outputs == 1:
        second = _mean(graph, "Sigmoid", values)
        first = graph.add("Sub", graph.number("one", 1), second)
        graph.add("Concat", first, second, output=scores, axis=1)
        outputs = 2
    elif spec.loss == "sigmoid":
        _mean(graph, "Sigmoid", values, output=scores)
    else:
        _mean(graph, "Softmax", values, output=scores, axis=1)
    if classes is None:
        return [describe(graph, name, kind, outputs)]
    names = as_array(classes)
    if names.dtype.kind in "UO":
        names = np.asarray([str(name) for name in classes], object)
    best = graph.add("ArgMax", scores, axis=1, keepdims=0)
    graph.add("Gather", graph.constant("classes", names), best, output="label", axis=0)
    answer = _maps(graph, names, scores, name) if zipmap else describe(graph, name, kind, outputs)
    return [describe(graph, "label", names.dtype), answer]


def _maps(graph: Graph, names: NDArray, scores: str, output: str) -> Any:
    """Add probabilities as a sequence of maps, as skl2onnx gives them unless it is told otherwise."""
    helper, kinds = graph.onnx.helper, graph.onnx.TensorProto
    if names.dtype.kind == "O":
        key, classes = kinds.STRING, {"classlabels_strings": names.tolist()}
    elif names.dtype == np.int64:
        key, classes = kinds.INT64, {"classlabels_int64s": names.tolist()}
    else:
        raise SpecError(f"zipmap: the classes are of type {names.dtype}; ONNX has maps from text and whole numbers")
    graph.add("ZipMap", scores, output=output, domain="ai.onnx.ml", **classes)
    number = helper.make_tensor_type_proto(kinds.FLOAT, [])
    return helper.make_value_info(output, helper.make_sequence_type_proto(helper.make_map_type_proto(key, number)))
