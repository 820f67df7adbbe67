"""What `hdl search` leaves: the table, the page, the best trials on the terminal, and the network that is kept."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import click

from hdl.cli import grid, spaces, training
from hdl.cli.combinations import label_of
from hdl.errors import HdlError, Unavailable

_SHOWN = 15


def report(
    data: str, out: str, asked: Any, plan: Any, options: Any, given: dict[str, Any], run: dict[str, Any]
) -> None:
    """Write the table and the page, print the best trials, and report on the network that is kept."""
    from hdl import folds, fs
    from hdl.predict import Model
    from hdl.report import searches
    from hdl.search import combine, results, trials
    from hdl.search.grid import Combination
    from hdl.table import Table

    order = trials.ranked([*plan.trials.values()])
    made = results.table(asked, order, plan.stopped())
    results.write(out, made)
    if not run["no_report"]:
        try:
            searches.write(fs.join(out, results.REPORT), data, asked, order, plan.stopped())
        except Unavailable as error:
            click.echo(f"no report: {error}", err=True)
    _print(order, plan.stopped())
    page = f", {results.REPORT}" if fs.exists(fs.join(out, results.REPORT)) else ""
    click.echo(f"{out} holds {results.TABLE}{page} and {trials.FILE}")
    best = order[0] if order and order[0].result and order[0].result.score is not None else None
    if best is None or best.result is None:
        said = next((each.result.said for each in order if each.result), "nothing was trained")
        raise HdlError(f"no trial has a score; the first one: {said}")
    click.echo(f"\nbest: trial {best.number}, {label_of(best.values)}")
    kept = fs.join(out, best.name) if asked.folds is None else None
    if given["ensemble"]:
        tables = [(each.name, each.result.version) for each in order
                  if each.result and each.result.state == "done" and each.result.version is not None]  # fmt: skip
        used = combine.ensemble(out, tables, given["ensemble"], fs.join(out, "ensemble"))
        click.echo(f"ensemble of {', '.join(used)}: {fs.join(out, 'ensemble')}")
        kept = fs.join(out, "ensemble")
    if given["refit"]:
        folder = fs.join(out, best.name)
        if asked.folds is None:
            networks = [Model(folder, best.result.version)]
        else:
            networks = folds.models(folder, folds.cut(asked.folds, data, options).folds)
        spec = folds.final_spec(spaces.maker(asked.base, asked.base.shards)(best.values), networks)
        few = {"workers": min(run["workers"] or 1, spec.shards)} if run["runner"] == "yarn" else {}
        (result,) = grid.search(data, out, [Combination("refit", best.values, spec)], [], options,
                                run | few, grid.open_logs(["refit"], out, run), lambda results: None,
                                noun="training on all rows")  # fmt: skip
        if result.state != "done":
            raise HdlError(f"refit: {result.said}")
        kept = fs.join(out, "refit")
    if run["test"] is None:
        click.echo("Beware: the figures of the best trial are those it was chosen by, and so flatter it; --test DATA "
                   "measures it on data that no trial saw", err=True)  # fmt: skip
    if kept is None:
        return
    if run["test"] is not None:
        click.echo(f"measured on {run['test']}, which no trial saw:")
    device = run["device"] if run["runner"] == "local" else "cpu"
    table = Table(kept)
    trained = SimpleNamespace(version=table.latest(), best=table.best())
    training.finish(data, kept, options, trained, run["test"], run["no_report"], run["threads"], device)


def _print(order: Any, stopped: set[int]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from hdl.cli.search_progress import score
    from hdl.search import results, trials
    from hdl.search.grid import shown

    names = list(order[0].values) if order else []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "trial", *names, "validation", "rounds", "state"):
        table.add_column(column, justify="right", no_wrap=True)
    for place, each in enumerate(order[:_SHOWN], 1):
        values = [shown(each.values[name]) for name in names]
        result = each.result
        said = (score(result), str(result.rounds)) if result else ("–", "–")
        table.add_row(str(place), str(each.number), *values, *said, trials.state_of(each, stopped))
    stream = sys.stdout
    Console(file=stream, width=None if stream.isatty() else 200, highlight=False).print(table)
    if len(order) > _SHOWN:
        click.echo(f"… and {len(order) - _SHOWN} more, in {results.TABLE}")
