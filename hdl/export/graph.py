"""A graph of ONNX under construction: nodes, constants, what goes in and comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import Unavailable


class Graph:
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


def describe(graph: Graph, name: str, dtype: Any, *shape: int) -> Any:
    kind = graph.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return graph.onnx.helper.make_tensor_value_info(name, kind, ["N", *shape])


def package() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise Unavailable("hdl export needs the onnx package: pip install onnx onnxruntime") from None
    return onnx
