"""Defaults on real tables beside others' defaults: `python -m tests.bench.tables`.

`hdl train TABLE --label L --out M`, no other flag but the seed, as a command of its own; scikit-learn's MLP (64 hidden
units, one-hot, early stopping) and histogram-based boosting; H2O's deep learning, where h2o is installed. All get the
same rows in turn, seed by seed: `train_test_split(test_size=0.2, random_state=seed)`, of Adult its own test file. Each
figure is the mean of all seeds. Seconds are those of the wall, of hdl from the command's start to its end; on a machine
that others use too look at those of the processor. `ratio`: hdl's seconds an epoch over those of scikit-learn's MLP.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

HERE = Path(__file__).resolve().parents[2]
MOST = 255  # levels that boosting takes as a category


class Table(NamedTuple):
    """A table: its file, label, columns that nobody gets, whether the label is a class, and the least hdl may have."""

    file: str
    label: str
    without: tuple[str, ...]
    classes: bool
    bar: float


TABLES = {
    "adult": Table("adult.data.gz", "c14", (), True, 0.921),
    "titanic": Table("titanic.csv", "survived", ("name", "ticket"), True, 0.850),
    "ames": Table("ames.csv.gz", "SalePrice", (), False, 0.915),
    "diamonds": Table("diamonds.csv.gz", "price", (), False, 0.982),
    "bike_hour": Table("bike_hour.csv.gz", "cnt", ("casual", "registered", "dteday"), False, 0.945),
}


class Trained(NamedTuple):
    """What came of a training: scores of the test rows, seconds of the wall and the processor, seconds an epoch."""

    scores: np.ndarray
    seconds: float
    used: float
    epoch: float | None = None


def read(folder: Path, name: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the rows to train on and those to test on."""
    table = TABLES[name]
    if name == "adult":
        names = [f"c{i}" for i in range(15)]
        how: Any = {"header": None, "names": names, "skipinitialspace": True, "na_values": "?"}
        test = pd.read_csv(folder / "adult.test.gz", skiprows=1, **how)
        return pd.read_csv(folder / table.file, **how), test.assign(c14=test["c14"].str.rstrip("."))
    frame = pd.read_csv(folder / table.file, encoding="utf-8-sig").drop(columns=[*table.without])
    train, test = train_test_split(frame, test_size=0.2, random_state=seed)
    return train, test


def hdl(train: pd.DataFrame, test: pd.DataFrame, table: Table, seed: int) -> Trained:
    from hdl.predict import Model

    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/train.csv", f"{folder}/test.csv"]
        for frame, path in zip((train, test), paths, strict=True):
            frame.to_csv(path, index=False)
        command = [sys.executable, "-m", "hdl", "train", paths[0], "--label", table.label, "--out", f"{folder}/model"]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        done = subprocess.run([*command, "--seed", str(seed + 1)], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        answers = f"{folder}/answers.csv"
        command = [sys.executable, "-m", "hdl", "predict", f"{folder}/model", paths[1], "--out", answers]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        model = Model(f"{folder}/model")
        # Without reading and encoding, as the MLP's epochs are without what comes before them.
        rounds = sum(row["seconds"]["round"] - row["seconds"]["load"] for row in model.version.rows)
        found = pd.read_csv(answers)
        column = next(name for name in found if name.endswith(str(model.schema.classes[1]))) if table.classes else None
        scores = found[column] if column else found.iloc[:, 0]
        return Trained(scores.to_numpy(), seconds, used, rounds / model.spec.epochs)


def fitted(estimator: Any, train: pd.DataFrame, test: pd.DataFrame, table: Table) -> Trained:
    """Fit an estimator; the seconds an epoch are those of an MLP alone, without what comes before it."""
    x, y, rows = train.drop(columns=table.label), train[table.label], test.drop(columns=table.label)
    deviation = 1.0 if table.classes else y.std()
    mean = 0.0 if table.classes else y.mean()
    y = y if table.classes else (y - mean) / deviation
    began, before = time.perf_counter(), time.process_time()
    steps = [step for _, step in estimator.steps]
    prepared = steps[0].fit_transform(x)
    middle = time.perf_counter()
    steps[1].fit(prepared, y)
    seconds, used = time.perf_counter(), time.process_time() - before
    epoch = (seconds - middle) / steps[1].n_iter_ if isinstance(steps[1], (MLPClassifier, MLPRegressor)) else None
    known = steps[0].transform(rows)
    scores = steps[1].predict_proba(known)[:, 1] if table.classes else steps[1].predict(known) * deviation + mean
    return Trained(scores, seconds - began, used, epoch)


def _columns(frame: pd.DataFrame, table: Table) -> tuple[list[str], list[str]]:
    x = frame.drop(columns=table.label)
    x = x.loc[:, x.notna().any()]
    numbers = [name for name in x if pd.api.types.is_numeric_dtype(x[name])]
    return numbers, [name for name in x if name not in numbers]


def mlp(train: pd.DataFrame, test: pd.DataFrame, table: Table, seed: int) -> Trained:
    numbers, others = _columns(train, table)
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), others),
    )
    kind = MLPClassifier if table.classes else MLPRegressor
    net = kind(hidden_layer_sizes=(64,), early_stopping=True, random_state=seed)
    return fitted(make_pipeline(prepare, net), train, test, table)


def boosting(train: pd.DataFrame, test: pd.DataFrame, table: Table, seed: int) -> Trained:
    numbers, others = _columns(train, table)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    prepare = make_column_transformer(("passthrough", numbers), (codes, others))
    few = [len(numbers) + i for i, name in enumerate(others) if train[name].nunique() < MOST]
    kind = HistGradientBoostingClassifier if table.classes else HistGradientBoostingRegressor
    return fitted(make_pipeline(prepare, kind(categorical_features=few, random_state=seed)), train, test, table)


def h2o(train: pd.DataFrame, test: pd.DataFrame, table: Table, seed: int) -> Trained:
    import h2o as server
    from h2o.estimators import H2ODeepLearningEstimator

    server.init(nthreads=-1, max_mem_size="2G", log_level="ERRR", bind_to_localhost=True, verbose=False)
    server.no_progress()
    frames = [server.H2OFrame(frame) for frame in (train, test)]
    if table.classes:
        frames = [_factor(frame, table.label) for frame in frames]
    model = H2ODeepLearningEstimator(seed=seed)
    began = time.perf_counter()
    model.train(y=table.label, training_frame=frames[0])
    seconds = time.perf_counter() - began
    scores = model.predict(frames[1]).as_data_frame().iloc[:, -1].to_numpy()
    return Trained(scores, seconds, float("nan"), seconds / model.actual_params["epochs"])


def _factor(frame: Any, label: str) -> Any:
    frame[label] = frame[label].asfactor()
    return frame


def measure(scores: np.ndarray, test: pd.DataFrame, table: Table) -> float:
    y = test[table.label]
    if table.classes:
        return float(roc_auc_score(y == sorted(y.unique())[1], scores))
    return float(r2_score(y, scores))


def processor() -> str:
    """Name the processor, and count the cores that may be used."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{found[1] if found else platform.processor()}, {len(os.sched_getaffinity(0))} cores"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default=os.environ.get("HDL_DATA", HERE.parent / "shared/data"), help="folder with tables/"
    )
    parser.add_argument("--tables", default=",".join(TABLES), help="some of them, joined by commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="where seeds begin, for a run in pieces")
    parser.add_argument("--alone", action="store_true", help="without the others")
    parser.add_argument("--only", metavar="NAME", help="one contender")
    arguments = parser.parse_args()
    contenders: dict[str, Callable[..., Trained]] = {"hdl": hdl}
    if not arguments.alone:
        contenders |= {"sklearn MLP": mlp, "boosting": boosting}
        if importlib.util.find_spec("h2o"):
            contenders["H2O"] = h2o
    if arguments.only is not None:
        contenders = {arguments.only: contenders[arguments.only]}
    print(f"{processor()}; load {os.getloadavg()[0]:.1f}; {arguments.seeds} seeds")
    head = f"{'measure':>14} {'sd':>7} {'bar':>6}      {'s':>7} {'cpu s':>7} {'ms/epoch':>9}  ratio"
    print(f"{'table':10} {'':12} {head}")
    failed = 0
    for name in arguments.tables.split(","):
        table, results = TABLES[name], {contender: [] for contender in contenders}
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            train, test = read(Path(arguments.data) / "tables", name, seed)
            for contender, run in contenders.items():
                made = run(train, test, table, seed)
                results[contender].append((measure(made.scores, test, table), made))
        epochs = {
            contender: statistics.fmean(made.epoch for _, made in own)
            for contender, own in results.items() if own[0][1].epoch is not None
        }  # fmt: skip
        for contender, own in results.items():
            values = [value for value, _ in own]
            mean, spread = statistics.fmean(values), statistics.pstdev(values)
            seconds, used = (statistics.fmean(getattr(made, unit) for _, made in own) for unit in ("seconds", "used"))
            ours = contender == "hdl"
            verdict = (" pass" if mean >= table.bar else " FAIL") if ours else ""
            failed += ours and mean < table.bar
            bar = f"{table.bar:.3f}" if ours else ""
            epoch = f"{1000 * epochs[contender]:9.1f}" if contender in epochs else " " * 9
            ratio = f"{epochs['hdl'] / epochs['sklearn MLP']:6.2f}" if ours and "sklearn MLP" in epochs else ""
            unit = "AUC" if table.classes else "R²"
            quality = f"{unit:>4} {mean:9.4f} {spread:7.4f} {bar:>6}{verdict:5}"
            print(f"{name:10} {contender:12} {quality} {seconds:7.2f} {used:7.2f} {epoch} {ratio}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
