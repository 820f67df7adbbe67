"""Data of its own that is the validation part of a training: opened as the model reads it, cut over the same shards."""

from __future__ import annotations

import re
from typing import Any

from hdl import data, fs
from hdl.data import Bad, FileSplit, Options, Schema, Source
from hdl.data.labels import Meanings
from hdl.errors import DataError, SpecError
from hdl.spec import Spec

# Options that were found of the training data, and hold for this data as well; others are found anew.
AS_FOUND = ("na_values", "decimal", "encoding", "comment", "label")
COUNTED = 256 << 20  # bytes up to which the driver reads the data first, to tell how many samples of which class it has


class ValidationData:
    """Holds the data, opened.

    Parameters
    ----------
    path : str
    options : Options
        The training data's, as the user gave them.
    training : Source
        That data, opened.
    schema : Schema
        Of the model.
    shards : int

    Attributes
    ----------
    source : Source
    splits : list of list of FileSplit
        A shard's part each.

    Raises
    ------
    DataError
        It cannot be read, lacks columns of the model or the labels, or is trained on as well.
    """

    def __init__(self, path: str, options: Options, training: Source, schema: Schema, shards: int):
        settled = training.settled()
        found = {name: getattr(settled, name) for name in AS_FOUND}
        self.path = path
        self.options = Options.make(options, held=(), keep=(), found=None, **found)
        self.source: Source = data.open_source(path, self.options, schema)
        if schema.encoding != "none" and not self.source.label and self.source.format in ("csv", "parquet"):
            named = f" {', '.join(schema.label)}" if schema.label else ""
            raise DataError(f"validation: the data has no label column{named}, which measuring needs", path)
        both = {*map(fs.plain, training.paths)} & {*map(fs.plain, self.source.paths)}
        if both and training.format != "npz":  # parts of one archive
            what = f"validation: {sorted(both)[0]} is trained on as well; expected data of its own"
            raise DataError(what, path)
        self.splits: list[list[FileSplit]] = self.source.splits(shards)

    def plain(self) -> dict[str, Any]:
        """Give what the workers are told, and version 0 keeps: path, options and cuts."""
        settled = self.source.settled()
        return {
            "data": self.path,
            "options": Options.make(settled, held=()).model_dump(mode="json"),
            "cuts": [[list(split) for split in own] for own in self.splits],
        }

    def told(self, schema: Schema) -> dict[str, Any]:
        """Count its samples, of each class too, where that takes no long reading: what `reading` says of it."""
        by: dict[str, Any] = {"by": self.path}
        if sum(fs.size(path) for path in set(self.source.paths)) > COUNTED:
            return by | {"rows": sum(self.source.lengths()) if self.source.records else None}
        known, counts, rows = Meanings(schema.classes), [0] * len(schema.classes), 0
        bad = Bad(self.source.options.max_bad_records)
        for splits in self.splits:
            for block in self.source.read(splits, bad):
                rows += len(block)
                if block.y is None or block.y.ndim > 1 or not schema.classes:
                    continue
                for value, count in _counted(block.y):
                    if (code := known.code(value)) >= 0:
                        counts[code] += count
        if not rows:
            raise DataError("validation: the data has no samples, expected at least one", self.path)
        return by | {"rows": rows, "classes": counts if sum(counts) else None, "exact": True}


def _counted(y: Any) -> list[tuple[Any, int]]:
    labels = data.Labels.of(y)
    return [*zip(labels.values or (), labels.counts or (), strict=True)]


def check(spec: Spec, path: str, runner: str) -> None:
    """Refuse data that is not there for the workers, before the training data is looked through.

    Raises
    ------
    DataError, SpecError
    """
    other = spec.holdout.path
    if not other:
        return
    if fs.is_remote(path) and not fs.is_remote(other) and runner != "local":
        raise SpecError(f"validation {other}: runner {runner} reads HDFS; `hadoop fs -put` brings the data there")
    if fs.plain(other) == fs.plain(path):
        raise DataError("validation: the data is trained on as well; expected data of its own", other)
    if not re.search(r"[*?\[,:]", other.partition("://")[2] or other) and not fs.exists(other):
        raise DataError("validation: there is no such file or folder", other)
