"""The training step: one round on one shard. Written once; every runner calls it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from hdl import ops as operations
from hdl.ops import Operations, Progress, Samples
from hdl.spec import Spec
from hdl.step.shard_round import ShardRound
from hdl.wire import Update, Weights

if TYPE_CHECKING:
    from hdl.data import Shard

__all__ = ["Update", "Weights", "rounds", "train_shard", "train_shards"]


def rounds(spec: Spec, samples: int) -> int:
    """Counts the rounds that a training takes, if it does not end early.

    Parameters
    ----------
    spec : Spec
    samples : int
        Samples of the dataset, validation included. They matter only where rounds are counted in mini-batches: there
        `epochs` passes are those of a shard of average size.
    """
    if spec.sync.mode == "gradient":
        return spec.epochs
    every = spec.sync.every * (spec.sync.equal if spec.sync.mode == "async" else 1)
    if spec.sync.unit == "epochs":
        return -(-spec.epochs // every)
    held_out = 1 / spec.holdout.folds if spec.holdout.folds else spec.validation
    per_shard = max(1, round(samples * (1 - held_out) / spec.shards))
    return -(-spec.epochs * operations.steps(per_shard, spec.batch_size) // every)


def train_shard(
    spec: Spec,
    weights: Weights,
    shard: Shard,
    number: int,
    ops: Operations,
    progress: Progress | None = None,
    common: Samples | None = None,
    evaluate_only: bool = False,
) -> Update:
    """Trains one round on one shard: measures the weights on the shard's validation part, then does as the mode says.

    A pure function: equal arguments give equal tensors and sums, on any worker and with any number of threads.

    Parameters
    ----------
    spec : Spec
        Everything filled in.
    weights : Weights
        Weights that the round starts from; they are not overwritten.
    shard : Shard
    number : int
        The shard's number, from 0.
    ops : Operations
    progress : function of (steps done, steps), optional
        A true answer stops the step, which raises Interrupted.
    common : Samples, optional
        Genetic mode: the samples on which candidates are measured.
    evaluate_only : bool
        Measure, and do not train.

    Returns
    -------
    Update
        Its mode is the spec's, or `evaluate` with `evaluate_only`.

    Raises
    ------
    NonFinite
        A cost became NaN or infinite.
    Interrupted
        `progress` asked for it.
    """
    return train_shards(spec, weights, {number: shard}, ops, progress, common, evaluate_only)[0]


def train_shards(
    spec: Spec,
    weights: Weights,
    shards: Mapping[int, Shard],
    ops: Operations,
    progress: Progress | None = None,
    common: Samples | None = None,
    evaluate_only: bool = False,
) -> list[Update]:
    """Trains one round on several shards, given by their numbers; each gets the update that `train_shard` gives.

    Mini-batches of several shards go side by side where the operations can do that (`Operations.train_all`).
    """
    # A generator, so that a shard without mini-batches has its update before the next one begins.
    active: Iterable[ShardRound] = (
        ShardRound(spec, weights, shard, number, ops, progress, common, evaluate_only)
        for number, shard in shards.items()
    )
    updates: dict[int, Update] = {}
    while len(updates) < len(shards):
        works = {}
        for shard_round in active:
            work = next(shard_round.works, None)
            if work is None:
                updates[shard_round.number] = shard_round.update()
            else:
                works[shard_round] = work
        results = ops.train_all([*works.values()], spec.batch_size, progress) if works else []
        for shard_round, result in zip(works, results, strict=True):
            shard_round.seen += result
        active = [*works]
    return [updates[number] for number in shards]
