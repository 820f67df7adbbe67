"""What the tests of restricted Boltzmann machines begin from."""

import numpy as np

from hdl import spec as specs
from hdl.ops import Key

KEY = Key(7, 3, 1)


def make_spec(net="4-3", l1=0, l2=0, optimizer="sgd", **part):
    return specs.parse({"model": "rbm", "net": net, "loss": "squared", "l1": l1, "l2": l2, "optimizer": optimizer,
                        "rbm": part})  # fmt: skip


def make_weights(spec, seed=0, scale=0.5):
    inputs, hidden = spec.net
    return np.random.default_rng(seed).normal(0, scale, inputs * hidden + inputs + hidden)


def make_data(spec, n, seed=1):
    rng = np.random.default_rng(seed)
    if spec.rbm.visible == "gaussian":
        return rng.normal(size=(n, spec.net[0])).astype(np.float32)
    return (rng.random((n, spec.net[0])) < 0.4).astype(np.float32)


def make_chains(spec, seed=2, dtype=np.float32):
    part = spec.rbm
    if not part.persistent:
        return None
    return (np.random.default_rng(seed).random((part.chains, spec.net[0])) < 0.5).astype(dtype)
