"""`hdl inspect`, `report`, `doctor`: looking at tables, and at the machine."""

from __future__ import annotations

from typing import Any

import click

from hdl import outputs, strict_json
from hdl.cli.common import (
    Command,
    at,
    core_options,
    hadoop_options,
    open_model,
    with_spill,
)
from hdl.cli.data_flags import OFFSET, WEIGHTS, data_options, take_data_options
from hdl.errors import SpecError, TableError
from hdl.metrics import METRICS


@hadoop_options
@data_options(WEIGHTS, OFFSET)
@click.command(cls=Command)
@click.argument("table", metavar="TABLE|DATA")
@click.option("--version", "which", metavar="N|best|last", help="One version; default: the table as a whole.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect_(table: str, which: str | None, as_json: bool, **values: Any) -> None:
    """Show what TABLE holds: spec, data, rounds, SHA-256 of the weights, metrics.

    TABLE may be the file of one version, too. Each version that is shown in full is read and its
    SHA-256 checked.

    Of DATA, anything that hdl train takes, show what would be found out before a training: label, task,
    kinds of columns, what is missing and what is left out. It is read once. The flags of data and
    columns are for that.
    """
    from hdl.cli import look

    table, which = _table_and_version(table, which)
    if which is None and look.is_nothing(table):
        raise TableError(f"{table}: no weight table here; there is no such file or folder")
    given = [name for name, value in values.items() if value is not None]
    options = take_data_options(values)
    if which is None and look.is_data(table):
        contents = look.data_contents(table, options)
        lines = look.text(contents)
    else:
        if given:
            flag = "--no-labels" if given[0] == "labelled" else "--" + given[0].replace("_", "-")
            raise SpecError(f"{flag}: says how data is read, and {table} is a table of weights")
        contents = _version(table, which) if which else _table(table)
        lines = [] if as_json else _text(contents)
    click.echo(strict_json.dumps(contents, indent=2) if as_json else "\n".join(lines))


def _table_and_version(table: str, which: str | None) -> tuple[str, str | None]:
    """Split the path of a version's file into its table and number."""
    from hdl import fs
    from hdl.table import Table, names

    folder, _, name = table.rpartition("/")
    known = names.parse(name)
    if known is None or known.kind == "common":
        return table, which
    folder = folder or "."
    if known.kind == "copy":
        raise TableError(f"{table}: the copy of version 0, which is read where that is lost; expected {folder}")
    counting = Table(folder).file(known.number).rpartition("/")[2]
    if counting != name and (known.tag or fs.exists(table)):
        raise TableError(f"{table}: does not count, as another run owns the table; see: hdl repair {folder}")
    return folder, str(known.number)


def _table(path: str) -> dict[str, Any]:
    from hdl.table import Table

    table = Table(path)
    while True:  # a training may thin versions meanwhile, or another one take the table over
        last = table.read()
        best = table.best()
        numbers = table.numbers()
        headers = [header for number in numbers if (header := _header(table, number))]
        if headers and ({header["run"] for header in headers} == {last.run} or numbers == table.numbers()):
            break
    zero = table.read(0) if headers[0]["number"] == 0 else None
    return {
        "table": path,
        "run": last.run,
        "last": last.number,
        "best": best,
        "sha256": last.signature,
        "validation": held_out(last.spec),
        "version": {header["number"]: header.get("signature") for header in headers},
        **(_of_data(zero) if zero else {"found": {}, "about": {}}),
        "spec": last.spec,
        "rows": list(last.rows),
    }


def _header(table: Any, number: int) -> dict[str, Any] | None:
    """Read a version's fields; None if it is there no more."""
    try:
        return table.header(number)
    except TableError:
        if number in table.numbers():
            raise
        return None


def _of_data(zero: Any) -> dict[str, Any]:
    """Return what version 0 holds about the data: in words, of several things a list, and as it is stored."""
    from hdl.report.gather import summary

    words = {name: value.split("\n") for name, value in summary(zero.about, zero.schema)}
    return {"found": {name: lines if lines[1:] else lines[0] for name, lines in words.items()}, "about": zero.about}


def held_out(spec: dict[str, Any]) -> str:
    """Say which samples were held out to measure versions, and by which measure the best one is chosen."""
    rule = spec.get("holdout") or {}
    alike = " of each class" if rule.get("stratified") and spec.get("loss") in ("softmax", "sigmoid") else ""
    if spec.get("validation"):
        said = f"{100 * spec['validation']:.6g} %{alike or ' of the samples'}, chosen by the seed"
    elif rule.get("folds"):
        said = f"fold {rule['fold'] + 1} of {rule['folds']}{alike and ', each with its share' + alike}"
    elif rule.get("path"):
        said = f"{rule['path']}, data of its own"
    elif rule.get("column"):
        said = f"rows where {rule['column']} is {'true' if rule.get('value') is None else rule['value']}"
    elif rule.get("where"):
        said = f"rows where {rule['where']}"
    else:
        return "none: the last version is the best"
    return f"{said}; the best version is that of the best {METRICS[spec.get('metric') or 'cost'].title}"


def _version(path: str, which: str) -> dict[str, Any]:
    from hdl.table import Table

    table = Table(path)
    number = at(path, which)
    version = table.read(table.best() if number is None else number)
    weights = version.weights
    return {
        "file": table.file(version.number),
        "version": version.number,
        "run": version.run,
        "parent": version.parent,
        "round": weights.round,
        "sha256": version.signature,
        "parameters": int(weights.w.size),
        "state": {name: list(value.shape) for name, value in weights.state.items()},
        **(_of_data(version) if version.about else {}),
        "spec": version.spec,
        "rows": version.rows[-1:],
    }


def _text(contents: dict[str, Any]) -> list[str]:
    """Write the same for people: the spec where it is not the default, the data in short, the rounds as a table."""
    from hdl.spec import Spec

    rows, spec, data = contents.pop("rows"), contents.pop("spec"), contents.pop("found", None)
    contents.pop("about", None)
    metric = spec.get("metric")
    lines = _pairs("", contents)
    if data:
        lines += _pairs("data", data)
    defaults = Spec().model_dump(mode="json")
    lines += _pairs("spec (the rest is as by default; --json shows all)", _differing(spec, defaults))
    return [*lines, "", "rounds", *_metrics(rows, metric)] if rows else lines


def _differing(tree: dict[str, Any], defaults: Any) -> dict[str, Any]:
    """Collect the leaves of a tree that differ from the defaults, by their paths."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        default = defaults.get(name) if isinstance(defaults, dict) else None
        if isinstance(value, dict):
            leaves |= {f"{name}.{rest}": leaf for rest, leaf in _differing(value, default).items()}
        elif value != default:
            leaves[name] = "-".join(map(str, value)) if name == "net" else value
    return leaves


def _pairs(title: str, items: dict[str, Any]) -> list[str]:
    """Write names and values in columns under a title."""
    flat: dict[str, Any] = {}
    for name, value in items.items():
        flat |= {f"{name} {key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    width = max(map(len, flat), default=0) + 2
    margin = "  " if title else ""
    lines = []
    for name, value in flat.items():
        first, *rest = value if isinstance(value, list) and title == "data" else ["–" if value is None else str(value)]
        lines += [f"{margin}{name:{width}}{first}", *(f"{margin}{'':{width}}{line}" for line in rest)]
    return ["", title, *lines] if title else lines


def _metrics(rows: list[dict[str, Any]], metric: str | None) -> list[str]:
    """Write the rounds' metrics as a table of text."""
    from hdl.metrics_log import rounds

    shown = rounds(rows)
    others = [name for name in ("val_auc", f"val_{metric}") if any(row.get(name) is not None for row in shown)]
    names = ["round", "version", "samples", "cost", "accuracy", "val_cost", "val_accuracy", *others, "seconds"]
    names = list(dict.fromkeys(names))
    head = [name.replace("val_", "val ") for name in names]
    cells = [["–" if row.get(name) is None else f"{row[name]:.6g}" for name in names] for row in shown]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *cells]]


@hadoop_options
@data_options(WEIGHTS, OFFSET)
@with_spill
@click.command(cls=Command)
@click.argument("table", metavar="TABLE")
@click.option("--out", metavar="FILE", help="The page; default: TABLE/report.html. One that is there is replaced.")
@click.option("--test", metavar="DATA", help="Measure the network on DATA for the report.")
@core_options
def report_(table: str, out: str | None, test: str | None, threads: int | None, device: str, **values: Any) -> None:
    """Make the HTML report of TABLE: curves, confusion matrix, weights as pictures, times, spec, data.

    The page is one file that needs no network. Without --test it shows what was measured before.
    """
    from hdl.report import gather

    if out is not None:
        outputs.check(out, overwrite=True, suffixes=(".html", ".htm"))
    if test is None:
        take_data_options(values)  # what is wrong is said all the same
    else:
        from hdl.cli.training import measure

        model = open_model(table, "best", threads, device)
        options = take_data_options(values, model.reading)
        gather.save_measured(table, model.version.signature, [measure(model, test, options, "Test", test)])
    click.echo(gather.write(table, out))


@hadoop_options
@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor_(as_json: bool) -> int:
    """Show what this machine offers: instruction set, threads, memory, Java, Hadoop, GPU, packages.

    Each missing piece comes with the command that gets it. The exit status is 8 if something that
    training on this machine needs is missing.
    """
    from hdl import doctor

    findings = doctor.examine()
    machine = doctor.as_dict(findings)
    if as_json:
        click.echo(strict_json.dumps(machine, indent=2))
    else:
        topic = None
        width = max(len(finding.name) for finding in findings) + 2
        for finding in findings:
            if finding.topic != topic:
                click.secho(("" if topic is None else "\n") + finding.topic, bold=True)
                topic = finding.topic
            mark = click.style("✓", fg="green") if finding.ok else click.style("✗" if finding.needed else "·", fg="red")
            click.echo(f"  {mark} {finding.name:{width}}{finding.found or 'missing'}")
            if finding.fix:
                click.echo(f"    {'':{width}}→ {finding.fix}")
        click.echo("\nReady to train on this machine." if machine["ready"] else "\nNot ready: see ✗ above.")
    return 0 if machine["ready"] else 8
