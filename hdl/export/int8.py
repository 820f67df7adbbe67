"""Layers' weights as 8-bit whole numbers, by onnxruntime's own tools; and what of its answers that costs.

Letters: N rows, O outputs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import scratch
from hdl.errors import Unavailable

HOW = ("static", "dynamic")  # ranges of what flows between layers are measured before, or anew for each batch
_OPERATORS = ["Gemm", "MatMul"]
Feeds = dict[str, NDArray]


class Calibration:
    """Keeps some rows of all that are offered, evenly spread, however many come: every k-th one.

    Parameters
    ----------
    most : int

    Examples
    --------
    >>> rows = Calibration(4)
    >>> for start in range(0, 12, 3):
    ...     rows.offer({"input": np.arange(start, start + 3)})
    >>> np.concatenate([part["input"] for part in rows.batches()]).tolist()
    [0, 4, 8]
    """

    def __init__(self, most: int = 2048):
        self._most, self._step, self._seen = most, 1, 0
        self._parts: list[tuple[NDArray[np.int64], Feeds]] = []

    def offer(self, feeds: Feeds) -> None:
        """Take inputs [N, …] of some rows."""
        count = len(next(iter(feeds.values())))
        self._keep(np.arange(self._seen, self._seen + count), feeds)
        self._seen += count
        while sum(len(numbers) for numbers, _ in self._parts) > self._most:
            self._step *= 2
            parts, self._parts = self._parts, []
            for numbers, part in parts:
                self._keep(numbers, part)

    def _keep(self, numbers: NDArray[np.int64], feeds: Feeds) -> None:
        chosen = numbers % self._step == 0
        if chosen.any():
            self._parts.append((numbers[chosen], {name: rows[chosen] for name, rows in feeds.items()}))

    def batches(self) -> Iterator[Feeds]:
        """Give the rows that were kept, in their order."""
        return (part for _, part in self._parts)


def quantised(model: Any, how: str, batches: Iterator[Feeds]) -> Any:
    """Make a graph whose dense layers multiply 8-bit whole numbers; all else computes as it did.

    Parameters
    ----------
    model : onnx.ModelProto
    how : {'static', 'dynamic'}
    batches : iterator of inputs by their names
        From which `static` learns the ranges of what flows between layers.

    Raises
    ------
    Unavailable
        onnxruntime or its tools are missing, or they cannot take the graph.
    """
    import onnx

    tools = _tools()

    class Reader(tools.CalibrationDataReader):  # type: ignore[name-defined]
        """Hands the rows over one batch after the other."""

        def get_next(self) -> Any:
            return next(batches, None)

    logger = logging.getLogger()
    level = logger.level
    with scratch.directory("hdl-int8-") as folder:
        source, target = os.path.join(folder, "float32.onnx"), os.path.join(folder, "int8.onnx")
        onnx.save(model, source)
        logger.setLevel(logging.ERROR)  # advice for those who call the tools themselves
        try:
            if how == "dynamic":
                tools.quantize_dynamic(source, target, op_types_to_quantize=_OPERATORS, per_channel=True)
            else:
                tools.quantize_static(source, target, Reader(), op_types_to_quantize=_OPERATORS, per_channel=True)
            made = onnx.load(target)
        except (ValueError, RuntimeError, AttributeError, KeyError, NotImplementedError) as error:
            raise Unavailable(f"onnxruntime cannot quantise this graph: {' '.join(str(error).split())[:200]}") from None
        finally:
            logger.setLevel(level)
    made.producer_name, made.producer_version = model.producer_name, model.producer_version
    about = {entry.key: entry.value for entry in model.metadata_props} | {"hdl.int8": how}
    del made.metadata_props[:]
    onnx.helper.set_model_props(made, about)
    return made


def _tools() -> Any:
    try:
        from onnxruntime import quantization
    except ImportError:
        raise Unavailable(
            "int8 needs onnxruntime with its quantization tools: pip install onnx onnxruntime, or leave --int8 out"
        ) from None
    return quantization


class Agreement:
    """Measures how near answers are to targets: the share that are equal, or R² over all outputs.

    Parameters
    ----------
    count : int
        How many graphs answer.
    shares : bool
        Answers are labels.
    """

    def __init__(self, count: int, shares: bool):
        self._shares, self.rows = shares, 0
        self._right = np.zeros(count)
        self._missed = np.zeros(count)
        self._sums: NDArray[np.float64] = np.zeros((2, 1))
        self._origin: NDArray[np.float64] | None = None

    def add(self, answers: Sequence[NDArray], target: NDArray) -> None:
        """Add some rows' answers [N, …], of each graph, and their target."""
        self.rows += len(target)
        if self._shares:
            self._right += [np.mean(answer == target) * len(target) for answer in answers]
            return
        target = np.asarray(target, np.float64).reshape(len(target), -1)
        if self._origin is None:
            self._origin, self._sums = target[:1], np.zeros((2, target.shape[1]))
        centred = target - self._origin  # so that squares keep their digits
        self._sums += [centred.sum(0), (centred**2).sum(0)]
        self._missed += [float(((answer.reshape(target.shape) - target) ** 2).sum()) for answer in answers]

    def values(self) -> list[float]:
        """Give the share or R² of each graph."""
        if self._shares:
            return (self._right / max(1, self.rows)).tolist()
        whole = float((self._sums[1] - self._sums[0] ** 2 / max(1, self.rows)).sum())
        return [1 - missed / whole if whole > 0 else float("nan") for missed in self._missed]


def session_of(content: bytes) -> Any:
    """Open a graph in onnxruntime.

    Raises
    ------
    Unavailable
        onnxruntime is missing, or does not run it.
    """
    try:
        import onnxruntime
    except ImportError:
        raise Unavailable("int8 is measured by onnxruntime: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds, of which it exports none
        said = " ".join(str(error).split())[:200]
        raise Unavailable(f"onnxruntime {onnxruntime.__version__} does not run the file: {said}") from None
