"""Categories as inputs: each level has one, and so have rare levels together, and what is missing."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hdl.arrow import pa
from hdl.data.tabular.levels import Levels
from hdl.spec import Preprocessing

FEW = 20  # levels that are a category in a table of any size
LONG = 100  # characters of a cell, on average, beyond which text is no category


@dataclass(frozen=True)
class Category:
    """One category as L inputs of which one is 1, or none.

    The inputs are those of the levels (or of the buckets), then that of missing, then that of all others.

    Parameters
    ----------
    levels : tuple of str
        Most frequent first, equally frequent ones by their text's code points.
    missing : bool
        Whether any was missing in the training data: a level of its own. Else a missing one is as an unknown level.
    other : bool
        Whether any level of the training data is none of `levels`: one input stands for all such, those that come
        later included. Else an unknown level has no input.
    buckets : int
        0, or how many inputs all levels share: that of number crc32(text in UTF-8) mod buckets (feature hashing,
        Weinberger et al. 2009).

    Examples
    --------
    >>> colour = Category(("red", "blue"), missing=True)
    >>> colour.encode(pa.array(["blue", None, "green", "red"]).dictionary_encode()).tolist()
    [1, 2, -1, 0]
    >>> colour.names("colour")
    ['colour=red', 'colour=blue', 'colour is missing']
    """

    levels: tuple[str, ...] = ()
    missing: bool = False
    other: bool = False
    buckets: int = 0

    @property
    def width(self) -> int:
        """Count the inputs, L."""
        return (self.buckets or len(self.levels)) + self.missing + self.other

    def names(self, name: str) -> list[str]:
        """Name the inputs of a category that is called so."""
        own = [f"{name}={level}" for level in self.levels]
        own += [f"{name} in bucket {i}" for i in range(self.buckets)]
        own += [f"{name} is missing"] if self.missing else []
        return [*own, f"{name} is another"] if self.other else own

    def encode(self, array: pa.DictionaryArray) -> np.ndarray:
        """Give the number of each row's input, int64 [n], from 0; -1 for none."""
        codes = array.indices.fill_null(-1).to_numpy().astype(np.int64)
        if len(array.dictionary) <= 4 * len(codes):
            used = np.flatnonzero(np.bincount(codes + 1, minlength=1)[1:])
        else:  # of the dictionary of a whole file a few
            used = np.unique(codes[codes >= 0])
        texts = array.dictionary.take(pa.array(used)).to_pylist()
        known = np.full(len(array.dictionary) + 1, self._absent, np.int64)  # the last one is that of missing, -1
        known[used] = self._codes(texts)
        return known[codes]

    def _codes(self, texts: Iterable[str | None]) -> list[int]:
        if self.buckets:
            return [self._absent if text is None else bucket(text, self.buckets) for text in texts]
        known, unknown = self._numbers, self._unknown
        return [self._absent if text is None else known.get(text, unknown) for text in texts]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {level: number for number, level in enumerate(self.levels)}

    @property
    def _absent(self) -> int:
        return (self.buckets or len(self.levels)) if self.missing else self._unknown

    @property
    def _unknown(self) -> int:
        return self.width - 1 if self.other else -1

    def to_plain(self) -> dict[str, Any]:
        """Return plain values of JSON."""
        flags = {name: value for name in ("missing", "other", "buckets") if (value := getattr(self, name))}
        return {"levels": [*self.levels], **flags}

    @classmethod
    def from_plain(cls, plain: Any) -> Category:
        """Rebuild a category from what `to_plain` gave.

        Raises
        ------
        ValueError
        """
        if not isinstance(plain, dict) or set(plain) - {"levels", "missing", "other", "buckets"}:
            raise ValueError(f"a category's encoding {plain!r}")
        levels, buckets = plain.get("levels"), plain.get("buckets", 0)
        missing, other = (plain.get(name, False) for name in ("missing", "other"))
        if not isinstance(levels, list) or not all(type(level) is str for level in levels):
            raise ValueError(f"a category's levels {levels!r}")
        if type(missing) is not bool or type(other) is not bool or type(buckets) is not int or buckets < 0:
            raise ValueError(f"a category's encoding {plain!r}")
        if len(set(levels)) != len(levels) or (buckets and levels):
            raise ValueError("a category's encoding with the same level twice, or with levels and buckets")
        return cls(tuple(levels), missing, other, buckets)


def fit(levels: Levels, rules: Preprocessing) -> Category:
    """Fit the encoding of a column.

    Levels of fewer than `min_count` rows, those beyond `max_levels` and those that a sketch does not tell of are
    "other". With `hash_buckets` a column of more levels than there are buckets has buckets instead.
    """
    if rules.hash_buckets and (not levels.exact or levels.distinct > rules.hash_buckets):
        return Category(missing=levels.missing > 0, buckets=rules.hash_buckets)
    listed = levels.items()
    kept = [level for level, count in listed if count >= rules.min_count][: rules.max_levels]
    return Category(tuple(kept), levels.missing > 0, not levels.exact or len(kept) < len(listed))


def unfit(levels: Levels) -> str | None:
    """Tell why a column of text is no category: its cells are too varied or too long; None if it is one.

    Few levels are a category whatever they are.
    """
    if levels.distinct <= FEW and not levels.long:
        return None
    if 2 * levels.distinct > levels.n or 2 * levels.long > levels.n:
        about = "" if levels.exact else "about "
        return f"text, {about}{levels.distinct + (levels.long > 0):,} different ones in {levels.n:,} cells"
    if levels.characters > LONG * levels.n:
        return f"text of {levels.characters / levels.n:.0f} characters on average"
    return None


def bucket(text: str, buckets: int) -> int:
    """Tell the bucket of a level; the same everywhere, whatever Python's hash seed."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % buckets
