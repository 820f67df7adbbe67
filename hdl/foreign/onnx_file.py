"""A multi-layer perceptron in ONNX, hdl's own exports among them: MatMul, Gemm, Add and activations in a chain."""

from __future__ import annotations

from typing import Any

import numpy as np

from hdl.errors import DataError, Unavailable
from hdl.foreign.chain import Chain
from hdl.foreign.network import Network

_KINDS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "Softmax": "softmax", "LeakyRelu": "leaky_relu"}
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_SAME = {"Identity", "Dropout", "Cast", "Flatten", "Reshape"}
# What turns a network's answer into labels and maps, behind the chain.
_ANSWER = {"ArgMax", "ArrayFeatureExtractor", "Gather", "ZipMap", "Concat", "Sub", "Reshape", "Cast", "Identity",
           "Constant", "TopK"}  # fmt: skip


def network(content: bytes, path: str) -> Network:
    """Read a network: see `hdl.foreign.read`."""
    try:
        import onnx
    except ImportError:
        raise Unavailable("reading ONNX needs onnx: pip install 'hdl-hadoop[export]'") from None
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.ModelProto.FromString(content).graph
    except DecodeError:
        raise DataError("no ONNX file, or one that is cut", path) from None
    try:
        return _Reader(onnx, graph, path).network()
    except (KeyError, IndexError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"a damaged graph: {type(error).__name__} {' '.join(str(error).split())[:100]}", path) from None


class _Reader:
    """Follows a graph from its input to its answer."""

    def __init__(self, onnx: Any, graph: Any, path: str):
        self.onnx, self.graph, self.path, self.nodes = onnx, graph, path, list(graph.node)
        self.constants: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                self.constants[node.output[0]] = node.attribute[0].t
        self.seen: set[int] = set()

    def network(self) -> Network:
        inputs = [item.name for item in self.graph.input if item.name not in self.constants]
        if len(inputs) != 1:
            raise DataError(
                f"{len(inputs)} inputs; expected one, of numbers (of a model that takes a table's columns, start from "
                "its hdl table)",
                self.path,
            )
        chain, value = Chain(self.path), inputs[0]
        while (node := self._next(value, chain)) is not None:
            if id(node) in self.seen:
                raise DataError(f"{value!r} comes back to itself: no chain of dense layers", self.path)
            self.seen.add(id(node))
            self._take(node, value, chain)
            value = node.output[0]
        left = [n for n in self.nodes if id(n) not in self.seen and n.op_type not in _ANSWER]
        if left:
            kinds = ", ".join(dict.fromkeys(node.op_type for node in left))
            raise DataError(f"operations that are no chain of dense layers: {kinds}", self.path)
        return chain.network(self._classes())

    def _next(self, value: str, chain: Chain) -> Any:
        """Find the operation that goes on with a value; None at the end of the chain."""
        users = [node for node in self.nodes if value in node.input]
        own = [node for node in users if node.op_type not in _ANSWER or self._goes_on(node)]
        if len(users) == 1 and own:
            return own[0]
        if own:
            raise DataError(f"{value!r} goes to {len(users)} operations: no chain of dense layers", self.path)
        return None

    def _goes_on(self, node: Any) -> bool:
        """Tell whether an operation that may belong to the answer still is a part of the chain."""
        if node.op_type == "Sub":
            return node.input[1] in self.constants
        if node.op_type in ("Cast", "Identity", "Reshape"):
            behind = [after for after in self.nodes if node.output[0] in after.input]
            return any(after.op_type not in _ANSWER or self._goes_on(after) for after in behind)
        return False

    def _take(self, node: Any, value: str, chain: Chain) -> None:
        kind, about = node.op_type, {item.name: self.onnx.helper.get_attribute_value(item) for item in node.attribute}
        name = node.name or kind
        if node.domain not in _DOMAINS:
            raise DataError(f"{name} is a {node.domain}.{kind}, which hdl does not know", self.path)
        if kind in _KINDS:
            chain.activation(_KINDS[kind], float(about.get("alpha", 0.01)), name)
        elif kind == "MatMul" and node.input[0] == value:
            chain.dense(node.input[1], self._constant(node.input[1], name), None)
        elif kind == "Gemm" and node.input[0] == value and not about.get("transA", 0):
            w = self._constant(node.input[1], name)
            bias = self._constant(node.input[2], name) * about.get("beta", 1.0) if len(node.input) > 2 else None
            chain.dense(node.input[1], (w.T if about.get("transB", 0) else w) * about.get("alpha", 1.0), bias)
        elif kind in ("Add", "Mul", "Sub", "Div"):
            self._arithmetic(kind, node, value, chain, name)
        elif kind == "Scaler":
            scale, offset = (np.asarray(about.get(key, default)) for key, default in (("scale", 1.0), ("offset", 0.0)))
            chain.affine(scale, -offset * scale)
        elif kind == "Cast" and about["to"] not in (1, 10, 11):
            raise DataError(f"{name} makes numbers of type {about['to']}", self.path)
        elif kind not in _SAME:
            raise DataError(f"{name} is a {kind}; expected a chain of dense layers", self.path)

    def _arithmetic(self, kind: str, node: Any, value: str, chain: Chain, name: str) -> None:
        first = node.input[0] == value
        constant = self._constant(node.input[1 if first else 0], name).astype(np.float64)
        if kind == "Add":
            chain.affine(shift=constant)
        elif kind == "Mul":
            chain.affine(constant)
        elif kind == "Sub":
            chain.affine(*((1.0, -constant) if first else (-1.0, constant)))
        elif first:
            chain.affine(1 / constant)
        else:
            raise DataError(f"{name} divides by what the network computes", self.path)

    def _constant(self, name: str, user: str) -> Any:
        """Give a constant as an array."""
        array = self._array(name, user)
        if array.dtype.kind != "f":
            raise DataError(f"{name!r} is of type {array.dtype}; expected floating-point numbers", self.path)
        return array

    def _array(self, name: str, user: str) -> Any:
        """Give a constant of any type as an array, never one that is kept elsewhere."""
        tensor = self.constants.get(name)
        if tensor is None:
            raise DataError(f"{user} takes {name!r}, which is no constant: expected a chain of dense layers", self.path)
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise DataError(f"{name!r} is kept in another file; expected one file that has all weights", self.path)
        try:
            return self.onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise DataError(f"{name!r} is damaged: {error}", self.path) from None

    def _classes(self) -> tuple[Any, ...] | None:
        """Find what the outputs stand for, where labels come out."""
        for node in self.nodes:
            about = {item.name: item for item in node.attribute}
            if node.op_type == "ZipMap":
                if texts := about.get("classlabels_strings"):
                    return tuple(text.decode() for text in texts.strings)
                return tuple(about["classlabels_int64s"].ints)
        for node in self.nodes:
            if node.op_type in ("Gather", "ArrayFeatureExtractor") and node.input[0] in self.constants:
                found = self._array(node.input[0], node.op_type).reshape(-1).tolist()
                return tuple(item.decode() if isinstance(item, bytes) else item for item in found)
        return None
