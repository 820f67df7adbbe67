"""The plan of a search, and what is kept of its trials: which one is next, and what came of each."""

from __future__ import annotations

import io
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hdl import fs, strict_json
from hdl.metrics import METRICS
from hdl.outputs import put
from hdl.search import samplers, schedulers
from hdl.search.grid import Combination, Result, read
from hdl.search.schedulers import Task
from hdl.search.space import Space
from hdl.spec import Spec

FILE, TABLE, REPORT = "search.json", "search.parquet", "report.html"


@dataclass(frozen=True)
class Asked:
    """What a search is asked for; all that decides its table of results, beside the data.

    Parameters
    ----------
    trials : int
    sampler, scheduler : str
    eta : int
    seed : int
        Of the points that are drawn.
    space : Space
    base : Spec
        What the parameters do not say.
    folds : str or None
        The measure of a trial is the mean over so many folds.
    """

    trials: int
    sampler: str
    scheduler: str
    eta: int
    seed: int
    space: Space
    base: Spec
    folds: str | None = None

    def to_plain(self) -> dict[str, Any]:
        """Gives plain values of JSON."""
        return vars(self) | {"space": self.space.to_plain(), "base": self.base.model_dump(mode="json")}


@dataclass
class Trial:
    """A trial: its values, and the results of its tasks, the last one of which counts.

    Parameters
    ----------
    number : int
    name : str
        Of its folder.
    values : dict
    bracket : int
    done : list of (share, Result)
    """

    number: int
    name: str
    values: dict[str, Any]
    bracket: int = 0
    done: list[tuple[float, Result]] = field(default_factory=list)

    @property
    def result(self) -> Result | None:
        """The result of its last task."""
        return self.done[-1][1] if self.done else None


def loss_of(result: Result) -> float:
    """Turns a result into a number of which less is better; inf of one without a score."""
    if result.score is None or not math.isfinite(result.score):
        return math.inf
    return -result.score if METRICS[result.decides].higher else result.score


def curve_of(result: Result) -> list[float]:
    """Gives a result's rounds as losses."""
    place = {"cost": 2, "accuracy": 3}.get(result.decides, 4)
    sign = -1 if METRICS[result.decides].higher else 1
    return [sign * row[place] for row in result.curve if len(row) > place and row[place] is not None]


def name_of(number: int) -> str:
    """Names the folder of a trial."""
    return f"trial{number:04d}"


class Plan:
    """Says which trial trains next: a scheduler's tasks, each trial's values by a sampler.

    Parameters
    ----------
    asked : Asked
    spec_of : function of values -> Spec
        Raises SpecError.
    known : sequence of Trial
        Of the search that is resumed: what is known is not trained again.
    deadline : float, optional
        `time.monotonic()` from which on no task begins.
    """

    def __init__(
        self, asked: Asked, spec_of: Callable[[dict[str, Any]], Spec], known: Sequence[Trial] = (),
        deadline: float | None = None,
    ):  # fmt: skip
        self.asked, self._spec_of, self._deadline = asked, spec_of, deadline
        self._scheduler = schedulers.make(asked.scheduler, asked.trials, asked.eta)
        self._sample = samplers.SAMPLERS[asked.sampler]
        self._known = {(each.number, share): result for each in known for share, result in each.done}
        self._tasks: dict[str, Task] = {}
        self._first: dict[int, float] = {}  # losses of the first tasks
        self.trials: dict[int, Trial] = {}
        self.late = False  # the time is over, with tasks left

    def ask(self) -> Combination | None:
        """Gives the next training; None while results must be waited for, and at the end."""
        if self._deadline is not None and time.monotonic() >= self._deadline and self.trials:
            self.late = True
            return None
        while (task := self._scheduler.ask(self._ready)) is not None:
            trial = self._trial(task)
            known = self._known.get((task.number, task.share))
            if known is None:
                self._tasks[trial.name] = task
                return Combination(trial.name, trial.values, self._spec_of(trial.values), task.share)
            self._take(task, known)
        return None

    def tell(self, combination: Combination, result: Result) -> None:
        """Takes the result of one that was asked for."""
        self._take(self._tasks.pop(combination.name), result)

    def stopped(self) -> set[int]:
        """Names the trials that did not train to their ends because others were better."""
        return self._scheduler.stopped()

    def _ready(self, number: int) -> bool:
        needed = samplers.waits_for(self.asked.sampler, number)
        return all(each in self._first for each in range(needed))

    def _trial(self, task: Task) -> Trial:
        if task.number not in self.trials:
            before = samplers.waits_for(self.asked.sampler, task.number)
            seen = [(each, self.trials[each].values, self._first[each]) for each in range(before)]
            values = self._sample(self.asked.space, self.asked.seed, task.number, seen)
            self.trials[task.number] = Trial(task.number, name_of(task.number), values, task.bracket)
        return self.trials[task.number]

    def _take(self, task: Task, result: Result) -> None:
        loss = loss_of(result)
        self._first.setdefault(task.number, loss)
        self.trials[task.number].done.append((task.share, result))
        self._scheduler.tell(task, loss, curve_of(result))


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Sorts trials: those that trained furthest first, of these the best; equals by their numbers."""

    def key(each: Trial) -> tuple[float, float, int]:
        loss = loss_of(each.result) if each.result else math.inf
        return (-each.done[-1][0] if math.isfinite(loss) else 1.0, loss, each.number)

    return sorted(trials, key=key)


def joined(combination: Combination, folds: Sequence[Result]) -> Result:
    """Joins the results of a trial's folds: the means of their measures, and of their curves."""
    import hashlib

    def mean(values: Sequence[Any]) -> float | None:
        whole = [value for value in values if value is not None]
        return statistics.fmean(whole) if len(whole) == len(folds) else None

    metrics = {name: mean([each.metrics.get(name) for each in folds]) for name in folds[0].metrics}
    rows = zip(*(each.curve for each in folds), strict=False)
    curve = [(row[0][0], *(mean([each[at] for each in row]) for at in range(1, len(row[0])))) for row in rows]
    worst = next((each for each in folds if each.state != "done"), None)
    return replace(
        folds[0], name=combination.name, values=combination.values, spec=combination.spec.model_dump(mode="json"),
        state=worst.state if worst else "done", said=worst.said if worst else "",
        val_accuracy=mean([each.val_accuracy for each in folds]), val_cost=mean([each.val_cost for each in folds]),
        version=None, sha256=hashlib.sha256("".join(each.sha256 for each in folds).encode()).hexdigest(),
        rounds=max(each.rounds for each in folds), seconds=sum(each.seconds for each in folds), curve=curve,
        metrics=metrics,
    )  # fmt: skip


def state_of(trial: Trial, stopped: set[int]) -> str:
    """Says how a trial ended: done, stopped (others were better), waiting (time was over), diverged or failed."""
    if trial.result is None:
        return "waiting"
    if trial.result.state != "done":
        return trial.result.state
    if trial.number in stopped:
        return "stopped"
    return "done" if trial.done[-1][0] >= 1 else "waiting"


def save(out: str, data: str, options: Any, asked: Asked, trials: Sequence[Trial]) -> None:
    """Writes ``search.json``, over an older one."""
    fields = {
        "data": data, "options": options.model_dump(mode="json"), "asked": asked.to_plain(),
        "trials": [
            {"number": each.number, "values": each.values, "bracket": each.bracket,
             "done": [[share, asdict(result)] for share, result in each.done]}
            for each in sorted(trials, key=lambda each: each.number)
        ],
    }  # fmt: skip
    fs.mkdir(out)
    put(fs.join(out, FILE), strict_json.dumps(fields, indent=1).encode())


def load(out: str) -> dict[str, Any] | None:
    """Reads ``search.json``: data, options, asked and trials; None if there is no search in the folder.

    Raises
    ------
    TableError
        The file is not one that `save` wrote.
    """
    from hdl import spec

    def picked(fields: Any) -> dict[str, Any]:
        given = fields["asked"]
        space, base = Space.of(given["space"]), spec.parse(given["base"])
        trials = [
            Trial(each["number"], name_of(each["number"]), each["values"], each["bracket"],
                  [(share, Result(**result)) for share, result in each["done"]])
            for each in fields["trials"]
        ]  # fmt: skip
        asked = Asked(**{**given, "space": space, "base": base})
        return {"data": fields["data"], "options": fields["options"], "asked": asked, "trials": trials}

    return read(fs.join(out, FILE), picked)


def table(asked: Asked, trials: Sequence[Trial], stopped: set[int]) -> Any:
    """Makes the table of results, a row a trial, as an Arrow table; of its columns only `seconds` tells a time."""
    import pyarrow as pa

    ordered = sorted(trials, key=lambda each: each.number)
    found = [each.result for each in ordered]
    rank = {
        each.number: at for at, each in enumerate(ranked(ordered), 1) if each.result and each.result.score is not None
    }
    whole = [name for name in METRICS if any(each and name in each.metrics for each in found)]
    columns: dict[str, Any] = {"trial": [each.number for each in ordered]}
    columns["rank"] = pa.array([rank.get(each.number) for each in ordered], pa.int64())
    columns["state"] = [state_of(each, stopped) for each in ordered]
    for parameter in asked.space.parameters:
        values = [each.values[parameter.name] for each in ordered]
        mixed = len({type(value) for value in values}) > 1
        columns[f"param_{parameter.name}"] = [str(value) for value in values] if mixed else values
    columns["metric"] = [each and each.decides for each in found]
    columns["value"] = pa.array([each and each.score for each in found], pa.float64())
    columns["share"] = pa.array([each.done[-1][0] if each.done else 0.0 for each in ordered], pa.float64())
    columns["bracket"] = [each.bracket for each in ordered]
    columns["rounds"] = [each.rounds if each else 0 for each in found]
    columns["val_cost"] = pa.array([each and each.val_cost for each in found], pa.float64())
    for name in whole:
        if name != "cost":
            columns[f"val_{name}"] = pa.array([each and each.metrics.get(name) for each in found], pa.float64())
    columns["version"] = pa.array([each and each.version for each in found], pa.int64())
    columns["sha256"] = [each.sha256 if each else "" for each in found]
    place = next(({"cost": 2, "accuracy": 3}.get(each.decides, 4) for each in found if each), 2)
    curves = [[row[place] for row in each.curve] if each else [] for each in found]
    columns["curve"] = pa.array(curves, pa.list_(pa.float64()))
    columns["said"] = [each.said if each else "" for each in found]
    columns["seconds"] = [sum(result.seconds for _, result in each.done[-1:]) for each in ordered]
    return pa.table(columns)


def write(out: str, made: Any) -> None:
    """Writes ``search.parquet``."""
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(made, stream)
    put(fs.join(out, TABLE), stream.getvalue())
