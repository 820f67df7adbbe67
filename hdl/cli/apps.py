"""`hdl status`, `hdl logs`, `hdl attach` and `hdl kill`: the applications of the YARN runner."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from typing import Any

import click

from hdl import strict_json
from hdl.cli import progress
from hdl.cli.common import Command, count, duration, hadoop_options, log_option, percent
from hdl.errors import HdlError, Interrupted, SpecError

WATCH_SECONDS = 0.5
ROUNDS, MESSAGES = 8, 4  # the last ones, that are shown
DIAGNOSTICS = 400  # characters of what YARN says of an application
CONTAINER = re.compile(r"container_(?:e\d+_)?\d+_\d+_\d+_\d+")

application = click.argument("application", metavar="APP")


@hadoop_options
@click.command(cls=Command)
@click.argument("application", metavar="[APP]", required=False)
@click.option("--watch", "-w", is_flag=True, help="Keep it up to date until the application is over, or Ctrl-C.")
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="Without APP: those with this tag; again for another."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, or a list without APP.")
def status_(application: str | None, watch: bool, tags: tuple[str, ...], as_json: bool) -> None:
    """Show what an application on YARN is doing: rounds, workers, what was said.

    Without APP: your applications, the newest first.
    """
    from hdl.runners import access
    from hdl.yarn.client import client

    if application is None:
        if watch:
            raise click.UsageError("--watch needs an APP.", click.get_current_context())
        reports = client.applications(access.tags(tags, "--tag"))
        if as_json:
            click.echo(strict_json.dumps([asdict(report) for report in reports]))
        elif reports:
            _print(_list(reports))
        else:
            click.echo(f"no application of hdl on this cluster{' with such a tag' * bool(tags)}")
        return
    if tags:
        raise click.UsageError("--tag is for the list, without an APP.", click.get_current_context())
    if as_json:
        report, page, why = _inspect(application)
        click.echo(strict_json.dumps({"report": asdict(report), "page": page, "no_page": why}))
    elif watch:
        _watch(application)
    else:
        _print(_view(*_inspect(application)))


@hadoop_options
@click.command(cls=Command)
@application
@click.option("--worker", metavar="N|CONTAINER", help="Of this worker alone.")
def logs_(application: str, worker: str | None) -> None:
    """Print what the processes of an application said: its master's, its workers', or one worker's."""
    from hdl.runners import logs
    from hdl.yarn.client import client

    report = client.report(application)
    client.check_visible(report)
    container = _container(report, worker) if worker is not None else ""
    lines, problems = 0, list[str]()
    for lines, line in enumerate(logs.log_lines(application, container, problems=problems), 1):  # noqa: B007 - counts
        click.echo(line)
    if not lines and report.over and not logs.collected():
        raise HdlError(f"{application} is over, and {logs.where(application, container)}")
    if not lines and not report.over and (why := logs.hidden()):
        raise HdlError(f"{application}: {why}; when it is over: {logs.log_command(application, container)}")
    if not lines:
        said = (
            f"`yarn logs` says: {problems[0]}" if problems else "nothing was said, or the nodes have not handed it over"
        )
        raise HdlError(f"{application}: {said}; try again, or: {logs.log_command(application, container)}")


@hadoop_options
@log_option
@click.command(cls=Command)
@application
@click.option("--no-report", is_flag=True, help="Make no TABLE/report.html.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
def attach_(application: str, no_report: bool, quiet: bool, logs: tuple[str, ...]) -> None:
    """Follow an application as `hdl train` does, and tell its results. Ctrl-C only stops following."""
    from hdl.cli.training import ENDS, finish
    from hdl.data import Options
    from hdl.loggers import open_log
    from hdl.yarn.client import client, follow
    from hdl.yarn.resource_manager import launch

    report = client.report(application)  # its virtual machine must be there before HDFS is looked at
    client.check_visible(report)
    if report.user != (me := launch.user()):
        raise HdlError(
            f"{application} is {report.user}'s: {report.user} alone may follow it to its end, as its folder and table "
            f"are theirs; what {me} may see of it is shown by: hdl status {application} --watch"
        )
    config = follow.task_config_of(application)
    if config.get("asked") is not None:
        raise SpecError(f"{application} measures {config['table']}: who submitted it by hdl evaluate gets the figures")
    log = open_log(logs, config["table"], progress.warn)
    with progress.show(quiet=quiet) as display:
        settings = config["settings"]
        show = progress.Teller(display, config["table"], settings["workers"], settings.get("fewest", 0))
        try:
            with log:
                outcome = follow.follow(application, progress.both(show, log))
        except KeyboardInterrupt:
            display.close()
            raise Interrupted(f"detached; {application} goes on. Follow it with: hdl attach {application}") from None
        display.close()
        if outcome.reason in ENDS:
            display.say(ENDS[outcome.reason])
    finish(config["data"], config["table"], Options.make(config["options"]), outcome, None, no_report, None)


@hadoop_options
@click.command(cls=Command)
@application
def kill_(application: str) -> None:
    """End an application. The versions that its table holds stay; `hdl train --resume` goes on from the last."""
    from hdl.yarn.client import client

    before = client.report(application)
    if before.over:
        click.echo(f"{application} was over: {before.final.lower()}")
        return
    client.kill(application)
    click.echo(f"killed {application}")


def _inspect(application: str) -> tuple[Any, dict[str, Any] | None, str]:
    """Get YARN's report, the master's own status while it has a page, and why it cannot be read if it cannot."""
    from hdl.yarn.client import client, events

    report = client.report(application)
    client.check_visible(report)
    if report.state != "RUNNING":
        return report, None, ""
    try:
        page = events.page(report.url, "status.json")
    except events.NoPage as error:
        return report, None, str(error)
    return report, page if isinstance(page, dict) else None, ""


def _container(report: Any, worker: str) -> str:
    """Find the container of a worker, by its number while it runs, or by its own name."""
    from hdl.runners import logs

    if CONTAINER.fullmatch(worker):
        return worker
    if not worker.isdecimal():
        raise SpecError(f"--worker: expected a number or a container's id (given {worker!r})")
    _, page, why = _inspect(report.application)
    if page:
        containers = {str(one.get("worker")): str(one.get("container")) for one in page.get("workers") or ()}
        if worker in containers and CONTAINER.fullmatch(containers[worker]):
            return containers[worker]
        raise SpecError(f"--worker: expected one of {', '.join(containers) or '(none yet)'} (given {worker})")
    names = dict.fromkeys(name for line in logs.log_lines(report.application) for name in CONTAINER.findall(line))
    raise SpecError(
        f"--worker {worker}: the application has no page that knows its workers ({why or report.state.lower()}); "
        f"give a container: {', '.join(names) or 'YARN has no logs of it'}"
    )


def _watch(application: str) -> None:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(highlight=False), auto_refresh=False, transient=False) as live:
        last = None
        while True:
            report, page, why = _inspect(application)
            last = page or last
            live.update(_view(report, last, why), refresh=True)
            if report.over:
                return
            time.sleep(WATCH_SECONDS)


def _print(thing: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a file has no edge
    console.print(thing)


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return table


def _list(reports: list[Any]) -> Any:
    table = _table("application", "state", ">done", ">age", "queue", "name")
    for one in reports:
        state = one.final if one.over else one.state
        age = duration(max(0.0, (one.finished or time.time()) - one.started))
        table.add_row(one.application, state.lower(), f"{100 * one.progress:.0f} %", age, one.queue, _text(one.name))
    return table


def _view(report: Any, page: dict[str, Any] | None, why: str = "") -> Any:
    """Draw one application: its head, its last rounds, its workers, the last messages; or why these are missing."""
    from rich.console import Group

    from hdl.yarn.client import events
    from hdl.yarn.dashboard.state import participation

    state = report.final if report.over else report.state
    lasted = duration(max(0.0, (report.finished or time.time()) - report.started))
    head = f"{report.application}  {state.lower()}, {lasted}, attempt {report.attempt}  {report.url}"
    parts: list[Any] = [_text(head)]
    if report.diagnostics:
        said = report.diagnostics if report.over else events.waits_for(report.diagnostics)
        parts.append(_text(said[:DIAGNOSTICS] + " …" * (len(said) > DIAGNOSTICS)))
    if why:
        parts.append(_text(f"{100 * report.progress:.0f} % done; its page is not shown: {why}"))
    if page:
        parts.append(_text(f"{page.get('stage') or page.get('state')}: round {page['round']} of {page['rounds']}"))
        if rows := [row for row in page.get("rows") or () if not row.get("final")]:
            parts += [_text(""), _rounds(rows[-ROUNDS:])]
        if workers := page.get("workers"):
            said = participation(workers, page.get("facts") or {})
            parts += [_text(""), *([_text(said)] if said else ()), _workers(workers)]
        parts += [_text(f"{_clock(said['time'])}  {said['text']}") for said in (page.get("messages") or [])[-MESSAGES:]]
    return Group(*parts)


def _rounds(rows: list[dict[str, Any]]) -> Any:
    names = [(f"val_{name}", f">val. {title}") for name, title in (("auc", "AUC"), ("r2", "R²"))]
    more = [(name, title) for name, title in names if any(isinstance(row.get(name), float) for row in rows)]
    head = [">round", ">cost", ">accuracy", ">val. cost", ">val. accuracy", *(title for _, title in more), ">seconds"]
    table = _table(*head)
    for row in rows:
        seconds = (row.get("seconds") or {}).get("round")
        table.add_row(
            str(row["round"] + 1), _number(row.get("cost")), percent(row.get("accuracy")), _number(row.get("val_cost")),
            percent(row.get("val_accuracy")), *(_number(row.get(name)) for name, _ in more),
            duration(seconds) if seconds is not None else "–",
        )  # fmt: skip
    return table


def _workers(workers: list[dict[str, Any]]) -> Any:
    """Draw the table of workers; the slowest is named where others have waited for it."""
    took = [one["seconds"] for one in workers if isinstance(one.get("seconds"), (int, float))]
    middle = sorted(took)[(len(took) - 1) // 2] if took else 0.0
    table = _table(">worker", "host", "shards", "state", ">seconds", ">staleness", "")
    for one in workers:
        seconds, stale = one.get("seconds"), one.get("staleness")
        slow = len(took) > 1 and seconds == max(took) and seconds > 1.2 * middle
        table.add_row(
            str(one.get("worker")), _text(one.get("host")), _text(", ".join(map(str, one.get("shards") or ()))),
            _text(one.get("state")), duration(seconds) if isinstance(seconds, (int, float)) else "–",
            "–" if stale is None else str(stale), "straggler" if slow else "",
        )  # fmt: skip
    return table if table.row_count else _text(count(0, "worker"))


def _text(value: Any) -> Any:
    """Make text that others said harmless: no markup, no control characters."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else " " for c in str(value if value is not None else "")))


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "–"


def _clock(moment: Any) -> str:
    return time.strftime("%H:%M:%S", time.localtime(float(moment)))
