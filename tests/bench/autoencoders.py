"""The competitors of `contender.py` for rows of sparse autoencoders: sigmoid codes and reconstructions, half squared
error, the sparsity term on a running mean of the activations, weight decay, plain SGD."""

import numpy as np

LR, L2, RHO, BETA, MEMORY = 0.01, 1e-4, 0.05, 3.0, 0.9
BATCHES = 4


def samples(widths, batch):
    return np.random.default_rng(0).random((BATCHES * batch, widths[0]), dtype=np.float32)


def weights(widths):
    rng = np.random.default_rng(1)
    inputs, hidden, _ = widths
    return [
        rng.standard_normal((inputs, hidden), dtype=np.float32) * np.float32(inputs**-0.5),
        np.zeros(hidden, np.float32),
        rng.standard_normal((hidden, inputs), dtype=np.float32) * np.float32(hidden**-0.5),
        np.zeros(inputs, np.float32),
        np.full(hidden, RHO, np.float32),
    ]


def hdl(widths, batch, activation, threads):
    import hdl.ops
    from hdl import spec as specs

    autoencoder = {"rho": RHO, "beta": BETA, "memory": MEMORY}
    spec = specs.parse(
        {
            "model": "autoencoder",
            "net": widths,
            "loss": "squared",
            "l2": L2,
            "optimizer": "sgd",
            "autoencoder": autoencoder,
        }
    )
    operations = hdl.ops.make(spec, backend="cpu", threads=threads)
    x = samples(widths, batch)
    data = hdl.ops.Samples(x)
    flat = np.concatenate([tensor.ravel() for tensor in weights(widths)])
    state = np.zeros((0, flat.size), np.float32)

    def run(steps):
        order = np.arange(steps * batch, dtype=np.int64) % len(x)
        operations.train(flat, state, data, order, batch, np.full(steps, LR, np.float32))

    return run


def numpy(widths, batch, activation, threads):
    """Trains as fast as NumPy can: every array is allocated once, every operation writes in place."""
    x = samples(widths, batch)
    w1, b1, w2, b2, mean = weights(widths)
    codes, r = np.empty((batch, widths[1]), np.float32), np.empty((batch, widths[0]), np.float32)
    d1, d2, s1, s2 = np.empty_like(codes), np.empty_like(r), np.empty_like(codes), np.empty_like(r)
    dw1, dw2, db1, db2 = np.empty_like(w1), np.empty_like(w2), np.empty_like(b1), np.empty_like(b2)
    c, t, now = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    eta, decay = np.float32(LR / batch), np.float32(1 - LR * L2)

    def sigmoid(z):
        np.negative(z, out=z)
        np.exp(z, out=z)
        np.add(z, 1, out=z)
        np.reciprocal(z, out=z)

    def move(w, gradient, factor):
        np.multiply(gradient, eta, out=gradient)
        if factor is not None:
            np.multiply(w, factor, out=w)
        np.subtract(w, gradient, out=w)

    def step(xb):
        np.matmul(xb, w1, out=codes)
        np.add(codes, b1, out=codes)
        sigmoid(codes)
        np.add.reduce(codes, axis=0, out=now)
        np.multiply(now, np.float32((1 - MEMORY) / batch), out=now)
        np.multiply(mean, np.float32(MEMORY), out=mean)
        np.add(mean, now, out=mean)
        np.clip(mean, 1e-6, 1 - 1e-6, out=t)
        np.divide(np.float32(BETA * RHO), t, out=c)
        np.subtract(1, t, out=t)
        np.divide(np.float32(BETA * (1 - RHO)), t, out=t)
        np.subtract(t, c, out=c)
        np.matmul(codes, w2, out=r)
        np.add(r, b2, out=r)
        sigmoid(r)
        np.subtract(r, xb, out=d2)
        cost = 0.5 * np.vdot(d2, d2)
        np.subtract(1, r, out=s2)
        np.multiply(s2, r, out=s2)
        np.multiply(d2, s2, out=d2)
        np.matmul(d2, w2.T, out=d1)
        np.add(d1, c, out=d1)
        np.subtract(1, codes, out=s1)
        np.multiply(s1, codes, out=s1)
        np.multiply(d1, s1, out=d1)
        np.matmul(codes.T, d2, out=dw2)
        np.matmul(xb.T, d1, out=dw1)
        np.add.reduce(d2, axis=0, out=db2)
        np.add.reduce(d1, axis=0, out=db1)
        move(w1, dw1, decay)
        move(w2, dw2, decay)
        move(b1, db1, None)
        move(b2, db2, None)
        return cost

    def run(steps):
        for s in range(steps):
            at = s % BATCHES * batch
            step(x[at : at + batch])

    return run


def torch(widths, batch, activation, threads):
    import torch as t

    t.set_num_threads(threads)
    w1, b1, w2, b2, mean = (t.from_numpy(tensor) for tensor in weights(widths))
    layers = t.nn.Linear(widths[0], widths[1]), t.nn.Linear(widths[1], widths[0])
    with t.no_grad():
        for layer, w, b in ((layers[0], w1, b1), (layers[1], w2, b2)):
            layer.weight.copy_(w.T)
            layer.bias.copy_(b)
    groups = [
        {"params": [layer.weight for layer in layers], "weight_decay": L2},
        {"params": [layer.bias for layer in layers]},
    ]
    optimizer = t.optim.SGD(groups, lr=LR)
    x = t.from_numpy(samples(widths, batch))

    def run(steps):
        for s in range(steps):
            xb = x[s % BATCHES * batch :][:batch]
            optimizer.zero_grad(set_to_none=True)
            codes = t.sigmoid(layers[0](xb))
            r = t.sigmoid(layers[1](codes))
            batch_mean = codes.mean(dim=0)
            mean.mul_(MEMORY).add_(batch_mean.detach(), alpha=1 - MEMORY)
            with t.no_grad():
                now = mean.clamp(1e-6, 1 - 1e-6)
                c = BETA * ((1 - RHO) / (1 - now) - RHO / now)
            (0.5 * (r - xb).pow(2).sum() / batch + (c * batch_mean).sum()).backward()
            optimizer.step()

    return run


MAKERS = {"hdl": hdl, "numpy": numpy, "torch eager": torch, "torch eager †": torch}
