"""A graph of ONNX under construction: nodes, constants, what goes in and comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import Unavailable

ANSWERS = ("label", "probabilities", "value")  # outputs of a network with answers,
CODES = ("codes", "reconstruction")  # and of one that is asked for codes


class Graph:
    """A graph under construction; each value is named after the node that makes it.

    Parameters
    ----------
    onnx : module
    inputs, outputs : sequence of str
        Names that no other value may have.
    """

    def __init__(self, onnx: Any, inputs: Sequence[str] = (), outputs: Sequence[str] = ANSWERS):
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.reserved = tuple(outputs)
        self.taken = {*inputs, *outputs}
        self._numbers: dict[tuple[Any, ...], str] = {}

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Adds a node; gives the name of its value."""
        output = output or self.free(f"{kind.lower()}{len(self.nodes)}")
        self.taken.add(output)
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: NDArray) -> str:
        """Adds a constant; gives its name."""
        name = self.free(name)
        self.taken.add(name)
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def number(self, name: str, value: float, dtype: Any = np.float32) -> str:
        """Adds a constant number, once; gives its name."""
        key = name, value, np.dtype(dtype)
        if key not in self._numbers:
            self._numbers[key] = self.constant(name, np.array([value], dtype))
        return self._numbers[key]

    def input(self, name: str, dtype: Any, *shape: int) -> str:
        """Adds an input of rows; gives its name."""
        self.inputs.append(describe(self, name, dtype, *shape))
        return name

    def cast(self, value: str, dtype: Any) -> str:
        """Adds a cast to a type of NumPy's."""
        return self.add("Cast", value, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def free(self, name: str) -> str:
        """Finds a name that no other value has."""
        while name in self.taken:
            name += "_"
        return name


def describe(graph: Graph, name: str, dtype: Any, *shape: int) -> Any:
    """Describes rows of values that go in or come out."""
    kind = graph.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return graph.onnx.helper.make_tensor_value_info(name, kind, ["N", *shape])


def package() -> Any:
    """Imports the onnx package.

    Raises
    ------
    Unavailable
    """
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise Unavailable("hdl export needs the onnx package: pip install onnx onnxruntime") from None
    return onnx
