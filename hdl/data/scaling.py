"""How features are scaled: the net sees x·scale + shift."""

from __future__ import annotations

from typing import Any

import numpy as np

from hdl.data.summary import Summary
from hdl.errors import SpecError
from hdl.spec import Scale


def fit_scale(
    summary: Summary, scale: Scale, inputs: int, units: str = "free"
) -> tuple[dict[str, Any], np.ndarray | None, np.ndarray | None]:
    """Scale and shift of a rule.

    Parameters
    ----------
    inputs : int
        I; of sparse data it may exceed the features seen, which are then left as they are.

    units : {'free', 'bounded', 'gaussian'}
        What the model's inputs should be, for `auto`: whatever is usual; in [0, 1]; standardised.

    Returns
    -------
    dict, float32 [I] or None, float32 [I] or None
        The rule that was used (`auto` says which), scale, and shift; None where there is nothing to do.

    Raises
    ------
    SpecError
        The rule shifts zeros, and the data is sparse.

    Notes
    -----
    A feature that never changes is only shifted, to 0. Deviations are the population's (divided by n).
    """
    name, constant = scale.name, scale.constant
    if name == "auto" and summary.kind != "sparse":
        if units == "gaussian":
            name = "standard"
        elif units == "bounded" and summary.kind == "float32":
            inside = summary.moments["low"].min() >= 0 and summary.moments["high"].max() <= 1
            name = "none" if inside else "minmax"
    if name == "none":
        return {"name": "none"}, None, None
    if name == "divide" or (name == "auto" and summary.kind == "uint8"):
        constant = constant if name == "divide" else 255.0
        factor: Any = np.full(inputs, 1 / constant, np.float32)
        return {"name": "divide", "constant": constant}, factor, None
    if summary.kind == "sparse":
        if name != "auto":
            raise SpecError(f"scale {name} would fill the zeros of sparse features; expected auto, divide or none")
        largest = np.ones(inputs)
        largest[: summary.features] = np.where(summary.moments["largest"] > 0, summary.moments["largest"], 1)
        return {"name": "largest"}, (1 / largest).astype(np.float32), None
    low, high = (summary.moments[end].astype(np.float64) for end in ("low", "high"))
    constant_features = low == high
    mean, m2 = summary.mean_m2()
    if name == "minmax":
        origin, spread = low, high - low
    else:
        origin, spread = mean, np.sqrt(m2 / summary.samples)
    factor = 1 / np.where(constant_features | (spread == 0), 1, spread)
    rule = {"name": "minmax" if name == "minmax" else "standard"}
    return rule, factor.astype(np.float32), (-origin * factor).astype(np.float32)
