"""`hdl search`: tries hyper-parameters, and keeps the best network."""

from __future__ import annotations

import re
from typing import Any

import click

from hdl import strict_json
from hdl.cli import search_results, search_run, spaces, train
from hdl.cli.access import access_options, take_access
from hdl.cli.common import Command, Option, hadoop_options
from hdl.cli.data_flags import OFFSET, WEIGHTS, data_options, take_data_options
from hdl.cli.flags import FLAGS, spec_options, take_spec
from hdl.cli.session_flags import take_session
from hdl.cli.yarn_flags import workers_of
from hdl.errors import SpecError, TableError
from hdl.models import stack

SEARCH = "Search"
HELD_OUT = "0.2"  # of the samples, where nobody says how trials are compared
_ASKED = ("params", "sampler", "scheduler", "eta", "generations", "breed", "folds")  # when a search begins
_NOT = ("grid", "oof", "final", "folds", "detach")  # of `hdl train`


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
        Option(["--scheduler"], metavar="none|halving|hyperband|asha|median|pbt", section=SEARCH,
               help="Which trials stop early. asha is asynchronous: its table depends on who is first. pbt is "
                    "population based training.  [default: none]"),
        Option(["--eta"], type=click.IntRange(min=2), metavar="N", section=SEARCH,
               help="Of halving, hyperband and asha: of so many trials one goes on; of pbt: one is replaced."
                    "  [default: 3; pbt: 4]"),
        Option(["--generations"], type=click.IntRange(min=2), metavar="N", section=SEARCH,
               help="Of pbt: after each the worst trials go on from the best ones.  [default: 10]"),
        Option(["--breed"], is_flag=True, section=SEARCH,
               help="Of pbt: children's weights are crossed over and mutated as with --sync genetic, by its flags."),
        Option(["--folds"], metavar="K|column:NAME", section=SEARCH,
               help="Measure a trial by cross-validation, in place of --validation."),
        Option(["--spread"], is_flag=True, section=SEARCH,
               help="On YARN: each trial trains on all workers, one after the other; else each on one, side by side. "
                    "For data that is more than one worker's memory."),
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
    from hdl.search import trials

    run = {name: values.pop(name) for name in train.RUN_NAMES}
    session, run["init_from"] = run.pop("session"), ""  # trials begin with weights of their own
    asked = ("params", "trials", "limit", "sampler", "scheduler", "eta", "generations", "breed", "folds",
             "refit", "ensemble")  # fmt: skip
    given = {name: values.pop(name) for name in asked}
    run["spread"] = values.pop("spread")
    settings = {name: values.pop(name, None) for name in train.YARN_NAMES}
    reach = take_access(values, run["runner"])
    run["workers"], settings["fewest_workers"] = workers_of(run["workers"], run["runner"])
    take_session(session, run, settings)
    if run["spread"] and run["runner"] != "yarn":
        raise SpecError(f"--spread: for workers on YARN (given --runner {run['runner']})")
    run["settings"] = train._yarn_settings(run["runner"], settings, starts=not (run["dry_run"] or session)) | reach
    if run["resume"] and run["overwrite"]:
        raise SpecError("--resume goes on with the search and --overwrite removes it: give one of them")
    before = trials.load(out) if out and run["resume"] else None
    if run["resume"] and before is None:
        raise TableError(f"{out}: no search to resume; without --resume a new one begins here")
    asked = _asked(given, values, before, run)
    if given["ensemble"] and asked.folds is not None:
        raise SpecError("--ensemble: with --folds each trial has a network a fold; give one of the two")
    if given["refit"] and asked.scheduler == "pbt":
        raise SpecError("--refit: the best network of a population has had several settings, one after the other; "
                        "--ensemble makes one of several networks")  # fmt: skip
    options = take_data_options(values, before and before["options"])
    if run["dry_run"]:
        click.echo(strict_json.dumps(asked.to_plain(), indent=2))
        return
    if not out:
        raise click.UsageError("Missing option '--out'.", click.get_current_context())
    search_run.prepare(data, out, options, run)
    plan = search_run.carry_out(data, out, asked, options, before, given["limit"], run)
    search_results.report(data, out, asked, plan, options, given, run)


def _asked(given: dict[str, Any], values: dict[str, Any], before: Any, run: dict[str, Any]) -> Any:
    """Make what is asked for of the flags; of a search that is resumed it is there, and only trials may be added."""
    from hdl.search import population, samplers, schedulers, trials

    if before:
        asked = before["asked"]
        wrong = [name for name in _ASKED if given[name]]
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
    pbt = scheduler == "pbt"
    for name in ("generations", "breed"):
        if given[name] and not pbt:
            raise SpecError(f"--{name}: belongs to --scheduler pbt")
    space = spaces.space(given["params"])
    keys = {flag.name[2:]: flag.key for flag in FLAGS}
    for each in space.parameters:
        if values.get(keys[each.name]) is not None:
            raise SpecError(f"--{each.name} and --param {each.name}: give one of them")
    shards = 1 if search_run.side_by_side(run) else run["workers"] or 1
    if pbt:
        _check_population(sampler, values[keys["patience"]])
        values[keys["patience"]] = "0"
    folds, kept = given["folds"] is not None, dict(values)
    base = take_spec(values, None, shards, folds=folds)
    if not folds and not base.validated:
        base = take_spec(kept | {keys["validation"]: HELD_OUT}, None, shards)
        click.echo(f"trials are compared by {HELD_OUT} of the samples, held out (--validation, --folds)", err=True)
    if given["folds"] is not None and base.validated:
        raise SpecError("--folds: each of them is held out once; give one of --folds and --validation")
    eta = given["eta"] or (population.ETA if pbt else schedulers.ETA)
    generations = _generations(given["generations"], base) if pbt else 1
    asked = trials.Asked(given["trials"] or 20, sampler, scheduler, eta, base.seed, space, base, given["folds"],
                         generations, given["breed"])  # fmt: skip
    spaces.check(space, spaces.maker(base, base.shards))
    samplers.SAMPLERS[sampler](space, base.seed, 0, ())  # a library that is missing is told of now
    return asked


def _check_population(sampler: str, patience: Any) -> None:
    """Refuse what does not go with a population."""
    if sampler == "tpe":
        raise SpecError("--scheduler pbt: a population begins together, and --sampler tpe learns from trials before")
    if patience is not None:
        raise SpecError("--patience: --scheduler pbt gives the place of its worst trials to others; leave it out")


def _generations(given: int | None, base: Any) -> int:
    """Tell how many generations a population has: each trains a round or more."""
    from hdl.search.population import GENERATIONS

    if base.model in stack.STACKS:
        raise SpecError(f"--scheduler pbt: expected a model of one training (given {base.model})")
    most = max(1, base.epochs // base.sync.every) if base.sync.unit == "epochs" else max(GENERATIONS, given or 0)
    if given and given > most:
        raise SpecError(f"--generations: expected at most as many as rounds, {most} (given {given})")
    return given or min(GENERATIONS, most)
