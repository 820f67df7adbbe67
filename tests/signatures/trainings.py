"""Small trainings over every model, sync mode, update rule, loss, activation and input, and the data that they read.

The data is made of integers, so that it is the same on every machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SAMPLES, FEATURES = 60, 6
COMMON = {"net": "0-5-0", "shards": 4, "epochs": 3, "batch": 8, "seed": 3, "scale": "none", "activation": "sigmoid"}
MINI_BATCH_RULES = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam")
LINE_SEARCH_RULES = ("gd", "cg", "lbfgs")
LOSSES = ("huber", "absolute", "quantile", "poisson", "gamma", "tweedie")
GRADIENT = {"sync": {"mode": "gradient"}}
BF16 = {"precision": "bf16"}
LEARNED = {"net": "0-5-0", "model": "autoencoder"}

# name: (data, fields of the spec that differ from COMMON)
TRAININGS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"rule-{rule}": ("classes.csv", {"optimizer": rule}) for rule in MINI_BATCH_RULES + LINE_SEARCH_RULES},
    **{
        f"gradient-{rule}": ("classes.csv", {"optimizer": rule, **GRADIENT, "l2": 0.01})
        for rule in MINI_BATCH_RULES + LINE_SEARCH_RULES
    },
    **{
        f"activation-{name}": ("classes.csv", {"activation": name, "optimizer": "momentum"})
        for name in ("linear", "tanh", "lecun_tanh", "relu", "leaky_relu")
    },
    "loss-softmax": ("classes.csv", {"loss": "softmax", "net": "0-7-5-0"}),
    "loss-sigmoid": ("two.csv", {"loss": "sigmoid"}),
    "loss-squared": ("targets.csv", {"loss": "squared"}),
    **{f"loss-{name}": ("targets.csv", {"loss": name, "optimizer": "momentum"}) for name in LOSSES},
    "label-smoothing": ("classes.csv", {"label_smoothing": 0.1, "optimizer": "sgd"}),
    "class-weight": ("classes.csv", {"class_weight": "balanced", "optimizer": "adam", "validation": 0.2}),
    "gradient-class-weight": (
        "classes.csv",
        {"class_weight": {"c1": 2.5}, "optimizer": "lbfgs", "l2": 0.01, **GRADIENT},
    ),
    "penalties": ("classes.csv", {"l1": 0.001, "l2": 0.01, "max_norm": 1.0, "optimizer": "sgd"}),
    "dropout": ("classes.csv", {"dropout": 0.3, "input_dropout": 0.1, "net": "0-9-7-0"}),
    "validation": ("classes.csv", {"validation": 0.2, "patience": 2, "epochs": 5}),
    "schedule-cosine": ("classes.csv", {"optimizer": {"name": "sgd", "schedule": {"name": "cosine", "warmup": 1}}}),
    "schedule-inverse": ("classes.csv", {"optimizer": {"name": "sgd", "schedule": {"name": "inverse"}}}),
    "schedule-exponential": ("classes.csv", {"optimizer": {"name": "sgd", "schedule": {"name": "exponential"}}}),
    "schedule-step": (
        "classes.csv",
        {"optimizer": {"name": "momentum", "schedule": {"name": "step", "every": 1, "decay": 0.5}}},
    ),
    "init-uniform": ("classes.csv", {"init": {"name": "uniform"}, "optimizer": "sgd"}),
    "init-lecun": ("classes.csv", {"init": {"name": "lecun"}, "optimizer": "sgd"}),
    "wide": ("classes.csv", {"net": "0-70-33-0", "optimizer": "sgd"}),
    "deep": ("classes.csv", {"net": "0-8-8-8-0", "optimizer": "nesterov", "activation": "relu"}),
    "whole-batch": ("classes.csv", {"batch": 0, "optimizer": "sgd"}),
    "one-shard": ("classes.csv", {"shards": 1}),
    "seven-shards": ("classes.csv", {"shards": 7}),
    "every-two": ("classes.csv", {"sync": {"every": 2}, "optimizer": "adam"}),
    "every-batches": ("classes.csv", {"sync": {"every": 3, "unit": "batches"}, "optimizer": "momentum"}),
    "input-uint8": ("bytes.npz", {"optimizer": "sgd", "scale": "divide:255"}),
    "input-table-of-bytes": ("bytes.npz", {"optimizer": "sgd", "scale": "auto"}),
    "input-centred": ("seconds.npz", {"optimizer": "sgd", "scale": "auto"}),
    "input-float": ("floats.npz", {"optimizer": "sgd"}),
    "input-sparse": ("sparse.svm", {"optimizer": "adam"}),
    "input-scaled": ("classes.csv", {"optimizer": "sgd", "scale": "divide:16"}),
    "input-standard": ("floats.npz", {"optimizer": "sgd", "scale": "standard"}),
    "input-minmax": ("classes.csv", {"optimizer": "sgd", "scale": "minmax"}),
    "input-sparse-dropout": ("sparse.svm", {"optimizer": "sgd", "dropout": 0.2, "input_dropout": 0.2}),
    "input-sparse-searched": ("sparse.svm", {"optimizer": "lbfgs", **GRADIENT, "epochs": 6}),
    "shuffled-in-windows": ("classes.csv", {"optimizer": "sgd", "shuffle_window": 7}),
    "gradient-sigmoid": ("two.csv", {"loss": "sigmoid", "optimizer": "adam", **GRADIENT}),
    "gradient-squared": ("targets.csv", {"loss": "squared", "optimizer": "cg", **GRADIENT, "epochs": 6}),
    "gradient-dropout": ("classes.csv", {"dropout": 0.3, "optimizer": "sgd", "validation": 0.2, **GRADIENT}),
    "genetic-whole-rows": (
        "targets.csv",
        {"sync": {"mode": "genetic", "every": 2, "genetic": {"crossover": "rows", "elite": 2}}, "optimizer": "sgd"},
    ),
    "genetic-autoencoder": ("classes.csv", {**LEARNED, "sync": {"mode": "genetic"}}),
    "genetic-rbm": (
        "bytes.npz",
        {"model": "rbm", "net": "0-5", "scale": "divide:255", "sync": {"mode": "genetic"}, "optimizer": "sgd"},
    ),
    "genetic-rows": ("classes.csv", {"sync": {"mode": "genetic", "genetic": {"fitness_samples": 20}}}),
    "genetic-arithmetic": (
        "classes.csv",
        {"sync": {"mode": "genetic", "genetic": {"crossover": "arithmetic", "mutation_rate": 0.2}}, "validation": 0.3},
    ),
    "genetic-point": ("two.csv", {"sync": {"mode": "genetic", "genetic": {"crossover": "single_point"}}}),
    "autoencoder": ("classes.csv", {**LEARNED, "optimizer": "adam", "validation": 0.2}),
    "autoencoder-sparse": ("bytes.npz", {**LEARNED, "scale": "divide:255", "autoencoder": {"beta": 3, "rho": 0.2}}),
    "autoencoder-tied": (
        "bytes.npz",
        {**LEARNED, **GRADIENT, "scale": "divide:255", "optimizer": "sgd", "autoencoder": {"tied": True, "beta": 3}},
    ),
    "autoencoder-denoising": (
        "bytes.npz",
        {**LEARNED, "scale": "divide:255", "autoencoder": {"corruption": 0.3, "decoder": "linear"}},
    ),
    "autoencoder-contractive": ("bytes.npz", {**LEARNED, "scale": "divide:255", "autoencoder": {"contractive": 0.1}}),
    "autoencoder-lbfgs": (
        "bytes.npz",
        {**LEARNED, **GRADIENT, "scale": "divide:255", "optimizer": "lbfgs", "l2": 0.01, "autoencoder": {"beta": 3}},
    ),
    "autoencoder-cg": ("classes.csv", {**LEARNED, "optimizer": "cg", "l2": 0.01, "sync": {"every": 2}}),
    "stacked-searched": (
        "bytes.npz",
        {
            "model": "stacked",
            "net": "0-5-2",
            "scale": "divide:255",
            **GRADIENT,
            "optimizer": "lbfgs",
            "epochs": 6,
            "finetune": "reconstruct",
            "pretrain": {"epochs": 6, "optimizer": "lbfgs"},
            "autoencoder": {"beta": 1},
        },
    ),
    "stacked": ("bytes.npz", {"model": "stacked", "net": "0-5-4-0", "scale": "divide:255", "pretrain": {"epochs": 2}}),
    "stacked-unrolled": (
        "bytes.npz",
        {
            "model": "stacked",
            "net": "0-5-2",
            "scale": "divide:255",
            "finetune": "reconstruct",
            "pretrain": {"epochs": 2},
        },
    ),
    "rbm": ("bytes.npz", {"model": "rbm", "net": "0-5", "scale": "divide:255", "optimizer": "momentum"}),
    "rbm-sparse": (
        "bytes.npz",
        {"model": "rbm", "net": "0-5", "scale": "divide:255", "optimizer": "sgd", "rbm": {"k": 3, "beta": 0.1}},
    ),
    "rbm-gaussian": (
        "floats.npz",
        {"model": "rbm", "net": "0-5", **GRADIENT, "optimizer": "sgd", "rbm": {"visible": "gaussian"}},
    ),
    "rbm-persistent": (
        "bytes.npz",
        {
            "model": "rbm",
            "net": "0-5",
            "scale": "divide:255",
            "optimizer": "sgd",
            "rbm": {"persistent": True, "chains": 10},
        },
    ),
    "rbm-persistent-gradient": (
        "bytes.npz",
        {
            "model": "rbm",
            "net": "0-5",
            "scale": "divide:255",
            **GRADIENT,
            "optimizer": "adam",
            "validation": 0.2,
            "rbm": {"persistent": True, "chains": 10, "k": 2},
        },
    ),
    "dbn-gaussian": (
        "floats.npz",
        {
            "model": "dbn",
            "net": "0-5-4-0",
            **GRADIENT,
            "optimizer": "momentum",
            "validation": 0.2,
            "pretrain": {"epochs": 3, "optimizer": "sgd"},
            "rbm": {"visible": "gaussian"},
        },
    ),
    "dbn": ("bytes.npz", {"model": "dbn", "net": "0-5-4-0", "scale": "divide:255", "pretrain": {"epochs": 2}}),
    "bf16": ("bytes.npz", {"optimizer": "sgd", "scale": "divide:255", **BF16}),
    "bf16-wide": ("classes.csv", {"net": "0-70-33-0", "batch": 7, "optimizer": "adam", "dropout": 0.2, **BF16}),
    "bf16-gradient": ("classes.csv", {"optimizer": "lbfgs", "l2": 0.01, **GRADIENT, **BF16}),
    "bf16-genetic": ("classes.csv", {"sync": {"mode": "genetic"}, "max_norm": 1.0, "validation": 0.2, **BF16}),
    "bf16-sparse": ("sparse.svm", {"optimizer": "adam", **BF16}),
    "bf16-ensemble": ("classes.csv", {"members": 2, "optimizer": "momentum", **BF16}),
    "bf16-tied": ("bytes.npz", {**LEARNED, "scale": "divide:255", "autoencoder": {"tied": True, "beta": 3}, **BF16}),
    "bf16-stacked": ("classes.csv", {"model": "stacked", "net": "0-5-4-0", "pretrain": {"epochs": 2}, **BF16}),
}

# The trainings whose tables are kept in `table/`, at half of their epochs.
KEPT = {
    "average": ("classes.csv", {"optimizer": "adam", "validation": 0.2, "epochs": 6}),
    "gradient": ("classes.csv", {"optimizer": "momentum", **GRADIENT, "epochs": 6}),
    "genetic": (
        "classes.csv",
        {"sync": {"mode": "genetic", "genetic": {"fitness_samples": 20}}, "epochs": 6},
    ),
    "layers": ("classes.csv", {"model": "stacked", "net": "0-5-4-0", "pretrain": {"epochs": 2}, "epochs": 6}),
}

# Those that the CUDA core computes too, on its emulator.
EMULATED = (
    *(f"rule-{rule}" for rule in MINI_BATCH_RULES),
    "gradient-adam", "activation-lecun_tanh", "activation-leaky_relu", "loss-sigmoid", "loss-squared", "penalties",
    *(f"loss-{name}" for name in LOSSES), "label-smoothing", "class-weight",
    "dropout", "input-uint8", "input-sparse", "genetic-rows", "autoencoder-sparse", "autoencoder-tied",
    "autoencoder-denoising", "autoencoder-contractive", "rbm-sparse", "rbm-persistent",
)  # fmt: skip


def write_data(folder: Path) -> None:
    """Writes the data sets into a folder."""
    import numpy as np

    state, values = 12345, []
    for _ in range(SAMPLES * FEATURES):
        state = (state * 1103515245 + 12345) % 2**31
        values.append(state >> 16 & 0xFF)
    x = np.array(values, np.uint8).reshape(SAMPLES, FEATURES)
    classes = ((x[:, 0].astype(int) + x[:, 1]) // 171).astype(np.int64)
    names = [f"f{i}" for i in range(FEATURES)]

    def csv(name: str, answer: list[str]) -> None:
        lines = [",".join([*names, "answer"])]
        lines += [",".join([*(f"{v / 64:g}" for v in row), a]) for row, a in zip(x.tolist(), answer, strict=True)]
        (folder / name).write_text("\n".join(lines) + "\n")

    csv("classes.csv", [f"c{c}" for c in classes])
    csv("two.csv", [("no", "yes")[int(c > 0)] for c in classes])
    csv("targets.csv", [f"{v / 100:g}" for v in (x[:, 2].astype(int) + x[:, 3]).tolist()])
    np.savez(folder / "bytes.npz", x=x, y=classes)
    np.savez(folder / "seconds.npz", x=x / 64 + 1.7e9, y=classes)
    np.savez(folder / "floats.npz", x=x.astype(np.float32) / 128 - 1, y=classes)
    sparse = [
        " ".join([str(c), *(f"{i + 1}:{v / 64:g}" for i, v in enumerate(row) if v % 3)])
        for row, c in zip(x.tolist(), classes.tolist(), strict=True)
    ]
    (folder / "sparse.svm").write_text("\n".join(sparse) + "\n")
