"""The samples that early stopping holds out of those of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.ops import Samples


def chosen(samples: Samples, classes: tuple[Any, ...], share: float, seed: int) -> NDArray[np.bool_]:
    """Tell which samples are held out [N]: the same share of each class, where there are classes.

    Raises
    ------
    ValueError
        In scikit-learn's words: a class has one member only, or too few samples are held out, or all.
    """
    y = samples.y
    strata = np.zeros(len(samples), np.int32)
    if classes and y is not None:
        strata = y if y.ndim == 1 else y[:, 0].astype(np.int32) if y.shape[1] == 1 else y.argmax(axis=1)
        codes, counts = np.unique(strata, return_counts=True)
        if counts.min() < 2:
            few = [str(classes[code]) for code in codes[counts < 2].tolist()]
            raise ValueError(
                f"The least populated classes in y have only {counts.min()} member, which is too few. The minimum "
                f"number of groups for any class cannot be less than 2. Classes with too few members are: {few}"
            )
    part = rng.stratified(seed, 0, strata, share)
    if part.sum() < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    if part.all():
        raise ValueError(f"validation_fraction={share} of {len(samples)} samples leaves none to train on")
    return part
