"""One competitor in a process of its own, driven over standard input and output by `core.py`.

Thread pools of different BLAS libraries fight inside one process, so each competitor gets its own. It imports nothing
of this project except for `hdl` itself: the interpreter that runs PyTorch and JAX need not have it.

Rows with the activation "sparse" are sparse autoencoders (autoencoders.py, beside this file).

A line in:   {"widths": [400, 25, 10], "batch": 50, "activation": "sigmoid"}  builds the net and warms up
             {"seconds": 0.3}                                                  trains for about so long
A line out:  {"step": seconds per training step} or {"error": text}
"""

import contextlib
import functools
import json
import os
import sys
import time
from itertools import pairwise

import autoencoders
import numpy as np

LR = 0.01
BATCHES = 4  # different mini-batches in turn, so that no competitor trains on one that sits in its cache


def samples(widths, batch):
    """Makes the random data that all competitors get: contiguous mini-batches, so that none has to gather rows."""
    rng = np.random.default_rng(0)
    x = rng.random((BATCHES * batch, widths[0]), dtype=np.float32)
    y = rng.integers(0, widths[-1], BATCHES * batch, dtype=np.int32)
    return x, y


def weights(widths):
    rng = np.random.default_rng(1)
    return [
        (rng.standard_normal((i, o), dtype=np.float32) * np.float32(i**-0.5), np.zeros(o, np.float32))
        for i, o in pairwise(widths)
    ]


def hdl(widths, batch, activation, threads):
    import hdl.ops
    from hdl.spec import Spec

    spec = Spec(net=widths, activation=activation, loss="softmax", optimizer="sgd", batch=batch)
    ops = hdl.ops.make(spec, backend="cpu", threads=threads)
    x, y = samples(widths, batch)
    data = hdl.ops.Samples(x, y)
    flat = np.concatenate([tensor.ravel() for layer in weights(widths) for tensor in layer])
    state = np.zeros((0, flat.size), np.float32)

    def run(steps):
        order = np.arange(steps * batch, dtype=np.int64) % len(x)
        ops.train(flat, state, data, order, batch, np.full(steps, LR, np.float32))

    return run


def numpy(widths, batch, activation, threads):
    """Trains as fast as NumPy can: every array is allocated once, every operation writes in place."""
    x, y = samples(widths, batch)
    layers = weights(widths)
    last = len(layers) - 1
    out = [np.empty((batch, w.shape[1]), np.float32) for w, _ in layers]
    delta = [np.empty_like(a) for a in out]
    scratch = [np.empty_like(a) for a in out]
    dw = [np.empty_like(w) for w, _ in layers]
    db = [np.empty_like(b) for _, b in layers]
    rows = np.arange(batch)

    def activate(z):
        if activation == "tanh":
            np.tanh(z, out=z)
        elif activation == "relu":
            np.maximum(z, 0, out=z)
        else:
            np.negative(z, out=z)
            np.exp(z, out=z)
            np.add(z, 1, out=z)
            np.reciprocal(z, out=z)

    def slope(a, t):
        if activation == "relu":
            np.greater(a, 0, out=t)
        elif activation == "tanh":
            np.multiply(a, a, out=t)
            np.subtract(1, t, out=t)
        else:
            np.subtract(1, a, out=t)
            np.multiply(a, t, out=t)

    def step(xb, yb):
        a = xb
        for layer, (w, b) in enumerate(layers):
            z = out[layer]
            np.matmul(a, w, out=z)
            np.add(z, b, out=z)
            if layer < last:
                activate(z)
            a = z
        np.subtract(a, a.max(axis=1, keepdims=True), out=a)
        np.exp(a, out=a)
        np.divide(a, a.sum(axis=1, keepdims=True), out=a)
        d = delta[last]
        np.copyto(d, a)
        d[rows, yb] -= 1
        np.multiply(d, np.float32(LR / batch), out=d)
        for layer in range(last, -1, -1):
            w, b = layers[layer]
            below = out[layer - 1] if layer else xb
            np.matmul(below.T, delta[layer], out=dw[layer])
            np.add.reduce(delta[layer], axis=0, out=db[layer])
            if layer:
                np.matmul(delta[layer], w.T, out=delta[layer - 1])
                slope(below, scratch[layer - 1])
                np.multiply(delta[layer - 1], scratch[layer - 1], out=delta[layer - 1])
            np.subtract(w, dw[layer], out=w)
            np.subtract(b, db[layer], out=b)

    def run(steps):
        for s in range(steps):
            at = s % BATCHES * batch
            step(x[at : at + batch], y[at : at + batch])

    return run


def sklearn(widths, batch, activation, threads):
    from sklearn.neural_network import MLPClassifier

    x, y = samples(widths, batch)
    model = MLPClassifier(
        tuple(widths[1:-1]),
        activation={"sigmoid": "logistic"}.get(activation, activation),
        solver="sgd",
        momentum=0,
        alpha=0,
        learning_rate_init=LR,
        batch_size=batch,
        shuffle=False,
    )
    model.partial_fit(x[:batch], y[:batch], classes=np.arange(widths[-1]))

    def run(steps):
        for s in range(steps):
            at = s % BATCHES * batch
            model.partial_fit(x[at : at + batch], y[at : at + batch])

    return run


def torch(widths, batch, activation, threads, compiled=False):
    import torch as t

    t.set_num_threads(threads)
    names = {"tanh": t.nn.Tanh, "relu": t.nn.ReLU, "sigmoid": t.nn.Sigmoid}
    parts = []
    for i, o in pairwise(widths):
        parts += [t.nn.Linear(i, o), names[activation]()]
    model = t.nn.Sequential(*parts[:-1])
    optimizer = t.optim.SGD(model.parameters(), lr=LR)
    x, y = (t.from_numpy(a) for a in samples(widths, batch))
    y = y.long()

    def loss(xb, yb):
        return t.nn.functional.cross_entropy(model(xb), yb)

    if compiled:
        t._dynamo.reset()
        loss = t.compile(loss)

    def run(steps):
        for s in range(steps):
            at = s % BATCHES * batch
            optimizer.zero_grad(set_to_none=True)
            loss(x[at : at + batch], y[at : at + batch]).backward()
            optimizer.step()

    return run


def torch_compiled(widths, batch, activation, threads):
    return torch(widths, batch, activation, threads, compiled=True)


def jax_scan(widths, batch, activation, threads):
    """Takes all steps of a call inside one compiled program, as hdl does: no Python stands between them."""
    import jax
    import jax.numpy as jnp

    f = {"tanh": jnp.tanh, "relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}[activation]
    x, y = samples(widths, batch)
    x, y = jnp.asarray(x.reshape(BATCHES, batch, -1)), jnp.asarray(y.reshape(BATCHES, batch))
    held = [(jnp.asarray(w), jnp.asarray(b)) for w, b in weights(widths)]

    def cost(layers, xb, yb):
        for w, b in layers[:-1]:
            xb = f(xb @ w + b)
        w, b = layers[-1]
        return -jnp.take_along_axis(jax.nn.log_softmax(xb @ w + b), yb[:, None], 1).mean()

    def step(layers, s):
        value, gradient = jax.value_and_grad(cost)(layers, x[s % BATCHES], y[s % BATCHES])
        return jax.tree.map(lambda w, g: w - LR * g, layers, gradient), value

    @functools.partial(jax.jit, static_argnums=1, donate_argnums=0)
    def scan(layers, steps):
        return jax.lax.scan(step, layers, jnp.arange(steps))

    # A program for each number of steps that occurs would be compiled while it is timed.
    programs = {length: scan.lower(held, length).compile() for length in (25 * BATCHES, BATCHES, 1)}

    def run(steps):
        nonlocal held
        for length, program in programs.items():
            for _ in range(steps // length):
                held, _ = program(held)
            steps %= length
        jax.block_until_ready(held)

    return run


def rbm_samples(widths, batch):
    rng = np.random.default_rng(0)
    return (rng.random((BATCHES * batch, widths[0])) < 0.2).astype(np.float32)


def hdl_rbm(widths, batch, activation, threads):
    """Trains by CD-1; `activation` pcd keeps as many chains as the mini-batch has rows, as scikit-learn does."""
    import hdl.ops
    from hdl.spec import Spec

    rbm = {"persistent": activation == "pcd", "chains": batch}
    spec = Spec(model="rbm", net=widths, loss="squared", optimizer="sgd", batch=batch, rbm=rbm)
    ops = hdl.ops.make(spec, backend="cpu", threads=threads)
    data = hdl.ops.Samples(rbm_samples(widths, batch))
    w = np.concatenate([weights(widths)[0][0].ravel(), np.zeros(sum(widths), np.float32)])
    state, chains = np.zeros((0, w.size), np.float32), np.zeros((batch, widths[0]), np.float32)

    def run(steps):
        order = np.arange(steps * batch, dtype=np.int64) % len(data)
        more = {"chains": chains} if activation == "pcd" else {}
        ops.train(w, state, data, order, batch, np.full(steps, LR, np.float32), **more)

    return run


def sklearn_rbm(widths, batch, activation, threads):
    """Takes one Gibbs step for each mini-batch, always of persistent chains: BernoulliRBM has no other way."""
    from sklearn.neural_network import BernoulliRBM

    x = rbm_samples(widths, batch)
    model = BernoulliRBM(widths[1], learning_rate=LR, batch_size=batch, random_state=0)

    def run(steps):
        for s in range(steps):
            at = s % BATCHES * batch
            model.partial_fit(x[at : at + batch])

    return run


MAKERS = {
    "hdl": hdl,
    "hdl RBM": hdl_rbm,
    "scikit-learn RBM": sklearn_rbm,
    "numpy": numpy,
    "scikit-learn": sklearn,
    "torch eager": torch,
    "torch.compile": torch_compiled,
    "torch eager †": torch,
    "jax scan": jax_scan,
}

# That several threads train before anything is measured: hdl finds out meanwhile how many of them pay.
SETTLE_SECONDS = 1.0


def timed(run, steps, clock):
    start = clock()
    run(steps)
    return clock() - start


def main():
    name, threads = sys.argv[1], int(sys.argv[2])
    clock = time.process_time if sys.argv[3:] == ["cpu"] else time.perf_counter
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not get between the answers
    run = one = None
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            if "widths" in ask:
                makers = autoencoders.MAKERS if ask["activation"] == "sparse" else MAKERS
                run = makers[name](ask["widths"], ask["batch"], ask["activation"], threads)
                one = timed(run, 2, clock) / 2
                if one < 0.1:  # the first steps of a small net say little
                    timed(run, BATCHES, clock)
                    one = timed(run, BATCHES, clock) / BATCHES
                settled = time.monotonic() + SETTLE_SECONDS * (threads > 1)
                while time.monotonic() < settled:
                    one = timed(run, BATCHES if one < 0.01 else 1, clock) / (BATCHES if one < 0.01 else 1)
                reply = {"step": one}
            else:
                # What a call costs hdl beside its steps, of which an epoch has hundreds, counts for a third at most.
                steps = max(3, int(ask["seconds"] / max(one, 1e-7)))
                one = timed(run, steps, clock) / steps
                reply = {"step": one}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main()
