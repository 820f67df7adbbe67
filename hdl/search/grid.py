"""A grid of hyper-parameters: every combination of some values is a training, with a weight table of its own.

The folder of a grid holds a table a combination, ``grid.json`` with the results, written anew whenever a training
ends, and at the end the same as ``grid.csv`` and ``grid.png``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hdl import fs, strict_json
from hdl.errors import TableError
from hdl.events import Outcome
from hdl.metrics import METRICS
from hdl.metrics_log import rounds
from hdl.outputs import put
from hdl.spec import Spec
from hdl.table import Table

FILE = "grid.json"
MADE = (FILE, "grid.csv", "grid.png")
_LONGEST = 120  # letters in a folder's name


@dataclass(frozen=True)
class Combination:
    """One training of a grid.

    Parameters
    ----------
    name : str
        Name of its table in the grid's folder.
    values : dict
        The parameters' values by their names.
    spec : Spec
        As given: not filled in from the data.
    until : float
        Share of its rounds after which it pauses.
    parents : tuple of str
        Names of the two tables that it goes on from: see `hdl.search.inherit`; empty: it begins by itself.
    bred : (generation, number) or None
        By which the weights of these two are crossed over; None: the first one's are taken as they are.
    """

    name: str
    values: dict[str, Any]
    spec: Spec
    until: float = 1.0
    parents: tuple[str, ...] = ()
    bred: tuple[int, int] | None = None


@dataclass
class Result:
    """The result of training a combination.

    Parameters
    ----------
    state : {'done', 'diverged', 'failed'}
    said : str
        The error's message if the training has no score.
    version : int
        The best version by validation; val_accuracy, val_cost, metrics and sha256 are of it.
    val_accuracy : float or None
        None where there are no classes.
    metric : str or None
        That decides: the spec's; None: the accuracy where there is one, else the cost.
    metrics : dict of str to float or None
        All metrics of the validation by their names.
    rounds : int
    seconds : float
        Duration of all rounds; side by side each training waits for the others.
    curve : list of (round, cost, val_cost, val_accuracy, value of `metric`)
    """

    name: str
    values: dict[str, Any]
    spec: dict[str, Any]
    state: str = "done"
    said: str = ""
    val_accuracy: float | None = None
    val_cost: float | None = None
    version: int | None = None
    sha256: str = ""
    rounds: int = 0
    seconds: float = 0.0
    curve: list[tuple[Any, ...]] = field(default_factory=list)
    metric: str | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)

    @property
    def decides(self) -> str:
        """Names the metric that this result is ranked by."""
        return self.metric or ("cost" if self.val_accuracy is None else "accuracy")

    @property
    def score(self) -> float | None:
        """Looks up that metric's value; None of a training that has none."""
        usual = {"cost": self.val_cost, "accuracy": self.val_accuracy}
        return (usual | self.metrics).get(self.decides) if self.state == "done" else None


def product(parameters: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yields every combination of the values; those of the last parameter change first."""
    for values in itertools.product(*parameters.values()):
        yield dict(zip(parameters, values, strict=True))


def name_of(values: Mapping[str, Any]) -> str:
    """Names a folder after the values: the same name in every grid, of letters that need no quoting anywhere.

    Examples
    --------
    >>> name_of({"lr": 0.1, "net": "64-100-10"})
    'lr=0.1_net=64-100-10'
    """
    plain = "_".join(f"{name}={shown(value)}" for name, value in values.items())
    safe = re.sub(r"[^\w.=+-]", "-", plain, flags=re.ASCII)
    if safe == plain and len(safe) <= _LONGEST:
        return safe
    # Other values may become the same letters.
    return f"{safe[: _LONGEST - 9]}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def shown(value: Any) -> str:
    """Writes a value as people do."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def result_of(combination: Combination, outcome: Outcome) -> Result:
    """Gathers the result of a training that went to its end."""
    # A row tells of the validation of the version before it.
    score = outcome.rows[outcome.best] if outcome.best < len(outcome.rows) else {}
    per_round, of = rounds(list(outcome.rows)), f"val_{combination.spec.metric}"
    return Result(
        combination.name,
        combination.values,
        combination.spec.model_dump(mode="json"),
        val_accuracy=score.get("val_accuracy"),
        val_cost=score.get("val_cost"),
        metric=combination.spec.metric,
        metrics=_metrics(score),
        version=outcome.best,
        sha256=Table(outcome.table).read(outcome.best).signature,
        rounds=len(per_round),
        seconds=sum(row["seconds"] or 0.0 for row in per_round),
        curve=[tuple(row.get(name) for name in ("round", "cost", "val_cost", "val_accuracy", of)) for row in per_round],
    )


def _metrics(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Gathers the metrics of a row's validation by their names."""
    return {name: row[f"val_{name}"] for name in METRICS if f"val_{name}" in row}


def ranked(results: Sequence[Result]) -> list[Result]:
    """Sorts results, the best first, by the metric of their specs: without one by accuracy, where there is one. Equals
    are sorted by cost; those without a score come last."""

    def key(each: Result) -> tuple[Any, ...]:
        score = each.score
        if score is None:
            return True, False, 0.0, 0.0
        signed = -score if METRICS[each.decides].higher else score
        return False, each.val_accuracy is None and not each.metric, signed, each.val_cost or 0.0

    return sorted(results, key=key)


def best(results: Sequence[Result]) -> Result | None:
    """Finds the result with the best score; None if none has a score."""
    first = next(iter(ranked(results)), None)
    return first if first is not None and first.score is not None else None


def load(out: str) -> dict[str, Any] | None:
    """Reads ``grid.json``, its results as `Result`; None if there is no grid in the folder.

    Returns
    -------
    dict or None
        data, options, parameters, combinations, results and init_from, as `save` wrote them.

    Raises
    ------
    TableError
        The file is not one that `save` wrote.
    """

    def picked(fields: Any) -> dict[str, Any]:
        fields["results"] = [Result(**{k: v for k, v in each.items() if k != "table"}) for each in fields["results"]]
        names = ("data", "options", "parameters", "combinations", "results")
        return {name: fields[name] for name in names} | {"init_from": fields.get("init_from", "")}

    return read(fs.join(out, FILE), picked)


def read(path: str, picked: Callable[[Any], dict[str, Any]]) -> dict[str, Any] | None:
    """Reads a file of JSON that hdl wrote beside the tables of several trainings; None if there is none.

    Raises
    ------
    TableError
        `picked`, which takes its fields apart, does not find what it should.
    """
    if not fs.exists(path):
        return None
    try:
        with fs.open(path) as file:
            return picked(json.loads(file.read()))
    except (ValueError, KeyError, TypeError) as error:
        raise TableError(f"{path}: not what hdl wrote ({error}); --overwrite begins anew") from None


def save(
    out: str, data: str, options: Any, parameters: Mapping[str, Sequence[Any]], combinations: Sequence[Combination],
    results: Sequence[Result], init_from: str = "",
) -> None:  # fmt: skip
    """Writes ``grid.json``, over an older one."""
    first = best(results)
    fields = {
        "data": data,
        "options": options.model_dump(mode="json"),
        "init_from": init_from,
        "parameters": dict(parameters),
        "best": first and first.name,
        "combinations": [
            {"name": one.name, "values": one.values, "spec": one.spec.model_dump(mode="json")} for one in combinations
        ],
        "results": [{"table": fs.join(out, each.name), **asdict(each)} for each in ranked(results)],
    }
    fs.mkdir(out)
    put(fs.join(out, FILE), strict_json.dumps(fields, indent=1).encode())


def table(results: Sequence[Result]) -> str:
    """Writes the results as CSV, the best first."""
    columns = ("state", "val_accuracy", "val_cost", "version", "rounds", "seconds", "sha256", "said")
    measured = [name for name in METRICS if any(name in each.metrics for each in results)]
    others = [name for name in measured if f"val_{name}" not in columns]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(results[0].values) if results else []
    writer.writerow(["rank", "name", *names, *columns, *(f"val_{name}" for name in others)])
    for number, each in enumerate(ranked(results), 1):
        rank = number if each.state == "done" else ""
        values = [shown(value) for value in each.values.values()]
        about = [getattr(each, column) for column in columns]
        writer.writerow([rank, each.name, *values, *about, *(each.metrics.get(name) for name in others)])
    return text.getvalue()
