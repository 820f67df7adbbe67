"""Arrays of other libraries as input, and the float type of what comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import data
from hdl.estimators.rounding import Rounded
from hdl.ops.rows import Numbers


def local(X: Any, name: str = "X") -> Any:
    """Return an array of another library as NumPy's, without a copy where it lies in main memory; all else as it is.

    Raises
    ------
    TypeError
        It lies on another device, from which nothing is copied in silence.
    """
    if isinstance(X, np.ndarray) or not (hasattr(X, "__array_namespace__") or hasattr(X, "__dlpack__")):
        return X
    if hasattr(X, "iloc") or hasattr(X, "__dataframe__") or hasattr(X, "__arrow_c_array__"):
        return X  # of Arrow's arrays, which may hold text or lack values, DLPack takes the numbers alone
    if not hasattr(X, "__dlpack__"):
        return np.asarray(X)
    try:
        return np.from_dlpack(X)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        kind = f"{type(X).__module__.partition('.')[0]}.{type(X).__name__}"
        raise TypeError(
            f"{name} is a {kind}, which NumPy cannot read where it lies ({error}); expected an array in main memory: "
            "copy it there first, such as by X.cpu() or X.get()"
        ) from None


def float_type(x: Any) -> type[np.floating]:
    """Return the float type in which answers to a block of features are given: float64 for float64, else float32."""
    if isinstance(x, Rounded):
        return x.kind
    values = x.data if isinstance(x, data.Csr) else x
    if isinstance(values, Numbers):  # of several types: scikit-learn has float64 for what is not float32 with bytes
        return np.float32 if {np.dtype(np.float32), np.dtype(np.uint8)} >= values.kinds else np.float64
    kind = values.dtype if isinstance(values, np.ndarray) else np.dtype(np.float64)  # cells of a table are float64
    return np.float32 if kind in (np.float32, np.uint8) else np.float64


def typed(out: NDArray, kind: type[np.floating], simplex: bool = False) -> NDArray[np.floating]:
    """Return answers of the core, which are float32, in a float type; of a `simplex` each row sums to 1 there too."""
    if out.dtype == kind:
        return out
    wide = out.astype(kind)
    return wide / wide.sum(axis=1, keepdims=True) if simplex and kind is np.float64 else wide
