"""`hdl evaluate`: measuring what was trained."""

from __future__ import annotations

from typing import Any

import click

from hdl import strict_json
from hdl.cli.common import Command, at_option, core_options, hadoop_options, open_model, tell_reading
from hdl.cli.data_flags import OFFSET, WEIGHTS, data_options, take_data_options
from hdl.cli.scores import score_json, score_text


@hadoop_options
@data_options(WEIGHTS, OFFSET)
@click.command(cls=Command)
@click.argument("table", metavar="TABLE")
@click.argument("data", metavar="DATA")
@at_option
@core_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate_(
    table: str, data: str, which: str, threads: int | None, device: str, as_json: bool, **values: Any
) -> None:  # fmt: skip
    """Measure the network of TABLE on DATA: cost, accuracy, confusion matrix.

    DATA is anything that hdl train takes; FOLDER:test is the test part of a folder. The cost is the
    mean loss without regularisers.
    """
    from hdl.data import open_source

    model = open_model(table, which, threads, device)
    options = take_data_options(values, model.reading)
    source = open_source(data, options, model.schema, labels=model.schema.encoding != "none")
    tell_reading(source, model)
    score = model.evaluate(source)
    if options.weights and score.weight is None:
        click.echo(f"{data} has no column {options.weights!r}, of weights: each sample counts as one", err=True)
    if as_json:
        click.echo(strict_json.dumps({"table": table, "data": data, **score_json(score, model)}))
    else:
        click.echo(score_text(score, model.schema.classes))
