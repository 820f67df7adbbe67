"""Measures of classes and of labels: of two classes, of several, and of several labels a sample.

Letters: n samples, O outputs, C classes or labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.metrics.confusion import MOST_CLASSES, Confusion
from hdl.metrics.sums import UNIT, Sums, ratio
from hdl.metrics.task import BINARY, CLASSES, LABELS, Task
from hdl.rng import log

if TYPE_CHECKING:
    from hdl.metrics.measures import Measures

_FEW = 16  # classes, of whose pairs weights are summed
_LEAST = float(np.finfo(np.float32).eps)  # probabilities are clipped to [eps, 1 - eps] for the log loss


def codes(y: NDArray) -> NDArray[np.int64]:
    """Give the classes' numbers [n] of encoded labels: numbers already, one-hot rows, or one column of 0 and 1."""
    if y.ndim == 1:
        return y.astype(np.int64)
    return y[:, 0].astype(np.int64) if y.shape[1] == 1 else y.argmax(axis=1)


def answered(out: NDArray[np.float32]) -> NDArray[np.int64]:
    """Give the classes' numbers [n] that outputs [n, O] answer: one above 1/2, or the largest, the first of equals."""
    return (out[:, 0] > 0.5).astype(np.int64) if out.shape[1] == 1 else out.argmax(axis=1)


def add(
    task: Task, sums: dict[str, Sums], confusion: Confusion, out: NDArray[np.float32], true: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
) -> None:  # fmt: skip
    """Add samples, each of one class, with their outputs [n, O], classes [n] and weights [n]."""
    if len(true) and not 0 <= int(true.min()) <= int(true.max()) < task.classes:
        raise ValueError(f"labels from {true.min()} to {true.max()}; expected classes from 0 to {task.classes - 1}")
    guess = answered(out)
    confusion.add(true, guess)
    add_answers(sums, true, guess, weight)
    if not task.probable:
        if task.kind == CLASSES:
            _count(sums["top_k"], None, _among(out, true, task.k), weight)
        return
    if task.kind == BINARY:
        p = out[:, -1].astype(np.float64)
        miss = p - true
        brier, own = miss * miss, np.where(true == 1, p, 1 - p)
    else:
        p = out.astype(np.float64)
        if task.loss == "sigmoid":  # they need not sum up to 1
            total = _row_sums(p)
            p = np.where(total[:, None] > 0, p / np.where(total > 0, total, 1)[:, None], 1 / task.outputs)
        own = p[np.arange(len(p)), true]
        brier = np.maximum(_row_sums(p * p) - 2 * own + 1, 0)
        _count(sums["top_k"], None, _among(out, true, task.k), weight)
    _add(sums["brier"], brier, weight)
    _add(sums["logloss"], -log(np.clip(own, _LEAST, 1 - _LEAST)), weight)


def add_answers(
    sums: dict[str, Sums], true: NDArray[np.int64], guess: NDArray[np.int64], weight: NDArray[np.float64] | None
) -> None:
    """Add samples' classes [n], and those that were answered [n], to the sums of the right ones and of each class."""
    count = len(sums["true"].totals)
    if count <= _FEW:  # by pairs of classes, and their sums
        pairs = Sums(count * count)
        _count(pairs, true * count + guess, None, weight)
        rows = [pairs.totals[at : at + count] for at in range(0, count * count, count)]
        hits = [rows[k][k] for k in range(count)]
        sums["right"].increase([sum(hits)])
        sums["true"].increase(map(sum, rows))
        sums["predicted"].increase(map(sum, zip(*rows, strict=True)))
        sums["hits"].increase(hits)
        return
    right = true == guess
    _count(sums["right"], None, right, weight)
    for name, groups, there in (("true", true, None), ("predicted", guess, None), ("hits", true, right)):
        _count(sums[name], groups, there, weight)


def add_labels(sums: dict[str, Sums], out: NDArray[np.float32], y: NDArray, weight: NDArray[np.float64] | None) -> None:
    """Add samples of labels [n, O], each 0 or 1; the losses are means over the labels."""
    if y.shape != out.shape:
        raise ValueError(f"labels {list(y.shape)}; expected {list(out.shape)}")
    there, guess = y > 0.5, out > 0.5
    _count(sums["right"], None, (there == guess).all(axis=1), weight)
    columns = np.tile(np.arange(out.shape[1]), len(out))
    wide = None if weight is None else np.repeat(weight, out.shape[1])
    for name, marked in (("true", there), ("predicted", guess), ("hits", there & guess)):
        _count(sums[name], columns, marked.ravel(), wide)
    p = out.astype(np.float64).ravel()
    miss = p - there.ravel()
    _add(sums["brier"], miss * miss, wide)
    _add(sums["logloss"], -log(np.clip(np.where(there.ravel(), p, 1 - p), _LEAST, 1 - _LEAST)), wide)


def metrics(measures: Measures) -> dict[str, float | None]:
    """Compute the metrics of classes or labels; macro averages are over those that occur."""
    task, mean = measures.task, measures.mean
    values: dict[str, float | None] = {"accuracy": mean("right")}
    labels = task.outputs if task.kind == LABELS else 1
    for name in ("logloss", "brier") if task.probable else ():
        total = mean(name)
        values[name] = None if total is None else total / labels
    if task.kind == CLASSES:
        values["top_k"] = mean("top_k")
    if task.kind == BINARY:
        found = measures.scanned()[0] if measures.ranks else None
        for name in ("auc", "pr_auc", "ks", "f1", "mcc", "balanced_accuracy"):
            values[name] = None if found is None else getattr(found, name)
        return values
    supports = measures.sums["true"].totals
    ranked = measures.areas() or [None] * len(supports)
    for name in ("auc", "pr_auc"):
        own = [None if found is None else getattr(found, name) for found in ranked]
        values[name], values[f"{name}_weighted"] = _averages(own, supports)
    f1 = [_f1(*three) for three in _each(measures)]
    values["f1"], values["f1_weighted"] = _averages(f1, supports)
    if task.kind == CLASSES:
        values["balanced_accuracy"] = _averages([_part(hits, true) for true, _, hits in _each(measures)], supports)[0]
        values["mcc"] = _mcc(measures)
    return values


def per_class(measures: Measures) -> list[dict[str, Any]]:
    """Give each class's or label's samples, precision, recall, f1, auc and pr_auc; None where one is undefined.

    Of two classes by the answers at 1/2. `samples` is their weight, where samples have some. No more than
    `MOST_CLASSES` are listed: of more, none.
    """
    if not 0 < len(measures.sums["true"].totals) <= MOST_CLASSES or measures.broken:
        return []
    two = measures.task.kind == BINARY
    ranked: Sequence[Any] = measures.scanned(curves=True) * 2 if two else measures.areas()
    rows = []
    for number, (true, predicted, hits) in enumerate(_each(measures)):
        found = ranked[number] if number < len(ranked) else None
        weight = ratio(true, 1 << UNIT)
        rows.append({
            "class": number, "samples": weight if measures.weighted else int(weight),
            "precision": _part(hits, predicted), "recall": _part(hits, true), "f1": _f1(true, predicted, hits),
            "auc": found and found.auc,
            "pr_auc": found and (found.pr_auc_rest if two and number == 0 else found.pr_auc),
        })  # fmt: skip
    return rows


def majority(measures: Measures) -> float | None:
    """Give the share of the largest class; None without classes or samples."""
    weight = measures.sums["weight"].total
    return ratio(max(measures.sums["true"].totals), weight) if measures.task.classes and weight else None


def _each(measures: Measures) -> list[tuple[int, int, int]]:
    """Give each class's weight: of its samples, of those answered with it, and of those that are both."""
    sums = measures.sums
    return list(zip(*(sums[name].totals for name in ("true", "predicted", "hits")), strict=True))


def _part(part: int, whole: int) -> float | None:
    return ratio(part, whole) if whole else None


def _f1(true: int, predicted: int, hits: int) -> float | None:
    return _part(2 * hits, true + predicted)


def _averages(values: list[float | None], supports: list[int]) -> tuple[float | None, float | None]:
    """Give the plain mean of the values that are defined, and that by the classes' weights."""
    known = [(value, support) for value, support in zip(values, supports, strict=True) if value is not None]
    if not known:
        return None, None
    whole = sum(support for _, support in known)
    macro = math.fsum(value for value, _ in known) / len(known)
    return macro, math.fsum(value * ratio(support, whole) for value, support in known) if whole else None


def _mcc(measures: Measures) -> float | None:
    """Matthews' correlation of several classes (Gorodkin 2004); 0 where all samples or answers are of one class."""
    whole = measures.sums["weight"].total
    if not whole:
        return None
    both = true_squares = guess_squares = hit = 0
    for true, predicted, hits in _each(measures):
        both += true * predicted
        true_squares += true * true
        guess_squares += predicted * predicted
        hit += hits
    square = whole * whole
    of_true, of_guess = ratio(square - true_squares, square), ratio(square - guess_squares, square)
    if of_true <= 0 or of_guess <= 0:
        return 0.0
    return ratio(hit * whole - both, square) / math.sqrt(of_true) / math.sqrt(of_guess)


def _among(out: NDArray[np.float32], true: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    """Tell whether the true class is among the k of the largest outputs; of equal ones the later class comes first."""
    own = out[np.arange(len(out)), true][:, None]
    later = np.arange(out.shape[1]) > true[:, None]
    return ((out > own) | ((out == own) & later)).sum(axis=1) < k


def _row_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum along rows, one column after the other, which is the same on every machine."""
    total = values[:, 0].copy()
    for column in range(1, values.shape[1]):
        total += values[:, column]
    return total


def _add(sums: Sums, values: NDArray[np.float64], weight: NDArray[np.float64] | None) -> None:
    sums.add(values if weight is None else values * weight)


def _count(
    sums: Sums, groups: NDArray[np.int64] | None, there: NDArray[np.bool_] | None, weight: NDArray[np.float64] | None
) -> None:
    """Add the weights of the samples that are `there`, by groups."""
    if there is not None and (groups is not None or weight is not None):
        groups = None if groups is None else groups[there]
        weight = None if weight is None else weight[there]
    if weight is not None:
        sums.add(weight, groups)
    elif groups is None:
        assert there is not None
        sums.count(np.array([np.count_nonzero(there)]))
    else:
        sums.count(np.bincount(groups, minlength=len(sums.totals)))
