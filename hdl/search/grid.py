"""A grid of hyper-parameters: every combination of some values is a training, with a weight table of its own.

The folder of a grid holds a table a combination, ``grid.json`` with what came of each, written anew whenever one ends,
and at the end the same as ``grid.csv`` and ``grid.png``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hdl import fs, strict_json
from hdl.driver import Outcome
from hdl.errors import TableError
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
        Of its table, in the grid's folder.
    values : dict
        Of the parameters, by their names.
    spec : Spec
        As given: not filled in.
    """

    name: str
    values: dict[str, Any]
    spec: Spec


@dataclass
class Result:
    """What came of a combination.

    Parameters
    ----------
    state : {'done', 'diverged', 'failed'}
    said : str
        Why it has no score.
    version : int
        The best by validation, whose scores and SHA-256 follow.
    val_accuracy : float or None
        None where there are no classes.
    rounds : int
    seconds : float
        Of all rounds; side by side each waits for the others.
    curve : list of (round, cost, val_cost, val_accuracy)
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


def product(parameters: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination of the values; those of the last parameter change first."""
    for values in itertools.product(*parameters.values()):
        yield dict(zip(parameters, values, strict=True))


def name_of(values: Mapping[str, Any]) -> str:
    """A folder's name for the values, the same in every grid, of letters that need no quoting anywhere.

    Examples
    --------
    >>> name_of({"lr": 0.1, "net": "64-100-10"})
    'lr=0.1_net=64-100-10'
    """
    plain = "_".join(f"{name}={shown(value)}" for name, value in values.items())
    safe = re.sub(r"[^\w.=+-]", "-", plain, flags=re.ASCII)
    if safe == plain and len(safe) <= _LONGEST:
        return safe
    return f"{safe[: _LONGEST - 9]}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"  # others may look alike


def shown(value: Any) -> str:
    """A value as people write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def result_of(one: Combination, outcome: Outcome) -> Result:
    """What a training that went to its end came to."""
    told = outcome.rows[outcome.best] if outcome.best < len(outcome.rows) else {}
    found = rounds(list(outcome.rows))
    return Result(
        one.name, one.values, one.spec.model_dump(mode="json"), "done", "", told.get("val_accuracy"),
        told.get("val_cost"), outcome.best, Table(outcome.table).read(outcome.best).signature, len(found),
        sum(row["seconds"] or 0.0 for row in found),
        [(row["round"], row["cost"], row["val_cost"], row["val_accuracy"]) for row in found],
    )  # fmt: skip


def ranked(results: Sequence[Result]) -> list[Result]:
    """The best first: by accuracy where there is one, equals by cost; then those that failed."""

    def key(each: Result) -> tuple[Any, ...]:
        done = each.state == "done" and each.val_cost is not None
        return (not done, each.val_accuracy is None, -(each.val_accuracy or 0.0), each.val_cost if done else 0.0)

    return sorted(results, key=key)


def best(results: Sequence[Result]) -> Result | None:
    """The one with the best score; None if none has one."""
    first = next(iter(ranked(results)), None)
    return first if first is not None and first.state == "done" and first.val_cost is not None else None


def load(out: str) -> dict[str, Any] | None:
    """What ``grid.json`` holds, its results as `Result`; None if there is no grid in the folder.

    Raises
    ------
    TableError
    """
    path = fs.join(out, FILE)
    if not fs.exists(path):
        return None
    try:
        with fs.open(path) as file:
            kept = json.loads(file.read())
        kept["results"] = [Result(**{k: v for k, v in each.items() if k != "table"}) for each in kept["results"]]
        return {name: kept[name] for name in ("data", "options", "parameters", "combinations", "results")}
    except (ValueError, KeyError, TypeError) as error:
        raise TableError(f"{path}: not what hdl wrote ({error}); --overwrite begins anew") from None


def save(
    out: str, data: str, options: Any, parameters: Mapping[str, Sequence[Any]], combinations: Sequence[Combination],
    results: Sequence[Result],
) -> None:  # fmt: skip
    """Writes ``grid.json``, over an older one."""
    order, first = ranked(results), best(results)
    fields = {
        "data": data,
        "options": options.model_dump(mode="json"),
        "parameters": dict(parameters),
        "best": first and first.name,
        "combinations": [
            {"name": one.name, "values": one.values, "spec": one.spec.model_dump(mode="json")} for one in combinations
        ],
        "results": [{"table": fs.join(out, each.name), **asdict(each)} for each in order],
    }
    fs.mkdir(out)
    put(fs.join(out, FILE), strict_json.dumps(fields, indent=1).encode())


def table(results: Sequence[Result]) -> str:
    """The results as CSV, the best first."""
    columns = ("state", "val_accuracy", "val_cost", "version", "rounds", "seconds", "sha256", "said")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(results[0].values) if results else []
    writer.writerow(["rank", "name", *names, *columns])
    for number, each in enumerate(ranked(results), 1):
        rank = number if each.state == "done" else ""
        values = [shown(value) for value in each.values.values()]
        writer.writerow([rank, each.name, *values, *(getattr(each, column) for column in columns)])
    return text.getvalue()
