"""Optuna's random search with successive halving over PyTorch, in processes of one thread: see `tests.bench.search`.

The loop stands twice. `tutorial` is what PyTorch's own tutorials write: a TensorDataset and a DataLoader that shuffles.
`expert` takes each mini-batch by a permutation from tensors in memory, which leaves PyTorch nothing but its arithmetic.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 100


def search(
    kind: str, folder: str, nets: tuple[tuple[int, ...], ...], epochs: int, eta: int, trials: int, processes: int,
    seconds: float,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Search on the arrays in a folder with processes that share a study.

    Parameters
    ----------
    kind : {'tutorial', 'expert'}
    folder : str
        Has x.npy and y.npy, whose first tenth chooses.
    nets : tuple of tuple of int
        Hidden layers.
    seconds : float
        After which no epoch begins.

    Returns
    -------
    tuple
        Trial-epochs, seconds without the start of the processes, seconds of processor time, the best accuracy.
    """
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        share = [trials // processes + (rank < trials % processes) for rank in range(processes)]
        asked = [pool.submit(_work, kind, folder, nets, epochs, eta, count, rank, seconds)
                 for rank, count in enumerate(share)]  # fmt: skip
        found = [each.result() for each in asked]
    trained, wall, used, best = zip(*found, strict=True)
    return sum(trained), max(wall), sum(used), max(best)


def _work(
    kind: str, folder: str, nets: tuple[tuple[int, ...], ...], epochs: int, eta: int, trials: int, rank: int,
    seconds: float,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Carry one process's trials out."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import optuna
    import torch
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    x, y = (torch.from_numpy(np.load(Path(folder, f"{name}.npy"))) for name in "xy")
    count, classes = len(x) // 10, int(y.max()) + 1
    held, batches = (x[:count], y[:count]), LOOPS[kind](x[count:], y[count:])
    trained, best_of_all = 0, 0.0

    def objective(trial: Any) -> float:
        nonlocal trained, best_of_all
        hidden = nets[trial.suggest_categorical("net", range(len(nets)))]
        rate, dropout = trial.suggest_float("lr", 1e-4, 1e-1, log=True), trial.suggest_float("dropout", 0, 0.5)
        torch.manual_seed(1)
        layers: list[Any] = []
        for a, b in zip((x.shape[1], *hidden), hidden, strict=False):
            layers += [torch.nn.Linear(a, b), torch.nn.ReLU(), torch.nn.Dropout(dropout)]
        model = torch.nn.Sequential(*layers, torch.nn.Linear(hidden[-1], classes))
        if trial.suggest_categorical("optimizer", ("adam", "nesterov")) == "adam":
            rule: Any = torch.optim.Adam(model.parameters(), rate)
        else:
            rule = torch.optim.SGD(model.parameters(), rate, momentum=0.9, nesterov=True)
        loss, best = torch.nn.CrossEntropyLoss(), 0.0
        for epoch in range(epochs):
            if time.perf_counter() > began + seconds:
                trial.study.stop()
                raise optuna.TrialPruned
            model.train()
            for rows, labels in batches():
                rule.zero_grad()
                loss(model(rows), labels).backward()
                rule.step()
            trained += 1
            model.eval()
            with torch.no_grad():
                best = max(best, float((model(held[0]).argmax(1) == held[1]).float().mean()))
            best_of_all = max(best_of_all, best)
            trial.report(best, epoch + 1)
            if trial.should_prune():
                raise optuna.TrialPruned
        return best

    used, began = _processor(), time.perf_counter()
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(Path(folder, f"{kind}.journal")))), study_name="search",
        load_if_exists=True, direction="maximize", sampler=optuna.samplers.RandomSampler(rank + 1),
        pruner=optuna.pruners.SuccessiveHalvingPruner(max(1, epochs // eta**3), eta),
    )  # fmt: skip
    study.optimize(objective, n_trials=trials)
    return trained, time.perf_counter() - began, _processor() - used, best_of_all


def _tutorial(x: Any, y: Any) -> Callable[[], Any]:
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    return lambda: iter(loader)


def _expert(x: Any, y: Any) -> Callable[[], Any]:
    import torch

    def batches() -> Iterator[tuple[Any, Any]]:
        for rows in torch.randperm(len(x)).split(BATCH):
            yield x[rows], y[rows]

    return batches


LOOPS = {"tutorial": _tutorial, "expert": _expert}


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":  # by tests.bench.search, which says what
    print(json.dumps(search(**json.loads(sys.argv[1]))))
