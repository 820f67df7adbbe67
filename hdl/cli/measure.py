"""Measures for `hdl evaluate`: the flags of its runner and of importance, and the measuring itself."""

from __future__ import annotations

from typing import Any

import click

from hdl.cli import progress
from hdl.cli.common import OneNumber, Option, aligned
from hdl.cli.session_flags import session_option
from hdl.cli.yarn_flags import container_options
from hdl.errors import HdlError, SpecError

RUN = "Run"
IMPORTANCE = "Importance"
# Flags of --runner yarn: field of its settings by name.
YARN_NAMES = {"worker_memory": "memory", "worker_vcores": "vcores", "master_memory": "master_memory", "queue": "queue"}
FLAGS = ("runner", "workers", "session", "importance", "importance_rows", "repetitions", *YARN_NAMES)
MOST_SHOWN = 30  # columns in a terminal


def measure_options(command: click.Command) -> click.Command:
    """Add the flags of where is measured, and of importance."""
    from hdl.cli.training import RUNNERS

    count = click.IntRange(min=1)
    command.params += [
        Option(["--runner"], type=click.Choice([*RUNNERS]), default="local", section=RUN,
               help="Who does the work; figures are the same to the last digit.  [default: local]"),
        Option(["--workers"], type=OneNumber(), metavar="N", section=RUN,
               help="Worker processes; default: the processors where the data is large, and one a part on a cluster."),
        *container_options(RUN),
        session_option(RUN),
        Option(["--importance"], is_flag=True, section=IMPORTANCE,
               help="How much worse the network gets where a column's cells are shuffled, and how its answers depend "
                    "on the ten columns that matter most; kept in TABLE for hdl report."),
        Option(["--importance-rows"], type=count, metavar="N", section=IMPORTANCE,
               help="Rows that this is computed on, drawn from all.  [default: 10000]"),
        Option(["--repetitions"], type=count, metavar="N", section=IMPORTANCE,
               help="Times that each column is shuffled.  [default: 5]"),
    ]  # fmt: skip
    return command


def prepare(flags: dict[str, Any]) -> None:
    """Refuse flags that do not go together, and start Java for YARN: it must be there before HDFS is read.

    Raises
    ------
    SpecError
    """
    runner = flags["runner"]
    given = [name for name in YARN_NAMES if flags[name] is not None]
    if given and runner != "yarn":
        listed = ", ".join("--" + name.replace("_", "-") for name in given)
        raise SpecError(f"{listed}: for --runner yarn only (given --runner {runner})")
    more = [name for name in ("importance_rows", "repetitions") if flags[name] is not None]
    if more and not flags["importance"]:
        raise SpecError(f"--{more[0].replace('_', '-')}: goes with --importance")
    if runner == "yarn":
        from hdl.yarn.client import connection

        connection.warm()
        connection.prepare()


def measure(
    model: Any, data: str, source: Any, options: Any, flags: dict[str, Any], metric: str | None,
    threshold: float | None, threads: int | None, device: str,
) -> tuple[Any, Any]:  # fmt: skip
    """Measure a network as the flags say: its score, and the effects of its columns or None.

    Parameters
    ----------
    metric : str, optional
        Of importance.
    """
    from hdl import devices, passes, session
    from hdl.cli.training import make_runner, stoppable
    from hdl.importance import REPETITIONS, ROWS
    from hdl.measuring import Asked
    from hdl.measuring import measure as carried_out
    from hdl.runners.base import Job
    from hdl.runners.local import LocalRunner

    runner, workers, parts = flags["runner"], flags["workers"], passes.count(source)
    if runner == "local":
        workers = min(workers or passes.workers(source, devices.cores()), parts)
    # Data of few parts is measured in this process, in a session too: each of its workers has a part, or none has.
    here = parts < session.current.workers if session.current else runner == "local" and workers == 1
    if here and not flags["importance"]:
        return model.evaluate(source, threshold), None
    rows = (flags["importance_rows"] or ROWS) if flags["importance"] else 0
    asked = Asked(model.version.number, rows, flags["repetitions"] or REPETITIONS, metric)
    settings = {field: flags[name] for name, field in YARN_NAMES.items() if flags[name] is not None}
    if here:
        made: Any = LocalRunner(1, threads, device=device)
    else:
        made = make_runner(runner, workers, threads, parts, device=device, **settings)
    with progress.show() as display, stoppable():
        tell = progress.Teller(display, model.path, made.workers)
        found = carried_out(Job(data, model.path, options=options), made, tell, asked, threshold)
        display.close()
    return found.score, found.effects


def keep(model: Any, data: str, score: Any, effects: Any) -> None:
    """Keep effects beside the table, where the report finds them; what hinders that is told, and ends nothing."""
    from hdl.report import Measured, gather
    from hdl.table import Table

    try:
        if Table(model.path).best() != model.version.number:
            said = f"version {model.version.number} is not the best one, which hdl report shows: they are not kept"
            click.echo(f"importance: {said}", err=True)
            return
        signature = model.version.signature
        measured = gather.load_measured(model.path, signature)
        own = next((one for one in measured if one.source == data), None)
        if own is None:
            own = Measured.of(score, data, "Test")
            measured.append(own)
        own.effects = effects.to_plain()
        gather.save_measured(model.path, signature, measured)
        click.echo(f"importance: kept in {model.path} for hdl report", err=True)
    except (HdlError, OSError) as error:
        click.echo(f"importance: not kept for hdl report: {error}", err=True)


def effects_text(effects: Any) -> str:
    """Write the importance of columns for people."""
    from hdl.metrics import METRICS

    title = METRICS[effects.metric].title
    some = "all" if effects.rows == effects.of else f"{effects.rows:,} of {effects.of:,}"
    worse = "lower" if effects.higher else "higher"
    head = (
        f"importance  how much {worse} the {title} gets ({effects.baseline:.4g}) where a column's cells are shuffled, "
    )
    head += f"{effects.repetitions} times, on {some} samples"
    shown = effects.importance[:MOST_SHOWN]
    drops = [f"{one.drop:.4g}" for one in shown]
    width = max(map(len, drops), default=0)
    lines = [(one.column, f"{drop:>{width}} ± {one.spread:.2g}") for one, drop in zip(shown, drops, strict=True)]
    rest = len(effects.importance) - len(shown)
    lines += [(f"and {rest:,} more", "(--json has all)")] if rest else []
    return f"{head}\n{aligned(lines)}"
