"""Counts of the classes that are taken for one another: in a matrix if they are few, else by the pairs that occur."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_CLASSES = 200  # of a matrix; 9,000 classes would make one of 650 MB
MOST_MISTAKES = 100


class Confusion:
    """Counts of pairs of a true and a predicted class.

    Parameters
    ----------
    classes : int
        C.

    Attributes
    ----------
    matrix : ndarray of int64 [C, C] or None
        Rows true, columns predicted; None above `MOST_CLASSES`.
    correct : int
        Samples whose predicted class is the true one.

    Examples
    --------
    >>> seen = Confusion(1000)
    >>> seen.add(np.array([1, 7, 7]), np.array([1, 3, 3]))
    >>> seen.correct, seen.matrix, seen.mistakes()
    (1, None, [(7, 3, 2)])
    """

    def __init__(self, classes: int):
        self.classes, self.correct = classes, 0
        self.matrix = np.zeros((classes, classes), np.int64) if classes <= MOST_CLASSES else None
        self._pairs = np.empty(0, np.int64)  # true · C + predicted, ascending, and how often; mistakes alone
        self._counts = np.empty(0, np.int64)

    def add(self, true: NDArray[np.int64], predicted: NDArray[np.int64]) -> None:
        """Counts some samples, of each the number of its class [n] and of the one that it was taken for [n]."""
        wrong = true != predicted
        self.correct += len(true) - int(wrong.sum())
        if self.matrix is not None:
            np.add.at(self.matrix, (true, predicted), 1)
            return
        pairs, counts = np.unique(true[wrong] * self.classes + predicted[wrong], return_counts=True)
        self._pairs, places = np.unique(np.concatenate([self._pairs, pairs]), return_inverse=True)
        counts = np.concatenate([self._counts, counts])
        self._counts = np.zeros(len(self._pairs), np.int64)
        np.add.at(self._counts, places, counts)

    def mistakes(self) -> list[tuple[int, int, int]]:
        """Lists the most frequent (true, predicted, count), of classes that are too many for a matrix."""
        order = np.argsort(-self._counts, kind="stable")[:MOST_MISTAKES]
        return [(*divmod(int(self._pairs[at]), self.classes), int(self._counts[at])) for at in order]
