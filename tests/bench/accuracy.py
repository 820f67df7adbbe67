"""Time until a 784-100-32-10 network knows 97.0 % of MNIST's test images: `python -m tests.bench.accuracy`.

hdl against scikit-learn's MLPClassifier, in processes of their own that take turns. Each has the best of the simple
settings that were tried for it. The clock runs for all that training takes from the decoded bytes on (scaling, making
the network, shuffling, steps) and stops while accuracy is measured after each epoch.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
GOAL = 0.97
MOST = 15  # epochs after which a competitor has failed


def images(home):
    """Reads MNIST's images as uint8 [n, 784] and classes, for training and test."""
    import hdl.data

    parts = []
    for path in (f"{home}/mnist", f"{home}/mnist:test"):
        source = hdl.data.open_source(path)
        blocks = [block for splits in source.splits(1) for block in source.read(splits)]
        parts += [np.concatenate([block.x for block in blocks]).reshape(-1, 784)]
        parts += [np.concatenate([block.y for block in blocks]).astype(np.int32)]
    return parts


class Clock:
    """A clock that stops while accuracy is measured; it keeps a row (seconds, accuracy) an epoch."""

    now = staticmethod(time.perf_counter)

    def __init__(self):
        self.rows, self.spent, self.began = [], 0.0, self.now()

    def epoch(self, score) -> bool:
        """Stops the clock, measures, goes on; tells whether the goal is reached."""
        self.spent += self.now() - self.began
        self.rows.append((self.spent, float(score())))
        self.began = self.now()
        return self.rows[-1][1] >= GOAL


def hdl(x, y, test_x, test_y, seed, threads):
    """Trains by the rounds of any runner, of one shard, in this process: two epochs of Nesterov momentum, cosine."""
    from hdl import ops, step, sync
    from hdl.data import Shard
    from hdl.models import mlp
    from hdl.ops import Samples
    from hdl.spec import parse

    clock = Clock()
    spec = parse(
        {
            "net": "784-100-32-10",
            "loss": "softmax",
            "optimizer": {"name": "nesterov", "lr": 0.1, "schedule": {"name": "cosine"}},
            "batch": 100,
            "epochs": 2,
            "seed": seed,
        }
    )
    scale = np.full(784, 1 / 255, np.float32)
    core = ops.make(spec, threads=threads)
    shard = Shard(Samples(x, y, scale), Samples(x[:0], y[:0], scale))
    weights = sync.start(spec, mlp.initial(spec))
    test = Samples(test_x, test_y, scale)
    for _ in range(spec.epochs):
        weights, _ = sync.merge(spec, weights, [step.train_shard(spec, weights, shard, 0, core)])
        if clock.epoch(lambda: core.forward(weights.w, test)[1].correct / len(test)):  # noqa: B023
            break
    return clock.rows


def sklearn(x, y, test_x, test_y, seed, threads, **settings):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    seen = test_x.astype(np.float32) / 255
    clock = Clock()
    scaled = x.astype(np.float32) / 255
    model = MLPClassifier((100, 32), random_state=seed, **settings)
    classes = np.arange(10)
    for _ in range(MOST):
        model.partial_fit(scaled, y, classes=classes)
        if clock.epoch(lambda: (model.predict(seen) == test_y).mean()):
            break
    return clock.rows


COMPETITORS = {
    "hdl": (hdl, {}),
    "scikit-learn sgd": (
        sklearn,
        {"solver": "sgd", "activation": "tanh", "learning_rate_init": 0.2, "batch_size": 400},
    ),
    "scikit-learn adam": (sklearn, {"learning_rate_init": 0.003}),
}


def one(name, seed, threads, home, cpu_time):
    """Runs a competitor in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OPENBLAS_", "OMP_", "MKL_"))}
    environment |= {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "tests.bench.accuracy", "--one", name, "--seed", str(seed)]
    command += ["--threads", str(threads), "--data", str(home)]
    command += ["--cpu-time"] if cpu_time else []
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--data", type=Path, default=os.environ.get("HDL_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--one", choices=COMPETITORS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument(
        "--cpu-time", action="store_true", help="count processor time of one thread: for a busy machine"
    )
    options = parser.parse_args()
    if options.cpu_time:
        options.threads, Clock.now = 1, staticmethod(time.process_time)
    if options.one:
        run, settings = COMPETITORS[options.one]
        print(json.dumps(run(*images(options.data.resolve()), options.seed, options.threads, **settings)))
        return

    seconds = {name: [] for name in COMPETITORS}
    epochs = {name: [] for name in COMPETITORS}
    for seed in range(1, options.repetitions + 1):
        for name in COMPETITORS:
            rows = one(name, seed, options.threads, options.data, options.cpu_time)
            spent, accuracy = rows[-1]
            print(f"{name}, seed {seed}: {accuracy:.2%} after {len(rows)} epochs, {spent:.2f} s", file=sys.stderr)
            seconds[name].append(spent if accuracy >= GOAL else float("inf"))
            epochs[name].append(len(rows))
    print("| 97.0 % of MNIST's test images, 784-100-32-10 | epochs | seconds, median (least–most) | times hdl's |")
    print("|---|--:|--:|--:|")
    for name, times in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(times, seconds["hdl"], strict=True))
        passes = f"{min(epochs[name])}–{max(epochs[name])}"
        span = f"{statistics.median(times):.2f} ({min(times):.2f}–{max(times):.2f})"
        print(f"| {name} | {passes} | {span} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
