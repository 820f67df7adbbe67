"""Trainings whose validation parts are measured, on every runner: by case the dataset, and the fields of the spec."""

import numpy as np

CASES = {
    "auc": ("two", {"metric": "auc", "validation": 0.3, "optimizer": "adam"}),
    "gradient": ("two", {"metric": "mcc", "validation": 0.3, "sync": {"mode": "gradient"}, "optimizer": "adam"}),
    "search": ("prices", {"metric": "r2", "validation": 0.3, "sync": {"mode": "gradient"}, "optimizer": "lbfgs"}),
    "batches": ("five", {"metric": "logloss", "validation": 0.2, "sync": {"every": 2, "unit": "batches"}}),
    "genetic": ("five", {"metric": "pr_auc", "validation": 0.3, "sync": {"mode": "genetic"}, "optimizer": "sgd"}),
    "prices": ("prices", {"metric": "mae", "validation": 0.3, "optimizer": "sgd", "loss": "absolute"}),
    "cost": ("two", {"validation": 0.3, "optimizer": "nesterov"}),
}
# What a row has beside val_cost, val_accuracy and val_samples; of prices accuracy is None.
NAMES = {
    "two": {"auc", "pr_auc", "logloss", "brier", "f1", "mcc", "balanced_accuracy", "threshold_f1", "threshold_mcc"},
    "five": {"auc", "pr_auc", "logloss", "brier", "f1", "mcc", "balanced_accuracy", "top_k"},
    "prices": {"rmse", "mae", "r2"},
}


def lines(kind, n=120, seed=0):
    """Make n lines of CSV: two numbers with ties, and two classes, one of which is rare, five classes, or prices."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(n, 2)), 1)
    if kind == "prices":
        y = [f"{250_000 + 9e4 * value:.2f}" for value in x[:, 0] + rng.normal(size=n)]
    elif kind == "two":
        y = ["yes" if value > 1.3 else "no" for value in x[:, 0] + rng.normal(size=n)]
    else:
        y = [f"c{value}" for value in np.arange(n) % 5]
        x = np.round(x + np.arange(n)[:, None] % 5, 1)
    return [f"{a:g},{b:g},{label}" for (a, b), label in zip(x, y, strict=True)]


def put(path, kind, **more):
    """Write a CSV file of such lines."""
    path.write_text("\n".join(["a,b,answer", *lines(kind, **more), ""]))
    return str(path)
