"""`hdl search`: tries hyper-parameters, and keeps the best network."""

from __future__ import annotations

import re
import shlex
import time
from types import SimpleNamespace
from typing import Any

import click

from hdl import strict_json
from hdl.cli import grid, spaces, train, training
from hdl.cli.access import access_options, take_access
from hdl.cli.combinations import label_of
from hdl.cli.common import Command, Option, hadoop_options
from hdl.cli.data_flags import OFFSET, WEIGHTS, data_options, take_data_options
from hdl.cli.flags import FLAGS, spec_options, take_spec
from hdl.errors import HdlError, Interrupted, SpecError, TableError, Unavailable

SEARCH = "Search"
HELD_OUT = "0.2"  # of the samples, where nobody says how trials are compared
_NOT = ("grid", "oof", "final", "folds", "detach", "logs", "session")  # of `hdl train`
_SHOWN = 15


class Seconds(click.ParamType):
    """A span of time, such as 30m, as seconds."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", str(value).strip())
        if isinstance(value, float) or not match or not float(match[1]):
            self.fail(f"expected a time such as 90s, 30m or 2h (given {value!r})", param, ctx)
        return float(match[1]) * {"s": 1, "h": 3600}.get(match[2] or "s", 60)


def _search_options(command: click.Command) -> click.Command:
    """Add the flags of the search."""
    command.params = [each for each in command.params if each.name not in _NOT]
    command.params[:0] = [
        Option(["--param", "params"], multiple=True, metavar="NAME=…", section=SEARCH,
               help="A flag and what it may be: V1,V2,…; LOW:HIGH; log:LOW,HIGH; again for another flag."),
        Option(["--trials"], type=click.IntRange(min=1), metavar="N", section=SEARCH,
               help="Trials.  [default: 20]"),
        Option(["--time", "limit"], type=Seconds(), metavar="TIME", section=SEARCH,
               help="No trial begins after so long, as 90s, 30m or 2h: how many there are depends on the machine."),
        Option(["--sampler"], metavar="random|sobol|tpe", section=SEARCH,
               help="random; sobol leaves no large gaps; tpe learns from the trials before.  [default: random]"),
        Option(["--scheduler"], metavar="none|halving|hyperband|asha|median", section=SEARCH,
               help="Which trials stop early. asha is asynchronous: its table depends on who is first."
                    "  [default: none]"),
        Option(["--eta"], type=click.IntRange(min=2), metavar="N", section=SEARCH,
               help="Of halving, hyperband and asha: of so many trials one goes on.  [default: 3]"),
        Option(["--folds"], metavar="K|column:NAME", section=SEARCH,
               help="Measure a trial by cross-validation, in place of --validation."),
        Option(["--refit"], is_flag=True, section=SEARCH,
               help="Train the best trial's network on all rows, validation included, into OUT/refit."),
        Option(["--ensemble"], type=click.IntRange(min=2), metavar="K", section=SEARCH,
               help="Make one network of the best K trials' networks, whose answers are averaged, in OUT/ensemble."),
    ]  # fmt: skip
    return command


@_search_options
@hadoop_options
@spec_options
@data_options(WEIGHTS, OFFSET)
@access_options
@train._yarn_options
@train._run_options
@click.command(cls=Command)
@click.argument("data", metavar="DATA")
def search_(data: str, out: str | None, **values: Any) -> None:
    """Try hyper-parameters on DATA, and keep the networks of all trials.

    All flags of hdl train are here, too; --param says which of them are tried.

    \b
    hdl search adult.csv --out found --validation 0.2 --trials 64 --scheduler halving \\
        --param lr=log:1e-4,1e-1 --param "net=0-{64,128}-0" --param dropout=0:0.5
    """
    from hdl import fs
    from hdl.search import trials

    names = [name for name in train.RUN_NAMES if name not in ("logs", "session")]
    run = {name: values.pop(name) for name in names} | {"logs": ()}
    asked = ("params", "trials", "limit", "sampler", "scheduler", "eta", "folds", "refit", "ensemble")
    given = {name: values.pop(name) for name in asked}
    settings = {name: values.pop(name, None) for name in train.YARN_NAMES}
    reach = take_access(values, run["runner"])
    run["workers"], settings["fewest_workers"] = train._workers(run["workers"], run["runner"])
    run["settings"] = train._yarn_settings(run["runner"], settings, starts=not run["dry_run"]) | reach
    if run["resume"] and run["overwrite"]:
        raise SpecError("--resume goes on with the search and --overwrite removes it: give one of them")
    before = trials.load(out) if out and run["resume"] else None
    if run["resume"] and before is None:
        raise TableError(f"{out}: no search to resume; without --resume a new one begins here")
    asked = _asked(given, values, before, run)
    if given["ensemble"] and asked.folds is not None:
        raise SpecError("--ensemble: with --folds each trial has a network a fold; give one of the two")
    options = take_data_options(values, before and before["options"])
    if run["dry_run"]:
        click.echo(strict_json.dumps(asked.to_plain(), indent=2))
        return
    if not out:
        raise click.UsageError("Missing option '--out'.", click.get_current_context())
    _prepare(data, out, options, run)
    plan = _carry_out(data, out, asked, options, before, given["limit"], run)
    _report(data, out, asked, plan, options, given, run)
    if fs.exists(fs.join(out, trials.REPORT)):
        click.echo(f"report        {fs.join(out, trials.REPORT)}")


def _asked(given: dict[str, Any], values: dict[str, Any], before: Any, run: dict[str, Any]) -> Any:
    """Make what is asked for of the flags; of a search that is resumed it is there, and only trials may be added."""
    from hdl.search import samplers, schedulers, trials

    if before:
        asked = before["asked"]
        wrong = [name for name in ("params", "sampler", "scheduler", "eta", "folds") if given[name]]
        wrong += [flag.name[2:] for flag in FLAGS if values[flag.key] is not None]
        for key in [flag.key for flag in FLAGS] + ["spec", "recipe"]:
            values.pop(key)
        if wrong:
            raise SpecError(f"--resume: the search was begun with its own {', '.join(wrong)}; leave them out")
        if given["trials"] not in (None, asked.trials):
            raise SpecError(f"--trials {given['trials']}: the search was begun with {asked.trials}; leave it out")
        return asked
    sampler, scheduler = given["sampler"] or "random", given["scheduler"] or "none"
    if sampler not in samplers.SAMPLERS:
        raise SpecError(f"--sampler: expected one of {', '.join(samplers.SAMPLERS)} (given {sampler!r})")
    schedulers.make(scheduler, 1)
    space = spaces.space(given["params"])
    keys = {flag.name[2:]: flag.key for flag in FLAGS}
    for each in space.parameters:
        if values.get(keys[each.name]) is not None:
            raise SpecError(f"--{each.name} and --param {each.name}: give one of them")
    shards = run["workers"] if run["runner"] != "local" and run["workers"] else 1
    folds, kept = given["folds"] is not None, dict(values)
    base = take_spec(values, None, shards, folds=folds)
    if not folds and not base.validated:
        base = take_spec(kept | {keys["validation"]: HELD_OUT}, None, shards)
        click.echo(f"trials are compared by {HELD_OUT} of the samples, held out (--validation, --folds)", err=True)
    if given["folds"] is not None and base.validated:
        raise SpecError("--folds: each of them is held out once; give one of --folds and --validation")
    asked = trials.Asked(given["trials"] or 20, sampler, scheduler, given["eta"] or schedulers.ETA, base.seed, space,
                         base, given["folds"])  # fmt: skip
    spaces.check(space, spaces.maker(base, base.shards))
    samplers.SAMPLERS[sampler](space, base.seed, 0, ())  # a library that is missing is told of now
    return asked


def _prepare(data: str, out: str, options: Any, run: dict[str, Any]) -> None:
    """See to it that the folder is as the user wants it, and that the data and the runner are there."""
    from hdl import fs
    from hdl.search import trials

    grid.check_place(data, out, options, run, "the search", "a search needs a folder of its own")
    there = fs.exists(fs.join(out, trials.FILE))
    if there and not run["resume"] and not run["overwrite"]:
        raise TableError(f"{out}: a search is there already; go on with --resume, or remove it with --overwrite")
    if run["overwrite"]:
        made = (trials.FILE, trials.TABLE, trials.REPORT, "refit", "ensemble")
        for name in fs.list(out) if fs.exists(out) else ():
            if name in made or re.fullmatch(r"trial\d{4,}", name):
                fs.remove(fs.join(out, name))


def _carry_out(
    data: str, out: str, asked: Any, options: Any, before: Any, limit: float | None, run: dict[str, Any]
) -> Any:
    """Train the trials, and return the plan, which holds all results."""
    import threading

    from hdl import folds, fs
    from hdl.cli.search_board import Leaderboard
    from hdl.search import trials
    from hdl.search.places import make_place
    from hdl.search.side_by_side import Search
    from hdl.table import owner

    cut = folds.cut(asked.folds, data, options) if asked.folds is not None else None
    deadline = time.monotonic() + limit if limit else None
    plan = trials.Plan(asked, spaces.maker(asked.base, asked.base.shards), before["trials"] if before else (), deadline)
    board = Leaderboard(asked.trials, lambda: trials.ranked([*plan.trials.values()]), run["quiet"])
    shares: dict[str, float] = {}
    lock, own = threading.RLock(), owner.claim(out)

    def make_runner(shards: int) -> Any:
        return training.make_runner(run["runner"], run["workers"], run["threads"], shards,
                                    **{"device": run["device"], **run["settings"]})  # fmt: skip

    place = make_place(run["runner"], run["workers"], run["threads"], run["device"], make_runner, board.say)

    def train_(one: Any, barrier: Any) -> Any:
        from hdl import driver
        from hdl.search.grid import result_of
        from hdl.search.side_by_side import attempted

        shares[one.name] = one.until

        def single(combination: Any, table: str) -> Any:
            def notify(event: Any) -> None:
                if isinstance(event, driver.Started):
                    board.findings(table, event.spec)
                board.event(one.name, event)

            return place.train(data, table, combination.spec, options, one.until, run["strict"], notify)

        if cut is None:
            return single(one, fs.join(out, one.name))
        parts = [attempted(each, lambda each: result_of(each, single(each, fs.join(out, one.name, each.name))))
                 for each in cut.combinations(one.spec)]  # fmt: skip
        return trials.joined(one, parts)

    def ended(result: Any) -> None:
        board.told(result, shares[result.name])

    class Kept:
        """The plan, whose results are written down as they come."""

        def ask(self) -> Any:
            return plan.ask()

        def tell(self, combination: Any, result: Any) -> None:
            plan.tell(combination, result)
            with lock:
                owner.check(out, own)
                trials.save(out, data, options, asked, [*plan.trials.values()])

    trials.save(out, data, options, asked, before["trials"] if before else ())
    try:
        with board, training.stoppable(), place:
            board.say(f"{asked.trials} trials of {', '.join(each.name for each in asked.space.parameters)}: "
                      f"sampler {asked.sampler}, scheduler {asked.scheduler}")  # fmt: skip
            if asked.scheduler == "asha" and place.slots > 1:
                board.say("beware: asha waits for nobody, so which trials go on depends on the machine; halving and "
                          "hyperband give the same table each time")  # fmt: skip
            Search(train_, ended, None, board.stop).carry_out(Kept(), place.slots)
    except KeyboardInterrupt:
        command = shlex.join(["hdl", "search", data, "--out", out, "--resume"])
        raise Interrupted(f"interrupted; the results so far are kept. Go on with: {command}") from None
    if plan.late:
        click.echo(f"the time is over: {len(plan.trials)} of {asked.trials} trials have begun", err=True)
    return plan


def _report(
    data: str, out: str, asked: Any, plan: Any, options: Any, given: dict[str, Any], run: dict[str, Any]
) -> None:
    """Write the table and the page, print the best trials, and report on the network that is kept."""
    from hdl import folds, fs
    from hdl.predict import Model
    from hdl.report import searches
    from hdl.search import combine, trials
    from hdl.search.grid import Combination
    from hdl.table import Table

    order = trials.ranked([*plan.trials.values()])
    made = trials.table(asked, order, plan.stopped())
    trials.write(out, made)
    if not run["no_report"]:
        try:
            searches.write(fs.join(out, trials.REPORT), data, asked, order, plan.stopped())
        except Unavailable as error:
            click.echo(f"no report: {error}", err=True)
    _print(order, plan.stopped())
    click.echo(f"{out} holds {trials.TABLE} and {trials.FILE}")
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
        (result,) = grid.search(data, out, [Combination("refit", best.values, spec)], [], options,
                                run, grid.open_logs(["refit"], out, run), lambda results: None,
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
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from hdl.cli.search_progress import score
    from hdl.search import trials
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
        click.echo(f"… and {len(order) - _SHOWN} more, in {trials.TABLE}")
