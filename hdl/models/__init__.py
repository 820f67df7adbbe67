"""Models: their first weights, their codes, and the stages of stacks of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.ops.members import spec_of

if TYPE_CHECKING:
    from hdl.spec import Spec


def initial(spec: Spec) -> NDArray[np.float32]:
    """Make the first weights [P] of a spec whose net is known, keyed by its seed; those of an ensemble's members follow
    each other."""
    if spec.members > 1:
        return np.concatenate([initial(spec_of(spec, member)) for member in range(spec.members)])
    return importlib.import_module(f"hdl.models.{spec.model}").initial(spec)
