"""The merge: updates are joined along one fixed tree over shard numbers, and make the next weights, one file a mode.

The arrays that each mode keeps in `Weights.state` and sends in `Update.tensors`:

| mode | state | tensors |
|---|---|---|
| gradient | `rule` [S, P], or the line search's own arrays | `gradient` [Q], summed over samples |
| average | `rule` [S, P] | `w` [P], `rule` [S, P] |
| async | as `average`; workers merge each other's published weights as they come: see `hdl.yarn` | |
| genetic | `population` [K, P] | `w` [n, P], `cost` [n]: one row a shard |

A persistent RBM has `chains` [K, C, I] beside these, sent as [n, C, I], one a shard. With L2-SP every state has `start`
[P], the weights that it pulls to, which no update holds.

All of it is a pure function of its arguments: the same updates give the same bytes in whatever order they come, as
often as they come, and whoever has joined some of them before.

Letters: K shards, P parameters, Q statistics (P or more), S state vectors of the update rule, C chains of I units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hdl.errors import HdlError, NonFinite
from hdl.ops import losses
from hdl.spec import Spec
from hdl.sync import average, chains, genetic, gradient, tuned
from hdl.wire import Update, Weights, total_weight

if TYPE_CHECKING:
    from hdl.metrics import Measures

Node = TypeVar("Node", bound=Any)
_MODES = {"gradient": gradient, "average": average, "genetic": genetic, "async": average}


class SyncError(HdlError, ValueError):
    """Updates do not belong together: a fault of a runner, never of the user."""


def start(spec: Spec, w: NDArray, anchor: NDArray | None = None) -> Weights:
    """Makes the weights of version 0: w [P] with the mode's first state, and the weights that L2-SP pulls to: `anchor`
    [P], or else w."""
    return Weights(0, w, _MODES[spec.sync.mode].start(spec, w) | tuned.start(spec, w, anchor))


def split(lo: int, hi: int) -> int:
    """Computes the shard at which the fixed tree's node [lo, hi) splits: lo + the largest power of two below hi - lo.

    Examples
    --------
    >>> split(0, 4), split(0, 5), split(4, 7)
    (2, 4, 6)
    """
    return lo + (1 << ((hi - lo - 1).bit_length() - 1))


def join(spec: Spec, a: Update, b: Update) -> Update:
    """Joins two siblings of the tree, given in any order, to their parent.

    Raises
    ------
    SyncError
        The updates are no siblings, or of different rounds or modes.
    """
    if a.lo > b.lo:
        a, b = b, a
    siblings = a.hi == b.lo and _is_node(spec.shards, a.lo, b.hi) and split(a.lo, b.hi) == a.hi
    if not siblings or (a.mode, a.round) != (b.mode, b.round):
        raise SyncError(f"{_name(a)} and {_name(b)} cannot be joined")
    if (a.measures is None) != (b.measures is None):
        raise SyncError(f"{_name(a)} and {_name(b)} cannot be joined: one of them has no measures")
    tensors = {} if a.mode == "evaluate" else _MODES[a.mode].join(a, b)
    sums, seconds = add_sums(a.sums, b.sums), add_sums(a.seconds, b.seconds)
    return Update(a.mode, a.round, a.lo, b.hi, tensors, sums, seconds, join_measures(a, b))


def join_siblings(spec: Spec, updates: Iterable[Update]) -> list[Update]:
    """Joins all siblings among the updates: gives the fewest nodes of the tree that hold the same, by shard number.

    An update that comes twice, or whose shards another one covers, is dropped: it holds the same numbers.

    Raises
    ------
    SyncError
        An update is no node of the tree over `spec.shards`.
    """
    return join_nodes(updates, spec.shards, lambda a, b: join(spec, a, b))


def join_nodes(nodes: Iterable[Node], shards: int, join: Callable[[Node, Node], Node]) -> list[Node]:
    """Joins siblings as `join_siblings` does: anything that has `lo` and `hi`.

    Raises
    ------
    SyncError
        One of them is no node of the tree over the shards.
    """
    held = {(node.lo, node.hi): node for node in nodes}

    def collect(lo: int, hi: int) -> list[Node]:
        node = held.pop((lo, hi), None)
        below: list[Node] = []
        if hi - lo > 1 and held:  # also below a node that is held: what it covers is dropped
            middle = split(lo, hi)
            below = collect(lo, middle) + collect(middle, hi)
            if not node and [(child.lo, child.hi) for child in below] == [(lo, middle), (middle, hi)]:
                below = [join(*below)]
        return [node] if node else below

    found = collect(0, shards)
    if held:
        raise SyncError(f"{_name(next(iter(held.values())))} is no part of {shards} shards")
    return found


def merge(
    spec: Spec, weights: Weights, updates: Iterable[Update], deviation: NDArray[np.float64] | None = None
) -> tuple[Weights, dict[str, Any]]:
    """Makes the next weights and the round's row of metrics.

    Parameters
    ----------
    spec : Spec
    weights : Weights
        The weights that the round started from.
    updates : iterable of Update
        Updates of all shards: single ones, joined ones, repeated ones, in any order.
    deviation : float64 [O], optional
        By which a regression's targets were divided: metrics other than the cost are in their own unit.

    Returns
    -------
    Weights, dict
        The row holds what `measure` gives, and for genetic mode the lineage.

    Raises
    ------
    SyncError
        Shards are missing, or updates are of another round.
    NonFinite
        A cost or a gradient is NaN or infinite.
    """
    total = whole(spec, weights, updates)
    row = measure(spec, total, deviation)
    state, w, extra = _MODES[spec.sync.mode].merge(spec, weights, total)
    state, w = tuned.merged(spec, weights, state, w)
    return Weights(weights.round + 1, w, state), row | extra


def advance(
    spec: Spec, weights: Weights, updates: Iterable[Update], measured: bool = False,
    deviation: NDArray[np.float64] | None = None,
) -> tuple[Weights, dict[str, Any]]:  # fmt: skip
    """Makes the next weights and the row of a round; of one that only `measured`, the weights stay the same.

    Parameters and errors are those of `merge`.
    """
    if measured:
        return weights, measure(spec, whole(spec, weights, updates), deviation)
    return merge(spec, weights, updates, deviation)


def separable(spec: Spec) -> bool:
    """Tells whether updates join number by number, so that they may be sliced: no population is kept, and no chains."""
    return spec.sync.mode != "genetic" and not chains.kept_by(spec)


def slice_update(update: Update, lo: int, hi: int) -> Update:
    """Slices an update of a `separable` training: the numbers [lo, hi) of each of its tensors.

    Measures, which are no numbers of a vector, are in the slice that begins at 0 alone.
    """
    tensors = {name: tensor[..., lo:hi] for name, tensor in update.tensors.items()}
    return replace(update, tensors=tensors, measures=None if lo else update.measures)


def concatenate_updates(pieces: Sequence[Update]) -> Update:
    """Concatenates consecutive slices of an update, as `slice_update` made them, to that update."""
    tensors = {name: np.concatenate([piece.tensors[name] for piece in pieces], axis=-1) for name in pieces[0].tensors}
    return replace(pieces[0], tensors=tensors)


def tree_reduce(items: Sequence[Any], join: Callable[[Any, Any], Any], lo: int = 0) -> Any:
    """Joins items, one a shard from `lo` on, along the fixed tree."""
    if len(items) == 1:
        return items[0]
    middle = split(lo, lo + len(items)) - lo
    return join(tree_reduce(items[:middle], join, lo), tree_reduce(items[middle:], join, lo + middle))


def complete(spec: Spec, updates: Iterable[Update]) -> Update:
    """Joins the updates of all shards to one.

    Raises
    ------
    SyncError
        Shards are missing.
    """
    nodes = join_siblings(spec, updates)
    if len(nodes) != 1 or (nodes[0].lo, nodes[0].hi) != (0, spec.shards):
        held = ", ".join(_name(update) for update in nodes) or "nothing"
        raise SyncError(f"expected updates of all {spec.shards} shards; there are: {held}")
    return nodes[0]


def whole(spec: Spec, weights: Weights, updates: Iterable[Update]) -> Update:
    """Joins the updates of all shards to one, and checks that they are of the weights' round.

    Raises
    ------
    SyncError
        Shards are missing, or updates are of another round or mode.
    """
    total = complete(spec, updates)
    if total.round != weights.round or total.mode not in (spec.sync.mode, "evaluate"):
        raise SyncError(f"{_name(total)} where round {weights.round} of {spec.sync.mode} was expected")
    return total


def measure(spec: Spec, total: Update, deviation: NDArray[np.float64] | None = None) -> dict[str, Any]:
    """Computes a round's row of metrics: the means of an update's sums, and what its measures make.

    Parameters are those of `merge`.

    Returns
    -------
    dict
        round, samples, batches, cost (mean data cost as seen while training, no penalty), accuracy; of the incoming
        weights val_samples, val_cost, val_accuracy, and beside these the metrics of `hdl.metrics` by their names, such
        as val_auc, and the thresholds that are best, such as val_threshold_f1. Means are by the samples' weights, and
        where there are any, weight and val_weight are their sums. A mean over no samples is None, as are the accuracy
        of a regression, the cost of a line search's trial that went too far, and a metric that is not defined.

    Raises
    ------
    NonFinite
        A cost is NaN or infinite.
    """
    sums = total.sums
    row: dict[str, Any] = {"round": total.round, "batches": sums.get("batches", 0)}
    for prefix in "", "val_":
        weight, cost = total_weight(sums, prefix), sums.get(f"{prefix}cost", 0.0)
        finite = math.isfinite(cost)
        if not finite and (prefix or not spec.optimizer.line_search):
            raise NonFinite(f"round {total.round}: the cost became {cost}; a smaller lr may help")
        row[f"{prefix}samples"] = sums.get(f"{prefix}samples", 0)
        if f"{prefix}weight" in sums:
            row[f"{prefix}weight"] = weight
        row[f"{prefix}cost"] = cost / weight if weight and finite else None
        scored = weight and spec.loss not in losses.REGRESSION and spec.finetune == "classify"
        row[f"{prefix}accuracy"] = sums.get(f"{prefix}correct", 0) / weight if scored else None
    if total.measures is None or not row["val_samples"]:
        return row
    measured = total.measures.metrics(deviation)
    measured |= {f"threshold_{name}": value for name, value in total.measures.thresholds().items()}
    return row | {key: value for name, value in measured.items() if (key := f"val_{name}") not in row}


def _is_node(shards: int, lo: int, hi: int) -> bool:
    """Tells whether [lo, hi) is a node of the tree over all shards."""
    low, high = 0, shards
    while (low, high) != (lo, hi) and high - low > 1:
        middle = split(low, high)
        low, high = (low, middle) if lo < middle else (middle, high)
    return (low, high) == (lo, hi)


def join_measures(*updates: Update) -> Measures | None:
    """Join what updates measured, of those that measured something: exact, so in any order."""
    held = [update.measures for update in updates if update.measures is not None]
    return reduce(lambda a, b: a.join(b), held) if held else None


def add_sums(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Add sums of the same name; one that stands on one side alone is taken as it is."""
    return {name: a.get(name, 0) + b.get(name, 0) for name in sorted({*a, *b})}


def _name(node: Any) -> str:
    of = f"{node.mode} of round {node.round}, " if isinstance(node, Update) else ""
    return f"{of}shards [{node.lo}, {node.hi})"
