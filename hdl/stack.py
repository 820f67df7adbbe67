"""The loop over the layers of a stack: each is a training of its own, and the last one is the network they begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from numpy.typing import NDArray

from hdl import models
from hdl.models import stack
from hdl.spec import Spec
from hdl.table import Table


class Trained(Protocol):
    """What the loop needs to know of a stage that has been trained."""

    @property
    def spec(self) -> Spec: ...

    @property
    def best(self) -> int: ...


T = TypeVar("T", bound=Trained)


def train_stages(spec: Spec, table: str, train_one: Callable[[Spec, Table, list[stack.Layer], bool], T]) -> T:
    """Trains the stages of a spec one after the other; the outcome of the last one.

    Parameters
    ----------
    spec : Spec
        Filled in; any model but a stack is one stage.
    table : str
        Folder of the whole; its layers' tables are in it.
    train_one : function of (stage, table, layers below, whether it stays as it is)
        Trains a stage, or only reads it where a later stage, which was made of it, has begun.
    """
    below: list[stack.Layer] = []
    for stage in stack.stages(spec):
        own = Table(stack.folder(table, stage))
        trained = train_one(stage, own, below, bool(stage.layer) and _later_has_begun(spec, stage, table))
        if stage.layer:
            below.append((trained.spec, own.read(trained.best).weights.w))
    return trained


def first_weights(spec: Spec, table: Table, below: list[stack.Layer]) -> NDArray:
    """Makes the first weights [P] of a stage; before them the table gets the layers below that a layer reads."""
    if spec.layer > 1:
        table.publish_common(
            {"layers": [layer.model_dump(mode="json") for layer, _ in below]},
            {f"w{number}": w for number, (_, w) in enumerate(below)},
        )
    return stack.start(spec, below) if below and not spec.layer else models.initial(spec)


def _later_has_begun(spec: Spec, stage: Spec, table: str) -> bool:
    later = (other for other in stack.stages(spec) if not other.layer or other.layer > stage.layer)
    return any(Table(stack.folder(table, other)).latest() is not None for other in later)
