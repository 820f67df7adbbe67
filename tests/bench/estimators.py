"""`fit` and `predict` of hdl's estimators beside scikit-learn's: `python -m tests.bench.estimators [--rows 0 3]`.

Both get the same arrays, the same parameters and as many epochs, in one process and in turns, repetition by repetition;
ratios are scikit-learn's time over hdl's, inside a repetition: above 1, hdl is faster. They are whole calls, so that
checks, scaling and copies count; the last ratio is hdl's call over what the core takes of it, its training, or its
forward pass over the same samples as rows of float32. `--clock cpu` counts the processor's seconds with one thread, for
a machine that others use too; else both take the threads of `--threads`, by default all processors.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl import devices
from hdl.ops.cpu.base import Cpu

SHORT = 0.05  # seconds below which the clock and whatever ran before say more than the call
FOREVER = {"tol": 0.0, "n_iter_no_change": 10_000}  # so that both take all epochs


@dataclass(frozen=True)
class Row:
    """What is fitted on what.

    Attributes
    ----------
    name : str
    estimator : str
        Of hdl and of `sklearn.neural_network`.
    data : function
        Gives X and y.
    parameters : dict
    """

    name: str
    estimator: str
    data: Callable[[], tuple[Any, Any]]
    parameters: dict[str, Any]


def mixture(samples: int, features: int, classes: int, form: Callable[[np.ndarray], Any] = lambda x: x) -> Any:
    """Make a function that makes float32 in [0, 1] with a class each; `form` gives them another type or order."""

    def make() -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        y = rng.integers(0, classes, samples)
        x = rng.random((samples, features), np.float32) * rng.random((classes, features), np.float32)[y]
        return form(x), y if classes > 1 else x[:, 0].astype(np.float64) + 1

    return make


def bundled(name: str) -> Any:
    """Make a function that loads one of scikit-learn's own datasets, scaled to about 1."""

    def load() -> tuple[Any, Any]:
        from sklearn import datasets

        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        return x / np.abs(x).max(axis=0).clip(1e-9), y if y.dtype.kind == "i" else y / y.std()

    return load


def frame(x: np.ndarray) -> Any:
    import pandas as pd

    return pd.DataFrame(x, columns=[f"pixel {number}" for number in range(x.shape[1])])


def mixed(x: np.ndarray) -> Any:
    """Make a DataFrame whose last 20 columns are float64."""
    table = frame(x)
    return table.astype({name: np.float64 for name in table.columns[-20:]})


def sparse(x: np.ndarray) -> Any:
    from scipy.sparse import csr_array

    return csr_array(np.where(x > 0.5, x, 0))


def rows() -> list[Row]:
    """List the rows: small data first, then MNIST's size in each form, then other estimators."""
    classify, regress = "MLPClassifier", "MLPRegressor"
    forms: dict[str, Any] = {
        "float32": lambda x: x, "float64": lambda x: x.astype(np.float64), "float32, Fortran order": np.asfortranarray,
        "float32, DataFrame": frame, "float32 and float64, DataFrame": mixed, "float32, CSR": sparse,
    }  # fmt: skip
    two = {"max_iter": 2, **FOREVER}
    return [
        Row("iris 150 x 4", classify, bundled("iris"), {"max_iter": 20, **FOREVER}),
        Row("digits 1,797 x 64", classify, bundled("digits"), {"max_iter": 10, **FOREVER}),
        Row("digits 1,797 x 64, lbfgs", classify, bundled("digits"), {"max_iter": 10, "solver": "lbfgs"}),
        Row("diabetes 442 x 10", regress, bundled("diabetes"), {"max_iter": 20, **FOREVER}),
        *(Row(f"60,000 x 784 {name}", classify, mixture(60_000, 784, 10, form), two) for name, form in forms.items()),
        Row("200,000 x 20", regress, mixture(200_000, 20, 1), two),
        Row("digits 1,797 x 64", "BernoulliRBM", bundled("digits"), {"n_components": 100, "n_iter": 5}),
        Row("20,000 x 784", "BernoulliRBM", mixture(20_000, 784, 10), {"n_iter": 1, "batch_size": 100}),
    ]


def makers(row: Row, threads: int) -> dict[str, Any]:
    """Make both estimators of a row."""
    from sklearn import neural_network

    import hdl

    given = {"random_state": 1, **row.parameters}
    ours = getattr(hdl, row.estimator)(**given, n_jobs=threads)
    if row.estimator == "BernoulliRBM":  # scikit-learn's chains go on, and it scales nothing
        ours.set_params(persistent=True, scale="none")
    return {"hdl": ours, "scikit-learn": getattr(neural_network, row.estimator)(**given)}


def measure(row: Row, threads: int, repetitions: int, clock: Callable[[], float]) -> dict[str, dict[str, list[float]]]:
    """Measure the seconds of each call of both, in turns."""
    x, y = row.data()
    labels = [] if row.estimator == "BernoulliRBM" else [y]
    answer = "predict" if labels else "transform"
    names = ("hdl", "scikit-learn", "core")
    took: dict[str, dict[str, list[float]]] = {call: {name: [] for name in names} for call in ("fit", answer)}
    for repetition in range(repetitions):
        both = list(makers(row, threads).items())
        for name, estimator in both if repetition % 2 else both[::-1]:
            for call, arguments in (("fit", [x, *labels]), (answer, [x])):
                with trainings(clock) as trained:
                    took[call][name].append(seconds(getattr(estimator, call), arguments, clock, again=call != "fit"))
                if name == "hdl":
                    alone = [core_alone(estimator, x), [], clock] if call != "fit" else None
                    took[call]["core"].append(seconds(*alone, again=True) if alone else sum(trained))
    return took


def core_alone(estimator: Any, x: Any) -> Callable[[], Any]:
    """Make a call of the core that answers to samples which it has as it likes them best."""
    samples = estimator._seen(estimator._read(x, reset=False))
    core, w = estimator._make(estimator._fitted), estimator._weights.w
    name = "forward" if hasattr(estimator, "predict") else "encode"
    return lambda: getattr(core, name)(w, samples)


@contextmanager
def trainings(clock: Callable[[], float]) -> Iterator[list[float]]:
    """Measure the seconds of each training by the core."""
    train, took = Cpu.train, list[float]()

    def timed(*given: Any, **named: Any) -> Any:
        began = clock()
        try:
            return train(*given, **named)
        finally:
            took.append(clock() - began)

    Cpu.train = timed  # type: ignore[method-assign]
    try:
        yield took
    finally:
        Cpu.train = train  # type: ignore[method-assign]


def seconds(call: Callable[..., Any], arguments: list[Any], clock: Callable[[], float], again: bool) -> float:
    """Measure the seconds of a call; of a short one that may be made `again`, the mean of many."""
    began = clock()
    call(*arguments)
    took = clock() - began
    if not again or took > SHORT:
        return took
    calls, began = round(SHORT / max(took, 1e-4)) + 1, clock()
    for _ in range(calls):
        call(*arguments)
    return (clock() - began) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", metavar="N")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=devices.cores())
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    warnings.simplefilter("ignore", ConvergenceWarning)
    threads, clock = (1, time.process_time) if options.clock == "cpu" else (options.threads, time.perf_counter)
    print(f"{threads} threads, {options.clock} seconds, {options.repetitions} repetitions: medians")
    print("| call | data | hdl | scikit-learn | scikit-learn/hdl | hdl/core |")
    every = rows()
    with threadpool_limits(threads):
        for number in range(len(every)) if options.rows is None else options.rows:
            row = every[number]
            for call, took in measure(row, threads, options.repetitions, clock).items():
                ratios = [b / a for a, b in zip(took["hdl"], took["scikit-learn"], strict=True)]
                medians = [statistics.median(took[name]) for name in ("hdl", "scikit-learn")]
                cells = [f"{each * 1e3:.2f} ms" for each in medians]
                spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                core = [
                    a / b for a, b in zip(took["hdl"], took["core"], strict=True) if b
                ]  # line searches train nothing
                cells += [spread, f"{statistics.median(core):.2f}" if core else ""]
                print(f"| {row.estimator}.{call} | {row.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
