"""An epoch of ensembles on tables beside scikit-learn's: `python -m tests.bench.ensembles [--data FOLDER]`.

The shared tables (`HDL_DATA/tables`) and a made one of a million rows (10 numbers, 8 categories of 2 to 40 levels) are
encoded once, with numbers as they are and as piecewise linear ones (16 bins). hdl trains ensembles of relu nets of one
hidden layer by Adam; scikit-learn's MLPClassifier or MLPRegressor has 64 hidden units and mini-batches of 200 of the
same rows, one-hot, as dense float32 (of the made table a fifth of the rows, its time five times as long).

They take turns in one process, repetition by repetition, with so many threads each (`--threads`); ratios are taken
inside a repetition, as are their medians, least and most: below 1, hdl takes less time than scikit-learn. `--cpu` takes
the processor's seconds, of all threads, in place of the wall's, for a machine that others use too.
"""

import argparse
import os
import statistics
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hdl import data, models, ops, rng
from hdl import spec as specs
from hdl.data.mixed import Mixed
from hdl.ops import Key, Samples
from hdl.spec import Spec

TABLES = {
    "adult": ("adult.data.gz", "last"),
    "bike_hour": ("bike_hour.csv.gz", "cnt"),
    "diamonds": ("diamonds.csv.gz", "price"),
    "ames": ("ames.csv.gz", "SalePrice"),
    "titanic": ("titanic.csv", "survived"),
}
LEVELS = (2, 3, 5, 7, 10, 12, 20, 40)
MILLION = 1_000_000


class Encoded(NamedTuple):
    """A table's samples, and the spec that is filled in from it."""

    samples: Samples
    spec: Spec


def read(path: str, label: str, embedding: str | None) -> Encoded:
    """Encode a table; `last` as the label is its last column."""
    source = data.open_source(path, {"label": None if label == "last" else label})
    splits = source.splits(1)[0]
    spec = specs.parse({"net": "0-64-0", "preprocessing": {"numeric_embedding": embedding}})
    schema = data.fit(data.summarise(source, splits), spec)
    return Encoded(data.load(source, splits, schema).train, data.resolve(spec, schema))


def made(embedded: bool) -> Encoded:
    """Make a million encoded rows; embedded numbers have 16 inputs each."""
    draw = np.random.default_rng(0)
    numbers = draw.normal(size=(MILLION, 10)).astype(np.float32)
    if embedded:  # piecewise linear between -2 and 2
        edges = np.linspace(-2, 2, 17)[:-1].astype(np.float32)
        numbers = np.clip((numbers[:, :, None] - edges) * 4, 0, 1).reshape(MILLION, -1)
    starts = numbers.shape[1] + np.cumsum([0, *LEVELS])
    codes = np.stack([at + draw.integers(0, n, MILLION) for at, n in zip(starts, LEVELS, strict=False)], axis=1)
    x = Mixed(numbers, codes.astype(np.int32), int(starts[-1]))
    spec = specs.parse({"net": [x.columns, 64, 2], "loss": "softmax", "batch": 200})
    return Encoded(Samples(x, draw.integers(0, 2, MILLION).astype(np.int32)), spec)


class Hdl:
    """An ensemble that trains an epoch at a time."""

    def __init__(self, encoded: Encoded, hidden: int, members: int, batch: int, threads: int):
        inputs, *_, outputs = encoded.spec.widths
        self.spec = encoded.spec.with_(net=(inputs, hidden, outputs), members=members, batch=batch)
        self.samples, self.ops = encoded.samples, ops.make(self.spec, threads=threads)
        self.w, self.epoch = models.initial(self.spec), 0
        self.state = np.zeros((self.ops.state_vectors, self.w.size), np.float32)

    def run(self) -> float:
        """Train an epoch, its order included; the factor of its time."""
        n = len(self.samples)
        count = ops.steps(n, self.spec.batch_size)
        order = rng.order(1, self.epoch, 0, n, self.spec.shuffle_window)
        lr = np.full(count, 1e-3, np.float32)
        first = self.epoch * count
        self.ops.train(self.w, self.state, self.samples, order, self.spec.batch_size, lr, first, Key(1))
        self.epoch += 1
        return 1.0


class ScikitLearn:
    """Its perceptron, on dense rows."""

    def __init__(self, encoded: Encoded):
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        samples = encoded.samples
        self.factor = 5.0 if len(samples) == MILLION else 1.0
        samples = samples.take(slice(0, int(len(samples) / self.factor)))
        self.x = samples.x.dense() if hasattr(samples.x, "dense") else np.asarray(samples.x)
        self.y = np.asarray(samples.y).ravel()
        regression = encoded.spec.regression
        kind = MLPRegressor if regression else MLPClassifier
        self.net = kind(hidden_layer_sizes=(64,), batch_size=min(200, len(self.x)), random_state=1)
        self.more: dict[str, Any] = {} if regression else {"classes": np.unique(self.y)}

    def run(self) -> float:
        """Train an epoch; the factor of its time."""
        self.net.partial_fit(self.x, self.y, **self.more)
        return self.factor


def timed(contender: Any, cpu: bool) -> float:
    """Measure seconds of an epoch."""
    clock = time.process_time if cpu else time.perf_counter
    start = clock()
    factor = contender.run()
    return (clock() - start) * factor


def measure(name: str, encoded: dict[str, Encoded], arguments: argparse.Namespace) -> None:
    """Print a row of the report for each ensemble on one table."""
    peer = ScikitLearn(encoded["plain"])
    shapes = [(kind, h, m) for kind in encoded for h in arguments.hidden for m in arguments.members]
    contenders = {
        shape: Hdl(encoded[shape[0]], shape[1], shape[2], arguments.batch, arguments.threads) for shape in shapes
    }
    timed(peer, arguments.cpu)
    base: list[float] = []
    seconds: dict[Any, list[float]] = {shape: [] for shape in shapes}
    for repetition in range(arguments.repetitions):
        turns = [*shapes, None]
        start = repetition * 7 % len(turns)
        for turn in turns[start:] + turns[:start]:
            taken = timed(peer if turn is None else contenders[turn], arguments.cpu)
            (base if turn is None else seconds[turn]).append(taken)
    rows = len(encoded["plain"].samples)
    print(f"| {name}, {rows:,} rows | scikit-learn | 64 | 1 | {1e3 * statistics.median(base):,.1f} | 1 |")
    for (kind, hidden, members), taken in seconds.items():
        ratios = sorted(own / one for own, one in zip(taken, base, strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"
        inputs = encoded[kind].spec.widths[0]
        print(
            f"| | {kind}, {inputs} inputs | {hidden} | {members} | {1e3 * statistics.median(taken):,.1f} | {spread} |"
        )


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("HDL_DATA", "data"), help="folder that holds tables/")
    parser.add_argument("--only", default="", help="names of tables, by commas; `made` is the one of a million rows")
    parser.add_argument("--members", type=lambda text: [int(n) for n in text.split(",")], default=[1, 4, 8, 16])
    parser.add_argument("--hidden", type=lambda text: [int(n) for n in text.split(",")], default=[64, 128, 256])
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--cpu", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| table | numbers | hidden | members | ms/epoch | × scikit-learn |\n|---|---|--:|--:|--:|--:|")
    for name in filter(None, arguments.only.split(",")) if arguments.only else [*TABLES, "made"]:
        if name == "made":
            measure(name, {"plain": made(False), "ple": made(True)}, arguments)
            continue
        file, label = TABLES[name]
        path = str(Path(arguments.data) / "tables" / file)
        measure(name, {"plain": read(path, label, None), "ple": read(path, label, "ple")}, arguments)


if __name__ == "__main__":
    main()
