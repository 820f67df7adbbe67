"""Trial-epochs a minute of a search with halving, beside Optuna and PyTorch: `python -m tests.bench.search`.

64 random trials of nets of one hidden layer on MNIST or another dataset, with the same rungs and the same two cores:
`hdl search`, and Optuna's successive halving over a plain PyTorch loop on tensors in memory, where both are installed.
A trial-epoch is one epoch of one trial that was really trained; what is counted includes starting, reading and writing.
Beside those a minute are those a minute of processor time, of which a busy machine changes less: PyTorch has one thread
there (`--threads`), as two of them take more of it than they save with nets as small as these.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

TRIALS, ETA = 64, 3
NETS = ((32,), (64,), (100, 32))


Found = tuple[float, float, float, float]  # trial-epochs, seconds, seconds of processor time, best validation accuracy


def processor_seconds(whose: int) -> float:
    """Tell the processor time of this process, or of its children that have ended."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def hdl(data: str, epochs: int, trials: int, workers: int, runner: str) -> Found:
    """Run `hdl search`."""
    with tempfile.TemporaryDirectory() as folder:
        nets = ",".join("-".join(map(str, (0, *net, 0))) for net in NETS)
        command = [sys.executable, "-m", "hdl", "search", data, "--out", f"{folder}/s", "--trials", str(trials),
                   "--scheduler", "halving", "--eta", str(ETA), "--validation", "0.1", "--metric", "accuracy",
                   "--recipe", "plain", "--epochs", str(epochs), "--batch", "100", "--param", "lr=log:1e-4,1e-1",
                   "--param", f"net={nets}", "--param", "dropout=0:0.5", "--param", "optimizer=adam,nesterov",
                   "--workers", str(workers), "--runner", runner, "--no-report", "--quiet"]  # fmt: skip
        began, used = time.perf_counter(), processor_seconds(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds, used = time.perf_counter() - began, processor_seconds(resource.RUSAGE_CHILDREN) - used
        made = pq.read_table(Path(folder) / "s" / "search.parquet").to_pylist()
    best = max(row["value"] for row in made if row["value"] is not None)
    return sum(row["rounds"] for row in made), seconds, used, best


def optuna(x: np.ndarray, y: np.ndarray, epochs: int, trials: int, threads: int) -> Found:
    """Run Optuna's successive halving over a loop of PyTorch."""
    import optuna
    import torch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(threads)
    count = len(x) // 10
    x_val, y_val = torch.from_numpy(x[:count]), torch.from_numpy(y[:count])
    x_train, y_train = torch.from_numpy(x[count:]), torch.from_numpy(y[count:])
    classes, trained = int(y.max()) + 1, 0

    def objective(trial: optuna.Trial) -> float:
        nonlocal trained
        hidden = NETS[trial.suggest_categorical("net", range(len(NETS)))]
        rate, dropout = trial.suggest_float("lr", 1e-4, 1e-1, log=True), trial.suggest_float("dropout", 0, 0.5)
        torch.manual_seed(1)
        layers: list[torch.nn.Module] = []
        for a, b in zip((x.shape[1], *hidden), hidden, strict=False):
            layers += [torch.nn.Linear(a, b), torch.nn.ReLU(), torch.nn.Dropout(dropout)]
        model = torch.nn.Sequential(*layers, torch.nn.Linear(hidden[-1], classes))
        if trial.suggest_categorical("optimizer", ("adam", "nesterov")) == "adam":
            rule: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), rate)
        else:
            rule = torch.optim.SGD(model.parameters(), rate, momentum=0.9, nesterov=True)
        best = 0.0
        for epoch in range(epochs):
            model.train()
            for rows in torch.randperm(len(x_train)).split(100):
                rule.zero_grad()
                torch.nn.functional.cross_entropy(model(x_train[rows]), y_train[rows]).backward()
                rule.step()
            trained += 1
            model.eval()
            with torch.no_grad():
                best = max(best, float((model(x_val).argmax(1) == y_val).float().mean()))
            trial.report(best, epoch + 1)
            if trial.should_prune():
                raise optuna.TrialPruned
        return best

    pruner = optuna.pruners.SuccessiveHalvingPruner(max(1, epochs // ETA**3), ETA)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(1), pruner=pruner)
    began, used = time.perf_counter(), processor_seconds(resource.RUSAGE_SELF)
    study.optimize(objective, n_trials=trials)
    used = processor_seconds(resource.RUSAGE_SELF) - used
    return trained, time.perf_counter() - began, used, study.best_value


def main() -> None:
    """Measure both in turn and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", help="dataset that hdl reads, such as mnist or adult.csv")
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runner", default="local")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--only", choices=("hdl", "optuna"))
    parser.add_argument("--rows", type=int, default=0, help="of PyTorch's samples at most; 0: all")
    given = parser.parse_args()
    rows: list[tuple[str, Found]] = []
    if given.only != "optuna":
        rows.append(("hdl", hdl(given.data, given.epochs, given.trials, given.workers, given.runner)))
    try:
        import torch  # noqa: F401

        if given.only != "hdl":
            x, y = _samples(given.data)
            size = given.rows or len(x)
            rows.append(("optuna + torch", optuna(x[:size], y[:size], given.epochs, given.trials, given.threads)))
    except ImportError as error:
        print(f"no comparison: {error}", file=sys.stderr)
    for name, (epochs, seconds, used, best) in rows:
        print(f"{name:15}{60 * epochs / seconds:10.1f} trial-epochs a minute, {60 * epochs / used:.1f} a minute of "
              f"processor time ({epochs} in {seconds:.1f} s, {used:.1f} s), best {best:.4f}")  # fmt: skip


def _samples(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a dataset whose last column or own file is the label, standardised, in an order of its own."""
    x, y = _table(path) if re.search(r"\.(csv|data)(\.gz)?$", path) else _numbers(path)
    _, labels = np.unique(y, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    return np.ascontiguousarray(x[order]), labels.astype(np.int64)[order]


def _numbers(path: str) -> tuple[np.ndarray, np.ndarray]:
    from hdl.data import open_source

    source = open_source(path)
    blocks = [block for splits in source.splits(1) for block in source.read(splits)]
    x = np.concatenate([np.asarray(block.x, np.float32) for block in blocks])
    return x, np.concatenate([np.asarray(block.y) for block in blocks]).reshape(len(x), -1)[:, 0]


def _table(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a table without a header; a column of texts becomes one of 0 and 1 for each of them."""
    from pyarrow import csv, types

    table = csv.read_csv(path, csv.ReadOptions(autogenerate_column_names=True))
    *columns, label = [column.combine_chunks() for column in table.columns]
    parts = []
    for column in columns:
        values = column.to_numpy(zero_copy_only=False)
        parts.append(values[:, None] == np.unique(values) if types.is_string(column.type) else values[:, None])
    return np.hstack(parts).astype(np.float32), label.to_numpy(zero_copy_only=False)


if __name__ == "__main__":
    main()
