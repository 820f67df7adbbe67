"""Measures of a network over samples: what is summed, exact and mergeable, and the values that come of it.

Letters: n samples, O outputs, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.metrics import figures
from hdl.metrics.areas import areas
from hdl.metrics.classes import add_answers
from hdl.metrics.confusion import Confusion
from hdl.metrics.pairs import Pairs
from hdl.metrics.ranks import IN_MEMORY, Ranks
from hdl.metrics.scan import Areas, Scanned, scan
from hdl.metrics.sums import UNIT, Sums, ratio
from hdl.metrics.task import BINARY, CLASSES, LABELS, NONE, REGRESSION, Task

if TYPE_CHECKING:
    from hdl.ops import Result
    from hdl.spec import Spec

MOST_RANKED = 50  # classes or labels of which each has ranks of its own against the rest
MOST_SAMPLES = 1 << 53
FORMAT = 1


class Measures:
    """Sums over samples and their ranks. All is a function of the multiset of samples, whatever order they come in.

    Parameters
    ----------
    spec : Spec or Task
        Everything filled in.
    ranks : bool
        False: sums alone, and what depends on ranks is None.
    classes : bool, optional
        Whether each sample has one class: see `hdl.metrics.task.Task.of`.
    pairs : bool
        Whether some true and predicted values of a regression's first target are kept, for a picture.

    Attributes
    ----------
    samples : int
    weighted : bool
        Whether samples came with weights.
    broken : int
        Samples whose outputs or cost are not finite; where there are some, nothing can be measured.

    Examples
    --------
    >>> from hdl.spec import Spec
    >>> seen = Measures(Spec(net="4-1", loss="sigmoid"))
    >>> seen.add(np.array([[0.9], [0.2], [0.4]], np.float32), np.array([1, 0, 1], np.int32))
    >>> seen.metrics()["auc"]
    1.0
    """

    def __init__(self, spec: Spec | Task, ranks: bool = True, classes: bool | None = None, pairs: bool = False):
        self.task = task = spec if isinstance(spec, Task) else Task.of(spec, classes)
        self.samples, self.broken, self.weighted = 0, 0, False
        self.sums = {name: Sums(size) for name, size in figures.sizes(task).items()}
        self.confusion = Confusion(task.classes) if task.classes else None
        count = {BINARY: 1, CLASSES: task.outputs, LABELS: task.outputs}.get(task.kind, 0)
        self.ranked = ranks and 0 < count <= MOST_RANKED
        self.ranks = [Ranks(IN_MEMORY // count) for _ in range(count)] if self.ranked else []
        self.pairs = Pairs() if pairs and task.kind == REGRESSION else None
        self._scanned: tuple[bool, list[Scanned | None]] | None = None
        self._areas: list[Areas | None] | None = None

    def add(
        self, out: NDArray[np.float32], y: NDArray | None, weight: NDArray[np.float32] | None = None,
        result: Result | None = None,
    ) -> None:  # fmt: skip
        """Add samples.

        Parameters
        ----------
        out : float32 [n, O]
        y : int32 [n] or float32 [n, O] or None
            Encoded labels; None where there are none to measure by.
        weight : float32 [n] or None
        result : Result, optional
            Of the network's pass over them, for the cost.

        Raises
        ------
        ValueError
            The arrays' lengths differ, or a label is no class.
        """
        self._scanned = self._areas = None
        n, task = len(out), self.task
        if any(part is not None and len(part) != n for part in (y, weight)) or (y is not None and out.ndim != 2):
            raise ValueError("outputs, labels and weights of different lengths")
        self.samples += n
        self.weighted |= weight is not None
        if weight is None:
            self.sums["weight"].count(np.array([n]))
        else:
            self.sums["weight"].add(weight.astype(np.float64))
        if result is not None and np.isfinite(result.cost):
            self.sums["cost"].add(np.array([result.cost], np.float64))
            self.sums["costed"].add(np.array([result.weight], np.float64))
        elif result is not None:
            self.broken += n
        if task.kind == NONE or not n:
            return
        if y is None:
            raise ValueError("samples without labels; expected some to measure by")
        if out.shape[1] != task.outputs:
            raise ValueError(f"{out.shape[1]} outputs; expected {task.outputs}")
        if not (good := np.isfinite(out).all(axis=1)).all():
            self.broken += n - int(good.sum())
            out, y, weight = out[good], y[good], None if weight is None else weight[good]
        own = None if weight is None else weight.astype(np.float64)
        figures.add(task, self.sums, self.confusion, out, y, own)
        if self.pairs is not None:
            self.pairs.add(y.reshape(len(y), -1)[:, 0], out[:, 0])
        for number, ranks in enumerate(self.ranks):
            column = min(task.outputs - 1, 1) if task.kind == BINARY else number
            positive = figures.positive(task, y, 1 if task.kind == BINARY else number)
            ranks.add(out[:, column], positive, weight)

    def join(self, other: Measures) -> Measures:
        """Give the measures of both's samples; both stay as they are. Without ranks if one has none.

        Raises
        ------
        ValueError
            They measure different tasks.
        """
        if self.task != other.task:
            raise ValueError(f"measures of {self.task} and of {other.task} cannot be joined")
        out = Measures(self.task, self.ranked and other.ranked)
        out.samples, out.broken = self.samples + other.samples, self.broken + other.broken
        out.weighted = self.weighted or other.weighted
        out.sums = {name: sums.joined(other.sums[name]) for name, sums in self.sums.items()}
        if self.confusion and other.confusion:
            out.confusion = self.confusion.joined(other.confusion)
        if out.ranked:
            out.ranks = [own.joined(its) for own, its in zip(self.ranks, other.ranks, strict=True)]
        if self.pairs is not None and other.pairs is not None:
            out.pairs = self.pairs.joined(other.pairs)
        return out

    @property
    def cost(self) -> float | None:
        """The mean cost of the samples whose result was given; None without any."""
        costed = self.sums["costed"].total
        return ratio(self.sums["cost"].total, costed) if costed else None

    @property
    def weight(self) -> float:
        """Sum of the samples' weights; their number, where they have none."""
        return self.sums["weight"].floats()[0]

    def mean(self, name: str, number: int = 0) -> float | None:
        """Give a sum over samples, by the sum of their weights; None where that is 0."""
        weight = self.sums["weight"].total
        return ratio(self.sums[name].totals[number], weight) if weight else None

    def scanned(self, curves: bool = False) -> list[Scanned | None]:
        """Measure the ranks, each of those that there are; None of those that lack a class."""
        if self._scanned is None or (curves and not self._scanned[0]):
            found = [scan(ranks, curves, self.task.probable) for ranks in self.ranks]
            self._scanned = curves, found
        return self._scanned[1]

    def areas(self) -> list[Areas | None]:
        """Give the areas of several classes or labels, each against the rest; None of those that lack samples."""
        if self._areas is None:
            self._areas = areas(self.ranks, self.task.probable)
        return self._areas

    def metrics(self, deviation: NDArray[np.float64] | None = None) -> dict[str, float | None]:
        """Compute all metrics of the task by their names; None where one is undefined, never NaN.

        Parameters
        ----------
        deviation : float64 [O], optional
            By which a regression's targets were divided; so its measures are in their own unit.
        """
        values = figures.metrics(self, deviation)
        if self.broken:
            return dict.fromkeys(values)
        return {name: value if value is not None and np.isfinite(value) else None for name, value in values.items()}

    def thresholds(self) -> dict[str, float]:
        """Give the best thresholds for f1, mcc and balanced_accuracy of two classes: at least so large is class 1."""
        found = self.scanned()[0] if self.task.kind == BINARY and self.ranks and not self.broken else None
        return dict(found.thresholds) if found else {}

    def at(self, threshold: float) -> Measures:
        """Give the measures of two classes as if the second one were answered at this score and at greater ones.

        Raises
        ------
        ValueError
            The task is another, or there are no ranks.
        """
        if self.task.kind != BINARY or not self.ranked:
            raise ValueError("a threshold is for two classes whose ranks are known")
        out = self.join(Measures(self.task))
        out.confusion = Confusion(2)
        names = ("right", "true", "predicted", "hits")
        out.sums |= {name: Sums(len(self.sums[name].totals)) for name in names}
        for rows in self.ranks[0].rows():
            true, guess = rows.positive.astype(np.int64), (rows.score >= threshold).astype(np.int64)
            out.confusion.add(true, guess, rows.times.astype(np.int64))
            add_answers(out.sums, true, guess, rows.weight * rows.times)
        return out

    def to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Give all as plain values for JSON, and arrays by their names."""
        fields: dict[str, Any] = {
            "format": FORMAT, "task": self.task.plain(), "samples": self.samples, "broken": self.broken,
            "weighted": self.weighted, "ranked": self.ranked,
            "sums": {name: sums.plain() for name, sums in self.sums.items()},
        }  # fmt: skip
        arrays: dict[str, NDArray] = {}
        if self.confusion:
            arrays = {f"confusion/{name}": array for name, array in self.confusion.to_arrays().items()}
        for number, ranks in enumerate(self.ranks):
            arrays |= {f"ranks{number}/{name}": array for name, array in ranks.to_arrays().items()}
        if self.pairs is not None:
            arrays |= {f"pairs/{name}": array for name, array in self.pairs.to_arrays().items()}
        return fields, arrays

    @classmethod
    def from_parts(cls, fields: Any, arrays: dict[str, NDArray]) -> Measures:
        """Read what `to_parts` gave.

        Raises
        ------
        ValueError
            It is broken: a part is missing, of another kind, or holds what no samples make.
        """
        try:
            return cls._read(fields, arrays)
        except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
            raise ValueError(f"measures that are none: {type(error).__name__} {error}") from None

    @classmethod
    def _read(cls, fields: Any, arrays: dict[str, NDArray]) -> Measures:
        if fields["format"] != FORMAT:
            raise ValueError(f"measures of format {fields['format']!r:.20}; this hdl reads {FORMAT}")
        for name in ("weighted", "ranked"):
            if type(fields[name]) is not bool:
                raise ValueError(f"{name} {fields[name]!r:.20}; expected true or false")
        for name in ("samples", "broken"):
            if type(fields[name]) is not int or not 0 <= fields[name] < MOST_SAMPLES:
                raise ValueError(f"{name} {fields[name]!r:.40}; expected a count")
        out = cls(Task.from_plain(fields["task"]), fields["ranked"])
        if out.ranked != fields["ranked"]:
            raise ValueError("ranks of a task that has none")
        out.samples, out.broken, out.weighted = fields["samples"], fields["broken"], fields["weighted"]
        if set(fields["sums"]) != set(out.sums):
            raise ValueError(f"sums {sorted(fields['sums'])!r:.80}; expected {sorted(out.sums)}")
        out.sums = {name: Sums.from_plain(fields["sums"][name], len(sums.totals)) for name, sums in out.sums.items()}
        if out.sums["weight"].total < 0 or (not out.weighted and out.sums["weight"].total != out.samples << UNIT):
            raise ValueError("a weight that the samples cannot have")
        groups: dict[str, dict[str, NDArray]] = {}
        for name, array in arrays.items():
            group, _, part = name.partition("/")
            groups.setdefault(group, {})[part] = array
        if out.confusion is not None:
            out.confusion = Confusion.from_arrays(out.confusion.classes, groups.pop("confusion"))
        out.ranks = [
            Ranks.from_arrays(groups.pop(f"ranks{number}"), IN_MEMORY // len(out.ranks))
            for number in range(len(out.ranks))
        ]
        weight = out.sums["weight"].total
        for number, ranks in enumerate(out.ranks):
            own = out.sums["true"].totals[1 if out.task.kind == BINARY else number]
            if ranks.totals.totals[1] != own or not (out.broken or sum(ranks.totals.totals) == weight):
                raise ValueError(f"ranks {number} of other samples than the sums")
        if out.task.kind == REGRESSION and "pairs" in groups:
            out.pairs = Pairs.from_arrays(groups.pop("pairs"))
        if groups:
            raise ValueError(f"arrays {sorted(groups)!r:.80} that measures do not have")
        return out
