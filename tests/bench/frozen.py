"""What frozen layers save: CPU time of an epoch, as a share of that with nothing frozen; the least of some, in turns.

python -m tests.bench.frozen
"""

import time

import numpy as np

from hdl import models, ops
from hdl import spec as specs
from hdl.ops import Samples

NET, SAMPLES, BATCH, TIMES = "784-512-256-128-10", 2048, 64, 9


def main():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(SAMPLES, 784)).astype(np.float32), rng.integers(0, 10, SAMPLES).astype(np.int32)
    least: dict[str, float] = {}
    nets = {}
    for freeze in "", "1", "1-2", "all but last":
        spec = specs.parse({"net": NET, "loss": "softmax", "tuning": {"freeze": freeze} if freeze else {}})
        nets[freeze or "nothing"] = ops.make(spec, "cpu", 1), models.initial(spec)
    for _ in range(TIMES):
        for name, (operations, first) in nets.items():
            w, state = first.copy(), np.zeros((2, first.size), np.float32)
            began = time.process_time()
            operations.train(w, state, Samples(x, y), np.arange(SAMPLES), BATCH, np.full(SAMPLES // BATCH, 1e-3, "f4"))
            least[name] = min(least.get(name, np.inf), time.process_time() - began)
    for name, seconds in least.items():
        print(f"{name:14}{1e3 * seconds:8.1f} ms{seconds / least['nothing']:7.2f}")


if __name__ == "__main__":
    main()
