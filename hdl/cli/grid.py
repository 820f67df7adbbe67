"""`hdl train --grid`: trains every combination of some values, and names the best by validation."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import click

from hdl import strict_json
from hdl.cli import progress, training
from hdl.cli.combinations import combine, label_of, parameters
from hdl.cli.search_progress import GridBoard, score
from hdl.errors import HdlError, Interrupted, NonFinite, SpecError, TableError, Unavailable

_SHOWN = 30  # combinations in the table on the terminal


def stored_grid(out: str | None, resume: bool) -> dict[str, Any] | None:
    """Reads the grid that is to be resumed; None where there is none."""
    if not (out and resume):
        return None
    from hdl.search import grid

    return grid.load(out)


def train(
    data: str, out: str | None, texts: Sequence[str], before: dict[str, Any] | None, values: dict[str, Any],
    run: dict[str, Any], start: Any = None,
) -> None:  # fmt: skip
    """Runs the command.

    Parameters
    ----------
    data, out : str
        The training data, and the folder for the grid.
    texts : sequence of str
        Values of `--grid`.
    before : dict or None
        The grid that is resumed, as `stored_grid` reads it.
    values : dict
        The flags of the spec and the data.
    run : dict
        The flags of the run.
    start : Spec, optional
        What the network of `--init-from` says of a spec.
    """
    from hdl import spec
    from hdl.cli.data_flags import take_data_options
    from hdl.search import grid

    value_lists = parameters(texts)
    bases: dict[str, Any] = {}
    if before:
        if value_lists and list(value_lists) != list(before["parameters"]):
            raise SpecError(f"--grid: this one was begun with {', '.join(before['parameters'])}; values may be added")
        value_lists = value_lists or before["parameters"]
        bases = {each["name"]: spec.parse(each["spec"]) for each in before["combinations"]}
    combinations = combine(values, value_lists, bases, run["workers"] or 1, start)
    for one in combinations:
        refuse_changes(one.spec, bases.get(one.name), one.name)
    begin_from(run, before, combinations)
    options = take_data_options(values, before and before["options"])
    if run["dry_run"]:
        fields = [{"name": one.name, "spec": one.spec.model_dump(mode="json")} for one in combinations]
        click.echo(strict_json.dumps(fields, indent=2))
        return
    if not out:
        raise click.UsageError("Missing option '--out'.", click.get_current_context())
    if run["settings"].get("detach"):
        raise SpecError("--detach: a grid waits for each of its combinations; give one of --grid and --detach")
    logs = _prepare(data, out, combinations, options, before, run)
    done = [each for each in before["results"] if is_done(each, combinations)] if before else []
    names = {one.name for one in combinations}
    others = [grid.Combination(each["name"], each["values"], bases[each["name"]])
              for each in (before or {"combinations": []})["combinations"] if each["name"] not in names]  # fmt: skip

    def save(results: list[Any]) -> None:
        grid.save(out, data, options, value_lists, [*combinations, *others], results, run["init_from"])

    results = search(data, out, combinations, done, options, run, logs, save)
    _report(data, out, results, options, run)


def refuse_changes(new: Any, old: Any, name: str) -> None:
    """Refuses to resume a combination with another spec."""
    from hdl.resume import CHANGEABLE

    before = old.model_dump() if old else {}
    wrong = [key for key, value in new.model_dump().items() if old and key not in CHANGEABLE and before[key] != value]
    if wrong:
        may = ", ".join(CHANGEABLE)
        raise SpecError(f"--resume: {name} was begun with another {', '.join(wrong)}; only {may} may change")


def begin_from(run: dict[str, Any], before: dict[str, Any] | None, combinations: Sequence[Any]) -> None:
    """Refuses combinations that cannot start from the network of `--init-from`; a resumed search has that of before."""
    from hdl import starting

    if before:
        run["init_from"] = before["init_from"]
    elif run["init_from"]:
        start = starting.read(run["init_from"])
        for one in combinations:
            try:
                starting.check(start, one.spec)
            except SpecError as error:
                raise SpecError(f"--init-from, with {label_of(one.values)}: {error}") from None


def is_done(result: Any, combinations: Sequence[Any]) -> bool:
    """Tells whether a combination need not be trained; one that the grid held before and holds no more stays."""
    spec = next((one.spec.model_dump(mode="json") for one in combinations if one.name == result.name), None)
    return spec is None or (spec == result.spec and result.state != "failed")


def _prepare(
    data: str, out: str, combinations: Sequence[Any], options: Any, before: Any, run: dict[str, Any]
) -> dict[str, Any]:
    """Sees to it that the folder is as the user wants it, and that the data and the runner are there; opens the logs of
    the combinations."""
    from hdl import fs
    from hdl.driver import begun
    from hdl.search import grid

    check_place(data, out, options, run, "the grid", "a grid needs a folder of its own")
    if run["resume"] and run["overwrite"]:
        raise SpecError("--resume goes on with the grid and --overwrite removes it: give one of them")
    if run["resume"] and before is None and not any(begun(fs.join(out, one.name)) for one in combinations):
        raise TableError(f"{out}: no grid to resume; without --resume a new one begins here")
    grid_exists = fs.exists(fs.join(out, grid.FILE))
    if grid_exists and not run["resume"] and not run["overwrite"]:
        raise TableError(f"{out}: a grid is there already; go on with --resume, or remove it with --overwrite")
    names = {one.name for one in combinations}
    if grid_exists and run["overwrite"]:
        with suppress(TableError):  # of a damaged one those are removed that are in the way
            names |= {each["name"] for each in (grid.load(out) or {"combinations": []})["combinations"]}
    logs = open_logs([one.name for one in combinations], out, run)
    for name in sorted(names):
        training.prepare_table(fs.join(out, name), run["resume"], run["overwrite"])
    if run["overwrite"]:
        for path in [fs.join(out, name) for name in grid.MADE]:
            if fs.exists(path):
                fs.remove(path)
    return logs


def check_place(data: str, out: str, options: Any, run: dict[str, Any], noun: str, need: str) -> None:
    """Refuses a runner, data or a folder with which several trainings cannot begin; `noun` and `need` name them."""
    from hdl import fs
    from hdl.data import open_source
    from hdl.table import Table

    training.make_runner(
        run["runner"], run["workers"], run["threads"], 1, device=run["device"], **run["settings"]
    ).close()
    open_source(data, options)
    if run["test"] is not None:
        open_source(run["test"], options)
    if fs.exists(out) and not fs.isdir(out):
        raise TableError(f"{out}: is a file; expected a folder for {noun}")
    if numbers := Table(out).numbers():
        raise TableError(f"{out}: holds a weight table (version {numbers[-1]}); {need}")


def open_logs(names: Sequence[str], out: str, run: dict[str, Any]) -> dict[str, Any]:
    """Opens what `--log` asks for, a log for each training by its name, before its table is made."""
    from hdl import fs
    from hdl.loggers import open_log

    return {
        name: open_log(run["logs"], fs.join(out, name), progress.warn, run["overwrite"], part=name) for name in names
    }


def search(
    data: str, out: str, combinations: Sequence[Any], done: list[Any], options: Any, run: dict[str, Any],
    logs: dict[str, Any], save: Callable[[list[Any]], None], noun: str = "combinations",
) -> list[Any]:  # fmt: skip
    """Trains the combinations that are not done, and returns the results of all; `noun` says what they are."""
    from hdl import devices, driver, fs
    from hdl.runners import shared
    from hdl.runners.base import Job
    from hdl.search import grid
    from hdl.search.side_by_side import Search
    from hdl.table import owner

    results, remaining = list(done), [one for one in combinations if one.name not in {each.name for each in done}]
    board = GridBoard(len(remaining) + len(done), len(done), lambda each: label_of(each.values), run["quiet"])
    device, local, memory = run["device"], run["runner"] == "local", shared.Shared()
    if local and device == "auto":  # goes on with whatever was begun: all are to be compared
        tables = (driver.begun(fs.join(out, one.name)) for one in combinations)
        begun_on = next((table.header(0)["about"]["device"] for table in tables if table), "")
        device = "cpu" if begun_on == "cpu" else devices.resolve(device, board.say)
    workers = run["workers"] or (1 if local and device != "cpu" else None)  # on a GPU shards go side by side in one

    def train(one: Any, barrier: Any) -> Any:
        if local and (workers == 1 or (workers is None and one.spec.shards == 1)):
            runner: Any = shared.SharedRunner(memory, barrier, run["threads"], device)
        else:
            settings = {"device": device, **run["settings"]}
            runner = training.make_runner(run["runner"], workers, run["threads"], one.spec.shards, **settings)
        table = fs.join(out, one.name)
        begun = driver.begun(table) is not None
        first = "" if begun else run["init_from"]
        job = Job(data, table, one.spec, options, begun, strict=run["strict"], init_from=first)

        def notify(event: Any) -> None:
            if isinstance(event, driver.Started):
                board.findings(table, event.spec)
            board.event(one.name, event)
            logs[one.name](event)

        with logs[one.name], runner:
            return driver.train(job, runner, notify)

    def ended(result: Any) -> None:
        results.append(result)
        save_ours()
        board.ended(result, grid.best(results))

    def make_barrier(members: int) -> Any:
        memory.kept = min(members, shared.ways([one.spec for one in remaining]))
        return shared.batching_barrier(members, device)

    own = owner.claim(out)  # of two that write there at once, the one that came last goes on

    def save_ours() -> None:
        owner.check(out, own)
        save(results)

    batched = local and workers == 1 and device != "cpu"
    save_ours()
    try:
        with board, training.stoppable():
            said = f", {len(done)} of them done" if done else ""
            of = f" of {', '.join(combinations[0].values)}" if noun == "combinations" else ""
            board.say(f"{len(remaining) + len(done)} {noun}{of}{said}")
            Search(train, ended, make_barrier if batched else None, board.stop)(remaining)
    except KeyboardInterrupt:
        carried = [] if local else ["--runner", run["runner"]]
        carried += [] if run["device"] == "cpu" else ["--device", run["device"]]
        command = shlex.join(["hdl", "train", data, "--out", out, "--resume", *carried])
        count = f"{len(results)} of {len(remaining) + len(done)}"
        raise Interrupted(f"interrupted; {count} {noun} are done. Go on with: {command}") from None
    return results


def _report(data: str, out: str, results: Sequence[Any], options: Any, run: dict[str, Any]) -> None:
    """Writes the table on standard output and the files, and reports on the best combination."""
    from hdl import fs
    from hdl.outputs import put
    from hdl.report import grids
    from hdl.search import grid
    from hdl.table import Table

    order, first = grid.ranked(results), grid.best(results)
    put(fs.join(out, "grid.csv"), grid.table(results).encode())
    try:
        put(fs.join(out, "grid.png"), grids.picture(order, lambda each: label_of(each.values)))
        files = "grid.json, grid.csv and grid.png"
    except Unavailable:  # no matplotlib here: no fault of the training
        files = "grid.json and grid.csv"
    _print(order)
    click.echo(f"{out} holds {files}")
    if first is None:
        if all(each.state == "diverged" for each in results):
            raise NonFinite(f"all {len(results)} combinations diverged; a smaller lr may help")
        raise HdlError(f"all {len(results)} combinations failed, the first one: {results[0].said}")
    best = fs.join(out, first.name)
    click.echo(f"\nbest: {label_of(first.values)}, validation {score(first)}")
    click.echo(f"  {shlex.join(['hdl', 'evaluate', best, run['test'] or data])}\n")
    measuring_device = run["device"] if run["runner"] == "local" else "cpu"  # the cluster's GPUs are not this machine's
    trained = SimpleNamespace(version=Table(best).latest(), best=first.version)
    training.finish(data, best, options, trained, run["test"], run["no_report"], run["threads"], measuring_device)


def _print(order: Sequence[Any]) -> None:
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from hdl.cli.common import duration
    from hdl.metrics import METRICS
    from hdl.search import grid

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    names, by = list(order[0].values), order[0].decides
    first = [f"val {METRICS[by].title}"] if by != "cost" else []
    columns = ["", *names, *first, "val cost", "best at", "rounds", "time"]
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for number, each in enumerate(order[:_SHOWN], 1):
        values, good = [grid.shown(value) for value in each.values.values()], each.state == "done"
        cost = f"{each.val_cost:.6f}" if each.val_cost is not None else "–"
        value = score(each).removeprefix(f"{METRICS[by].title} ")
        about = ([value] if first else []) + [cost] if good else [each.state] + ["–"] * len(first)
        last = [str(each.version), str(each.rounds), duration(each.seconds)] if good else ["–"] * 3
        table.add_row(str(number) if good else "", *values, *about, *last)
    stream = sys.stdout
    Console(file=stream, width=None if stream.isatty() else 200, highlight=False).print(table)
    if len(order) > _SHOWN:
        click.echo(f"… and {len(order) - _SHOWN} more, in grid.csv")
    for each in [each for each in order if each.state == "failed"]:
        click.echo(f"{label_of(each.values)}: {each.said}", err=True)
