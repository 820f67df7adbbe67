"""Labels: which texts are numbers, which labels are classes, and which class a label of another format means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl.errors import DataError
from hdl.ops import losses

_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DIGITS = 400  # of the longest number: more are an identifier, and no float holds them
_BOOLEANS = {"true": True, "false": False}
# Texts that say that a row has no label. `None` and `none` may be a class, so they are one.
MISSING_LABELS = (
    "", "NA", "na", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "Null", r"\N", "?", ".", "<NA>", "<na>", "#N/A",
)  # fmt: skip
DISTINCT = 10_000  # labels told apart; beyond, only whether they are numbers is known


def is_plain_number(text: str) -> bool:
    """Tell whether a text is a number in its plain way of writing: no leading zeros, no white space, ASCII digits.

    Examples
    --------
    >>> [is_plain_number(text) for text in ("1", "-1.50", "+1e3", "007", "1_000", "inf")]
    [True, True, True, False, False, False]
    """
    return len(text) <= _DIGITS and _NUMBER.fullmatch(text) is not None


def canonical(value: Any) -> Any:
    """Reduce a label to its value: a text that is a plain number becomes that number, and a whole number an int.

    Other texts stay as they are: `007` is an identifier and not 7. Booleans stay booleans.

    Examples
    --------
    >>> [canonical(value) for value in ("7", "07", 1.0, "1.0", "0.5", "cat", True)]
    [7, '07', 1, 1, 0.5, 'cat', True]
    """
    if isinstance(value, str):
        if not is_plain_number(value):
            return value
        whole, _, rest = value.partition(".")
        if not rest.strip("0") and (digits := whole.lstrip("+-")).isdecimal():
            return int(whole[: len(whole) - len(digits)] + digits)  # exact, however many digits
        number = float(value)
        if not np.isfinite(number):
            return value
        value = number
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def classes_of(values: Iterable[Any], text: bool = False) -> tuple[Any, ...]:
    """Make classes of the distinct labels of a dataset, sorted.

    Parameters
    ----------
    values : iterable of str, int, float or bool
        As the data has them.
    text : bool
        The data is typed as text: each text is a class, whatever it looks like.

    Returns
    -------
    tuple
        Booleans if all are; numbers if every label is one in its plain way of writing; else texts as they are written.

    Examples
    --------
    >>> classes_of(["10", "2", "2.0"]), classes_of(["10", "2", "02"]), classes_of(["10", "2"], text=True)
    ((2, 10), ('02', '10', '2'), ('10', '2'))
    """
    values = list(values)
    if not text and all(isinstance(value, bool) for value in values):
        return tuple(sorted(set(values)))
    numbers = [int(value) if isinstance(value, bool) else canonical(value) for value in values]
    if text or any(isinstance(number, str) for number in numbers):
        return tuple(sorted({str(value) for value in values}))
    return tuple(sorted(set(numbers)))


@dataclass(frozen=True)
class Labels:
    """Facts of the labels of some samples.

    Attributes
    ----------
    width : int
        0 without labels, 1 with one a sample, O with targets [n, O].
    values : tuple or None
        Distinct labels as written, sorted; None beyond `DISTINCT`, and for targets.
    counts : tuple of int or None
        Samples that have each of `values`.
    numeric, whole, boolean : bool
        Every label is a number in its plain way of writing (or a boolean), a whole number, a boolean.
    onehot, binary : bool
        Targets: every row is 0 but for one 1; every value is 0 or 1.
    samples : int
    mean, norm : tuple of float [width] or None
        Mean of each target and the root of its summed squared deviations; None where a label is no number.
    low : tuple of float [width] or None
        Least value of each target; None where a label is no number.
    """

    width: int = 0
    values: tuple[Any, ...] | None = ()
    numeric: bool = True
    whole: bool = True
    onehot: bool = True
    binary: bool = True
    boolean: bool = False
    samples: int = 0
    mean: tuple[float, ...] | None = None
    norm: tuple[float, ...] | None = None
    counts: tuple[int, ...] | None = ()
    low: tuple[float, ...] | None = None

    @classmethod
    def of(cls, y: np.ndarray | None) -> Labels:
        """Find the facts of one block's raw labels."""
        if y is None:
            return cls()
        if y.ndim == 2:
            binary = bool(((y == 0) | (y == 1)).all())
            onehot = binary and bool((y.sum(axis=1) == 1).all())
            return cls(y.shape[1], None, binary=binary, onehot=onehot, counts=None, **_target_moments(y))
        if y.dtype == object:
            distinct: dict[Any, int] = Counter(y.tolist())
        else:
            distinct = dict(zip(*(part.tolist() for part in np.unique(y, return_counts=True)), strict=True))
        numeric, whole = _numeric(set(distinct))
        moments = _target_moments(y.reshape(-1, 1)) if numeric else {"samples": len(y)}
        values, counts = _bounded(distinct)
        return cls(1, values, numeric, whole, boolean=y.dtype == bool, counts=counts, **moments)

    def join(self, other: Labels) -> Labels:
        """Join the facts of both parts."""
        if not self.width or not other.width:
            return other if other.width else self
        if self.width != other.width:
            raise DataError(f"{other.width} label columns in one part of the data, {self.width} in another")
        values, counts = self._both(other)
        names = ("numeric", "whole", "onehot", "binary", "boolean")
        flags = {name: getattr(self, name) and getattr(other, name) for name in names}
        return Labels(self.width, values, **flags, counts=counts, **_joined_targets(self, other))

    def _both(self, other: Labels) -> tuple[tuple[Any, ...] | None, tuple[int, ...] | None]:
        """Add the counts of the values of both parts."""
        if self.values is None or other.values is None or self.counts is None or other.counts is None:
            return None, None
        distinct = dict(zip(self.values, self.counts, strict=True))
        for value, count in zip(other.values, other.counts, strict=True):
            distinct[value] = distinct.get(value, 0) + count
        return _bounded(distinct)


def _numeric(values: set[Any]) -> tuple[bool, bool]:
    """Tell whether labels are numbers, and whether whole ones."""
    texts = [value for value in values if isinstance(value, str)]
    if max(map(len, texts), default=0) > _DIGITS or not all(map(_NUMBER.fullmatch, texts)):
        return False, False
    numbers = np.array([*texts, *(value for value in values if not isinstance(value, str))], object).astype(np.float64)
    return True, bool((numbers == np.floor(numbers)).all())


def _target_moments(y: np.ndarray) -> dict[str, Any]:
    """Samples, mean and norm of targets [n, O], in float64; the norm neither over- nor underflows."""
    y = np.ascontiguousarray(y.astype(np.float64))
    mean = y.mean(axis=0) if len(y) else np.zeros(y.shape[1])
    away = y - mean
    largest = np.abs(away).max(axis=0, initial=0.0)
    unit = np.where(largest > 0, largest, 1.0)
    norm = unit * np.sqrt(np.square(away / unit).sum(axis=0))
    low = tuple(y.min(axis=0).tolist()) if len(y) else None
    return {"samples": len(y), "mean": tuple(mean.tolist()), "norm": tuple(norm.tolist()), "low": low}


def _joined_targets(a: Labels, b: Labels) -> dict[str, Any]:
    samples = a.samples + b.samples
    if a.mean is None or b.mean is None or a.norm is None or b.norm is None or not samples:
        return {"samples": samples}
    share = b.samples / samples
    means = np.array(a.mean), np.array(b.mean)
    delta = means[1] - means[0]
    parts = np.stack([a.norm, b.norm, np.abs(delta) * np.sqrt(a.samples * share)])
    unit = np.where(parts.max(axis=0) > 0, parts.max(axis=0), 1.0)
    norm = unit * np.sqrt(np.square(parts / unit).sum(axis=0))  # as hypot, which differs between C libraries
    low = tuple(min(ends) for ends in zip(a.low, b.low, strict=True)) if a.low and b.low else a.low or b.low
    mean = tuple((means[0] + delta * share).tolist())
    return {"samples": samples, "mean": mean, "norm": tuple(norm.tolist()), "low": low}


def _bounded(distinct: dict[Any, int]) -> tuple[tuple[Any, ...] | None, tuple[int, ...] | None]:
    """Sort distinct labels, numbers before text, with their counts; None beyond `DISTINCT`."""
    if len(distinct) > DISTINCT:
        return None, None
    values = sorted(distinct, key=lambda value: (isinstance(value, str), value))
    return tuple(values), tuple(distinct[value] for value in values)


def all_taken(labels: Labels, loss: str) -> bool:
    """Tell whether a loss takes all targets, as far as their least says."""
    return not labels.low or bool(losses.taken(loss, np.array(labels.low)).all())


class Meanings:
    """Finds the class that a label means, whatever format it comes from.

    A label that equals a class is of that class. Else a number is the class that is the same number, or whose text
    says it; True, `true` and `TRUE` are the class that is true, or 1. Where two classes could be meant, none is.

    Parameters
    ----------
    classes : sequence of str, int, float or bool

    Examples
    --------
    >>> known = Meanings(["1", "2", "10"])
    >>> [known.code(label) for label in ("10", 10, 10.0, "010")]
    [2, 2, 2, -1]
    """

    def __init__(self, classes: Sequence[Any]):
        self._levels: list[dict[tuple[str, Any], int]] = [{}, {}, {}]
        for code, value in enumerate(classes):
            for level, meanings in zip(self._levels, _meanings(value), strict=True):
                for meaning in meanings:
                    level[meaning] = -1 if level.get(meaning, code) != code else code

    def code(self, label: Any) -> int:
        """Give the number of a label's class; -1 where it is none."""
        label = float(label) if isinstance(label, np.floating) else label
        asked = [meaning for level in _meanings(label) for meaning in level]
        if not isinstance(label, str):
            asked.append(("text", str(canonical(label))))
        for level in self._levels:
            for meaning in asked:
                if (code := level.get(meaning, -1)) >= 0:
                    return code
        return -1


def _meanings(value: Any) -> tuple[list[tuple[str, Any]], ...]:
    """List what a label is, what else its text says, and what number a boolean is."""
    if isinstance(value, (bool, np.bool_)):
        return [("boolean", bool(value))], [], [("number", int(value))]
    if not isinstance(value, str):
        return [("number", value)], [], []
    said: list[tuple[str, Any]] = []
    if value.lower() in _BOOLEANS:
        said = [("boolean", _BOOLEANS[value.lower()])]
        return [("text", value)], said, [("number", int(said[0][1]))]
    number = canonical(value)
    if not isinstance(number, str):
        said = [("number", number)]
    return [("text", value)], said, []


def as_array(classes: Sequence[Any]) -> np.ndarray:
    """Make an array [C] of classes: of booleans, integers (int64, else uint64), floats, texts; of objects if need be.

    Examples
    --------
    >>> as_array((3, 2**63)).dtype, as_array((False, True)).dtype, as_array(("a", "b")).dtype.kind
    (dtype('uint64'), dtype('bool'), 'U')
    """
    kinds = {type(value) for value in classes}
    if kinds == {int}:
        low, high = min(classes), max(classes)
        fits = next((t for t in (np.int64, np.uint64) if np.iinfo(t).min <= low and high <= np.iinfo(t).max), object)
        return np.array(classes, fits)
    if len(kinds) == 1 or kinds == {int, float}:
        return np.array(classes)
    return np.array(classes, object)
