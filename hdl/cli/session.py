"""`hdl session`: worker processes that stay, and take one command after the other."""

from __future__ import annotations

import os
import shlex
import time
from typing import Any

import click

from hdl import strict_json
from hdl.cli.access import access_options, take_access
from hdl.cli.common import Command, DeviceName, Option, count, duration
from hdl.cli.yarn_flags import SECTION, Duration, Memory, WorkerCount, container_options, workers_of
from hdl.errors import HdlError, SpecError

IDLE = "30m"
WORKERS = "Workers"
LOCAL = ("memory",)  # flags of one runner's workers alone
YARN = ("worker_memory", "worker_vcores", "master_memory", "queue", "node_label", "gather_timeout")


@click.group("session")
def session_() -> None:
    """Start, list and stop sessions: workers that stay, with their decoded data.

    \b
    hdl session start --workers 4
    hdl train digits.csv --out model --session local
    """


@access_options
@session_.command(cls=Command)
@click.pass_context
def start(context: click.Context, runner: str, name: str | None, idle: float, **settings: Any) -> None:
    """Start a session and return when it takes commands.

    A command with --session NAME is what it is with the --runner and --workers of the session, to the byte.
    Commands that are there at once share the workers: a training has all of them, a trial of a search or a fit of
    scikit-learn's one, in the order in which they came. Its owner alone can use it; on YARN others may be allowed to
    look at it, or to end it.
    """
    from hdl.session import starting

    name = name or runner
    settings["workers"], settings["fewest"] = workers_of(settings["workers"], runner)
    reach = take_access(settings, runner)
    given = _checked(runner, settings) | reach
    if runner == "yarn":
        from hdl.cli.train import YARN_NAMES

        given = {YARN_NAMES.get(flag, flag): value for flag, value in given.items()}
        for flag in ("python", "archive"):  # as for hdl train
            if value := os.environ.get(f"HDL_NODE_{flag.upper()}"):
                given[flag] = value
        # A second master would know nothing of the orders; what runs goes on by --resume.
        given |= {"name": f"hdl session: {name}", "session": True, "session_idle": idle, "attempts": 1}
    elif "memory" in given:
        given["memory"] <<= 20
    record = starting.start(name, runner, idle, given, ["hdl", "session", "start", *_given(context)])
    ends = f"it ends after {duration(idle)} without a command" if idle else "it ends when it is stopped"
    where = record.get("application") or f"process {record['pid']}"
    click.echo(
        f"session {name}: {_number(given)} of runner {runner}, {where}; {ends}.\nUse it: hdl train … --session {name}"
    )


def _checked(runner: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the flags that were given, if they are the runner's."""
    given = {flag: value for flag, value in settings.items() if value is not None}
    other = [flag for flag in given if flag in (LOCAL if runner == "yarn" else YARN)]
    if other:
        flags = ", ".join("--" + flag.replace("_", "-") for flag in other)
        raise SpecError(f"{flags}: not for sessions of --runner {runner}")
    return given


def _number(settings: dict[str, Any]) -> str:
    """Write how many workers there are, or may be."""
    fewest = f"{settings['fewest']} to " if settings.get("fewest") else ""
    return fewest + count(settings["workers"], "worker")


def _given(context: click.Context) -> list[str]:
    """Return the flags of the command line, for the sentence that says how a session is started again."""
    words = []
    for param in context.command.params:
        value = context.params.get(param.name or "")
        if context.get_parameter_source(param.name or "") is click.core.ParameterSource.COMMANDLINE:
            if isinstance(param.type, WorkerCount) and value:
                value = value[0] if value[0] == value[1] else f"{value[0]}:{value[1]}"
            for one in value if isinstance(value, tuple) else [value]:
                shown = f"{one}m" if isinstance(param.type, Memory) else one
                shown = f"{one:g}s" if isinstance(param.type, Duration) else shown
                words += [param.opts[0], str(shown)]
    return words


start.params[:0] = [
    Option(["--runner"], type=click.Choice(["local", "yarn"]), default="local",
           help="Where the workers are.  [default: local]"),
    Option(["--name"], metavar="NAME", help="Of the session.  [default: the runner's]"),
    Option(["--idle"], type=Duration(zero=True), metavar="TIME", default=IDLE,
           help=f"Time without a command after which the session ends by itself; 0: never.  [default: {IDLE}]"),
    Option(["--workers"], type=WorkerCount(), metavar="N|A:B", default="1", section=WORKERS,
           help="Worker processes; on YARN 2:8 begins with 2 and uses up to 8, as they come and go.  [default: 1]"),
    Option(["--threads"], type=click.IntRange(min=1), metavar="N", section=WORKERS,
           help="Threads a worker; default: all processors shared out."),
    Option(["--device"], type=DeviceName(), metavar="NAME", default="cpu", section=WORKERS,
           help="What each worker computes on, as of hdl train.  [default: cpu]"),
    Option(["--memory"], type=Memory(), metavar="SIZE", section=WORKERS,
           help="That decoded data may take in all local workers together; what was used longest ago goes first. On "
                "YARN it is half of --worker-memory in each.  [default: half of this machine's]"),
    *container_options(SECTION),
    Option(["--node-label"], metavar="NAME", section=SECTION, help="Run on nodes of this label only."),
    Option(["--gather-timeout"], type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", section=SECTION,
           help="Wait for all workers' containers, at the first command.  [default: 180]"),
]  # fmt: skip


@session_.command("list", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """Show your sessions: what runs, who has which workers, who waits, and which data is kept."""
    from hdl.session import client, places

    states = []
    for name in places.names():
        try:
            states.append(client.ask(name, "state"))
        except HdlError as error:
            states.append({"name": name, "error": str(error)})
    if as_json:
        click.echo(strict_json.dumps(states))
    elif not states:
        click.echo("no session; start one with: hdl session start --workers N")
    else:
        click.echo("\n\n".join(_told(state) for state in states))


def _told(state: dict[str, Any]) -> str:
    """Write what a session says of itself."""
    if "error" in state:
        return f"{state['name']}: {state['error']}"
    since = duration(max(0.0, time.time() - state["since"]))
    lines = [f"{state['name']}: {_number(state['settings'])} of runner {state['runner']}, process "
             f"{state['pid']}, {state['done']} commands and fits done"]  # fmt: skip
    lines += [f"  runs: hdl {shlex.join(args)}" for args in state["running"]]
    if not state["running"]:
        lines.append(f"  idle for {since}" + (f", ends after {duration(state['idle'])}" if state["idle"] else ""))
    lines += [f"  waits: hdl {shlex.join(args)}" for args in state["waiting"]]
    lines += [f"  {_turn(turn)}" for turn in state["turns"]]
    held = sum(one["bytes"] for one in state["kept"])
    lines.append(f"  decoded data: {_size(held)} of {_size(state['memory'])}")
    for one in state["kept"]:
        files = f", and {_size(one['files'])} in files" if one["files"] else ""
        ago = duration(max(0.0, time.time() - one["used"]))
        lines.append(f"    {one['data']}: {_size(one['bytes'])}{files}, used {ago} ago")
    if state["used"]:
        lines.append(f"  memory of the workers: {', '.join(_size(each) for each in state['used'])}")
    return "\n".join(lines)


def _turn(turn: dict[str, Any]) -> str:
    """Write who has workers, or waits for them, and for how long."""
    has = ", ".join(map(str, turn["workers"]))
    who = "all workers" if turn["whole"] else f"worker {has}" if has else "a worker"
    since = duration(max(0.0, time.time() - turn["since"]))
    return f"{'' if has else 'waits for '}{who}: {turn['what']}, for {since}"


def _size(number: float) -> str:
    return f"{number / 2**30:,.1f} GiB" if number >= 2**30 else f"{number / 2**20:,.1f} MiB"


@session_.command(cls=Command)
@click.argument("name", metavar="NAME")
def stop(name: str) -> None:
    """End a session: what runs stops like at Ctrl-C, and its table keeps the last version."""
    from hdl.session import client, places

    record = places.read_record(places.place(name))
    try:
        state = client.ask(name, "stop")
    except SpecError:
        if not record:
            raise
        places.remove(places.place(name))  # of a process that has died
        click.echo(f"session {name} had died; nothing of it is left")
        return
    client.wait_end(name)
    said = "".join(f"; it was running: hdl {shlex.join(args)}" for args in state["running"])
    click.echo(f"session {name} has ended{said}")
