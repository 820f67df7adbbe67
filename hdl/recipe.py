"""The recipe for tables: what hdl fills in where nobody says otherwise, as a function of what a table holds.

The trials behind each number are in docs/tables.md. They were made by cross-validation inside the training parts of
many tables, so that one that nobody has seen fares well, not so that any of them has the last digit. What is chosen is
a pure function of the summary and of what the user said, and is stored with the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hdl.spec import Spec, parse

if TYPE_CHECKING:
    from hdl.data.labels import Labels
    from hdl.data.summary import Summary

# Fields that may be left to hdl, with the flag that sets each: `Spec.auto` names those of them that a user has not set.
FLAGS = {
    "loss": "--loss", "net": "--net", "members": "--members", "embedding": "--embedding", "scale": "--scale",
    "preprocessing.numeric_embedding": "--numeric-embedding", "preprocessing.bins": "--bins", "epochs": "--epochs",
    "sync.every": "--sync-every", "batch": "--batch", "optimizer.lr": "--lr", "optimizer.schedule.name": "--schedule",
    "optimizer.schedule.warmup": "--warmup", "optimizer.weight_decay": "--weight-decay",
}  # fmt: skip
FIELDS = tuple(FLAGS)
ENOUGH = 2000  # rows from which numbers are spread over bins,
LARGE = 10_000  # rows from which mini-batches are larger
EACH = 100  # if there are so many rows for each column of numbers
BINS, MORE_BINS, MANY = 20, 32, 20_000  # of a number, and of one in a table of so many rows
INPUTS = 2048  # that numbers become at most
SMALL, HIDDEN, DEEPER = (128, 64), (64, 64), (64, 64, 64)  # units of the hidden layers
ROUNDS = 20  # at most, of small tables: a round is a job of its own on some runners
BATCH = 64  # rows of a mini-batch of tables that are neither small nor large
SMALL_STEPS, STEPS = 900, 15_000  # steps that small tables have at least, and all others at most
DECAY = 1.0  # weights shrink by e to the power of this over the whole training,
DECAY_OF_CLASSES = 1.5  # or of this
SKEW = 1.1  # of a label's mean over its median, from which a number that is nowhere negative has a log link
ALIKE = 32  # columns of one kind, from which they are no table but pixels or counts


@dataclass(frozen=True)
class Facts:
    """What a recipe is chosen by.

    Parameters
    ----------
    rows : int
        To train on.
    classes : int
        Of the label; 0: it is a number.
    numbers, categories, dates : int
        Columns.
    alike : bool
        All columns are whole numbers of one range, many of them: pixels, or counts of one kind.
    skewed : bool
        The label is a number that is nowhere negative, with a mean well above its median: a price, a count.
    """

    rows: int
    classes: int
    numbers: int
    categories: int = 0
    dates: int = 0
    alike: bool = False
    skewed: bool = False


@dataclass(frozen=True)
class Recipe:
    """A recipe as it was chosen.

    Parameters
    ----------
    fields : dict
        Values by the paths of the spec's fields, of those that were left to hdl.
    why : str
        For people: what it was chosen by.
    """

    fields: dict[str, Any]
    why: str

    def to_plain(self) -> dict[str, Any]:
        """Return plain values of JSON, as `Schema.reading` keeps them."""
        return {"name": "tables", "why": self.why, "fields": self.fields, "flags": as_flags(self.fields)}


def of(summary: Summary, spec: Spec, classes: int) -> Recipe | None:
    """Choose the recipe for what one pass found; None: the plain defaults.

    Parameters
    ----------
    summary : Summary
        Of all shards.
    spec : Spec
        Its `auto` names what is left to hdl; what it says itself decides with the summary.
    classes : int
        Of the label; 0: it is a number.
    """
    found = facts(summary, spec, classes)
    return choose(found, spec) if spec.auto and found else None


def facts(summary: Summary, spec: Spec, classes: int) -> Facts | None:
    """Collect the facts of a table; None of what is no table, or too wide for the facts of its columns to be kept."""
    if summary.facts is None:
        return None
    kinds = [column.kind for column, _ in summary.facts]
    numbers = [part for column, part in summary.facts if column.kind == "number"]
    alike = len(numbers) == len(kinds) >= ALIKE and all(part.whole for part in numbers) and _one_range(summary)
    rows = max(1, round(summary.samples * (1 - spec.validation)))
    skewed = not classes and _skewed(summary.labels)
    return Facts(rows, classes, len(numbers), kinds.count("category"), kinds.count("date"), alike, skewed)


def _skewed(labels: Labels) -> bool:
    """Tell whether labels are nowhere negative and their mean is well above their median; not of too many to know."""
    if labels.width != 1 or not labels.numeric or not labels.values or not labels.counts or labels.mean is None:
        return False
    values = [float(value) for value in labels.values]
    order = sorted(range(len(values)), key=values.__getitem__)  # texts are sorted as such
    left = labels.samples / 2
    for at in order:
        left -= labels.counts[at]
        if left <= 0:
            break
    return values[order[0]] >= 0 and labels.mean[0] > SKEW * values[at]


def _one_range(summary: Summary) -> bool:
    """Tell whether most columns of numbers begin at 0 and end at the same number."""
    low, high = summary.moments["low"], summary.moments["high"]
    return bool((low >= 0).all() and 2 * (high == high.max()).sum() >= len(high))


def choose(found: Facts, spec: Spec) -> Recipe | None:
    """Choose the recipe by the facts of a table.

    Examples
    --------
    >>> recipe = choose(Facts(rows=700, classes=2, numbers=5, categories=3), Spec(auto=FIELDS))
    >>> recipe.fields["scale"], recipe.fields["epochs"], recipe.fields["sync.every"]
    ('quantile', 60, 3)
    """
    if spec.model != "mlp" or spec.sync.mode != "average" or spec.optimizer.line_search or found.alike:
        return None
    left = set(spec.auto)
    fields: dict[str, Any] = {"loss": "poisson"} if found.skewed else {}
    binned = found.rows >= max(ENOUGH, EACH * found.numbers) and found.numbers > 0
    if {"scale", "preprocessing.numeric_embedding"} <= left and found.numbers + found.dates:
        if binned:
            most = BINS if found.rows < MANY else MORE_BINS
            bins = max(8, min(most, INPUTS // found.numbers))
            fields |= {"preprocessing.numeric_embedding": "ple", "preprocessing.bins": bins}
        else:
            fields["scale"] = "quantile"
    if "net" in left:  # who gives the net has one of it
        deeper = binned and found.rows >= LARGE and found.classes
        hidden = SMALL if found.rows < ENOUGH else DEEPER if deeper else HIDDEN
        fields |= {"net": (0, *hidden, 0), "members": _members(found.rows, binned)}
        if binned and found.categories:
            fields["embedding"] = "auto"
    fields |= _steps(found, spec, binned)
    fields = {path: value for path, value in fields.items() if path in left}
    columns = [f"{count:,} {name}{'' if count == 1 else 's'}" for name, count in (
        ("number", found.numbers), ("date", found.dates)) if count]  # fmt: skip
    if found.categories:
        columns.append(f"{found.categories:,} {'category' if found.categories == 1 else 'categories'}")
    return Recipe(fields, f"{found.rows:,} rows to train on, {', '.join(columns)}") if fields else None


def without(spec: Spec, *paths: str) -> Spec:
    """Make a copy of a spec that leaves some fields to hdl no longer."""
    left = tuple(path for path in spec.auto if path not in paths)
    return spec if left == spec.auto else spec.with_(auto=left)


def _members(rows: int, binned: bool) -> int:
    """Count the nets of the ensemble: fewer of them where each takes long."""
    if rows < ENOUGH:
        return 6
    if rows < LARGE and not binned:
        return 8
    return 4 if rows < 1_000_000 else 2 if rows < 10_000_000 else 1


def _batch(rows: int, large: bool) -> int:
    """Choose the rows of a mini-batch: small tables need the steps more than the speed."""
    if not large:
        return 32 if rows < ENOUGH else BATCH
    return 128 if rows < 200_000 else 256 if rows < 1_000_000 else 1024


def _rate(size: int) -> float:
    """Choose the learning rate of mini-batches: larger ones have less noise, and fewer steps."""
    return 0.001 if size < BATCH else 0.0015 if size < 128 else 0.002


def _steps(found: Facts, spec: Spec, binned: bool) -> dict[str, Any]:
    """Choose mini-batches, epochs and rounds, and the learning rate and the decay that go with them."""
    left, rule = set(spec.auto), spec.optimizer
    large = binned and found.rows >= LARGE
    size = spec.batch or _batch(found.rows, large)
    per_epoch = -(-found.rows // (spec.shards * size))
    longer = found.classes > 2 or (large and not found.classes)  # two classes are sooner learned by heart
    every = max(1, math.ceil((2 if longer else 1) * SMALL_STEPS / (ROUNDS * per_epoch)))
    most = (2 if longer else 1) * ROUNDS
    epochs = every * ROUNDS if every * ROUNDS > most else max(2, min(most, STEPS // per_epoch))
    fields: dict[str, Any] = {"batch": size, "epochs": epochs}
    decayed = epochs  # a training that is cut short decays no faster: its few steps would not make up for it
    if "epochs" not in left:
        epochs = spec.epochs
        decayed = max(epochs, decayed)
    elif every > 1 and spec.sync.unit == "epochs":
        fields["sync.every"] = every
    if rule.name != "adam":
        return fields
    fields |= {"optimizer.lr": _rate(size), "optimizer.schedule.name": "cosine"}
    if "optimizer.schedule.name" in left:
        fields["optimizer.schedule.warmup"] = min(1.0, epochs / ROUNDS)
    if not (spec.l1 or spec.l2 or spec.max_norm):  # who regularises does so alone
        rate = fields["optimizer.lr"] if "optimizer.lr" in left else rule.rate
        decay = DECAY_OF_CLASSES if found.classes and large else DECAY
        mean = 0.5 if "optimizer.schedule.name" in left else 1.0  # of a cosine's rates
        fields["optimizer.weight_decay"] = float(f"{decay / (mean * rate * decayed * per_epoch):.3g}")
    return fields


def as_flags(fields: dict[str, Any]) -> str:
    """Write what was chosen as the flags that say the same.

    Examples
    --------
    >>> as_flags({"net": (0, 64, 0), "members": 4, "optimizer.lr": 0.002})
    '--net 0-64-0 --members 4 --lr 0.002'
    """
    words = []
    for path, value in fields.items():
        shown = "-".join(map(str, value)) if path == "net" else f"{value:g}" if isinstance(value, float) else str(value)
        words.append(f"{FLAGS[path]} {shown}")
    return " ".join(words)


def fill(spec: Spec, fields: dict[str, Any]) -> Spec:
    """Fill the fields that were left to hdl into a spec, which then leaves none.

    Examples
    --------
    >>> fill(Spec(auto=("epochs", "optimizer.lr")), {"epochs": 40, "batch": 32}).epochs
    40
    """
    tree = spec.model_dump()
    for path, value in fields.items():
        if path in spec.auto:
            *parts, last = path.split(".")
            part = tree
            for name in parts:
                part = part[name]
            if path == "scale":
                part["scale"] = {**part["scale"], "name": value}
            else:
                part[last] = value
    return parse({**tree, "auto": ()})
