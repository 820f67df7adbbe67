"""`hdl evaluate`: measuring what was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from hdl import strict_json
from hdl.cli.common import (
    Command,
    at_option,
    core_options,
    hadoop_options,
    open_model,
    take_threshold,
    tell_reading,
    threshold_option,
    with_spill,
)
from hdl.cli.data_flags import OFFSET, WEIGHTS, data_options, take_data_options
from hdl.cli.measure import FLAGS, YARN_NAMES, effects_text, keep, measure, measure_options, prepare
from hdl.cli.session_flags import take_session
from hdl.errors import DataError, SpecError


@hadoop_options
@data_options(WEIGHTS, OFFSET)
@measure_options
@with_spill
@click.command(cls=Command)
@click.argument("table", metavar="TABLE")
@click.argument("data", metavar="DATA")
@click.option("--metric", "names", multiple=True, metavar="NAME",
              help="Print this measure alone, in all its digits; again for another one.")  # fmt: skip
@threshold_option
@click.option("--curves", is_flag=True, help="With --json: the points of the curves too.")
@at_option
@core_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate_(
    table: str, data: str, names: tuple[str, ...], threshold: str | None, curves: bool, which: str,
    threads: int | None, device: str, as_json: bool, **values: Any
) -> None:  # fmt: skip
    """Measure the network of TABLE on DATA.

    Of classes: cost, accuracy, AUC, PR-AUC, log loss, Brier score, F1, MCC and balanced accuracy at the
    best thresholds, figures of each class, confusion matrix, gains and calibration; of numbers RMSE, MAE,
    R² and the loss's deviance. docs/measuring.md defines each.

    DATA is anything that hdl train takes; FOLDER:test is the test part of a folder. The cost is the
    mean loss without regularisers. All figures are the same to the last digit whoever measures and with
    any number of workers, since the data alone decides into which parts it is cut.
    """
    from hdl.cli.scores import score_json, score_text
    from hdl.data import open_source

    flags = {name: values.pop(name) for name in FLAGS}
    own: dict[str, Any] = {"threads": threads, "device": device}
    take_session(flags.pop("session"), own, {name: flags[name] for name in YARN_NAMES})
    threads, device = own.pop("threads"), own.pop("device")
    flags |= own
    prepare(flags)
    if curves and not as_json:
        raise SpecError("--curves: are points for a program; give --json beside it (pictures of them: hdl report)")
    if names and as_json:
        raise SpecError("--metric and --json: give one of them; JSON has all measures, under metrics")
    model = open_model(table, which, threads, device if flags["runner"] == "local" else "cpu")
    _check(names, model)
    options = take_data_options(values, model.reading)
    known = take_threshold(model, threshold)
    source = open_source(data, options, model.schema, labels=model.schema.encoding != "none")
    tell_reading(source, model)
    metric, at = names[0] if names else None, None if known is None else known.value
    score, effects = measure(model, data, source, options, flags, metric, at, threads, device)
    if options.weights and score.weight is None:
        click.echo(f"{data} has no column {options.weights!r}, of weights: each sample counts as one", err=True)
    if names:
        _print(names, score, data)
    elif as_json:
        more = {} if effects is None else {"effects": effects.to_plain()}
        about = {} if known is None else {"threshold": known.value, "threshold_best_for": known.best_for}
        click.echo(
            strict_json.dumps({"table": table, "data": data, **about, **score_json(score, model, curves), **more})
        )
    else:
        click.echo(score_text(score, model.schema, known))
    if effects is not None:
        if not as_json:
            click.echo(("" if names else "\n") + effects_text(effects), err=bool(names))
        keep(model, data, score, effects)


def _check(names: Sequence[str], model: Any) -> None:
    """Refuse measures that a network has not, before anything is read."""
    from hdl.metrics import METRICS

    for name in names:
        if name not in METRICS or not METRICS[name].fits(model.spec):
            own = ", ".join(known for known, metric in METRICS.items() if metric.fits(model.spec))
            raise SpecError(f"--metric: this network has no measure {name!r}; expected one of {own}")


def _print(names: Sequence[str], score: Any, data: str) -> None:
    """Print measures in all their digits: one alone as a number, several as a name and a number a line."""
    found = {"cost": score.cost, **score.metrics}
    for name in names:
        if found.get(name) is None:
            why = "its samples are all of one class" if score.majority == 1 else "it is not defined there"
            raise DataError(f"--metric {name}: cannot be measured on this data, since {why}", data)
    for name in names:
        click.echo(f"{found[name]!r}" if len(names) == 1 else f"{name} {found[name]!r}")
