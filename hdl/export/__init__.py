"""A network as an ONNX file: raw features in, classes and probabilities out.

The scaling rule, a table's vocabularies and the classes' names are part of the graph, so that its user needs no other
file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.data.tabular.encoders import Encodings
from hdl.errors import SpecError
from hdl.export import columns
from hdl.export.graph import Graph, package
from hdl.export.network import activation, outputs
from hdl.export.rows import feeds
from hdl.ops import losses
from hdl.ops.layout import EmbeddingLayout, EnsembleLayout, Layout, of
from hdl.spec import Spec

__all__ = ["build", "feeds", "serialise"]

OPSET = 17
OPSET_ML = 2
IR_VERSION = 8  # old enough for the runtimes that know the opset


def build(
    spec: Spec,
    w: NDArray[np.float32],
    scale: NDArray[np.float32] | None = None,
    shift: NDArray[np.float32] | None = None,
    classes: Sequence[Any] | None = None,
    about: dict[str, str] | None = None,
    *,
    center: NDArray[np.float64] | None = None,
    spread: NDArray[np.float64] | None = None,
    target_mean: NDArray[np.float64] | None = None,
    target_deviation: NDArray[np.float64] | None = None,
    encodings: Encodings | None = None,
    offset: str | None = None,
) -> Any:
    """Builds the ONNX graph of a trained perceptron.

    Parameters
    ----------
    spec : Spec
        With `net` and `loss` filled in.
    w : float32 [P]
        Flat weights; those of an ensemble's members follow each other, and the graph answers with their mean.
    scale, shift : float32 [I], optional
        The net sees x·scale + shift.
    classes : sequence of int, float, bool or str, optional
        Names of the classes; None for regression and for several labels a sample.
    about : dict of str, optional
        Metadata to store in the file.
    center, spread : float64 [I], optional
        Features are replaced by (x − center)/spread, in float64, before they are scaled.
    target_mean, target_deviation : float64 [O], optional
        Of a regression's targets: the net's outputs are times the deviation plus the mean.

    encodings : Encodings, optional
        Of a table's columns: the graph takes them raw.
    offset : str, optional
        The column that the training added to what reaches the one output: an input float64 [N, 1] of that name.

    Returns
    -------
    onnx.ModelProto
        Of a table one input [N, 1] a column in use, named as the column: float64 of numbers, NaN where missing; string
        of categories, empty where missing (or what the metadata's `hdl.missing` says); int64 of dates, microseconds
        since 1970 UTC, the least int64 where missing (as NumPy's NaT). A name that an output has gets `_` behind it;
        the metadata's `hdl.columns` is an object of JSON that gives each input its column.
        Else input `input` float32 [N, I], raw; float64 where features are centred.
        With classes: outputs `label` [N] (bool, int64, uint64, float64 or string) and `probabilities` float32 [N, C].
        Without classes there is no label. With the loss of a regression the outputs are `value` [N, O] instead of
        probabilities, float64 where the targets were standardised, else float32.

    Raises
    ------
    Unavailable
        The onnx package is missing.
    SpecError
        The model is an autoencoder or an RBM, or `net` and `loss` are not filled in.
    """
    onnx = package()
    if spec.net is None or spec.loss is None:
        raise SpecError("net and loss must be filled in before an export")
    if spec.model != "mlp":
        raise SpecError(f"export takes networks, and not yet the model {spec.model}; `hdl encode` writes its codes")
    shape, w = of(spec), np.asarray(w, np.float32)
    nets = shape.members(w) if isinstance(shape, EnsembleLayout) else [w]
    own = shape.own if isinstance(shape, EnsembleLayout) else shape
    if encodings is None:
        graph = Graph(onnx, ["input"] if offset is None else ["input", offset])
        value = _scaled(graph, spec.net[0], scale, shift, center, spread)
        starts = [(value, own.split(net)) for net in nets]
    else:
        graph = Graph(onnx, [*columns.input_names(encodings).values(), *([] if offset is None else [offset])])
        about = {**(about or {}), **columns.about(encodings)}
        numbers, codes = columns.encoded(graph, encodings)
        starts = [_from_columns(graph, own, net, encodings, numbers, codes) for net in nets]
    ends_of_nets = [_layers(graph, spec, value, layers) for value, layers in starts]
    unit = None
    if target_mean is not None and target_deviation is not None:
        unit = np.asarray(target_deviation, np.float64), np.asarray(target_mean, np.float64)
    if offset is not None:
        deviation = None if spec.loss in losses.LOG_LINK or unit is None else unit[0]
        added = columns.offset(graph, offset, deviation)
        ends_of_nets = [graph.add("Add", value, added) for value in ends_of_nets]
    ends = outputs(graph, spec, ends_of_nets, classes, unit)
    body = onnx.helper.make_graph(graph.nodes, "hdl", graph.inputs, ends, graph.constants)
    opsets = {"": OPSET} | ({} if encodings is None else {"ai.onnx.ml": OPSET_ML})
    model = onnx.helper.make_model(
        body, opset_imports=[onnx.helper.make_opsetid(*item) for item in opsets.items()], ir_version=IR_VERSION,
        producer_name="hdl",
    )  # fmt: skip
    onnx.helper.set_model_props(model, about or {})
    onnx.checker.check_model(model)
    return model


def _scaled(
    graph: Graph, inputs: int, scale: NDArray | None, shift: NDArray | None, center: NDArray | None,
    spread: NDArray | None,
) -> str:  # fmt: skip
    """Add the input and its scaling."""
    value = graph.input("input", np.float32 if center is None else np.float64, inputs)
    if center is not None:
        value = graph.add("Sub", value, graph.constant("center", np.asarray(center, np.float64)))
        value = graph.add("Div", value, graph.constant("spread", np.asarray(spread, np.float64)))
        value = graph.cast(value, np.float32)
    if scale is not None and not np.all(scale == 1):
        value = graph.add("Mul", value, graph.constant("scale", np.asarray(scale, np.float32)))
    if shift is not None and np.any(shift):
        value = graph.add("Add", value, graph.constant("shift", np.asarray(shift, np.float32)))
    return value


def _layers(graph: Graph, spec: Spec, value: str, layers: Sequence[tuple[NDArray, NDArray]]) -> str:
    """Add the layers (W, b) of one net that are left above a value, up to what reaches the output."""
    for number, (weights, bias) in enumerate(layers, len(spec.widths) - len(layers)):
        if number > 1:
            value = activation(graph, spec, value)
        value = graph.add("Gemm", value, graph.constant(f"W{number}", weights), graph.constant(f"b{number}", bias))
    return value


def _from_columns(
    graph: Graph, shape: Layout, w: NDArray[np.float32], encodings: Encodings, numbers: str | None, codes: Sequence[str]
) -> tuple[str, list[tuple[NDArray, NDArray]]]:
    """Add one net's first layer on a table's encoded columns, or its embeddings; give the layers that are left too."""
    if isinstance(shape, EmbeddingLayout):
        return columns.embedded(graph, shape.tables(w), numbers, codes), shape.split(w)
    first, *above = shape.split(w)
    return columns.first_layer(graph, encodings, *first, numbers, codes), above


def serialise(model: Any) -> bytes:
    """Writes a model as the bytes of its file; equal models give equal bytes."""
    return model.SerializeToString(deterministic=True)
