"""Genetic mode's common samples, on which every candidate is measured: drawn once, kept beside the versions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hdl import data, fs, rng
from hdl.data import FileSplit, Schema, Source, features
from hdl.spec import Spec
from hdl.table import Table


def publish(
    spec: Spec, schema: Schema, source: Source, splits: Sequence[Sequence[FileSplit]], table: Table,
    other: tuple[Source, Sequence[Sequence[FileSplit]]] | None = None,
) -> None:  # fmt: skip
    """Draws the common samples in one pass over the dataset and stores them, unless they are there.

    Each shard gives the samples with the lowest keyed draws, of its validation part if it has one; where a rule, and
    no share, says what is held out, of that part alone. They keep their order.

    Parameters
    ----------
    spec : Spec
        Everything filled in.
    schema : Schema
    source : Source
        The dataset.
    splits : sequence of sequence of FileSplit
        The shards.
    table : Table
        The table in whose common file the samples are stored.
    other : (Source, sequence of sequence of FileSplit), optional
        Data of its own that is the validation part, cut over the same shards.
    """
    if fs.exists(table.common_file):
        return
    quota = -(-spec.sync.genetic.fitness_samples // spec.shards)
    x: list = []
    rest: dict[str, list] = {"y": [], "weight": [], "offset": []}
    for number, splits_of_shard in enumerate(splits):
        held = None if other is None else (other[0], other[1][number])
        shard = data.load(
            source, splits_of_shard, schema, spec.seed, number, spec.validation,
            stratified=bool(spec.holdout.stratified), other=held,
        )  # fmt: skip
        alone = len(shard.validation) or spec.holdout.validates  # by a rule rows are held out in some shards only
        samples = shard.validation if alone else shard.train
        if not len(samples) and alone:
            continue
        draws = rng.words(rng.derive(spec.seed, rng.FITNESS), number, n=len(samples))
        chosen = np.sort(np.argsort(draws, kind="stable")[:quota])
        x.append(samples.x[chosen])
        for name, parts in rest.items():
            if (part := getattr(samples, name)) is not None:
                parts.append(part[chosen])
    labels = {name: np.concatenate(parts) for name, parts in rest.items() if parts}
    # They are samples of the dataset: where that is closed to some, they are closed to all but the user.
    paths = [*source.paths, *(other[0].paths if other is not None else ())]
    closed = not all(map(fs.open_to_all, paths))
    table.publish_common({}, features.to_tensors(features.stack(x)) | labels, private=closed)
