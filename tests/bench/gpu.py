"""An epoch on a GPU against PyTorch: `python -m tests.bench.gpu [--precision tf32] [--rows 0 2 4]`.

PyTorch trains the same nets eagerly, by `torch.compile` (which captures CUDA graphs by itself) and by a CUDA graph of
one step captured by hand; samples lie on the device, and all gather mini-batches by a permutation. Competitors take
turns, repetition by repetition, and ratios are taken inside a repetition. The peak is that of PyTorch's own products
(cuBLAS) at the shapes of the net's layers. hdl's times hold the way of weights and order to the device and back; hdl
with mini-batches that follow each other as graphs (HDL_CUDA_LOOP=graph) is one more competitor.

It needs a GPU, hdl with its GPU core, PyCUDA, and PyTorch in the same interpreter. `--first` (gpu_first.py) is for a
machine that is lent for minutes; `--emulated` rehearses hdl's part without a GPU, on smaller data, and no figure of it
says anything.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from tests.bench import gpu_first

SAMPLES = 60000
LR = 0.01
# net, activation, batch, model
ROWS = [
    ("400-25-10", "sigmoid", 50, "mlp"),
    ("784-100-32-10", "tanh", 100, "mlp"),
    ("784-100-32-10", "tanh", 2000, "mlp"),
    ("784-512-512-10", "relu", 128, "mlp"),
    ("784-2048-1024-10", "relu", 512, "mlp"),
    ("784-2500-2000-1500-1000-500-10", "relu", 1024, "mlp"),
    ("784-196-784", "sigmoid", 128, "autoencoder"),
    ("784-500", "sigmoid", 128, "rbm"),
]
POPULATION = 128
WAYS = ["eager", "compile", "graph"]


def samples(widths: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.random((SAMPLES, widths[0]), dtype=np.float32)
    return x, rng.integers(0, widths[-1], SAMPLES, dtype=np.int32)


def ours(row: tuple, precision: str, nets: int = 1) -> Callable[[], None]:
    """Makes a function that trains one epoch by hdl, of one net or of many side by side."""
    from hdl import ops
    from hdl.models import mlp
    from hdl.ops import Key, Samples, Work
    from hdl.spec import parse

    net, activation, batch, model = row
    loss = "softmax" if model == "mlp" else "squared"
    spec = parse({"net": net, "model": model, "activation": activation, "loss": loss, "optimizer": "sgd",
                  "precision": precision})  # fmt: skip
    widths = [int(width) for width in net.split("-")]
    x, y = samples(widths)
    data = Samples(x, y if model == "mlp" else None)
    operations = ops.make(spec, "cuda:0")
    w = mlp.initial(spec) if model == "mlp" else np.zeros(operations.layout.size, np.float32)
    lr = np.full(ops.steps(SAMPLES, batch), LR, np.float32)
    rng = np.random.default_rng(1)
    works = [
        Work(w.copy(), np.zeros((0, w.size), np.float32), data, rng.permutation(SAMPLES), lr, 0, Key(number))
        for number in range(nets)
    ]
    return lambda: operations.train_all(works, batch) and None


def smallest() -> None:
    """Trains the smallest net a few steps on the GPU and by the reference, and prints the largest difference."""
    from hdl import ops
    from hdl.models import mlp
    from hdl.ops import Key, Samples
    from hdl.spec import parse

    spec = parse({"net": "64-25-10", "activation": "sigmoid", "loss": "softmax", "optimizer": "sgd"})
    x, y = samples([64, 25, 10])
    found = {}
    for backend, kind in (("cuda:0", np.float32), ("reference", np.float64)):
        w = mlp.initial(spec).astype(kind)
        state, rows, lr = np.zeros((0, w.size), kind), np.arange(100), np.full(4, LR, np.float32)
        ops.make(spec, backend).train(w, state, Samples(x[:100], y[:100]), rows, 25, lr, 0, Key(1))
        found[backend] = w
    away = float(np.abs(found["cuda:0"] - found["reference"]).max())
    print(json.dumps({"largest difference": away, "of": float(np.abs(found["reference"]).max())}))
    sys.exit(not away < 1e-5)


def graphs(run: Callable[[], None]) -> Callable[[], None]:
    """Makes a function that does the same with a kernel a phase, captured as a graph."""

    def other() -> None:
        os.environ["HDL_CUDA_LOOP"] = "graph"
        try:
            run()
        finally:
            del os.environ["HDL_CUDA_LOOP"]

    return other


class Torch:
    """One epoch by PyTorch; `way`: 'eager', 'compile' or 'graph'."""

    def __init__(self, row: tuple, precision: str, way: str):
        import torch

        self.torch, (net, activation, self.batch, self.model) = torch, row
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        self.bf16 = precision == "bf16"
        widths = [int(width) for width in net.split("-")]
        x, y = samples(widths)
        self.x, self.y = torch.tensor(x, device="cuda"), torch.tensor(y, device="cuda", dtype=torch.long)
        if self.model == "rbm":
            step = self._boltzmann(widths, way)
        else:
            step = self._network(widths, activation, way)
        self.step = self._captured(step) if way == "graph" else step

    def _network(self, widths, activation, way):
        """Makes the body of the usual loop: forward, backward, an optimiser's step."""
        nn, torch = self.torch.nn, self.torch
        f = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}[activation]
        modules = [module for i, o in pairwise(widths) for module in (nn.Linear(i, o), f())]
        net = nn.Sequential(*(modules if self.model == "autoencoder" else modules[:-1])).cuda()
        rule = torch.optim.SGD(net.parameters(), lr=LR)

        def cost(a, labels):
            with torch.autocast("cuda", torch.bfloat16, enabled=self.bf16):
                out = net(a)
                if self.model == "autoencoder":
                    return 0.5 * torch.square(out - a).sum() / len(a)
                return nn.functional.cross_entropy(out, labels)

        if way == "compile":
            cost, rule.step = torch.compile(cost, mode="reduce-overhead"), torch.compile(rule.step)

        def step(a, labels):
            rule.zero_grad(set_to_none=True)
            cost(a, labels).backward()
            rule.step()

        return step

    def _boltzmann(self, widths, way):
        torch, (inputs, hidden) = self.torch, widths
        self.w = torch.randn(inputs, hidden, device="cuda") * 0.1
        self.b, self.back = torch.zeros(hidden, device="cuda"), torch.zeros(inputs, device="cuda")
        if way != "compile":
            return lambda a, labels: self._contrast(a)
        for tensor in (self.w, self.b, self.back):
            torch._dynamo.mark_static_address(tensor)  # or what is written in place keeps it from its graphs
        contrast = torch.compile(self._contrast, mode="reduce-overhead")
        return lambda a, labels: contrast(a)

    def _contrast(self, v):
        """Takes one step of CD-1."""
        torch = self.torch
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=self.bf16):
            h = torch.sigmoid(torch.addmm(self.b, v, self.w)).float()
            drawn = torch.bernoulli(h)
            mean = torch.sigmoid(torch.addmm(self.back, drawn, self.w.t())).float()
            again = torch.sigmoid(torch.addmm(self.b, mean, self.w)).float()
            rate = LR / len(v)
            self.w += rate * (v.t() @ h - mean.t() @ again).float()
            self.b += rate * (h - again).sum(0)
            self.back += rate * (v - mean).sum(0)

    def _captured(self, step):
        """Captures the step as a graph that reads its mini-batch from one buffer."""
        torch = self.torch
        place, labels = self.x[: self.batch].clone(), self.y[: self.batch].clone()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                step(place, labels)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step(place, labels)

        def replay(a, y):
            place.copy_(a)
            labels.copy_(y)
            graph.replay()

        return replay

    def __call__(self):
        order = self.torch.randperm(SAMPLES, device="cuda")
        for low in range(0, SAMPLES - self.batch + 1, self.batch):
            rows = order[low : low + self.batch]
            self.step(self.x[rows], self.y[rows])
        self.torch.cuda.synchronize()


def peak(row: tuple, precision: str) -> float:
    """Measures cuBLAS's operations a second at the net's shapes: each layer's three products, weighted."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    kind, batch = torch.bfloat16 if precision == "bf16" else torch.float32, row[2]
    widths, done, took = [int(width) for width in row[0].split("-")], 0.0, 0.0
    for i, o in pairwise(widths):
        for m, n, k in ((batch, o, i), (batch, i, o), (i, o, batch)):
            a, b = (torch.randn(shape, device="cuda", dtype=kind) for shape in ((m, k), (k, n)))
            for turns in (3, 50):
                torch.cuda.synchronize()
                began = time.perf_counter()
                for _ in range(turns):
                    a @ b
                torch.cuda.synchronize()
            took += (time.perf_counter() - began) / 50
            done += 2.0 * m * n * k
    return done / took


def operations_of(row: tuple) -> float:
    """Counts the operations of one epoch: the first layer needs no gradient of its inputs."""
    sizes = [i * o for i, o in pairwise([int(width) for width in row[0].split("-")])]
    products = 10 * sizes[0] if row[3] == "rbm" else 4 * sizes[0] + 6 * sum(sizes[1:])
    return SAMPLES * products


def spread(values: list[float], form: str = ".1f") -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):{form}} ({low:{form}}–{high:{form}})"


def emulate() -> None:
    """Puts the emulator in the GPU's place, and makes the data small."""
    global SAMPLES, POPULATION
    from tests.cuda import emulated

    emulated.install()
    SAMPLES, POPULATION = 100, 2


def main():
    if "--first" in sys.argv[1:]:
        gpu_first.main()
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["float32", "tf32", "bf16"], default="tf32")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="*", default=range(len(ROWS)))
    parser.add_argument("--ways", choices=WAYS, nargs="*", default=WAYS, help="of PyTorch")
    parser.add_argument("--population", action="store_true", help=f"{POPULATION} nets side by side too")
    parser.add_argument("--smallest", action="store_true", help="train one small net a few steps, and compare")
    parser.add_argument("--emulated", action="store_true", help="without a GPU: figures say nothing")
    options = parser.parse_args()
    if options.emulated:
        emulate()
        options.ways = []
    if options.smallest:
        smallest()
        return
    from hdl import devices

    shown = ["hdl graph", *options.ways]
    title = devices.open("cuda:0").title
    print(f"{title}, {options.precision}; an epoch of {SAMPLES} samples; medians and (least–most)\n")
    print("| net, batch | hdl ms | of cuBLAS | " + " | ".join(f"{way} ×" for way in shown) + " |")
    print("|---|--:|--:|" + "--:|" * len(shown))
    for number in options.rows:
        one_row(ROWS[number], options, shown)
    if options.population or (not options.emulated and len(options.rows) == len(ROWS)):
        population(options)


def one_row(row: tuple, options: argparse.Namespace, shown: list[str]) -> None:
    """Measures one net, and prints it as a line of the table and as JSON."""
    runs = {"hdl": ours(row, options.precision)}
    runs["hdl graph"] = graphs(runs["hdl"])
    missing = {}
    for way in options.ways:
        try:
            runs[way] = Torch(row, options.precision, way)
        except Exception as error:  # one way that fails leaves the others
            missing[way] = f"{type(error).__name__}: {error}"[:300]
    took = turns(runs, options.repetitions)
    most = None if options.emulated else peak(row, options.precision)
    share = "" if most is None else spread([operations_of(row) / each / most for each in took["hdl"]], ".0%")
    ratios = {way: [a / b for a, b in zip(took[way], took["hdl"], strict=True)] for way in shown if way in took}
    speed = spread([1000 * each for each in took["hdl"]])
    cells = [spread(ratios[way]) if way in ratios else "failed" for way in shown]
    print(f"| {row[0]} {row[3]}, {row[2]} | {speed} | {share} | " + " | ".join(cells) + " |")
    told = {"row": row, "precision": options.precision, "seconds": took, "peak": most, "failed": missing}
    print(json.dumps(told), flush=True)


def population(options: argparse.Namespace) -> None:
    """Measures many small nets side by side, against one after another by a CUDA graph."""
    small = ROWS[0]
    runs = {"hdl": ours(small, options.precision, POPULATION)}
    if not options.emulated:
        runs["graph"] = Torch(small, options.precision, "graph")
    took = turns(runs, options.repetitions)
    print(json.dumps({"population": POPULATION, "seconds": took}), flush=True)
    if "graph" in took:
        ratio = [POPULATION * a / b for a, b in zip(took["graph"], took["hdl"], strict=True)]
        print(f"\n{POPULATION} nets {small[0]} side by side, one after another by a CUDA graph: {spread(ratio)} ×")


def turns(runs: dict[str, Callable[[], None]], repetitions: int) -> dict[str, list[float]]:
    """Measures the seconds of each function, in turns, once a repetition, after a first run that does not count."""
    took: dict[str, list[float]] = {name: [] for name in runs}
    for repetition in range(repetitions + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if repetition:
                took[name].append(time.perf_counter() - began)
    return took


if __name__ == "__main__":
    main()
