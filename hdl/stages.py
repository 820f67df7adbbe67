"""The stages of a stack on their way through the driver: first weights, and whether a stage may still be trained.

A stack's layers are trainings one after the other, each in a table of its own; the last stage is the network they
begin. `hdl.models.stack` says which stages a spec has.
"""

from __future__ import annotations

from numpy.typing import NDArray

from hdl import models
from hdl.models import stack
from hdl.spec import Spec
from hdl.table import Table


def first_weights(spec: Spec, table: Table, below: list[stack.Layer]) -> NDArray:
    """Makes the first weights [P] of a stage, and stores the layers below a layer in its table, where workers read
    them.

    Parameters
    ----------
    spec : Spec
        Of the stage, filled in.
    table : Table
        Of the stage.
    below : list of (Spec, float32 [P])
        The layers that have been learned, from the data upwards.
    """
    if spec.layer > 1:
        table.publish_common(
            {"layers": [layer.model_dump(mode="json") for layer, _ in below]},
            {f"w{number}": w for number, (_, w) in enumerate(below)},
        )
    return stack.start(spec, below) if below and not spec.layer else models.initial(spec)


def later_has_begun(spec: Spec, layer: Spec, table: str) -> bool:
    """Tells whether a stage that was made of a layer has begun: then the layer must not change any more.

    Parameters
    ----------
    spec : Spec
        Of the whole stack.
    layer : Spec
        One of its stages.
    table : str
        Folder of the whole.
    """
    later = (stage for stage in stack.stages(spec) if not stage.layer or stage.layer > layer.layer)
    return any(Table(stack.folder(table, stage)).latest() is not None for stage in later)
