"""The plan of a search, and what is kept of its trials: which one is next, and what came of each."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from hdl import fs, strict_json
from hdl.metrics import METRICS
from hdl.outputs import put
from hdl.search import population, samplers, schedulers
from hdl.search.grid import Combination, Result, read
from hdl.search.space import Space
from hdl.search.tasks import Task
from hdl.spec import Spec

FILE = "search.json"


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
    generations : int
        Of a population (scheduler `pbt`).
    breed : bool
        Of a population: the weights of children are crossed over and mutated, too.
    """

    trials: int
    sampler: str
    scheduler: str
    eta: int
    seed: int
    space: Space
    base: Spec
    folds: str | None = None
    generations: int = 1
    breed: bool = False

    def to_plain(self) -> dict[str, Any]:
        """Gives plain values of JSON."""
        return vars(self) | {"space": self.space.to_plain(), "base": self.base.model_dump(mode="json")}


@dataclass(frozen=True)
class Step:
    """A generation of a trial: the trials that it went on from (itself, twice, if it is no child), and its values."""

    parents: tuple[int, int]
    values: dict[str, Any]


@dataclass
class Trial:
    """A trial: its values, and the results of its tasks, the last one of which counts.

    Parameters
    ----------
    number : int
    name : str
        Of its folder; of a population, of its last generation's.
    values : dict
    bracket : int
    done : list of (share, Result)
    steps : list of Step
        Of a population, a generation each.
    """

    number: int
    name: str
    values: dict[str, Any]
    bracket: int = 0
    done: list[tuple[float, Result]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

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


def name_of(number: int, generation: int | None = None) -> str:
    """Names the folder of a trial, of a population that of one of its generations."""
    return f"trial{number:04d}" + ("" if generation is None else f"/generation{generation:02d}")


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
        self._scheduler = schedulers.make(asked.scheduler, asked.trials, asked.eta, asked.generations, asked.seed)
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
                spec, parents = self._spec_of(trial.values), task.parents or ()
                names = tuple(name_of(number, task.rung - 1) for number in parents)
                bred = (task.rung, task.number) if self.asked.breed and {*parents} - {task.number} else None
                return Combination(trial.name, trial.values, spec, task.share, names, bred)
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
        trial = self.trials[task.number]
        if self.asked.scheduler == "pbt":
            self._generation(trial, task)
        return trial

    def _generation(self, trial: Trial, task: Task) -> None:
        """Takes a trial to the generation of its task; parents are no children then, and have the values they had."""
        parents = task.parents or (task.number, task.number)
        if parents[0] != task.number:
            space, values = self.asked.space, [self.trials[number].values for number in parents]
            trial.values = population.make_child(space, self.asked.seed, task.rung, task.number, values, self._fixed)
        trial.name = name_of(task.number, task.rung)
        trial.steps.append(Step(parents, trial.values))

    @cached_property
    def _fixed(self) -> list[str]:
        """Names the parameters that children of a population have with their weights."""
        space = self.asked.space
        first = {each.name: each.ends[0] for each in space.parameters}
        others = {each.name: [first | {each.name: value} for value in each.ends] for each in space.parameters}
        return population.fixed_of(space, {name: [*map(self._spec_of, values)] for name, values in others.items()})

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
