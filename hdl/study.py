"""The averaging study of the IU group, run again: `python -m hdl.study EX4 --out FOLDER`.

400-25-10 with sigmoid outputs on the ex4 digits, ten random 70/30 splits, weights averaged every 5 epochs over 1, 2, 4
and 8 shards, trained once with the study's own optimiser and once with our best one. Every cell is a training by
`hdl.driver`; of one of 500 epochs the versions after 100, 200 and 250 are measured too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from hdl import driver, scratch
from hdl.data import open_source
from hdl.errors import DataError
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec, parse

EVERY = 5  # epochs between two averagings
EPOCHS = (100, 200, 250, 500)
SHARDS = (1, 2, 4, 8)
TRAIN = 0.7
LAMBDA = 0.6987
# Test accuracy in percent: epochs → (sequential, parallel).
PUBLISHED = {100: (80.67, 84.06), 200: (86.89, 87.28), 250: (88.63, 86.45), 500: (89.9, 88.93)}


def study_spec(method: str, shards: int, epochs: int, samples: int, seed: int) -> Spec:
    """Makes the spec of one training.

    Parameters
    ----------
    method : {'cg', 'sgd'}
        `cg` is the study's own: nonlinear conjugate gradient on the whole shard, started anew at each averaging,
        weights uniform in [0, 1], penalty λ/(2·m) with m the shard's samples. `sgd` is ours: mini-batches with
        Nesterov momentum, a tenth of the inputs dropped.
    shards, epochs : int
    samples : int
        Training samples of all shards.
    seed : int
    """
    shared = {
        "net": (400, 25, 10),
        "activation": "sigmoid",
        "loss": "sigmoid",
        "scale": "none",
        "sync": {"mode": "average", "every": EVERY},
        "shards": shards,
        "epochs": epochs,
        "seed": seed,
        "keep": epochs,  # all versions: some are measured at the end
    }
    methods = {
        "cg": {
            "optimizer": {"name": "cg", "iterations": EVERY},
            "batch": 0,
            "init": "uniform[0,1]",
            "l2": LAMBDA * shards / samples,
        },
        "sgd": {
            "optimizer": {"name": "nesterov", "lr": 0.1, "momentum": 0.9},
            "batch": 20,
            "init": "glorot",
            "l2": 3e-4,
            "input_dropout": 0.1,
        },
    }
    return parse({**shared, **methods[method]})


@dataclass
class Cell:
    """The results of all splits for one method, number of shards and number of epochs."""

    method: str
    shards: int
    epochs: int
    accuracy: list[float]  # percent, one a split
    seconds: list[float]

    @property
    def goal(self) -> float:
        """The published accuracy that this cell has to meet."""
        return PUBLISHED[self.epochs][self.shards > 1]

    @property
    def met(self) -> bool:
        """Tells whether the mean accuracy reaches the goal."""
        return mean(self.accuracy) >= self.goal


def load(path: str) -> tuple[NDArray, NDArray]:
    """Reads features [n, 400] and digits [n] (0 stands in column 10, as the data has it).

    Raises
    ------
    DataError
        The data has other columns.
    """
    source = open_source(path)
    blocks = [block for splits in source.splits(1) for block in source.read(splits)]
    x = np.concatenate([np.asarray(block.x, np.float32) for block in blocks])
    y = np.concatenate([np.asarray(block.y) for block in blocks])
    if x.shape[1:] != (400,) or y.shape[1:] != (10,):
        raise DataError(f"features {x.shape} and targets {y.shape}; expected 400 and 10 columns", path)
    return x, y.argmax(axis=1).astype(np.int32)


def run(
    x: NDArray,
    y: NDArray,
    splits: int = 10,
    shards: Sequence[int] = SHARDS,
    epochs: Sequence[int] = EPOCHS,
    methods: Sequence[str] = ("cg", "sgd"),
    tell: Callable[[str], Any] = lambda text: None,
    device: str = "cpu",
) -> list[Cell]:
    """Carries out all trainings of the study; the split's number seeds the split and the weights."""
    cells = {(m, k, e): Cell(m, k, e, [], []) for m in methods for k in shards for e in epochs}
    for split in range(1, splits + 1):
        order = np.random.default_rng(split).permutation(len(x))
        samples = round(TRAIN * len(x))
        with scratch.directory("hdl-study-") as temporary:
            folder = Path(temporary)
            for name, rows in (("train", order[:samples]), ("test", order[samples:])):
                np.save(folder / f"{name}_x.npy", x[rows])
                np.save(folder / f"{name}_y.npy", y[rows])
            for method in methods:
                for k in shards:
                    spec = study_spec(method, k, max(epochs), samples, split)
                    for e, accuracy, seconds in _train(spec, folder, f"{method}-{k}", epochs, device):
                        cells[method, k, e].accuracy.append(accuracy)
                        cells[method, k, e].seconds.append(seconds)
                        tell(f"split {split}, {method}, {k} shards, {e} epochs: {accuracy:.2f} %, {seconds:.2f} s")
    return list(cells.values())


def _train(spec: Spec, folder: Path, name: str, epochs: Sequence[int], device: str) -> list[tuple[int, float, float]]:
    """Carries out one training; gives (epochs, test accuracy in percent, seconds) for each number of epochs."""
    table, test = str(folder / name), open_source(_pair(folder, "test"))
    began, seconds = time.perf_counter(), {}

    def on_event(event: Any) -> None:
        if isinstance(event, driver.Round):
            seconds[event.row["version"]] = time.perf_counter() - began

    driver.train(Job(_pair(folder, "train"), table, spec), LocalRunner(workers=1, threads=1, device=device), on_event)
    scores = []
    for e in sorted(epochs):
        version = e // EVERY
        score = Model(table, version, device=device).evaluate(test)
        # `score.accuracy` counts samples with all ten outputs on the right side of 1/2; the study takes the largest.
        right = int(np.trace(score.confusion)) if score.confusion is not None else 0
        scores.append((e, 100 * right / score.samples, seconds[version]))
    return scores


def _pair(folder: Path, name: str) -> str:
    return f"{folder}/{name}_x.npy,{folder}/{name}_y.npy"


NAMES = {"cg": "its own optimiser (conjugate gradient)", "sgd": "our best (Nesterov momentum, mini-batches of 20)"}


def markdown(cells: list[Cell]) -> str:
    """Writes the table: test accuracy in percent, mean ± standard deviation over splits, and seconds of training."""
    text = []
    for method in dict.fromkeys(cell.method for cell in cells):
        of_method = [cell for cell in cells if cell.method == method]
        shards = list(dict.fromkeys(cell.shards for cell in of_method))
        text += [
            f"**{NAMES[method]}**",
            "",
            "| epochs | published, 1 / more | " + " | ".join(f"{k} shard{'s' * (k > 1)}" for k in shards) + " |",
            "|--:|--:|" + "--:|" * len(shards),
        ]
        for epochs in dict.fromkeys(cell.epochs for cell in of_method):
            row = [cell for cell in of_method if cell.epochs == epochs]
            sequential, parallel = PUBLISHED[epochs]
            text.append(
                f"| {epochs} | {sequential:.2f} / {parallel:.2f} | " + " | ".join(_entry(cell) for cell in row) + " |"
            )
        text.append("")
    missed = [cell for cell in cells if not cell.met]
    text.append(f"{len(cells) - len(missed)} of {len(cells)} cells meet or pass the published accuracy.")
    return "\n".join(text) + "\n"


def _entry(cell: Cell) -> str:
    spread = f" ± {stdev(cell.accuracy):.2f}" if len(cell.accuracy) > 1 else ""
    accuracy = f"{mean(cell.accuracy):.2f}"
    return f"{f'**{accuracy}**' if cell.met else accuracy}{spread}, {mean(cell.seconds):.1f} s"


def picture(cells: list[Cell], path: Path) -> None:
    """Draws accuracy over epochs, one panel a method, as SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(cell.method for cell in cells))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hdl", "font.size": 9}):
        figure = Figure(figsize=(4 * len(methods), 3.2), layout="constrained")
        panels = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
        for panel, method in zip(panels, methods, strict=True):
            of_method = [cell for cell in cells if cell.method == method]
            epochs = list(dict.fromkeys(cell.epochs for cell in of_method))
            for k in dict.fromkeys(cell.shards for cell in of_method):
                means = [mean(cell.accuracy) for cell in of_method if cell.shards == k]
                panel.plot(epochs, means, marker="o", markersize=3, label=f"{k} shard{'s' * (k > 1)}")
            for which, style in ((0, "--"), (1, ":")):
                label = ("published, sequential", "published, parallel")[which]
                panel.plot(epochs, [PUBLISHED[e][which] for e in epochs], "k" + style, linewidth=1, label=label)
            panel.set_title(NAMES[method], fontsize=9)
            panel.set_xlabel("epochs")
            panel.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel("test accuracy, %")
        panels[-1].legend(frameon=False, fontsize=8)
        figure.savefig(path, metadata={"Date": None})


@click.command(help=__doc__.partition("\n")[0])
@click.argument("data", default="../shared/data/ex4")
@click.option(
    "--out", type=click.Path(path_type=Path), default="study", show_default=True, help="Folder of the results."
)
@click.option("--splits", default=10, show_default=True, help="Random 70/30 splits.")
def main(data: str, out: Path, splits: int) -> None:
    """Runs the study and writes its table and its picture."""
    x, y = load(data)
    cells = run(x, y, splits, tell=lambda text: click.echo(text, err=True))
    out.mkdir(parents=True, exist_ok=True)
    table = markdown(cells)
    (out / "study.md").write_text(table)
    picture(cells, out / "study.svg")
    click.echo(table + f"\n{out / 'study.md'} and {out / 'study.svg'} are written.")


if __name__ == "__main__":
    main()
