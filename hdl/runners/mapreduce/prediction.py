"""Prediction over MapReduce: the answers to a dataset on HDFS, or its codes, one file a map task."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hdl import data, fs, prediction_writer, strict_json
from hdl.errors import HdlError, SpecError
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.mapreduce.runner import MapReduceRunner
from hdl.runners.mapreduce.tasks import part_name

PREDICT_BYTES = 64 << 20  # of data for one map task


def predict(
    table: str, model: Model, path: str, source: data.Source, out: str, workers: int | None, device: str = "cpu",
    **asked: Any,
) -> int:  # fmt: skip
    """Predict the samples of a dataset on HDFS, or encode them, by a map-only job; return the number of files.

    File k answers part k of the dataset, in input order; the parts follow each other as the files' names do.
    ``_lineage.json`` says which samples and which weights made each file; it comes last.

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
    asked :
        Other fields of `TaskConfig`: `labels_only`, or `codes` and `layer`.
    """
    if not fs.is_remote(out) or fs.exists(out):
        raise SpecError(f"{out}: expected a new folder on HDFS")
    suffix = next(
        (end for end in prediction_writer.SUFFIXES if out.rstrip("/").endswith(end)), prediction_writer.SUFFIXES[0]
    )
    splits = source.splits(workers or 1 + sum(map(fs.size, source.paths)) // PREDICT_BYTES)
    number = model.version.number
    with MapReduceRunner(device=device, settings={"mapreduce.job.reduces": 0}) as runner:
        runner.open(Job(path, table, None, source.options), splits, lambda event: None)
        runner.take_table(table, {0, number}, common=model.spec.layer > 1)  # of a stack: the layers below
        config = {"version": number, "suffix": suffix, "driver": False}
        config |= {name: value for name, value in asked.items() if value is not None}
        try:
            runner.run("predict", config, out)
        except BaseException:
            with suppress(OSError, HdlError):
                fs.remove(out)
            raise
    files = [{"file": part_name(k, suffix), "portions": own} for k, own in enumerate(splits)]
    lineage = {"table": table, "version": number, "sha256": model.version.signature, "data": path, "files": files}
    fs.publish(fs.join(out, "_lineage.json"), strict_json.dumps(lineage, indent=1).encode())
    return len(files)
