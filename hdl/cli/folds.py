"""`hdl train --folds`: a training a fold, and what the folds' networks make of the rows that they have not seen."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

import click

from hdl import strict_json
from hdl.cli import grid, training
from hdl.cli.common import count
from hdl.errors import HdlError, SpecError, TableError

SUFFIXES = (".csv", ".parquet")
# Measures that are shown, the first of those that there are; folds.json has all.
SHOWN = ("auc", "pr_auc", "logloss", "accuracy", "balanced_accuracy", "r2", "rmse", "mae", "deviance", "cost")
FEW = 6


def stored_folds(out: str | None, resume: bool) -> dict[str, Any] | None:
    """Read the cross-validation that is to be resumed; None where there is none."""
    if not (out and resume):
        return None
    from hdl import folds

    return folds.load(out)


def train(
    data: str, out: str | None, asked: dict[str, Any], before: dict[str, Any] | None, values: dict[str, Any],
    run: dict[str, Any], start: Any = None,
) -> None:  # fmt: skip
    """Run the command.

    Parameters
    ----------
    data, out : str
        The data, and the folder for the folds' tables.
    asked : dict
        Values of `--folds`, `--oof` and `--final`.
    before : dict or None
        The cross-validation that is resumed, as `stored_folds` reads it.
    values, run : dict
        The flags of the spec and the data, and those of the run.
    start : Spec, optional
        What the network of `--init-from` says of a spec.
    """
    from hdl import folds, spec
    from hdl.cli.data_flags import take_data_options
    from hdl.cli.flags import take_spec

    base = spec.parse(before["spec"]) if before else None
    given = take_spec(values, base or start, run["workers"] or 1, folds=True)
    options = take_data_options(values, before and before["options"])
    if given.model != "mlp":
        raise SpecError(f"--folds: measures answers of networks with labels, and model {given.model} has none")
    if run["settings"].get("detach"):
        raise SpecError("--detach: a cross-validation waits for its folds; give one of --folds and --detach")
    if run["test"] is not None and not asked["final"]:
        raise SpecError("--test: the folds' networks are measured on the folds; --final makes one network to test")
    if before:
        grid.refuse_changes(given, base, out or "")
        parted = folds.Cut(**before["cut"] | {"values": tuple(before["cut"]["values"])})
        if asked["folds"] is not None and folds.cut(asked["folds"], data, options) != parted:
            raise SpecError(f"--folds {asked['folds']}: {out} was begun with {_words(parted)}")
    else:
        parted = folds.cut(asked["folds"], data, options)
    combinations = parted.combinations(given)
    grid.begin_from(run, before, combinations)
    if run["dry_run"]:
        fields = [{"name": one.name, "spec": one.spec.model_dump(mode="json")} for one in combinations]
        click.echo(strict_json.dumps(fields, indent=2))
        return
    if not out:
        raise click.UsageError("Missing option '--out'.", click.get_current_context())
    logs = grid.open_logs([*(one.name for one in combinations), folds.FINAL], out, run)
    file = _prepare(data, out, asked, combinations, options, before, run)
    folds.save(out, data, options, given, parted, init_from=run["init_from"])
    words = {"noun": f"folds ({_words(parted)})"}
    results = grid.search(data, out, combinations, [], options, run, logs, lambda results: None, **words)
    if failed := next((each for each in results if each.state != "done"), None):
        raise HdlError(f"{failed.name}: {failed.said}")
    networks = _answer(data, out, given, parted, options, file, run)
    if asked["final"]:
        _final(data, out, folds.final_spec(given, networks), options, run, logs)


def _words(cut: Any) -> str:
    return f"of column {cut.column}" if cut.column else f"{cut.count} dealt out by the seed"


def _prepare(
    data: str, out: str, asked: dict[str, Any], combinations: Sequence[Any], options: Any, before: Any,
    run: dict[str, Any],
) -> str:  # fmt: skip
    """See to it that the folder is as the user wants it, and that data and runner are there; say where answers go."""
    from hdl import folds, fs, out_of_fold, outputs

    grid.check_place(data, out, options, run, "the folds", "folds need a folder of their own")
    if run["resume"] and run["overwrite"]:
        raise SpecError("--resume goes on with the folds and --overwrite removes them: give one of them")
    if run["resume"] and before is None:
        raise TableError(f"{out}: no cross-validation to resume; without --resume a new one begins here")
    there = fs.exists(fs.join(out, folds.FILE))
    if there and not run["resume"] and not run["overwrite"]:
        raise TableError(f"{out}: a cross-validation is there already; go on with --resume, or --overwrite removes it")
    file = asked["oof"] or fs.join(out, out_of_fold.OOF)
    if PurePosixPath(file).suffix.lower() not in SUFFIXES:
        raise SpecError(f"--oof {file}: expected a name that ends in {' or '.join(SUFFIXES)}")
    if asked["oof"]:
        outputs.check(file, run["overwrite"] or run["resume"], SUFFIXES, "--oof ")
    names = {one.name for one in combinations} | {folds.FINAL}
    if there and run["overwrite"]:
        with suppress(TableError):
            known = (folds.load(out) or {"cut": {"count": 0, "values": ()}})["cut"]
            names |= {f"fold{number + 1}" for number in range(max(known["count"], len(known["values"])))}
    for name in sorted(names):
        training.prepare_table(fs.join(out, name), run["resume"], run["overwrite"])
    if run["overwrite"]:
        for path in [fs.join(out, name) for name in (folds.FILE, out_of_fold.OOF)]:
            if fs.exists(path):
                fs.remove(path)
    return file


def _answer(data: str, out: str, spec: Any, cut: Any, options: Any, file: str, run: dict[str, Any]) -> list[Any]:
    """Answer all rows, write the answers and the measures, and print these."""
    from hdl import folds, out_of_fold
    from hdl.devices import cores
    from hdl.outputs import placing

    device = run["device"] if run["runner"] == "local" else "cpu"
    networks = folds.models(out, cut.folds, run["threads"] or cores(), device)
    with placing(file) as stream:
        suffix = PurePosixPath(file).suffix.lower()
        found = out_of_fold.answer(data, cut, networks, stream, suffix)
    folds.save(out, data, options, spec, cut, found, run["init_from"])
    _print(found)
    without = f", {found.empty:,} of them without an answer" if found.empty else ""
    click.echo(f"{file} holds the answers to {count(found.records, 'row')}{without}; {out}/{folds.FILE} all measures")
    return networks


def _print(found: Any) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    # a measure that one fold lacks, such as the AUC of a fold without a class, has no mean, and is shown of the others
    names = [name for name in SHOWN if any(fold.metrics.get(name) is not None for fold in found.folds)][:FEW]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("fold", "samples", *(name.replace("_", " ") for name in names)):
        table.add_column(column, justify="left" if column == "fold" else "right", no_wrap=True)
    for fold in found.folds:
        table.add_row(fold.value, f"{fold.samples:,}", *(_figure(fold.metrics.get(name)) for name in names))
    table.add_section()
    table.add_row("mean", "", *(_figure(found.mean.get(name)) for name in names))
    table.add_row("± deviation", "", *(_figure(found.spread.get(name)) for name in names))
    whole = found.score.metrics
    table.add_row("all rows", f"{found.score.samples:,}", *(_figure(whole.get(name)) for name in names))
    stream = sys.stdout
    Console(file=stream, width=None if stream.isatty() else 200, highlight=False).print(table)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}" if abs(value) >= 1e3 else f"{value:.4f}"


def _final(
    data: str, out: str, spec: Any, options: Any, run: dict[str, Any], logs: dict[str, Any]
) -> None:  # fmt: skip
    """Train on all rows, and report on that network."""
    from hdl import folds, fs
    from hdl.search.grid import Combination
    from hdl.table import Table

    one = Combination(folds.FINAL, {"rows": "all"}, spec)
    (result,) = grid.search(data, out, [one], [], options, run, logs, lambda results: None, noun="training on all rows")
    if result.state != "done":
        raise HdlError(f"{folds.FINAL}: {result.said}")
    table = fs.join(out, folds.FINAL)
    device = run["device"] if run["runner"] == "local" else "cpu"
    trained = SimpleNamespace(version=Table(table).latest(), best=result.version)
    click.echo(f"\nthe network of all rows: {shlex.quote(table)}")
    training.finish(data, table, options, trained, run["test"], run["no_report"], run["threads"], device)
