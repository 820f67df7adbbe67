"""The core alone: share of the FMA peak, probed beside each run. `python tests/bench/step.py [threads] [net…]`."""

import sys
import time
from itertools import pairwise

import numpy as np

from hdl._cpu import Plan, peak_gflops

ROWS = [
    ("400-25-10", "sigmoid", 50),
    ("784-100-32-10", "tanh", 100),
    ("784-100-32-10", "tanh", 2000),
    ("784-512-512-10", "relu", 128),
    ("784-2048-1024-10", "relu", 128),
    ("784-2500-2000-1500-1000-500-10", "relu", 1000),
]


def measure(net, activation, batch, threads, seconds=0.25, repeats=5, **options):
    """Measures (share of the peak, microseconds of a step, peak) in each repetition."""
    widths = [int(w) for w in net.split("-")]
    rng = np.random.default_rng(0)
    n = max(2 * batch, 2000)
    x = rng.random((n, widths[0]), np.float32)
    y = rng.integers(0, widths[-1], n).astype(np.int32)
    plan = Plan(widths, activation, max_batch=batch, threads=threads, **options)
    w = np.concatenate(
        [np.concatenate([rng.normal(0, (1 / i) ** 0.5, i * o), np.zeros(o)]) for i, o in pairwise(widths)]
    ).astype(np.float32)
    sizes = [i * o for i, o in pairwise(widths)]
    flop = batch * (4 * sizes[0] + 6 * sum(sizes[1:]))
    steps = max(2, int(seconds * 80e9 * threads / flop))
    order = rng.integers(0, n, steps * batch)
    measured = []
    for _ in range(repeats + 1):
        before = peak_gflops(threads)
        start = time.perf_counter()
        plan.train(w, None, x, y, order, batch, 1e-4)
        spent = (time.perf_counter() - start) / steps
        peak = max(before, peak_gflops(threads))
        measured.append((flop / spent * 1e-9 / peak, spent * 1e6, peak))
    return sorted(measured[1:])


if __name__ == "__main__":
    threads = [int(sys.argv[1])] if len(sys.argv) > 1 and sys.argv[1] != "0" else [1, 2]
    for net, activation, batch in ROWS:
        if len(sys.argv) > 2 and net not in sys.argv[2:]:
            continue
        for t in threads:
            runs = measure(net, activation, batch, t)
            best, middle = runs[-1], runs[len(runs) // 2]
            print(
                f"{net:32s} batch {batch:5d} threads {t}: median {middle[0]:6.1%} best {best[0]:6.1%}"
                f"  {best[1]:9.1f} us  peak {best[2]:6.1f} GFLOP/s",
                flush=True,
            )
