"""Which columns matter to a network, and how its answers depend on them.

Permutation importance (Breiman 2001, "Random forests"; Fisher, Rudin & Dominici 2019, "All models are wrong, but many
are useful"): a column's cells are permuted among the rows, all its inputs together, and the metric measured again. It
says what this network makes of the column: of two that say the same each may seem to matter little. Partial dependence
(Friedman 2001, "Greedy function approximation") is the mean answer when all rows have the same value in the column.

Both are computed on rows that are drawn from all parts of the data while these are measured (`hdl.passes.Rows`): all of
them where there are no more than `ROWS`. Permutations are keyed by seed, column, repetition and row, so that the result
does not depend on who computes what.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING

from hdl import passes
from hdl.errors import DataError, SpecError
from hdl.importance import grids
from hdl.importance.columns import MOST_COLUMNS, of_rows, of_schema
from hdl.importance.effects import Effects, Importance, PartialDependence, ranked
from hdl.importance.work import BASELINE, part
from hdl.metrics import METRICS
from hdl.passes import Partial, Pass, Rows

if TYPE_CHECKING:
    from hdl.data import Source
    from hdl.predict import Model

__all__ = [
    "MOST_COLUMNS", "REPETITIONS", "ROWS", "Effects", "Importance", "PartialDependence", "brief", "check", "find",
    "measure", "of_whole", "part",
]  # fmt: skip
ROWS = 10_000  # that are drawn where nobody says how many
REPETITIONS = 5
BRIEF_ROWS, BRIEF_REPETITIONS, BRIEF_COLUMNS = 2000, 3, 100  # of what a report tells unasked
DEPENDENT = 10  # columns whose partial dependence is computed,
MOST_OUTPUTS = 50  # unless an answer has more numbers


def measure(
    model: Model,
    source: Source,
    rows: int = ROWS,
    repetitions: int = REPETITIONS,
    metric: str | None = None,
    seed: int | None = None,
) -> Effects:
    """Measure the effects of all columns on a labelled dataset, in this process.

    Parameters
    ----------
    model : Model
    source : Source
    rows : int
        Rows that are drawn, at most.
    repetitions : int
        Permutations of each column.
    metric : str, optional
        See `hdl.metrics.METRICS`; None: that of the model's spec, else the cost.
    seed : int, optional
        Of the permutations; None: the model's.

    Raises
    ------
    SpecError
        There is no such metric for the model, or its data has no columns: images, or more than `MOST_COLUMNS`.
    DataError
        As of `Model.evaluate`.

    Examples
    --------
    >>> from hdl.predict import Model
    >>> model = Model("churn")  # doctest: +SKIP
    >>> measure(model, hdl.data.open_source("visits.csv", model.reading, model.schema)).importance[0]  # doctest: +SKIP
    Importance(column='age', drop=0.081, spread=0.0042)
    """
    check(model, metric)  # before anything is read
    return of_whole(model, passes.whole(model, source, rows), repetitions, metric, seed)


def brief(model: Model, source: Source) -> tuple[Partial, Effects | None]:
    """Measure a network, and its columns' effects on a few rows on the way, as for a report; in this process.

    Returns
    -------
    Partial, Effects or None
        What was found in all parts of the data, which `hdl.passes.score` makes a score of; no effects of a model of
        images, of more than `BRIEF_COLUMNS`, nor where the metric is not defined on the rows.
    """
    rows = BRIEF_ROWS
    try:
        check(model)
        if len(of_schema(model.schema)) > BRIEF_COLUMNS:
            rows = 0
    except SpecError:
        rows = 0
    whole = passes.whole(model, source, rows)
    if not rows or not whole.values["measures"].samples:
        return whole, None
    try:
        return whole, of_whole(model, whole, BRIEF_REPETITIONS)
    except DataError:
        return whole, None


def of_whole(
    model: Model, whole: Partial, repetitions: int = REPETITIONS, metric: str | None = None, seed: int | None = None
) -> Effects:
    """Find the effects in this process, where the data has been measured and rows of it have been drawn.

    Parameters
    ----------
    whole : Partial
        As `hdl.passes.whole` gives it, with rows.
    model, repetitions, metric, seed : as of `measure`
    """

    def run(asked: Pass) -> Partial:
        return passes.complete([part(model, asked, number, lambda *_: None) for number in range(asked.parts)],
                               passes.make)  # fmt: skip

    asked = Pass("", model.path, model.version.number, 1)
    return find(run, model, whole.values["rows"], asked, repetitions, metric, seed)


def check(model: Model, metric: str | None = None) -> str:
    """Choose the metric of importance, and refuse models that have no columns.

    Raises
    ------
    SpecError
    """
    passes.check(model)
    if model.schema.encoding == "none":
        raise SpecError("importance is of what answers depend on; the network has learned without labels, and has none")
    of_schema(model.schema)
    name = metric or model.spec.metric or "cost"
    if name not in METRICS or not METRICS[name].fits(model.spec):
        fitting = ", ".join(known for known, one in METRICS.items() if one.fits(model.spec))
        raise SpecError(f"importance: expected a metric of this network, one of {fitting} (given {name!r})")
    return name


def find(
    run: Callable[[Pass], Partial],
    model: Model,
    rows: Rows,
    asked: Pass,
    repetitions: int = REPETITIONS,
    metric: str | None = None,
    seed: int | None = None,
) -> Effects:
    """Find the effects of all columns with rows that were drawn.

    Parameters
    ----------
    run : function of a Pass
        Has it done, here or elsewhere, and joins what its parts give.
    model : Model
    rows : Rows
    asked : Pass
        Its kind, fields and tensors are filled in here.
    repetitions, metric, seed : as of `measure`

    Raises
    ------
    DataError
        The metric is not defined on the rows: they have one class alone.
    """
    metric, seed = check(model, metric), model.spec.seed if seed is None else seed
    columns, drawn = of_schema(model.schema), of_rows(model, rows)
    plain, tensors = rows.to_parts()
    shared = {"rows": plain, "metric": metric, "repetitions": repetitions, "seed": seed}
    figures = run(asked.of_kind("permute", shared, tensors)).values["figures"].values
    baseline = _number(figures[BASELINE][0], metric)
    higher, found = METRICS[metric].higher, []
    for place, own in enumerate(columns):
        values = [_number(figures[f"{place}/{repetition}"][0], metric) for repetition in range(repetitions)]
        drops = [baseline - value if higher else value - baseline for value in values]
        found.append(Importance(own.name, statistics.fmean(drops), statistics.pstdev(drops)))
    places = ranked(found)
    first = places[:DEPENDENT] if model.outputs <= MOST_OUTPUTS else []
    dependence: list[PartialDependence] = []
    if first:
        figures = run(asked.of_kind("vary", shared | {"columns": first}, tensors)).values["figures"].values
    for place in first:
        own = columns[place]
        grid = grids.find(model, drawn, own, place)
        mean = [figures[f"{place}/{number}"] for number in range(len(grid.cells))]
        dependence.append(PartialDependence(own.name, own.kind, grid.plain(), grid.count, mean))
    importance = [found[place] for place in places]
    return Effects(metric, higher, baseline, len(drawn), rows.seen, repetitions, seed, _outputs(model), importance,
                   dependence)  # fmt: skip


def _number(value: float | None, metric: str) -> float:
    if value is None:
        raise DataError(
            f"importance: {metric} is not defined on the rows that were drawn, as where they have one class"
        )
    return value


def _outputs(model: Model) -> list[str]:
    """Name the numbers of an answer."""
    schema = model.schema
    names = [str(name) for name in schema.classes or schema.targets or ()]
    return names[-model.outputs :] if len(names) >= model.outputs else [str(i) for i in range(model.outputs)]
