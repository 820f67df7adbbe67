"""A network as an ONNX file: raw features in, classes and probabilities out.

The scaling rule and the classes' names are part of the graph, so that its user needs no other file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.data.labels import as_array
from hdl.errors import SpecError, Unavailable
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
    onnx = _onnx()
    if spec.net is None or spec.loss is None:
        raise SpecError("net and loss must be filled in before an export")
    if spec.model != "mlp":
        raise SpecError(f"export takes networks, and not yet the model {spec.model}; `hdl encode` writes its codes")
    graph = _Graph(onnx)
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
            value = _activation(graph, spec, value)
    unit = None
    if target_mean is not None and target_deviation is not None:
        unit = np.asarray(target_deviation, np.float64), np.asarray(target_mean, np.float64)
    outputs = _outputs(graph, spec, value, classes, unit)
    info = _info(graph, "input", dtype, spec.net[0])
    body = onnx.helper.make_graph(graph.nodes, "hdl", [info], outputs, graph.constants)
    model = onnx.helper.make_model(
        body, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="hdl"
    )
    onnx.helper.set_model_props(model, about or {})
    onnx.checker.check_model(model)
    return model


def serialise(model: Any) -> bytes:
    """Writes a model as the bytes of its file; equal models give equal bytes."""
    return model.SerializeToString(deterministic=True)


class _Graph:
    """A graph under construction; each value is named after the node that makes it."""

    def __init__(self, onnx: Any):
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Adds a node; gives the name of its value."""
        output = output or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: NDArray) -> str:
        """Adds a constant; gives its name."""
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def number(self, name: str, value: float) -> str:
        """Adds a constant number, once; gives its name."""
        if all(constant.name != name for constant in self.constants):
            self.constant(name, np.float32(value).reshape(1))
        return name


def _activation(graph: _Graph, spec: Spec, value: str) -> str:
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


def _outputs(
    graph: _Graph, spec: Spec, value: str, classes: Sequence[Any] | None, unit: tuple[NDArray, NDArray] | None
) -> list[Any]:
    """Add the loss's own output function or the targets' unit, and the classes' names where there are any."""
    outputs = spec.net[-1] if spec.net else 0
    name = "value" if spec.loss == "squared" else "probabilities"
    kind: Any = np.float32
    if spec.loss == "squared" and unit is not None:
        kind = np.float64
        value = graph.add("Cast", value, to=graph.onnx.TensorProto.DOUBLE)
        value = graph.add("Mul", value, graph.constant("target_deviation", unit[0]))
        graph.add("Add", value, graph.constant("target_mean", unit[1]), output="value")
    elif spec.loss == "squared":
        graph.add("Identity", value, output="value")
    elif classes is not None and spec.loss == "sigmoid" and outputs == 1:
        second = graph.add("Sigmoid", value)
        first = graph.add("Sub", graph.number("one", 1), second)
        graph.add("Concat", first, second, output="probabilities", axis=1)
        outputs = 2
    elif spec.loss == "sigmoid":
        graph.add("Sigmoid", value, output="probabilities")
    else:
        graph.add("Softmax", value, output="probabilities", axis=1)
    scores = _info(graph, name, kind, outputs)
    if classes is None:
        return [scores]
    names = as_array(classes)
    if names.dtype.kind in "UO":
        names = np.asarray([str(name) for name in classes], object)
    best = graph.add("ArgMax", name, axis=1, keepdims=0)
    graph.add("Gather", graph.constant("classes", names), best, output="label", axis=0)
    return [_info(graph, "label", names.dtype), scores]


def _info(graph: _Graph, name: str, dtype: Any, *shape: int) -> Any:
    kind = graph.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return graph.onnx.helper.make_tensor_value_info(name, kind, ["N", *shape])


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise Unavailable("hdl export needs the onnx package: pip install onnx onnxruntime") from None
    return onnx
