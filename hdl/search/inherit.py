"""A weight table that goes on from another one's last version, with other hyper-parameters: a child of a population."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from hdl import data, fs, sync
from hdl import spec as specs
from hdl.data import Schema
from hdl.spec import Spec
from hdl.sync import genetic
from hdl.table import Table, Version
from hdl.wire import Weights


def inherit(parents: Sequence[str], target: str, spec: Spec, bred: tuple[int, int] | None = None) -> None:
    """Make a table whose last version is the first parent's, to be resumed with `spec`; one that is there stays.

    Parameters
    ----------
    parents : sequence of str
        Tables.
    target : str
        The new table. What is left of one that was not made to its end is replaced.
    spec : Spec
        As given: not filled in from the data.
    bred : (generation, number), optional
        The weights are crossed over with the second parent's, where its network has the same shape, and mutated, as
        mode `genetic` does it. None: they are the first parent's.
    """
    parent, table = Table(parents[0]), Table(target)
    last = parent.read()
    if (there := table.latest()) is not None:
        if there >= last.number:
            return
        fs.remove(target)
        table = Table(target)
    zero, run = parent.read(0), uuid.uuid4().hex
    about = dict(zero.about)
    filled = data.resolve(spec, Schema.from_parts(about.pop("schema"), zero.schema))
    dump, best = filled.model_dump(mode="json"), parent.best()
    kept = sorted({0, last.number} | ({best} if best is not None else set()))
    table.begin()
    for number in kept:
        version = {0: zero, last.number: last}.get(number) or parent.read(number)
        if number == last.number:
            version = replace(version, weights=_weights(last, filled, parents, bred))
        table.publish(replace(version, spec=dump, run=run, follows=None))


def _weights(last: Version, spec: Spec, parents: Sequence[str], bred: tuple[int, int] | None) -> Weights:
    """Give the weights of a child, and the optimiser's state where that still fits."""
    before, weights = specs.parse(last.spec), last.weights
    w = weights.w
    if bred is not None:
        other = Table(parents[-1]).read()
        if specs.parse(other.spec).net == spec.net:
            w = genetic.cross(spec, *bred, w, other.weights.w)
        w = genetic.mutate(spec, *bred, w)
    if w is weights.w and before.optimizer.name == spec.optimizer.name:
        return weights
    return replace(sync.start(spec, w, weights.state.get("start")), round=weights.round)
