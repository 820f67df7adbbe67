"""Another library's network and a dataset: which output is which class, and in which unit targets are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import data
from hdl.data import Schema, Summary
from hdl.data.labels import Meanings
from hdl.errors import DataError
from hdl.ops.layout import Layout
from hdl.spec import Spec


def fitted(spec: Spec, schema: Schema, widths: Sequence[int], keep: bool, summary: Summary) -> tuple[Spec, Schema]:
    """Give the spec and schema of a dataset on which a network goes on: with one output, two classes have one too.

    Parameters
    ----------
    widths : sequence of int
        Of the network.
    keep : bool
        Its last layer stays.
    """
    if keep and widths[-1] == 1 and spec.loss in (None, "sigmoid") and len(schema.classes) == 2:
        spec = spec.with_(loss="sigmoid", net=(*(spec.net or widths)[:-1], 1))
        return spec, data.fit(summary, spec)
    return spec, schema


def in_units(
    w: NDArray[np.float32], widths: Sequence[int], classes: Sequence[Any] | None, schema: Schema, path: str
) -> NDArray[np.float32]:
    """Put a network's outputs into the order of a dataset's classes, or into the unit of standardised targets.

    Parameters
    ----------
    w : float32 [P]
    classes : sequence or None
        What its outputs stand for; None: class k of the dataset's sorted ones is output k.

    Returns
    -------
    float32 [P]

    Raises
    ------
    DataError
        The dataset has other classes.
    """
    out = w.copy()
    last, biases = Layout(tuple(widths)).split(out)[-1]
    if classes is not None and schema.classes:
        known = Meanings(tuple(classes))
        order = [known.code(value) for value in schema.classes]
        if len(classes) != len(order) or min(order) < 0:
            names = ", ".join(map(repr, schema.classes[:8]))
            raise DataError(f"classes {', '.join(map(repr, classes[:8]))}; the data has {names}", path)
        if len(order) == last.shape[1]:
            last[:], biases[:] = last[:, order], biases[order]
        elif order == [1, 0]:  # one output, for the second class
            last[:], biases[:] = -last, -biases
    if schema.target_deviation is not None and schema.target_deviation.size == last.shape[1]:
        assert schema.target_mean is not None
        biases[:] = (biases - schema.target_mean) / schema.target_deviation
        last[:] = last / schema.target_deviation
    return out
