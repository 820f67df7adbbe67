"""Weighs samples, by weights of their own and of their classes, and gives what is added to a network's output.

Letters: n samples of a block, C classes, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hdl.data.labels import Labels, Meanings
from hdl.errors import DataError, SpecError
from hdl.ops import losses

if TYPE_CHECKING:
    from hdl.data.block import Bad, Block
    from hdl.data.options import Options
    from hdl.data.schema import Schema
    from hdl.spec import Spec

MOST = float(np.finfo(np.float32).max)


def check(spec: Spec, options: Options) -> None:
    """Refuse weights or an offset of samples where the model takes none.

    Parameters
    ----------
    spec : Spec
        As given, or filled in from the data.
    options : Options

    Raises
    ------
    SpecError
    """
    for name in ("weights", "offset"):
        column = getattr(options, name)
        if column is not None and spec.model != "mlp":
            raise SpecError(f"{name} {column}: model {spec.model} learns without labels first, and takes no {name}")
    outputs = spec.net[-1] if spec.net else 0
    if options.offset is not None and (spec.loss == "softmax" or outputs > 1):
        several = "softmax has an output for each class" if spec.loss == "softmax" else f"the net has {outputs} outputs"
        raise SpecError(
            f"offset {options.offset}: {several}, and a column of offsets is for one; two classes have one output by "
            "loss sigmoid and a net that ends with 1"
        )


def class_weights(
    chosen: Literal["balanced"] | Mapping[str, float] | None, classes: Sequence[Any], labels: Labels
) -> NDArray[np.float64] | None:
    """Compute what a sample of each class counts: float64 [C], or None where all count 1.

    Parameters
    ----------
    chosen : 'balanced', mapping of class to weight, or None
        `balanced`: n/(C·n_c) with the numbers of labelled samples, as scikit-learn has it. Classes that a mapping does
        not name count 1.
    classes : sequence
        As the schema has them; empty without classes.
    labels : Labels
        Of the whole dataset.

    Raises
    ------
    SpecError
        There are no classes; a name is none of them; samples of classes were not counted.

    Examples
    --------
    >>> labels = Labels.of(np.array(["a", "b", "a", "a"], object))
    >>> class_weights("balanced", ("a", "b"), labels).tolist()
    [0.6666666666666666, 2.0]
    >>> class_weights({"b": 3.0}, ("a", "b"), labels).tolist()
    [1.0, 3.0]
    """
    if chosen is None:
        return None
    if not classes:
        raise SpecError("class_weight: the labels are no classes; give each sample a weight of its own (weights)")
    known = Meanings(classes)
    if chosen == "balanced":
        if labels.values is None or labels.counts is None:
            raise SpecError("class_weight balanced: samples of one-hot classes are not counted; give a weight by class")
        counts = np.zeros(len(classes))
        for value, count in zip(labels.values, labels.counts, strict=True):
            counts[known.code(value)] += count
        return counts.sum() / (len(classes) * counts)
    weights = np.ones(len(classes))
    for name, weight in chosen.items():
        code = known.code(name)
        if code < 0:
            listed = ", ".join(map(repr, classes[:20])) + (", …" if len(classes) > 20 else "")
            raise SpecError(f"class_weight {name}: no such class; expected one of {listed}")
        weights[code] = weight
    return weights


def codes(y: NDArray) -> NDArray[np.int64]:
    """Give the classes' numbers [n] of encoded labels: numbers already, one-hot rows, or one column of 0 and 1."""
    if y.ndim == 1:
        return y.astype(np.int64)
    return y[:, 0].astype(np.int64) if y.shape[1] == 1 else y.argmax(axis=1)


def good(block: Block, schema: Schema, bad: Bad) -> NDArray[np.bool_]:
    """Mark the rows [n] of a block whose weight and offset can be used; the others are given to `bad`."""
    usable = np.ones(len(block), bool)
    for name, column, least in (("weight", block.weight, 0.0), ("offset", block.offset, -MOST)):
        if column is None:
            continue
        fine = (column >= least) & (column <= MOST)
        for i in np.flatnonzero(~fine & usable).tolist():
            expected = "a number of at least 0" if name == "weight" else "a finite number"
            bad.add(DataError(f"{name} {column[i]:g}; expected {expected}", **block.where(i)))
        usable &= fine
    return usable


def of_samples(
    weight: NDArray[np.float64] | None, y: NDArray | None, by_class: NDArray[np.float64] | None
) -> NDArray[np.float32] | None:
    """Compute what samples count: their own weight [n] times their class's; None where that is 1 for all.

    Parameters
    ----------
    weight : float64 [n] or None
    y : encoded labels or None
    by_class : float64 [C] or None
    """
    if by_class is not None and y is not None:
        own = by_class[codes(y)]
        weight = own if weight is None else weight * own
    return None if weight is None else np.minimum(weight, MOST).astype(np.float32)


def offsets(offset: NDArray[np.float64] | None, schema: Schema) -> NDArray[np.float32] | None:
    """Give what is added to the output of each sample: float32 [n, O].

    An offset is in the unit of what reaches the output: of an identity link that is the targets', in which the net does
    not compute where they were standardised; with a log link it is the logarithm of an exposure.

    Raises
    ------
    SpecError
        The network has several outputs.
    """
    if offset is None:
        return None
    if schema.outputs != 1:
        raise SpecError(f"offset: the network has {schema.outputs} outputs; a column of offsets is for one")
    deviation, out = schema.target_deviation, offset[:, None]
    if deviation is not None and schema.loss not in losses.LOG_LINK:
        out = out / deviation
    return out.astype(np.float32)
