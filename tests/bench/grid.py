"""GridSearchCV of 16 settings on MNIST by joblib's backends: `python -m tests.bench.grid`.

By turns: the backend `hdl` with a session of `--workers` processes of one thread, scikit-learn's own with as many
processes (loky, which start beforehand too), and one task after the other. What is counted is a whole search without
the last fit; processor time is that of this process and of all that it has started.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import joblib
import psutil
from sklearn.model_selection import GridSearchCV

from hdl import MLPClassifier, Session
from tests.bench.search import DATA, _numbers

GRID = {"hidden_layer_sizes": [(32,), (100, 32)], "learning_rate_init": [1e-3, 1e-2], "alpha": [1e-5, 1e-3],
        "dropout": [0.0, 0.2]}  # fmt: skip


def processor_seconds() -> float:
    """Tell the processor time of this process and of its children that live."""
    own = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in (own, *own.children(recursive=True)))


def measure(name: str, search: Callable[[], Any]) -> Any:
    """Carry a search out, print what it took, and return its scores."""
    began, used = time.perf_counter(), processor_seconds()
    found = search()
    print(f"{name:20}{time.perf_counter() - began:7.1f} s, {processor_seconds() - used:6.1f} s of processor time, load "
          f"{os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
    return found.cv_results_["mean_test_score"]


def main() -> None:
    """Measure all by turns."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # of fits that have not converged
    x, y = _numbers(str(DATA / "mnist"))
    x, y = x[: given.rows].reshape(given.rows, -1), y[: given.rows].ravel()

    def search(jobs: int | None = None) -> Any:
        net = MLPClassifier(max_iter=given.epochs, n_iter_no_change=given.epochs, batch_size=100, random_state=1,
                            scale="divide:255")  # fmt: skip
        return GridSearchCV(net, GRID, cv=3, refit=False, n_jobs=jobs).fit(x, y)

    joblib.Parallel(given.workers)(joblib.delayed(MLPClassifier)() for _ in range(given.workers))  # starts loky's
    print(f"{os.cpu_count()} processors, {time.strftime('%F %H:%M')}, {given.rows} images, {given.epochs} epochs")
    with Session("local", workers=given.workers, threads=1) as session:

        def by_it() -> Any:
            with joblib.parallel_config("hdl", session=session):
                return search()

        scores = []
        for _ in range(given.turns):
            scores.append(measure(f"hdl, {given.workers} workers", by_it))
            scores.append(measure(f"loky, n_jobs={given.workers}", lambda: search(given.workers)))
            scores.append(measure("n_jobs=1", lambda: search(1)))
    same = all((one == scores[0]).all() for one in scores)
    print(f"all scores are {'the same' if same else 'NOT the same'}")


if __name__ == "__main__":
    main()
