"""Models: their first weights, and what stacks of them are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hdl.spec import Spec


def initial(spec: Spec) -> NDArray[np.float32]:
    """The first weights [P] of a spec whose net is known, keyed by its seed."""
    from hdl.models import autoencoder, mlp, rbm

    return {"mlp": mlp, "autoencoder": autoencoder, "rbm": rbm}[spec.model].initial(spec)
