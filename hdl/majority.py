"""The warning that an accuracy says no more than how frequent the largest class is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MISTAKES = 0.8  # of those that always answering the largest class makes: from here on the accuracy says little
APART = 0.02  # of an accuracy from the largest class's share: beyond, it does say something


def told(
    accuracy: float | None, confusion: Any, classes: Sequence[Any] | None, majority: float | None = None
) -> str | None:
    """Say so, in a sentence, if the accuracy is about what always answering the largest class would give.

    Parameters
    ----------
    accuracy : float or None
        Share of samples, by their weights, that are right.
    confusion : array of int [C, C] or None
        Samples, rows true, columns predicted.
    classes : sequence of C or None
        Names of the classes.
    majority : float, optional
        Share of the largest class, by weights; None: as the confusion counts it.

    Returns
    -------
    str or None
        None where the accuracy says more than that, and without classes.

    Examples
    --------
    >>> told(0.982, [[24449, 51], [399, 101]], ["no", "yes"])
    "the accuracy of 98.20 % is about what answering 'no' always would give (98.00 %); of 500 'yes' 101 were found"
    """
    if accuracy is None or not classes or len(classes) < 2:
        return None
    counts = None if confusion is None else np.asarray(confusion)
    if counts is not None and not counts.sum():
        return None
    sizes = None if counts is None else counts.sum(axis=1)
    if majority is None:
        if sizes is None:
            return None
        majority = float(sizes.max() / sizes.sum())
    if majority >= 1 or 1 - accuracy < MISTAKES * (1 - majority) or accuracy - majority > APART:
        return None
    largest = None if sizes is None else int(sizes.argmax())
    name = "the most frequent class" if largest is None else f"'{classes[largest]}'"
    said, always = f"{100 * accuracy:.2f} %", f"{100 * majority:.2f} %"
    if said == always:
        text = f"the accuracy of {said} is what answering {name} always would give"
    elif accuracy > majority:
        text = f"the accuracy of {said} is about what answering {name} always would give ({always})"
    else:
        text = f"the accuracy of {said} is below what answering {name} always would give ({always})"
    if counts is None or sizes is None or largest is None:
        return text
    rest = [c for c in range(len(classes)) if c != largest]
    missing, found = int(sizes[rest].sum()), int(counts[rest, rest].sum())
    if found == missing:  # two classes are the largest, and it is the other one that is always answered
        return text
    what = f"'{classes[rest[0]]}'" if len(rest) == 1 else "of the other classes"
    return f"{text}; of {missing:,} {what} {_number(found)} found"


def _number(found: int) -> str:
    return "none was" if not found else "1 was" if found == 1 else f"{found:,} were"
