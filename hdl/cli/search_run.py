"""The trials of `hdl search`: trains them, shows them while it does, and writes down what comes of each."""

from __future__ import annotations

import re
import shlex
import time
from typing import Any

import click

from hdl.cli import grid, progress, spaces, training
from hdl.errors import Interrupted, SessionEnded, TableError


def prepare(data: str, out: str, options: Any, run: dict[str, Any]) -> None:
    """See to it that the folder is as the user wants it, and that the data and the runner are there."""
    from hdl import fs
    from hdl.search import results, trials

    grid.check_place(data, out, options, run, "the search", "a search needs a folder of its own")
    there = fs.exists(fs.join(out, trials.FILE))
    if there and not run["resume"] and not run["overwrite"]:
        raise TableError(f"{out}: a search is there already; go on with --resume, or remove it with --overwrite")
    grid.open_logs([trials.name_of(0)], out, run)  # what is wrong with --log is told before anything is removed
    if run["overwrite"]:
        made = (trials.FILE, results.TABLE, results.REPORT, "refit", "ensemble")
        for name in fs.list(out) if fs.exists(out) else ():
            if name in made or re.fullmatch(r"trial\d{4,}", name):
                fs.remove(fs.join(out, name))


def carry_out(
    data: str, out: str, asked: Any, options: Any, before: Any, limit: float | None, run: dict[str, Any]
) -> Any:
    """Train the trials, and return the plan, which holds all results."""
    import threading

    from hdl import folds, fs, session
    from hdl.cli.search_board import Leaderboard
    from hdl.loggers import open_log
    from hdl.search import trials
    from hdl.search.inherit import inherit
    from hdl.search.side_by_side import Search
    from hdl.table import owner

    cut = folds.cut(asked.folds, data, options) if asked.folds is not None else None
    deadline = time.monotonic() + limit if limit else None
    plan = trials.Plan(asked, spaces.maker(asked.base, asked.base.shards), before["trials"] if before else (), deadline)
    board = Leaderboard(asked.trials, lambda: trials.ranked([*plan.trials.values()]), run["quiet"])
    shares: dict[str, float] = {}
    lock, own = threading.RLock(), owner.claim(out)

    place = _place(out, run, board.say)

    def train_(one: Any, barrier: Any) -> Any:
        from hdl import driver
        from hdl.search.grid import result_of
        from hdl.search.side_by_side import attempted

        shares[one.name] = one.until

        def single(combination: Any, *fold: str) -> Any:
            table = fs.join(out, one.name, *fold)
            if one.parents:
                inherit([fs.join(out, parent, *fold) for parent in one.parents], table, combination.spec, one.bred)

            def notify(event: Any) -> None:
                if isinstance(event, driver.Started):
                    board.findings(table, event.spec)
                board.event(one.name, event)
                log(event)

            anew = run["overwrite"] and driver.begun(table) is None
            with open_log(run["logs"], table, progress.warn, anew, "/".join((one.name, *fold))) as log:
                return place.train(data, table, combination.spec, options, one.until, run["strict"], notify)

        if cut is None:
            return single(one)
        parts = [attempted(each, lambda each: result_of(each, single(each, each.name)))
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
    except (KeyboardInterrupt, SessionEnded) as error:
        by = ["--session", session.name] if session.name else []
        command = shlex.join(["hdl", "search", data, "--out", out, "--resume", *by])
        if isinstance(error, SessionEnded):
            raise SessionEnded(f"{error}: {command}") from None
        raise Interrupted(f"interrupted; the results so far are kept. Go on with: {command}") from None
    if plan.late:
        click.echo(f"the time is over: {len(plan.trials)} of {asked.trials} trials have begun", err=True)
    return plan


def side_by_side(run: dict[str, Any]) -> bool:
    """Tell whether a worker has a trial for itself: its number of shards is then not that of the workers."""
    from hdl import session

    yarn = run["runner"] == "yarn" or session.current is not None
    return run["runner"] == "local" or (yarn and not run["spread"])


def _place(out: str, run: dict[str, Any], say: Any) -> Any:
    """Make the place where trials train."""
    from hdl import session
    from hdl.search.places import KeptPlace, make_place

    def make_runner(shards: int) -> Any:
        return training.make_runner(run["runner"], run["workers"], run["threads"], shards,
                                    **{"device": run["device"], **run["settings"]})  # fmt: skip

    if session.current is not None:
        return KeptPlace(lambda: session.current, session.current.workers, run["spread"])
    if run["runner"] == "yarn":
        from hdl.session.yarn import of_search

        workers = run["workers"] or 1
        fields = {"workers": workers, "threads": run["threads"], "device": run["device"], **run["settings"]}
        return KeptPlace(lambda: of_search(out, fields, say), workers, run["spread"], fields.get("attempts") or 2, True)
    return make_place(run["runner"], run["workers"], run["threads"], run["device"], make_runner, say)
