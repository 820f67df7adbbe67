"""Versions of a table with a few weights and rows."""

import numpy as np

from hdl.table import Version
from hdl.wire import Weights


def version(number, w=(1, 2, 3), rows=(), **more):
    weights = Weights(number, np.float32(w), {"rule": np.float32([[4, 5, 6]])})
    return Version(number, weights, {"seed": 1}, "run", number - 1 if number else None, rows, **more)


def row(number, val_cost=None):
    return {"version": number, "parent": number - 1, "val_cost": val_cost}
