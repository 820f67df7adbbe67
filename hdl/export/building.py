"""The graph of a trained network, from its spec, its weights and what is known of its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import __version__
from hdl.data.tabular.encoders import Encodings
from hdl.errors import SpecError
from hdl.export import codes, columns
from hdl.export.graph import ANSWERS, CODES, Graph, package
from hdl.export.network import layers, outputs
from hdl.export.renaming import renamed
from hdl.models.stack import Layer
from hdl.ops import losses
from hdl.ops.layout import EmbeddingLayout, EnsembleLayout, of
from hdl.spec import Spec

OPSET = 17
OLDEST = 13  # the first in which a softmax is of one axis
OPSET_ML = 2
MOST = 2**31 - 1  # bytes of a file, by protobuf


def build(
    spec: Spec,
    w: NDArray[np.float32],
    scale: NDArray[np.float32] | None = None,
    shift: NDArray[np.float32] | None = None,
    classes: Sequence[Any] | None = None,
    about: Mapping[str, str] | None = None,
    *,
    center: NDArray[np.float64] | None = None,
    spread: NDArray[np.float64] | None = None,
    target_mean: NDArray[np.float64] | None = None,
    target_deviation: NDArray[np.float64] | None = None,
    encodings: Encodings | None = None,
    offset: str | None = None,
    below: Sequence[Layer] = (),
    layer: int | None = None,
    opset: int = OPSET,
    zipmap: bool = False,
    names: Mapping[str, str] | None = None,
) -> Any:
    """Builds the ONNX graph of a trained network.

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
    below : sequence of (spec, weights)
        The layers of a stack that this one stands on.
    layer : int, optional
        Hidden layer whose codes are asked for in place of answers, as `hdl.models.codes.Encoder` counts them.
    opset : int
        Version of ONNX's operators.
    zipmap : bool
        `probabilities` are a sequence of maps from classes, as skl2onnx makes them, and no matrix.
    names : mapping of str to str, optional
        Other names for inputs and outputs.

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
        Of an autoencoder, an RBM, a stack without labels or with `layer`: `codes` float32 [N, H]; without `layer` also
        `reconstruction` float32 [N, I] of the scaled features, where there is a way back.

    Raises
    ------
    Unavailable
        The onnx package is missing.
    SpecError
        `net` and `loss` are not filled in; there is no such layer, opset or name; the file would be too large.
    """
    onnx = package()
    if spec.net is None or spec.loss is None:
        raise SpecError("net and loss must be filled in before an export")
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST <= opset <= newest:
        raise SpecError(f"opset {opset}: expected {OLDEST} to {newest}, which the onnx package has")
    shape, w = of(spec), np.asarray(w, np.float32)
    nets = shape.members(w) if isinstance(shape, EnsembleLayout) else [w]
    coding = layer is not None or codes.makes_codes(spec)
    given = ["input"] if encodings is None else [*columns.input_names(encodings, CODES if coding else ANSWERS).values()]
    offset = None if coding else offset  # is added to answers alone
    graph = Graph(onnx, [*given, *([] if offset is None else [offset])], CODES if coding else ANSWERS)
    value, numbers, chosen = "", None, list[str]()
    if encodings is None:
        value = _scaled(graph, (below[0][0] if below else spec).widths[0], scale, shift, center, spread)
    else:
        about = {**(about or {}), **columns.about(encodings, graph.reserved)}
        numbers, chosen = columns.encoded(graph, encodings)

    def begin(spec: Spec, w: NDArray[np.float32]) -> tuple[str, int, list[tuple[NDArray, NDArray]]]:
        """Begin a net: its value, the number of the first layer above it, and the layers that are left."""
        own = of(spec)
        parts = own.split(w)
        if encodings is None:
            return value, 1, parts
        if isinstance(own, EmbeddingLayout):
            return columns.embedded(graph, own.tables(w), numbers, chosen), 1, parts
        return columns.first_layer(graph, encodings, *parts[0], numbers, chosen), 2, parts[1:]

    if coding:
        if zipmap:
            raise SpecError("zipmap: maps classes to probabilities, and codes are of no classes")
        ends = codes.outputs(graph, spec, nets, below, layer, begin)
    else:
        single = spec.with_(members=1)
        values = [layers(graph, spec, *begin(single, net)) for net in nets]
        unit = None
        if target_mean is not None and target_deviation is not None:
            unit = np.asarray(target_deviation, np.float64), np.asarray(target_mean, np.float64)
        if offset is not None:
            deviation = None if spec.loss in losses.LOG_LINK or unit is None else unit[0]
            added = columns.offset(graph, offset, deviation)
            values = [graph.add("Add", value, added) for value in values]
        ends = outputs(graph, spec, values, classes, unit, zipmap)
    if (size := sum(len(tensor.raw_data) for tensor in graph.constants)) > MOST:
        raise SpecError(f"its weights take {size:,} bytes; an ONNX file has at most {MOST:,}")
    body = onnx.helper.make_graph(graph.nodes, "hdl", graph.inputs, ends, graph.constants)
    uses_ml = any(node.domain for node in graph.nodes)
    opsets = [onnx.helper.make_opsetid(*item) for item in [("", opset), ("ai.onnx.ml", OPSET_ML)][: 1 + uses_ml]]
    model = onnx.helper.make_model(
        body, opset_imports=opsets, ir_version=onnx.helper.find_min_ir_version_for(opsets), producer_name="hdl",
        producer_version=__version__,
    )  # fmt: skip
    onnx.helper.set_model_props(model, about or {})
    model = renamed(model, names or {})
    onnx.checker.check_model(model, full_check=True)
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


def serialise(model: Any) -> bytes:
    """Writes a model as the bytes of its file; equal models give equal bytes."""
    return model.SerializeToString(deterministic=True)
