"""A network as an ONNX file: raw features in, classes and probabilities out.

The scaling rule and the classes' names are part of the graph, so that its user needs no other file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError
from hdl.export.graph import Graph, describe, package
from hdl.export.network import activation, outputs
from hdl.models.mlp import Layout
from hdl.spec import Spec

OPSET = 17
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
) -> Any:
    """Builds the ONNX graph of a trained perceptron.

    Parameters
    ----------
    spec : Spec
        With `net` and `loss` filled in.
    w : float32 [P]
        Flat weights.
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

    Returns
    -------
    onnx.ModelProto
        Input `input` float32 [N, I], raw; float64 where features are centred. With classes: outputs `label` [N]
        (bool, int64, uint64, float64 or string) and `probabilities` float32 [N, C]. Without classes there is no label.
        With the squared loss the outputs are `value` [N, O] instead of probabilities, float64 where the targets were
        standardised, else float32.

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
    graph = Graph(onnx)
    value, dtype = "input", np.float32 if center is None else np.float64
    if center is not None:
        value = graph.add("Sub", value, graph.constant("center", np.asarray(center, np.float64)))
        value = graph.add("Div", value, graph.constant("spread", np.asarray(spread, np.float64)))
        value = graph.add("Cast", value, to=onnx.TensorProto.FLOAT)
    if scale is not None and not np.all(scale == 1):
        value = graph.add("Mul", value, graph.constant("scale", np.asarray(scale, np.float32)))
    if shift is not None and np.any(shift):
        value = graph.add("Add", value, graph.constant("shift", np.asarray(shift, np.float32)))
    layers = Layout(spec.net).split(np.asarray(w, np.float32))
    for number, (weights, bias) in enumerate(layers, 1):
        value = graph.add("Gemm", value, graph.constant(f"W{number}", weights), graph.constant(f"b{number}", bias))
        if number < len(layers):
            value = activation(graph, spec, value)
    unit = None
    if target_mean is not None and target_deviation is not None:
        unit = np.asarray(target_deviation, np.float64), np.asarray(target_mean, np.float64)
    ends = outputs(graph, spec, value, classes, unit)
    info = describe(graph, "input", dtype, spec.net[0])
    body = onnx.helper.make_graph(graph.nodes, "hdl", [info], ends, graph.constants)
    model = onnx.helper.make_model(
        body, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="hdl"
    )
    onnx.helper.set_model_props(model, about or {})
    onnx.checker.check_model(model)
    return model


def serialise(model: Any) -> bytes:
    """Writes a model as the bytes of its file; equal models give equal bytes."""
    return model.SerializeToString(deterministic=True)
