"""The natural-image job beside SciPy: `python -m tests.bench.patches [PNG]`.

8x8 patches of scikit-learn's photographs, 64-25-64, rho 0.01, beta 3, lambda 0.0001: the whole cost after each
evaluation, by `hdl` in float32 and by SciPy's L-BFGS-B on the NumPy reference in float64, from the same weights.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.optimize
import sklearn.datasets

from hdl import data, driver, models, ops, optim
from hdl.ops import Samples
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec, parse
from hdl.table import Table

EVALUATIONS = 500
SPEC = {
    "model": "autoencoder", "net": "64-25-64", "loss": "squared", "l2": 1e-4, "optimizer": "lbfgs", "seed": 1,
    "autoencoder": {"rho": 0.01, "beta": 3}, "sync": {"mode": "gradient"}, "epochs": EVALUATIONS, "shards": 4,
}  # fmt: skip


def hdl_costs(place: str, spec: Spec) -> tuple[list[float], np.ndarray, float]:
    """Trains by hdl; gives the best cost over all samples after each evaluation, the weights, and seconds."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        costs: list[float] = []

        class Runner(LocalRunner):
            def advance(self, spec, weights, evaluate_only=False):
                advanced = super().advance(spec, weights, evaluate_only)
                costs.append(float(optim.cost(advanced[0].state)))
                return advanced

        outcome = driver.train(Job(place, f"{folder}/model", spec), Runner(2, 1))
        return costs, Table(outcome.table).read().weights.w, time.perf_counter() - began


def scipy_costs(x: np.ndarray, spec: Spec) -> tuple[list[float], np.ndarray, float]:
    """Trains by SciPy; gives the same as `hdl_costs`."""
    reference, samples, costs = ops.make(spec, "reference"), Samples(x), []

    def cost(w):
        sums, result = reference.gradient(w, samples)
        value, gradient = optim.objective(spec, w, result.cost, sums, result.samples)
        costs.append(min(value, costs[-1] if costs else value))
        return value, gradient

    began = time.perf_counter()
    start = models.initial(spec).astype(np.float64)
    options = {"maxcor": spec.optimizer.history, "maxfun": EVALUATIONS, "maxiter": EVALUATIONS, "ftol": 0, "gtol": 0}
    solution = scipy.optimize.minimize(cost, start, jac=True, method="L-BFGS-B", options=options)
    return costs[:EVALUATIONS], solution.x, time.perf_counter() - began


def main() -> None:
    for name in "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE":
        os.environ.pop(name, None)
    spec = parse(SPEC)
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/patches"
        photos = str(Path(sklearn.datasets.__file__).parent / "images")
        command = [sys.executable, "-m", "hdl", "import", photos, place, "--patches", "8x8", "--seed", "1"]
        subprocess.run(command, check=True, capture_output=True)
        source = data.open_source(place)
        x = np.concatenate([block.x for splits in source.splits(1) for block in source.read(splits)])
        curves = {"hdl": hdl_costs(place, spec), "SciPy": scipy_costs(x, spec)}
    print("| | cost after 50 | 100 | 200 | 400 | all | average activation, lowest to highest | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (costs, w, seconds) in curves.items():
        codes = ops.make(spec).encode(w.astype(np.float32), Samples(x)).mean(axis=0)
        shown = " | ".join(f"{costs[min(at, len(costs)) - 1]:.5f}" for at in (50, 100, 200, 400, EVALUATIONS))
        print(f"| {name} | {shown} | {codes.min():.4f} to {codes.max():.4f} | {seconds:.1f} |")
    if len(sys.argv) > 1:
        draw({name: costs for name, (costs, _, _) in curves.items()}, sys.argv[1])


def draw(curves: dict[str, list[float]], place: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for (name, costs), style in zip(curves.items(), ("-", "--"), strict=True):
        axes.semilogy(range(1, len(costs) + 1), costs, style, label=name)
    axes.set(xlabel="evaluations of cost and gradient", ylabel="cost with all terms", title="64-25-64 on 8x8 patches")
    axes.legend()
    figure.savefig(place, dpi=110)


if __name__ == "__main__":
    main()
