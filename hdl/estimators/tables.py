"""Tables as features: DataFrames and arrays that hold more than numbers, or lack some.

Letters: N samples, K raw columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from hdl.data.tabular.arrow import of_arrow
from hdl.data.tabular.frame import Column, Frame
from hdl.data.tabular.memory import columns_of, is_table, table_of
from hdl.estimators.rounding import Rounded
from hdl.ops.rows import Numbers


def frame(X: Any, categorical_features: Any, known: Sequence[Column] | None) -> Frame | None:
    """Make raw rows of features, or None of those that are numbers alone and lack none.

    Parameters
    ----------
    X : table, array or sparse matrix [N, K]
    categorical_features : 'from_dtype', None, or sequence of str, int or bool
        Which columns are categories: see `hdl.MLPClassifier`.
    known : sequence of Column, optional
        The columns that a fitted model has; None: their types tell, or where they are numbers alone nothing needs to.

    Raises
    ------
    ValueError
        Columns of one name, of which no feature can be made, or whose cells are not what the model has there.
    """
    if sparse.issparse(X):
        return None
    if type(X).__name__ == "LazyFrame":
        raise TypeError("X is a LazyFrame, which holds no rows yet; expected X.collect()")
    if is_table(X):
        if known is None and not chosen(categorical_features) and _plain_numbers(X):
            return None
        table, names = table_of(X), True
    else:
        array = _array(X)
        if array is None:
            return None
        asked = known is not None or array.dtype == object or chosen(categorical_features)
        if not asked and (array.dtype.kind != "f" or not np.isnan(array.min())):
            return None
        table, names = table_of(array), False
    if known is not None:
        if table.num_columns != len(known):
            return None  # scikit-learn's own check says so
        return of_arrow(table.rename_columns([column.name for column in known]), known)
    categories = _mask(categorical_features, table.column_names if names else None, table.num_columns)
    if not any(categories or ()) and all(_plain(column) for column in table.columns):
        return None
    return of_arrow(table, columns_of(table, categories))


def named(X: Any) -> Any:
    """Return a table whose columns scikit-learn can name; other features as they are."""
    if not is_table(X) or isinstance(X, pa.Table) or type(X).__module__.partition(".")[0] in ("pandas", "polars"):
        return X
    return table_of(X)


def _array(X: Any) -> NDArray | None:
    """Give an array [N, K] of numbers or of objects; None where it is neither, and scikit-learn says so."""
    array = X if isinstance(X, np.ndarray) else _made(X)
    if array is None or array.ndim != 2 or not array.size:
        return None
    if array.dtype.kind in "OU":
        try:
            with np.errstate(all="ignore"):
                array = array.astype(np.float64)
        except (TypeError, ValueError):
            return np.asarray(X, object) if not isinstance(X, np.ndarray) else array.astype(object)
    return array if array.dtype.kind in "biuf" else None


def _made(X: Any) -> NDArray | None:
    try:
        return np.asarray(X)
    except (TypeError, ValueError):
        return None


def _plain(column: pa.ChunkedArray) -> bool:
    """Tell whether a column holds numbers, or 0 and 1 as booleans, alone and lacks none."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return False
    return column.null_count == 0 and not (pa.types.is_floating(kind) and pc.any(pc.is_nan(column)).as_py())


def _plain_numbers(X: Any) -> bool:
    """Tell at one look whether a DataFrame of pandas holds NumPy's numbers alone, and lacks none."""
    kinds = getattr(X, "dtypes", ())
    if not hasattr(X, "iloc") or not X.columns.is_unique or not len(X) or not len(kinds):
        return False
    if any(not isinstance(kind, np.dtype) or kind.kind not in "biuf" for kind in set(kinds)):
        return False
    array = X.to_numpy()
    return array.dtype.kind in "biu" or (array.dtype.kind == "f" and not np.isnan(array.min()))


def chosen(categorical_features: Any) -> bool:
    """Tell whether columns are named that are categories."""
    return bool(len(_listed(categorical_features)))


def numbers_of(X: Any) -> NDArray | Numbers | None:
    """Return an array of numbers, or a DataFrame of pandas that holds NumPy's numbers alone, where they lie."""
    if type(X) is np.ndarray:
        parts = [X]
    elif hasattr(X, "iloc") and getattr(X, "ndim", 0) == 2 and len(kinds := set(X.dtypes)) and X.columns.is_unique:
        if not all(isinstance(kind, np.dtype) for kind in kinds):
            return None
        parts = [X.to_numpy()] if len(kinds) == 1 else [column.to_numpy() for _, column in X.items()]
    else:
        return None
    found = Numbers(parts)
    return (found if len(parts) > 1 else parts[0]) if found.readable else None


def _listed(asked: Any) -> NDArray:
    """Give what is asked for as an array; empty where nothing is."""
    if asked is None or (isinstance(asked, str) and asked == "from_dtype"):
        return np.zeros(0)
    return np.atleast_1d(np.asarray(asked))


def _mask(asked: Any, names: Sequence[str] | None, width: int) -> list[bool] | None:
    """Tell which of K columns are asked for as categories, in scikit-learn's words; None: their types tell.

    Raises
    ------
    ValueError
    """
    if isinstance(asked, str) and asked == "from_dtype":
        return None
    listed = _listed(asked)
    if not listed.size:
        return [False] * width
    if listed.dtype.kind == "O" and {type(item) for item in listed} != {str}:
        kinds = ", ".join(sorted({type(item).__name__ for item in listed}))
        raise ValueError(f"categorical_features must be an array-like of bool, int or str, got: {kinds}.")
    if listed.dtype.kind in "UO":
        return _named(listed.tolist(), names)
    if listed.dtype.kind == "b":
        if listed.shape != (width,):
            raise ValueError(
                f"categorical_features set as a boolean mask must have shape (n_features,), got: {listed.shape}"
            )
        return listed.tolist()
    if listed.dtype.kind not in "iu":
        raise ValueError(f"categorical_features must be an array-like of bool, int or str, got: {listed.dtype.name}.")
    if listed.max() >= width or listed.min() < 0:
        raise ValueError("categorical_features set as integer indices must be in [0, n_features - 1]")
    return [number in set(listed.tolist()) for number in range(width)]


def _named(wanted: Sequence[str], names: Sequence[str] | None) -> list[bool]:
    if names is None:
        raise ValueError(
            "categorical_features should be passed as an array of integers or as a boolean mask when the model is "
            "fitted on data without feature names."
        )
    for name in wanted:
        if name not in names:
            raise ValueError(
                f"categorical_features has an item value '{name}' which is not a valid feature name of the training "
                f"data. Observed feature names: {list(names)}"
            )
    return [name in wanted for name in names]


def refuse_mixed(rows: Frame, taker: str) -> None:
    """Refuse categories, dates and missing cells.

    Raises
    ------
    ValueError
    """
    for column in rows.columns:
        if column.kind != "number":
            raise ValueError(
                f"column {column.name!r} is a {column.kind}; {taker} takes numbers without missing cells: leave it "
                "out, or encode it first"
            )
    if np.isnan(rows.numbers).any():
        raise ValueError(f"Input X contains NaN; {taker} takes numbers without missing cells")


def block(x: Any) -> Any:
    """Return features as a block of a table has them: numbers alone are a matrix."""
    if isinstance(x, Rounded):
        return x.x
    return x.numbers if isinstance(x, Frame) and not len(x.others) else x


def names_of(columns: Sequence[Column]) -> NDArray | None:
    """Return the names [K] of columns, or None of those that `frame` has named itself."""
    names = [column.name for column in columns]
    return None if names == [f"x{number}" for number in range(len(names))] else np.array(names, object)
