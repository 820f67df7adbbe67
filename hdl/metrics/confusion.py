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

    def add(
        self, true: NDArray[np.int64], predicted: NDArray[np.int64], times: NDArray[np.int64] | None = None
    ) -> None:
        """Counts some samples, of each the number of its class [n] and of the one that it was taken for [n].

        Parameters
        ----------
        times : int64 [n], optional
            How often each is there; None: once.
        """
        pairs = true * self.classes + predicted
        if self.matrix is not None:
            if times is None:
                counts = np.bincount(pairs, minlength=self.matrix.size)
            else:
                counts = np.zeros(self.matrix.size, np.int64)
                np.add.at(counts, pairs, times)
            self.matrix += counts.reshape(self.matrix.shape)
            self.correct = int(np.trace(self.matrix))
            return
        wrong = true != predicted
        self.correct += len(true) - int(wrong.sum()) if times is None else int(times[~wrong].sum())
        counts = np.ones(len(true), np.int64) if times is None else times
        self._pairs, self._counts = _counted(
            np.concatenate([self._pairs, pairs[wrong]]), np.concatenate([self._counts, counts[wrong]])
        )

    def joined(self, other: Confusion) -> Confusion:
        """Give the counts of both; both stay as they are."""
        out = Confusion(self.classes)
        out.correct = self.correct + other.correct
        if self.matrix is not None and other.matrix is not None:
            out.matrix = self.matrix + other.matrix
        out._pairs, out._counts = _counted(
            np.concatenate([self._pairs, other._pairs]), np.concatenate([self._counts, other._counts])
        )
        return out

    def to_arrays(self) -> dict[str, NDArray]:
        """Give the counts as arrays: `matrix`, or `correct`, `pairs` and `counts`."""
        if self.matrix is not None:
            return {"matrix": self.matrix}
        return {"correct": np.array([self.correct]), "pairs": self._pairs, "counts": self._counts}

    @classmethod
    def from_arrays(cls, classes: int, arrays: dict[str, NDArray]) -> Confusion:
        """Read what `to_arrays` gave; ValueError where it is none."""
        out = cls(classes)
        for name, array in arrays.items():
            if array.dtype != np.int64 or (array < 0).any():
                raise ValueError(f"confusion {name}: {array.dtype} or below 0; expected counts in int64")
        if out.matrix is not None:
            if set(arrays) != {"matrix"} or arrays["matrix"].shape != out.matrix.shape:
                raise ValueError(f"a confusion matrix of another shape; expected {classes} classes")
            out.matrix = arrays["matrix"].copy()
            out.correct = int(np.trace(out.matrix))
            return out
        if set(arrays) != {"correct", "pairs", "counts"} or arrays["correct"].shape != (1,):
            raise ValueError("a confusion without its correct answers, pairs and counts")
        pairs, counts = arrays["pairs"], arrays["counts"]
        ascending = pairs.ndim == 1 and (pairs[1:] > pairs[:-1]).all() and (pairs < classes * classes).all()
        if not ascending or counts.shape != pairs.shape:
            raise ValueError("pairs of a confusion that do not ascend, or are no classes")
        out.correct, out._pairs, out._counts = int(arrays["correct"][0]), pairs.copy(), counts.copy()
        return out

    def mistakes(self) -> list[tuple[int, int, int]]:
        """Lists the most frequent (true, predicted, count), of classes that are too many for a matrix."""
        order = np.argsort(-self._counts, kind="stable")[:MOST_MISTAKES]
        return [(*divmod(int(self._pairs[at]), self.classes), int(self._counts[at])) for at in order]


def _counted(pairs: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give distinct pairs in ascending order, and the sum of each one's counts."""
    distinct, places = np.unique(pairs, return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, places, counts)
    return distinct, sums
