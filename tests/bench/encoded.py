"""One training step on encoded rows of a table, by the core and by NumPy: `python -m tests.bench.encoded`.

A table of 20 numbers and 8 categories, 64 hidden units and 2 classes, mini-batches of 100 drawn from 200,000 rows.
Every level occurs once, else with Zipf's frequencies, as words and shops come, in an order of its own. Each way
trains the same net (with `vectors`: a narrower one, whose categories are embedded) by plain SGD and by Adam:

    mixed     numbers and codes as they are: rows of the first layer's weights are gathered and added
    vectors   categories embedded, 16 numbers each
    csr       the same rows as sparse ones
    dense     the same rows as dense ones, while they fit
    numpy     rows gathered by indexing, gradients scattered by np.add.at, updates in place

The ways take turns, repetition by repetition; ratios are taken inside a repetition.
"""

import argparse
import statistics
import time

import numpy as np

from hdl import _cpu
from hdl.data.mixed import Mixed

NUMBERS, CATEGORIES, HIDDEN, BATCH, ROWS = 20, 8, 64, 100, 200_000
DENSE = 6_000  # inputs at most; of dense rows there are a tenth, 480 MB
RULES = ("sgd", "adam")


def table(levels, seed=0):
    """Makes encoded rows: levels [C] of the categories."""
    rng = np.random.default_rng(seed)
    starts = NUMBERS + np.cumsum([0, *levels])
    codes = np.empty((ROWS, len(levels)), np.int32)
    for c, count in enumerate(levels):
        frequency = 1 / np.arange(1, count + 1)
        drawn = rng.choice(count, ROWS, p=frequency / frequency.sum())
        drawn[rng.permutation(ROWS)[:count]] = np.arange(count)
        codes[:, c] = starts[c] + drawn
    return Mixed(rng.normal(size=(ROWS, NUMBERS)).astype(np.float32), codes, int(starts[-1]))


class Core:
    """The core on one form of the rows."""

    def __init__(self, x, y, rule, inputs, threads, **options):
        self.plan = _cpu.Plan([inputs, HIDDEN, 2], "relu", "softmax", max_batch=512, threads=threads, **options)
        self.x, self.y, self.rule = x, y[: len(x)] if hasattr(x, "shape") else y, rule
        self.w = np.random.default_rng(1).normal(0, 0.1, self.plan.parameters).astype(np.float32)
        self.state = np.zeros((_cpu.state_vectors(rule), self.w.size), np.float32)

    def run(self, order):
        self.plan.train(self.w, self.state, self.x, self.y, order % len(self.y), BATCH, 1e-3, self.rule)


class Numpy:
    """What one writes by hand: no one-hot matrix either."""

    def __init__(self, x, y, rule):
        rng = np.random.default_rng(1)
        shapes = (x.columns, HIDDEN), (HIDDEN,), (HIDDEN, 2), (2,)
        self.w = [rng.normal(0, 0.1, shape).astype(np.float32) for shape in shapes]
        self.state = [(np.zeros_like(w), np.zeros_like(w), np.empty_like(w), np.empty_like(w)) for w in self.w]
        self.x, self.y, self.rule, self.t = x, np.eye(2, dtype=np.float32)[y], rule, 0

    def run(self, order):
        for start in range(0, len(order), BATCH):
            self.step(order[start : start + BATCH])

    def step(self, rows):
        numbers, codes, (w1, b1, w2, b2) = self.x.numbers[rows], self.x.codes[rows], self.w
        a = np.maximum(numbers @ w1[:NUMBERS] + w1[codes].sum(axis=1) + b1, 0)
        z = a @ w2 + b2
        e = np.exp(z - z.max(axis=1, keepdims=True))
        d2 = (e / e.sum(axis=1, keepdims=True) - self.y[rows]) / len(rows)
        d1 = (d2 @ w2.T) * (a > 0)
        others = [(b1, d1.sum(axis=0)), (w2, a.T @ d2), (b2, d2.sum(axis=0))]
        if self.rule == "sgd":
            for w, g in [*others, (w1[:NUMBERS], numbers.T @ d1)]:
                w -= np.float32(1e-3) * g
            np.subtract.at(w1, codes.ravel(), np.float32(1e-3) * np.repeat(d1, CATEGORIES, axis=0))
            return
        g1 = self.state[0][3]
        g1[NUMBERS:] = 0
        g1[:NUMBERS] = numbers.T @ d1
        np.add.at(g1, codes.ravel(), np.repeat(d1, CATEGORIES, axis=0))
        self.t += 1
        c1, c2 = np.float32(1 / (1 - 0.9**self.t)), np.float32(1 / (1 - 0.999**self.t))
        for (w, g), (m, v, some, _) in zip([(w1, g1), *others], self.state, strict=True):
            m *= np.float32(0.9)
            m += np.multiply(g, np.float32(0.1), out=some)
            v *= np.float32(0.999)
            v += np.multiply(np.multiply(g, g, out=some), np.float32(0.001), out=some)
            np.sqrt(np.multiply(v, c2, out=some), out=some)
            some += np.float32(1e-8)
            np.divide(m, some, out=some)
            w -= np.multiply(some, np.float32(1e-3) * c1, out=some)


def ways(levels, rule, threads):
    """Makes all ways of one table and rule."""
    x = table(levels)
    y = np.random.default_rng(2).integers(0, 2, ROWS).astype(np.int32)
    csr = x.csr()
    found = {
        "mixed": Core(x, y, rule, x.columns, threads),
        "vectors": Core(x, y, rule, x.columns, threads, embeddings=[(n, 16) for n in levels], numbers=NUMBERS),
        "csr": Core((csr.data, csr.indptr, csr.indices), y, rule, x.columns, threads),
        "numpy": Numpy(x, y, rule),
    }
    if x.columns <= DENSE:
        found["dense"] = Core(x[: ROWS // 10].dense(), y, rule, x.columns, threads)
    return found


def measure(levels, rule, arguments):
    """Measures seconds a step of each way, in each repetition."""
    each, spent, rng = ways(levels, rule, arguments.threads), {}, np.random.default_rng(3)
    clock = time.process_time if arguments.cpu else time.perf_counter
    for _ in range(-1, arguments.repetitions):  # the first one warms up, and says how many steps take so long
        for name, way in each.items():
            known = spent.get(name)
            steps = max(2, int(arguments.seconds / known[0])) if known else 200
            order = rng.integers(0, ROWS, steps * BATCH)
            start = clock()
            way.run(order)
            took = (clock() - start) / steps
            spent.setdefault(name, []).append(took)
    return {name: times[1:] for name, times in spent.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--cpu", action="store_true", help="the processor's time, for a machine that others use too")
    arguments = parser.parse_args()
    names = "mixed", "vectors", "csr", "dense", "numpy"
    print(f"| levels | rule | mixed µs/step | {' | '.join(f'{name} ×' for name in names[1:])} |")
    print("|--:|---|--:|" + "--:|" * (len(names) - 1))
    for levels in [100] * 6 + [400, 4000], [100] * 5 + [1000, 8500, 90_000]:
        for rule in RULES:
            spent = measure(levels, rule, arguments)
            cells = []
            for name in names[1:]:
                ratios = [s / t for s, t in zip(spent.get(name, ()), spent["mixed"], strict=False)]
                cells.append(
                    f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "–"
                )
            mixed = 1e6 * statistics.median(spent["mixed"])
            print(f"| {sum(levels):,} | {rule} | {mixed:,.1f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
