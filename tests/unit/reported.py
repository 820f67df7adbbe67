"""Facts of a report with measures of their own, and its page in a browser."""

import shutil
import subprocess

import numpy as np

from hdl import evaluation, report
from hdl.data import Bad, Schema
from hdl.metrics import Measures
from hdl.ops import Result
from hdl.report import Measured
from hdl.spec import Spec

EVIL = "<script>alert('x')</script> & \"ü\" $x_1$ " + "n" * 200
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def score(out, y, classes, weight=None, loss="sigmoid"):
    """Measures answers [n, O] of which classes [n] are right."""
    spec = Spec(net=f"4-{out.shape[1]}", loss=loss)
    measures = Measures(spec, classes=bool(classes), pairs=True)
    n = len(out)
    measures.add(out, y, weight, Result(0.3 * n, samples=n, weight=n if weight is None else float(weight.sum())))
    return evaluation.score(measures, Schema(4, out.shape[1], "index", tuple(classes or ())), spec, Bad(0))


def binary(n=2000, classes=("no", "yes"), weighted=False, rate=0.1, constant=False):
    rng = np.random.default_rng(n)
    y = (rng.random(n) < rate).astype(np.int32)
    out = 1 / (1 + np.exp(-(rng.normal(size=n) + 2 * y - 2.5)))
    out = np.full(n, 0.125) if constant else out
    weight = rng.random(n).astype(np.float32) if weighted else None
    return score(out.astype(np.float32)[:, None], y, classes, weight)


def several(count, n=3000):
    rng = np.random.default_rng(count)
    y = rng.integers(0, count, n).astype(np.int32)
    out = rng.random((n, count)) ** 4
    out[np.arange(n), y] += 0.5
    out = (out / out.sum(axis=1, keepdims=True)).astype(np.float32)
    return score(out, y, tuple(f"class {k}" for k in range(count)), loss="softmax")


def effects(names=("age", "colour", "day", "size"), outputs=("no", "yes"), metric="auc"):
    """Makes effects of columns: numbers, categories and dates in turn, with missing cells."""
    rng = np.random.default_rng(len(names))
    k, dependence = len(outputs), []
    for at, name in enumerate(names[:10]):
        kind = ("number", "category", "date", "number")[at % 4]
        grid = {"number": [float(v) for v in range(12)], "category": [f"{name[:30]} {v}" for v in range(14)],
                "date": [f"20{10 + v}-03-01T00:00:00" for v in range(12)]}[kind]  # fmt: skip
        grid = [*grid, None]
        mean = rng.random((len(grid), k)).tolist()
        dependence.append({"column": name, "kind": kind, "grid": grid, "count": [40] * len(grid), "mean": mean})
    importance = [{"column": name, "drop": 0.2 / (at + 1) - 0.02, "spread": 0.01} for at, name in enumerate(names)]
    return {"metric": metric, "higher": True, "baseline": 0.9, "rows": 500, "of": 2000, "repetitions": 5, "seed": 1,
            "outputs": list(outputs), "importance": importance, "dependence": dependence}  # fmt: skip


def facts(measured, classes=("no", "yes"), metric=None, rounds=9, **changes):
    rows = [
        {"round": number, "version": number, "cost": 1 / number, "accuracy": 1 - 0.5 / number,
         "val_cost": 1.1 / number, "val_accuracy": 0.97 - 0.5 / number, "val_auc": 0.9 - 0.01 * abs(number - 5),
         "seconds": 0.1, "samples": 60, "workers": []}
        for number in range(1, rounds + 1)
    ]  # fmt: skip
    found = report.Facts("/models/m", min(5, rounds), "01" * 32, Spec(net="4-3-2").model_dump(mode="json"),
                         classes, [("path", "a.csv")], rows, measured, seconds=1.0, metric=metric)  # fmt: skip
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def measured(of, kind="Test", source="a.csv", columns=None):
    return Measured.of(of, source, kind, columns)


def look(page, folder, width, height):
    """Takes a picture of a page in a browser; returns its pixels [height, width, 3]."""
    from matplotlib.image import imread

    (folder / "page.html").write_text(page, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               "--virtual-time-budget=2000", f"--user-data-dir={folder}/profile", f"--screenshot={folder}/page.png",
               f"--window-size={width},{height}", (folder / "page.html").as_uri()]  # fmt: skip
    subprocess.run(command, capture_output=True, timeout=250, check=True)
    return imread(folder / "page.png")[..., :3]
