"""Passes over a dataset: its cut into parts, what is found in each, and how that joins along the tree.

A pass asks the same of every part: to measure a network (`evaluate`), or a share of the work on rows that were drawn
(`hdl.importance`). What a part gives is a `Partial`, which says what it is of; runners carry passes and partial
results, and know nothing of what is in them. The cut depends on the data alone, and every value is exact or keyed by
places, so that the result is the same on every runner, for any number of workers and in whatever order parts come.
"""

from hdl.passes.evaluate import check, evaluate, make, score, whole
from hdl.passes.figures import Figures
from hdl.passes.parts import MESSAGE, Partial, Pass, complete, count, cut, join_siblings, read, with_lost, workers
from hdl.passes.rows import Rows

__all__ = [
    "MESSAGE", "Figures", "Partial", "Pass", "Rows", "check", "complete", "count", "cut", "evaluate", "join_siblings",
    "make", "read", "score", "whole", "with_lost", "workers",
]  # fmt: skip
