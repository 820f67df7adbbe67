"""Mini-batch update rules in NumPy: the formulas that the core's update kernels compute, and the driver's own step.

`g` is the gradient [P] of the mean cost with its penalty; `state` [S, P] starts at 0; t counts steps from 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.ops.layout import Layout

if TYPE_CHECKING:
    from hdl.spec import Optimizer

# S of each rule, in the order of csrc/rules.h; not read from there, since the reference runs without the compiled core.
VECTORS = {"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 1, "adadelta": 2, "rmsprop": 1, "adam": 2}


def penalised(g: NDArray, w: NDArray, mask: NDArray, l1: float, l2: float) -> NDArray:
    """Compute the gradient of cost + l1·|W|₁ + l2/2·‖W‖², biases (mask 0) exempt; sign(0) = 0."""
    if l2:
        g = g + g.dtype.type(l2) * (mask * w)
    if l1:
        g = g + g.dtype.type(l1) * (mask * np.sign(w))
    return g


def penalty(w: NDArray, mask: NDArray, l1: float, l2: float) -> float:
    """Compute l1·|W|₁ + l2/2·‖W‖², summed in float64.

    No BLAS product: its sums depend on the number of its threads, and weights must not.
    """
    weights = (w * mask).astype(np.float64)
    absolute = l1 * float(np.abs(weights).sum()) if l1 else 0.0
    return absolute + (l2 / 2 * float(np.square(weights).sum()) if l2 else 0.0)


def update(
    rule: Optimizer, w: NDArray, state: NDArray, g: NDArray, lr: float, t: int, mask: NDArray | None = None
) -> None:
    """Take one step of `rule`, in place; with weight decay w·(1 - lr·decay) takes it, where `mask` [P] is 1.

    Parameters
    ----------
    w : ndarray [P]
    state : ndarray [S, P]
        S as in `VECTORS`.
    g : ndarray [P]
    lr : float
    t : int
        Steps taken including this one: Adam's bias correction.
    mask : ndarray [P], optional
        0 where weights do not decay: biases, tables of embeddings. Needed where the rule has a weight decay.

    Notes
    -----
    momentum: Polyak 1964; nesterov: Sutskever et al. 2013, with the gradient at w; their velocity is kept free of the
    learning rate, so that a schedule acts at once. adagrad: Duchi et al. 2011; adadelta: Zeiler 2012, algorithm 1;
    rmsprop: Tieleman & Hinton 2012; adam: Kingma & Ba 2015, algorithm 1. The decay of weights is decoupled from the
    gradient: Loshchilov & Hutter 2019, algorithm 2, times the learning rate as its schedule has it.
    """
    real = w.dtype.type
    lr, epsilon, name = real(lr), real(rule.epsilon), rule.name
    if rule.weight_decay:
        assert mask is not None
        w *= 1 - mask * (lr * real(rule.weight_decay))
    if name == "sgd":
        w -= lr * g
    elif name in ("momentum", "nesterov"):
        mu, velocity = real(rule.momentum), state[0]
        velocity[:] = mu * velocity + g
        w -= lr * (velocity if name == "momentum" else g + mu * velocity)
    elif name == "adagrad":
        state[0] += g * g
        w -= lr * g / (np.sqrt(state[0]) + epsilon)
    elif name == "rmsprop":
        rho = real(rule.rho)
        state[0] = rho * state[0] + (1 - rho) * g * g
        w -= lr * g / (np.sqrt(state[0]) + epsilon)
    elif name == "adadelta":
        rho = real(rule.rho)
        state[0] = rho * state[0] + (1 - rho) * g * g
        change = np.sqrt(state[1] + epsilon) / np.sqrt(state[0] + epsilon) * g
        state[1] = rho * state[1] + (1 - rho) * change * change
        w -= lr * change
    elif name == "adam":
        beta1, beta2 = real(rule.beta1), real(rule.beta2)
        state[0] = beta1 * state[0] + (1 - beta1) * g
        state[1] = beta2 * state[1] + (1 - beta2) * g * g
        mean, square = 1 - rule.beta1**t, 1 - rule.beta2**t
        w -= lr / real(mean) * state[0] / (np.sqrt(state[1] / real(square)) + epsilon)
    else:
        raise ValueError(f"optimizer {name}: expected one of {', '.join(VECTORS)}")


def limit(w: NDArray, layout: Layout, max_norm: float) -> None:
    """Scale each unit's incoming weights back to norm `max_norm`, in place (Srivastava et al. 2014, section 5.1)."""
    for weights, _ in layout.split(w):
        norm = np.sqrt((weights * weights).sum(axis=0))
        over = norm > max_norm
        weights[:, over] *= w.dtype.type(max_norm) / norm[over]
