"""Rows that are held out of training by what they are: by a column, a condition, or the fold that they are in.

A rule travels in `Options.held`, so that every worker marks the same rows: a reader of tables by a column or a
condition (`layouts.marks`), `marked` by folds, which count samples and so need to know the shard. Marked rows are seen
by nothing that is fitted: neither by the summary nor by the training.

A share is none of these: its rows are chosen when a shard is decoded (`shard.load`), and the summary sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hdl import rng
from hdl.data.base import FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.labels import canonical
from hdl.data.options import Options
from hdl.errors import SpecError
from hdl.spec import Holdout, Spec

WHERE, COLUMN, FOLDS = "where", "column", "folds"
STRATA = 10_000  # labels of a shard that have folds of their own; the others share theirs
_ORDERS = 1024  # of folds, drawn at a time


def reading(options: Options, spec: Spec | None) -> Options:
    """Give the options of reading with what the spec holds out; a column that says so is no feature.

    Examples
    --------
    >>> reading(Options.make(), Spec(holdout=Holdout(column="split", value="test"))).held
    ('column', 'split', 'test')
    """
    if spec is None:
        return options
    rule, held, ignore = spec.holdout, tuple[str, ...](), options.ignore
    if rule.where:
        held = (WHERE, rule.where)
    elif rule.column:
        held = (COLUMN, rule.column) if rule.value is None else (COLUMN, rule.column, rule.value)
        if rule.column in options.label:
            raise SpecError(f"validation: column {rule.column!r} is the label; expected one that says what is held out")
        exact = _exactly(rule.column)
        ignore = ignore if exact in ignore else (*ignore, exact)
    elif rule.folds:
        kind = "rows" if rule.stratified is False else "classes"
        held = (FOLDS, str(rule.folds), str(rule.fold), str(spec.seed), kind)
    return options if held == options.held else Options.make(options, held=held, ignore=ignore)


def _exactly(name: str) -> str:
    """Write a column's name as a pattern that nothing else meets: a kind may be called so, or it may hold stars."""
    plain = name.isidentifier() and name not in ("number", "category", "date")
    return (
        name
        if plain
        else "".join(f"[{letter}]" if letter in "*?[" or not i else letter for i, letter in enumerate(name))
    )


def said(holdout: Holdout, validation: float, classes: bool = True) -> str:
    """Say in words by what samples are held out, of data with classes or without; empty where none are."""
    if holdout.where:
        return f"where {holdout.where}"
    if holdout.column:
        return f"where column {holdout.column} is {'true' if holdout.value is None else holdout.value}"
    if holdout.path:
        return holdout.path
    if holdout.folds:
        return f"fold {holdout.fold + 1} of {holdout.folds}"
    alike = " of each class" if holdout.stratified and classes else ""
    return f"{100 * validation:g} %{alike}" if validation else ""


def marked(source: Source, splits: Sequence[FileSplit], bad: Bad | None, shard: int) -> Iterator[Block]:
    """Read blocks with `held`, where some rows of the dataset are held out."""
    rule = source.options.held
    folds = Folds.of(rule, shard) if rule and rule[0] == FOLDS else None
    for block in source.read(splits, bad):
        yield block if folds is None else replace(block, held=folds.held(block.y, len(block)))


class Folds:
    """Deals the samples of a shard out to folds, in stored order.

    Of each label's samples every `folds` consecutive ones get a fold each, in random order, so that the folds' counts
    of a label differ by at most one a shard. The folds that such groups begin with are dealt out in the same way, so
    that labels that hardly any sample has, such as a regression's, make folds of equal size as well.

    Parameters
    ----------
    folds : int
    seed, shard : int
    classes : bool
        False: labels do not matter.
    """

    def __init__(self, folds: int, seed: int, shard: int, classes: bool = True):
        self.folds, self.shard, self.classes = folds, shard, classes
        self._key = rng.derive(seed, rng.FOLDS)
        self._groups = 0
        self._drawn: dict[int, tuple[int, list[list[int]]]] = {}  # orders drawn last, by what they are for
        self._open: dict[Any, list[int]] = {}  # by label: folds that its group has left, in turn

    @classmethod
    def of(cls, rule: Sequence[str], shard: int) -> Held:
        """Make what `Options.held` says."""
        _, folds, fold, seed, kind = rule
        return Held(cls(int(folds), int(seed), shard, kind == "classes"), int(fold))

    def deal(self, y: Any, n: int) -> np.ndarray:
        """Give the fold of each of the next n samples, int64 [n], which have the labels y [n], targets or none."""
        if not self.classes or y is None or y.ndim > 1:
            keys: list[Any] = [0] * n
        else:
            distinct, inverse = np.unique(y.astype(str) if y.dtype == object else y, return_inverse=True)
            names = [str(canonical(value)) for value in distinct.tolist()]
            keys = [names[i] for i in inverse.tolist()]
        out = np.empty(n, np.int64)
        for i, key in enumerate(keys):
            left = self._open.get(key)
            if left is None and len(self._open) >= STRATA:
                key = None
                left = self._open.get(key)
            if not left:
                left = self._open[key] = self._group()
            out[i] = left.pop()
        return out

    def _group(self) -> list[int]:
        """Draw the order of folds in a new group."""
        turn, place = divmod(self._groups, self.folds)
        begin = self._order(turn, 1)[place]
        rest = [fold for fold in self._order(self._groups, 2) if fold != begin]
        self._groups += 1
        return [*rest, begin]  # taken from the end

    def _order(self, number: int, purpose: int) -> list[int]:
        """Draw the number-th order of the folds for a purpose; many at once."""
        chunk, place = divmod(number, _ORDERS)
        if self._drawn.get(purpose, (-1,))[0] != chunk:
            size = _ORDERS * self.folds
            draws = rng.words(self._key, self.shard, purpose, 0, chunk * size, size).reshape(_ORDERS, self.folds)
            self._drawn[purpose] = chunk, np.argsort(draws, axis=1, kind="stable").tolist()
        return self._drawn[purpose][1][place]


class Held:
    """Tells which of the samples dealt out are in one fold."""

    def __init__(self, folds: Folds, fold: int):
        self.folds, self.fold = folds, fold

    def held(self, y: Any, n: int) -> np.ndarray:
        """Tell it of the next n samples, bool [n]."""
        return self.folds.deal(y, n) == self.fold
