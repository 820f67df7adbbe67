"""Prediction over MapReduce: the answers to a dataset on HDFS, or its codes, one file a map task."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, NamedTuple

from hdl import data, fs, prediction_writer, strict_json
from hdl.data.block import PLACES
from hdl.errors import HdlError, SpecError
from hdl.predict import Model
from hdl.prediction_files import Lines
from hdl.runners.base import Job
from hdl.runners.mapreduce.runner import MapReduceRunner
from hdl.runners.mapreduce.tasks import about_name, part_name
from hdl.thresholds import Threshold

PREDICT_BYTES = 64 << 20  # of data for one map task


class Predicted(NamedTuple):
    """Files that a job wrote, their lines, and the first places of records that have no answer."""

    files: int
    lines: Lines
    places: list[str]


def predict(
    table: str, model: Model, path: str, source: data.Source, out: str, workers: int | None, device: str,
    options: data.Options, threshold: Threshold | None = None, **asked: Any,
) -> Predicted:  # fmt: skip
    """Predict the records of a dataset on HDFS, or encode them, by a map-only job.

    File k answers part k of the dataset, in input order; the parts follow each other as the files' names do.
    ``_lineage.json`` says which records and which weights made each file, and how many of its lines are empty; it comes
    last.

    Parameters
    ----------
    table : str
        Folder of the model's table.
    model : Model
    path : str
        Of the dataset.
    source : Source
        The dataset.
    out : str
        A new folder on HDFS; files are of the format that its name ends with, CSV if it does not.
    workers : int, optional
        Files and map tasks; None: one for 64 MiB of data.
    device : str
        Of the tasks, 'auto' of each for itself.
    options : Options
        How to read the data.
    threshold : Threshold, optional
        From which probability on the second of two classes is answered; told in ``_lineage.json``.
    asked :
        Other fields of `TaskConfig`: `labels_only`, or `codes` and `layer`.
    """
    if not fs.is_remote(out) or fs.exists(out):
        raise SpecError(f"{out}: expected a new folder on HDFS")
    suffix = next(
        (end for end in prediction_writer.SUFFIXES if out.rstrip("/").endswith(end)), prediction_writer.SUFFIXES[0]
    )
    prediction_writer.refuse_kept(suffix, source.kept_schema if suffix == ".csv" else options.keep)
    splits = source.splits(workers or 1 + sum(map(fs.size, source.paths)) // PREDICT_BYTES)
    number = model.version.number
    with MapReduceRunner(device=device, settings={"mapreduce.job.reduces": 0}) as runner:
        runner.open(Job(path, table, None, options), splits, lambda event: None)
        runner.take_table(table, {0, number}, common=model.spec.layer > 1)  # of a stack: the layers below
        config = {"version": number, "suffix": suffix, "driver": False}
        config |= {name: value for name, value in asked.items() if value is not None}
        config |= {} if threshold is None else {"threshold": threshold.value}
        try:
            runner.run("predict", config, out)
        except BaseException:
            with suppress(OSError, HdlError):
                fs.remove(out)
            raise
    files, lines, places = [], Lines(0, 0), list[str]()
    for k, own in enumerate(splits):
        about = _about(out, k)
        lines = Lines(lines.records + about["rows"], lines.empty + about["empty"])
        places += about["places"][: PLACES - len(places)]
        counts = {"rows": about["rows"], "empty": about["empty"]}
        files.append({"file": part_name(k, suffix), "portions": own, **counts})
    lineage: dict[str, Any] = {"table": table, "version": number, "sha256": model.version.signature, "data": path}
    if threshold is not None:
        lineage |= {"threshold": threshold.value, "threshold_best_for": threshold.best_for}
    lineage["files"] = files
    fs.publish(fs.join(out, "_lineage.json"), strict_json.dumps(lineage, indent=1).encode())
    return Predicted(len(files), lines, places)


def _about(out: str, number: int) -> dict[str, Any]:
    """Read what the task of a part says of it, and remove that."""
    path = fs.join(out, about_name(number))
    with fs.open(path) as file:
        about = json.loads(file.read())
    fs.remove(path)
    return about
