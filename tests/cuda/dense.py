"""Dense networks, samples and a training for the tests of the CUDA core."""

import numpy as np
import scipy.sparse

from hdl import ops
from hdl import spec as specs
from hdl.models import mlp
from hdl.ops import Key, Samples, losses

KEY = Key(7, 3, 1)


def make_spec(net="9-7-4", **fields):
    return specs.parse({"net": net, "loss": "softmax", "leak": 0.1, "optimizer": "sgd", **fields})


def make_samples(spec, n, kind="float", seed=0, targets=False, weighted=False):
    rng = np.random.default_rng(seed)
    inputs, outputs = spec.widths[0], spec.widths[-1]
    scale, shift = rng.uniform(0.5, 1, inputs).astype(np.float32), rng.normal(size=inputs).astype(np.float32)
    x = rng.normal(size=(n, inputs)).astype(np.float32)
    if kind == "uint8":
        x, scale = rng.integers(0, 256, (n, inputs)).astype(np.uint8), scale / np.float32(255)
    if kind == "csr":
        x, shift = scipy.sparse.csr_array(x * (rng.random(x.shape) < 0.3)), None
    y = rng.integers(0, outputs, n).astype(np.int32)
    if spec.loss not in losses.CLASSES or targets:
        y = rng.dirichlet(np.ones(outputs), n).astype(np.float32)
    weight = rng.integers(0, 4, n).astype(np.float32) / 2 if weighted else None
    offset = rng.normal(size=(n, outputs)).astype(np.float32) if weighted else None
    return Samples(x, y, scale, shift, weight, offset)


def trained(spec, samples, batch=20, epochs=2, first=0):
    core = ops.make(spec, "cuda:0")
    w, n = mlp.initial(spec), len(samples)
    order = np.random.default_rng(2).permuted(np.tile(np.arange(n), (epochs, 1)), axis=1).ravel()
    state = np.zeros((core.state_vectors, w.size), np.float32)
    lr = np.full(ops.steps(len(order), batch), 0.05, np.float32)
    result = core.train(w, state, samples, order, batch, lr, first, KEY)
    return w, state, result, core
