"""`hdl predict` and `hdl encode`: the answers of what was trained, and its codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hdl.cli.common import (
    Command,
    OneNumber,
    at_option,
    core_options,
    count,
    hadoop_options,
    open_model,
    take_threshold,
    tell_reading,
    threshold_option,
    with_spill,
)
from hdl.cli.data_flags import KEEP, OFFSET, data_options, take_data_options
from hdl.cli.session_flags import take_session, with_session
from hdl.errors import DataError, SpecError
from hdl.prediction_writer import refuse_kept


@hadoop_options
@data_options(OFFSET, KEEP)
@with_spill
@with_session
@click.command(cls=Command)
@click.argument("table", metavar="TABLE")
@click.argument("data", metavar="DATA")
@click.option(
    "--out", required=True, metavar="FILE",
    help="Where to write: .csv, .parquet or .npy; - is CSV on stdout. With --runner mapreduce a new folder on HDFS.",
)  # fmt: skip
@threshold_option
@click.option("--labels-only", is_flag=True, help="Write the classes and no probabilities.")
@click.option("--overwrite", is_flag=True, help="Replace a FILE that is there.")
@click.option("--runner", type=click.Choice(["local", "mapreduce"]), default="local", help="Who does the work.")
@click.option("--workers", type=OneNumber(), metavar="N", help="Map tasks; default: one for 64 MB of data.")
@at_option
@core_options
def predict_(
    table: str, data: str, out: str, threshold: str | None, labels_only: bool, overwrite: bool, runner: str,
    workers: int | None, which: str, threads: int | None, device: str, session: str | None, **values: Any
) -> None:  # fmt: skip
    """Write the answers of TABLE's network for DATA, one a record, in input order.

    CSV and Parquet get a column `label` and one column of probability a class; npy gets the
    probabilities [N, C] as float32. For regression there are values in place of probabilities. DATA
    may lack labels. FILE appears whole or not at all.

    Of two classes the more probable one is the label, or, with --threshold, the second one from that
    probability on; the names f1, mcc and balanced mean what was best for F1, Matthews' correlation and
    the balanced accuracy on the samples that the training held out.

    A record that cannot be read, or to which the network's answer is not finite, has a line without
    an answer: empty cells, nulls, or NaN. Of more such lines than --max-bad-records the exit status is
    3; FILE is written all the same.

    The map-only job of --runner mapreduce writes one file a part of DATA, part-00000.csv and so on (or
    .parquet, .npy, as the folder's name ends): together, in the order of their names, they are the
    answers in input order. _lineage.json beside them says which records each file answers, and by
    which weights.
    """
    from hdl import outputs, prediction_files
    from hdl.data import Bad, open_source

    threads, device = _in_session(session, threads, device)
    if out != "-" and runner == "local":
        outputs.check(out, overwrite)
    model = open_model(table, which, threads, device if runner == "local" else "cpu")
    classes = list(model.schema.classes) or None
    if labels_only and classes is None:
        raise SpecError("--labels-only: this network has no classes")
    known = take_threshold(model, threshold)
    options = take_data_options(values, model.reading | {"weights": None})
    suffix = ".csv" if out == "-" else Path(out).suffix.lower()
    refuse_kept(suffix, options.keep)
    source = open_source(data, options, model.schema, labels=False)
    tell_reading(source, model)
    if runner == "mapreduce":
        from hdl.runners.mapreduce import predict

        made = predict(table, model, data, source, out, workers, device, options, known, labels_only=labels_only)
        click.echo(f"{count(made.lines.records, 'answer')} in {count(made.files, 'file')} in {out}", err=True)
        tell_empty(made.lines, made.places, options, out)
        return
    bad, kept = Bad(sys.maxsize), source.kept_schema
    answered = model.predict(source, bad, None if known is None else known.value)
    if out == "-":
        lines = prediction_files.write(sys.stdout.buffer, ".csv", model, answered, labels_only, kept)
    else:
        with outputs.placing(out) as file:
            lines = prediction_files.write(file, suffix, model, answered, labels_only, kept)
        click.echo(f"{count(lines.records, 'answer')} in {out}", err=True)
    if bad.unseen:
        from hdl.cli.scores import unseen_text

        click.echo(unseen_text(bad.unseen), err=True)
    tell_empty(lines, bad.places, options, out)


def _in_session(session: str | None, threads: int | None, device: str) -> tuple[int | None, str]:
    """Return the threads and the device: of a session its own, whose process answers."""
    run: dict[str, Any] = {"threads": threads, "device": device}
    take_session(session, run, {})
    return run["threads"], run["device"]


def tell_empty(lines: Any, places: Sequence[str], options: Any, out: str) -> None:
    """Say how many lines hold no answer, and why; they are there, so that rows keep their places.

    Raises
    ------
    DataError
        More of them than `max_bad_records` allows.
    """
    if not lines.empty:
        return
    more = ["…"] if lines.empty > len(places) > 0 else []
    said = f"no answer to {lines.empty:,} of {count(lines.records, 'record')}"
    click.echo("\n  ".join([f"{said}; their lines are empty{':' if places else ''}", *places, *more]), err=True)
    if lines.empty > options.max_bad_records:
        where = "standard output" if out == "-" else out
        raise DataError(
            f"{said}, expected at most {options.max_bad_records} without (--max-bad-records); {where} is whole, "
            "with a line for each record"
        )


@hadoop_options
@data_options(KEEP)
@with_spill
@with_session
@click.command(cls=Command)
@click.argument("table", metavar="TABLE")
@click.argument("data", metavar="DATA")
@click.argument("out", metavar="OUT")
@click.option(
    "--layer",
    type=click.IntRange(min=1),
    metavar="K",
    help="Which layer of codes, 1 the one above the data; default: the last hidden one.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@click.option("--runner", type=click.Choice(["local", "mapreduce"]), default="local", help="Who does the work.")
@click.option("--workers", type=OneNumber(), metavar="N", help="Map tasks; default: one for 64 MB of data.")
@at_option
@core_options
def encode_(
    table: str, data: str, out: str, layer: int | None, overwrite: bool, runner: str, workers: int | None, which: str,
    threads: int | None, device: str, session: str | None, **values: Any
) -> None:  # fmt: skip
    """Write the codes that TABLE's network has for DATA to OUT, one row a record, in input order.

    Codes are what the hidden units of a layer say: of an autoencoder, an RBM, a stack of either, or any
    network with a hidden layer. OUT ends in .csv, .parquet or .npy and may be on HDFS. CSV and Parquet
    begin with DATA's column of labels where it has one, so that hdl train can take OUT; npy holds the
    codes alone, [N, H] as float32. A record that cannot be read has an empty row, as in hdl predict.

    With --runner mapreduce OUT is a new folder on HDFS, as hdl predict makes it.
    """
    from hdl import answers, outputs, prediction_files
    from hdl.data import Bad

    threads, device = _in_session(session, threads, device)
    if runner == "local":
        outputs.check(out, overwrite, name="")
    model = open_model(table, which, threads, device if runner == "local" else "cpu")
    encoder = model.encoder(layer)
    options, suffix = take_data_options(values, model.reading | {"weights": None}), Path(out).suffix.lower()
    refuse_kept(suffix, options.keep)
    source, label_kept = answers.open_for_codes(data, options, model.schema)
    if runner == "mapreduce":
        from hdl.runners.mapreduce import predict

        made = predict(table, model, data, source, out, workers, device, options, codes=True, layer=layer)
        click.echo(f"{count(made.lines.records, 'sample')} in {count(made.files, 'file')} in {out}", err=True)
        tell_empty(made.lines, made.places, options, out)
        return
    bad, kept = Bad(sys.maxsize), source.kept_schema
    kept = answers.without_label(kept) if label_kept else kept
    with outputs.placing(out) as file:
        coded = model.encode(source, layer, bad, label_kept)
        lines = prediction_files.write_codes(file, suffix, coded, encoder.width, kept)
    said = f"{count(lines.records, 'sample')} as {count(encoder.width, 'code')} of layer {encoder.layer} in {out}"
    click.echo(said, err=True)
    tell_empty(lines, bad.places, options, out)
