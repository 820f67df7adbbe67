"""The restricted Boltzmann machine beyond its training: first weights, free energy, likelihood, samples.

Energies and conditionals are those of `hdl.ops.reference.rbm`. Everything here is float64.

Letters: n samples, I visible units, H hidden units, M annealed chains.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.errors import SpecError
from hdl.ops.layout import RbmLayout, of

if TYPE_CHECKING:
    from hdl.spec import Spec

DEVIATION = 0.01  # of the first weights (Hinton 2012, section 8)
MOST_UNITS = 20  # that an enumeration takes: 2^20 states
_CHUNK = 1 << 14  # states at a time


def layout(spec: Spec) -> RbmLayout:
    """Make the layout of a spec whose net is known.

    Raises
    ------
    SpecError
        If inputs or hidden units are still to be filled in.
    """
    if spec.model != "rbm" or spec.net is None or min(spec.net) < 1:
        raise SpecError(f"model {spec.model}, net {spec.net}: expected an rbm with known widths, such as 784-500")
    shape = of(spec)
    assert isinstance(shape, RbmLayout)
    return shape


def initial(spec: Spec) -> NDArray[np.float32]:
    """Make the first weights [P], keyed by the spec's seed: W ~ N(0, 0.01²), biases 0; `spec.init` does not count.

    Hinton (2012, section 8) would start the visible biases at log(p/(1 − p)) of the data's means. They start at 0 here,
    so that the first weights need no pass over the data: the biases learn those means within some hundred steps.
    """
    shape = layout(spec)
    w = np.zeros(shape.size, np.float32)
    weights, _ = shape.split(w)[0]
    draws = rng.normals(rng.derive(spec.seed, rng.INIT, spec.layer), n=weights.size)
    weights[:] = (DEVIATION * draws).reshape(weights.shape)
    return w


class _Machine:
    """Energies and conditionals of one machine: W [I, H], b_h [H], b_v [I] in float64."""

    def __init__(self, spec: Spec, w: NDArray):
        shape = layout(spec)
        if w.shape != (shape.size,):
            raise SpecError(f"w has shape {w.shape}, expected {(shape.size,)} for net {spec.net}")
        (self.weights, self.hidden), (_, self.visible) = shape.split(w.astype(np.float64))
        self.gaussian = spec.rbm.visible == "gaussian"

    def inputs(self, v: NDArray) -> NDArray[np.float64]:
        v = np.asarray(v, np.float64)
        if v.ndim != 2 or v.shape[1] != len(self.visible):
            raise SpecError(f"v has shape {v.shape}, expected (n, {len(self.visible)})")
        return v

    def field(self, v: NDArray) -> NDArray[np.float64]:
        """Compute v·W + b_h [n, H], the field of the hidden units."""
        return v @ self.weights + self.hidden

    def bias_term(self, v: NDArray, bias: NDArray) -> NDArray[np.float64]:
        """Compute the logarithm [n] of the factor of exp(−E) that the visible units alone have."""
        return -0.5 * np.square(v - bias).sum(axis=1) if self.gaussian else v @ bias

    def base(self, bias: NDArray) -> float:
        """Compute log Z of the visible units alone."""
        return 0.5 * len(bias) * np.log(2 * np.pi) if self.gaussian else float(np.logaddexp(0, bias).sum())

    def log_sum_visible(self, h: NDArray) -> NDArray[np.float64]:
        """Compute log Σ_v exp(−E(v, h)) [n]; an integral over gaussian v."""
        drive = h @ self.weights.T
        if self.gaussian:
            rest = drive @ self.visible + 0.5 * np.square(drive).sum(axis=1) + self.base(self.visible)
        else:
            rest = np.logaddexp(0, drive + self.visible).sum(axis=1)
        return h @ self.hidden + rest

    def log_sum_hidden(self, v: NDArray) -> NDArray[np.float64]:
        """Compute log Σ_h exp(−E(v, h)) [n] = −F(v)."""
        return self.bias_term(v, self.visible) + np.logaddexp(0, self.field(v)).sum(axis=1)

    def draw_visible(self, field: NDArray, key: int, step: int) -> NDArray[np.float64]:
        """Draw v [n, I] from its field; the numbers are those of layer 1 in step `step`."""
        if self.gaussian:
            return field + rng.normals(key, step, 1, n=field.size).reshape(field.shape)
        return _binary(field, key, step, 1)


def free_energy(spec: Spec, w: NDArray, v: NDArray) -> NDArray[np.float64]:
    """Compute F(v) = −log Σ_h exp(−E(v, h)) [n]: exact (Hinton 2012, equation 25).

    Parameters
    ----------
    w : ndarray [P]
    v : ndarray [n, I]
        As the machine sees it: scaled.

    Raises
    ------
    SpecError
        A shape does not fit.

    Examples
    --------
    >>> from hdl.spec import Spec
    >>> free_energy(Spec(model="rbm", net="3-2"), np.zeros(11), np.ones((1, 3))).round(4).tolist()
    [-1.3863]
    """
    machine = _Machine(spec, w)
    return -machine.log_sum_hidden(machine.inputs(v))


def pseudo_likelihood(spec: Spec, w: NDArray, v: NDArray, seed: int = 0) -> NDArray[np.float64]:
    """Estimate log Π_i p(v_i | all other units) [n] of binary visible units, by one unit of each sample.

    I·log σ(F(ṽ) − F(v)), where ṽ is v with unit i turned over (Besag 1975; as scikit-learn has it): the sum over all i
    takes I times as long. The seed and the sample itself draw i, so that no other sample changes a sample's score.

    Parameters
    ----------
    w : ndarray [P]
    v : ndarray [n, I]

    Raises
    ------
    SpecError
        The visible units are gaussian, or a shape does not fit.
    """
    if spec.rbm.visible == "gaussian":
        raise SpecError("pseudo-likelihood: given gaussian visible units; expected binary ones")
    machine = _Machine(spec, w)
    v = machine.inputs(v)
    rows, units, key = np.arange(len(v)), len(machine.visible), rng.derive(seed, rng.FLIPS).to_bytes(8, "little")
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8, key=key).digest() for row in v]
    chosen = np.array([int.from_bytes(digest, "little") % units for digest in digests], np.int64)
    change = 1 - 2 * v[rows, chosen]
    field = machine.field(v)
    turned = field + change[:, None] * machine.weights[chosen]
    risen = np.logaddexp(0, turned).sum(axis=1) - np.logaddexp(0, field).sum(axis=1) + change * machine.visible[chosen]
    return -units * np.logaddexp(0, risen)


def log_partition(spec: Spec, w: NDArray, over: str | None = None) -> float:
    """Compute log Z by enumeration of all states of one layer.

    Parameters
    ----------
    over : {'visible', 'hidden'}, optional
        The layer; None for the smaller one. Gaussian visible units cannot be enumerated.

    Raises
    ------
    SpecError
        More than 2^20 states.
    """
    machine = _Machine(spec, w)
    inputs, hidden = machine.weights.shape
    if over is None:
        over = "hidden" if machine.gaussian or hidden <= inputs else "visible"
    if over not in ("visible", "hidden") or (over == "visible" and machine.gaussian):
        raise SpecError(f"over {over!r}: expected 'hidden'" + ("" if machine.gaussian else " or 'visible'"))
    units = hidden if over == "hidden" else inputs
    if units > MOST_UNITS:
        raise SpecError(
            f"net {inputs}-{hidden}: {units} {over} units have too many states to enumerate, expected at most"
            f" {MOST_UNITS} units; estimate log Z with `annealed`"
        )
    energy, total = machine.log_sum_visible if over == "hidden" else machine.log_sum_hidden, -np.inf
    for low in range(0, 1 << units, _CHUNK):
        numbers = np.arange(low, min(low + _CHUNK, 1 << units))[:, None]
        total = np.logaddexp(total, _log_sum(energy((numbers >> np.arange(units) & 1).astype(np.float64))))
    return float(total)


def log_likelihood(spec: Spec, w: NDArray, v: NDArray, log_z: float | None = None) -> NDArray[np.float64]:
    """Compute log p(v) [n], exact where log Z is: by enumeration, which small machines allow, or as given.

    Parameters
    ----------
    v : ndarray [n, I]
    log_z : float, optional
        Such as `annealed` gives.
    """
    return -free_energy(spec, w, v) - (log_partition(spec, w) if log_z is None else log_z)


class Annealed(NamedTuple):
    """An estimate of log Z, with the standard error of that logarithm."""

    log_z: float
    error: float


def annealed(
    spec: Spec, w: NDArray, chains: int = 100, steps: int = 1000, seed: int = 0, base: NDArray | None = None
) -> Annealed:
    """Estimate log Z by annealed importance sampling (Neal 2001; Salakhutdinov & Murray 2008, section 4).

    Chains start from a machine without weights, whose visible biases are `base`, and pass through machines of weights
    βW, βb_h and (1 − β)·base + β·b_v, with one Gibbs step at each β.

    Parameters
    ----------
    chains : int
        M, at least 2.
    steps : int
        β rises evenly from 0 to 1 in so many steps.
    seed : int
        Equal seeds give equal numbers.
    base : ndarray [I], optional
        Visible biases to start from; None for b_v. Those of the data's means, log(p/(1 − p)), start nearer.

    Returns
    -------
    Annealed
        The error is that of the mean weight over its size (delta method): true only if it is well below 1.
    """
    machine = _Machine(spec, w)
    inputs, hidden = machine.weights.shape
    if chains < 2 or steps < 1:
        raise SpecError(f"chains {chains}, steps {steps}: expected at least 2 and 1")
    bias = machine.visible if base is None else np.asarray(base, np.float64)
    if bias.shape != (inputs,):
        raise SpecError(f"base has shape {bias.shape}, expected {(inputs,)}")
    key = rng.derive(seed, rng.ANNEALING)
    v = machine.draw_visible(np.broadcast_to(bias, (chains, inputs)), key, 0)
    ratio = np.zeros(chains)
    for step in range(1, steps + 1):
        last, beta = (step - 1) / steps, step / steps
        field = machine.field(v)
        ratio += (beta - last) * (machine.bias_term(v, machine.visible) - machine.bias_term(v, bias))
        ratio += (np.logaddexp(0, beta * field) - np.logaddexp(0, last * field)).sum(axis=1)
        h = _binary(beta * field, key, step, 0)
        v = machine.draw_visible((1 - beta) * bias + beta * (machine.visible + h @ machine.weights.T), key, step)
    log_mean = _log_sum(ratio) - np.log(chains)
    scaled = np.exp(ratio - log_mean)  # of mean 1
    log_z = log_mean + machine.base(bias) + hidden * np.log(2)
    return Annealed(float(log_z), float(scaled.std(ddof=1) / np.sqrt(chains)))


def sample(
    spec: Spec, w: NDArray, count: int, steps: int = 1000, seed: int = 0, start: NDArray | None = None,
    means: bool = False,
) -> NDArray[np.float32]:  # fmt: skip
    """Draw samples [count, I] of the machine, each from a Gibbs chain of its own.

    Parameters
    ----------
    steps : int
        Gibbs steps, v → h → v.
    seed : int
        Equal seeds give equal draws, and a larger `count` only adds samples.
    start : ndarray [count, I], optional
        Visible units to start from; None for coins (binary) or N(b_v, 1) (gaussian).
    means : bool
        Give the means of the last step's p(v|h), which make clearer pictures, in place of draws.
    """
    machine = _Machine(spec, w)
    if count < 1 or steps < 1:
        raise SpecError(f"count {count}, steps {steps}: expected at least 1")
    inputs = len(machine.visible)
    key = rng.derive(seed, rng.SAMPLING)
    if start is None:
        centre = machine.visible if machine.gaussian else np.zeros(inputs)
        v = machine.draw_visible(np.broadcast_to(centre, (count, inputs)), key, 0)
    else:
        v = machine.inputs(start)
        if len(v) != count:
            raise SpecError(f"start has {len(v)} rows, expected {count}")
    for step in range(1, steps + 1):
        h = _binary(machine.field(v), key, step, 0)
        field = h @ machine.weights.T + machine.visible
        if means and step == steps:
            v = field if machine.gaussian else _sigmoid(field)
        else:
            v = machine.draw_visible(field, key, step)
    return v.astype(np.float32)


def hidden(spec: Spec, w: NDArray, v: NDArray, seed: int = 0) -> NDArray[np.float32]:
    """Draw hidden units [n, H] above visible ones [n, I]; equal seeds give equal draws."""
    machine = _Machine(spec, w)
    return _binary(machine.field(machine.inputs(v)), rng.derive(seed, rng.SAMPLING), 0, 0).astype(np.float32)


def _sigmoid(z: NDArray) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -z))


def _binary(field: NDArray, key: int, step: int, layer: int) -> NDArray[np.float64]:
    """Draw 1 with probability σ(field) [n, units], else 0."""
    draws = rng.uniforms(key, step, layer, n=field.size).reshape(field.shape)
    return (draws < _sigmoid(field)).astype(np.float64)


def _log_sum(x: NDArray) -> float:
    """Compute log Σ exp(x)."""
    top = x.max()
    return float(top + np.log(np.exp(x - top).sum()))
