"""Areas under the curves of several classes, each against the rest: one pass over the ranks of many of them.

Where all samples weigh 1 the sums along thresholds are whole numbers, which float64 adds without rounding in any order:
so classes' ranks are laid behind each other and summed at once, and the areas are those of `hdl.metrics.scan`, to the
last digit.

Letters: C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hdl.metrics.ranks import MOST_COUNT, Ranks
from hdl.metrics.runs import Run
from hdl.metrics.scan import Areas, scan
from hdl.metrics.sums import Sums

TOGETHER = 1 << 14  # rows of several classes that are laid behind each other, in the processor's cache
_ONE = int(np.float32(1).view(np.uint32))


def areas(ranks: Sequence[Ranks], probable: bool = False) -> list[Areas | None]:
    """Give the areas of each class; None of one that has no samples, or nothing else.

    Parameters
    ----------
    ranks : sequence of Ranks [C]
    probable : bool
        Whether scores are probabilities.
    """
    found: list[Areas | None] = []
    group: list[Ranks] = []
    for each in [*ranks, None]:
        if group and (each is None or sum(map(len, group)) + len(each) > TOGETHER):
            runs = [run for run in (one.run() for one in group) if run is not None]
            own = _together(runs) if len(runs) == len(group) > 1 else None
            found += own or [scan(one, False, probable) for one in group]
            group = []
        group += [] if each is None else [each]
    return found


def _together(runs: Sequence[Run]) -> list[Areas | None] | None:
    """Give the areas of some classes; None where samples have weights, or are too many."""
    starts = np.cumsum([0, *map(len, runs)])
    keys = np.concatenate([run.keys for run in runs])
    times = np.concatenate([np.ones(len(run)) if run.counts is None else run.counts.astype(np.float64) for run in runs])
    if not len(keys) or times.sum() >= MOST_COUNT or ((keys & np.uint64(0xFFFFFFFF)) >> np.uint64(1) != _ONE).any():
        return None
    positive = (keys & np.uint64(1)).astype(bool)
    # From the first class on, with a 0 before all.
    above, below = (np.append(0.0, np.cumsum(np.where(those, times, 0))) for those in (positive, ~positive))
    score = keys >> np.uint64(32)
    ends = np.append(score[1:] != score[:-1], True)  # rows of one score are answered together
    ends[starts[1:][starts[1:] > 0] - 1] = True
    places = np.flatnonzero(ends) + 1
    group = np.searchsorted(starts[1:], places)
    tp, fp = (each[places] - each[starts[:-1]][group] for each in (above, below))
    first = np.append(True, group[1:] != group[:-1])
    up, right = (np.where(first, each, np.diff(each, prepend=0.0)) for each in (tp, fp))
    roc, pr = Sums(len(runs)), Sums(len(runs))
    roc.add(right * (2 * tp - up), group)
    rising = np.flatnonzero(up)
    pr.add(up[rising] * (tp[rising] / (tp[rising] + fp[rising])), group[rising])
    whole = [np.diff(each[starts]).tolist() for each in (above, below)]
    return [
        Areas(twice / (2 * p * n), precision / p) if p and n else None
        for twice, precision, p, n in zip(roc.floats(), pr.floats(), *whole, strict=True)
    ]
