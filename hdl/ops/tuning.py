"""Fine-tuning on flat vectors: each parameter's factor of the learning rate, what is frozen, and the pull of L2-SP.

Letters: L layers, P parameters, S state vectors of the update rule.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.ops import layout as layouts
from hdl.ops import rules
from hdl.ops.layout import Layout

if TYPE_CHECKING:
    from hdl.spec import Spec


def factors(spec: Spec) -> tuple[float, ...] | None:
    """Give the factors of the learning rate, of tables and of each layer [1 + L], of a spec whose net is known; None
    where all are 1."""
    tuning = spec.tuning
    if not tuning.freeze and not tuning.paced:
        return None
    found = tuning.factors(len(spec.widths) - 1, bool(spec.embeddings))
    return None if all(each == 1 for each in found) else found


def rates(spec: Spec) -> NDArray[np.float32] | None:
    """Give each parameter's factor of the learning rate [P], 0 where it is frozen; None where all are 1."""
    found = factors(spec)
    return None if found is None else _spread(layouts.of(spec), found)


def frozen(spec: Spec) -> NDArray[np.bool_] | None:
    """Mark the parameters [P] that are frozen; None where none are."""
    found = factors(spec)
    return None if found is None or all(found) else _spread(layouts.of(spec), found) == 0


def state_vectors(spec: Spec) -> int:
    """Count the vectors [P] that training takes as its state: the rule's, and with L2-SP the weights it pulls to."""
    return rules.VECTORS.get(spec.optimizer.name, 0) + bool(spec.tuning.l2_sp)


def step(spec: Spec, layout: Layout, w: NDArray, state: NDArray, g: NDArray, lr: float, t: int) -> None:
    """Take a step of the spec's rule, its penalties and its limit on norms, in place, as `rules` has the formulas.

    Parameters
    ----------
    w : ndarray [P]
    state : ndarray [`state_vectors`, P]
        The last one is not changed where there is L2-SP.
    g : ndarray [P]
        Gradient of the mean cost, without penalty.
    lr : float
    t : int
        Steps taken including this one.
    """
    mask, pull, factor = layout.mask.astype(w.dtype), spec.tuning.l2_sp, rates(spec)
    g = rules.penalised(g, w, mask, spec.l1, spec.l2)
    if pull:
        g, state = g + w.dtype.type(pull) * (mask * (w - state[-1])), state[:-1]
    if factor is None:
        rules.update(spec.optimizer, w, state, g, lr, t, mask)
        if spec.max_norm:
            rules.limit(w, layout, spec.max_norm)
        return
    before = w.copy(), state.copy()
    rules.update(spec.optimizer, w, state, g, w.dtype.type(lr) * factor.astype(w.dtype), t, mask)
    if spec.max_norm:
        rules.limit(w, layout, spec.max_norm)
    still = factor == 0
    w[still], state[:, still] = before[0][still], before[1][:, still]


def towards(spec: Spec, w: NDArray, start: NDArray | None, mask: NDArray) -> tuple[float, NDArray]:
    """Compute L2-SP's cost and gradient [P] at w [P]; both 0 where there is none.

    No BLAS product: see `rules.penalty`.

    Parameters
    ----------
    start : ndarray [P] or None
        The weights that it pulls to.
    mask : ndarray [P]
        1 at weights, 0 at biases and tables.
    """
    pull = spec.tuning.l2_sp
    if not pull or start is None:
        return 0.0, np.zeros((), w.dtype)
    away = mask * (w - start)
    return pull / 2 * float(np.square(away.astype(np.float64)).sum()), w.dtype.type(pull) * away


def hold(spec: Spec, w: NDArray, before: NDArray) -> NDArray:
    """Give w [P], or several [n, P], with what is frozen as it was `before` [P], to the bit."""
    still = frozen(spec)
    return w if still is None else np.where(still, before, w)


@lru_cache(maxsize=32)
def _spread(layout: Layout, found: tuple[float, ...]) -> NDArray[np.float32]:
    """Spread the factors of layers over their parameters [P]."""
    flat = np.empty(layout.size, np.float32)
    for number, (weights, biases) in enumerate(layout.split(flat)):
        weights[:] = biases[:] = found[1 + number % (len(found) - 1)]  # an ensemble's layers are those of all members
    for table in layout.tables(flat):
        table[:] = found[0]
    flat.flags.writeable = False
    return flat
