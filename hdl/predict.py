"""A trained network in use: measured on a dataset, or asked for its answers, a block at a time.

Letters: n samples, O outputs, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import answers, devices, ops, spec
from hdl.answers import Answers, Coded, Records
from hdl.confusion import Confusion
from hdl.data import Bad, Block, FileSplit, Schema, Source, fitting
from hdl.data.labels import as_array
from hdl.errors import DataError, SpecError
from hdl.models import codes
from hdl.models.stack import Layer
from hdl.ops import Operations, Result, Samples
from hdl.ops.transformed import ReconstructionTarget, StackedInput
from hdl.spec import Spec
from hdl.table import Table, Version

# Options of reading that a model remembers: what the user said of columns, and how text was found to be written.
AS_SAID = ("columns", "features", "ignore", "weights", "offset")
AS_FOUND = ("na_values", "decimal", "encoding", "comment")
OUT_BYTES = 32 << 20  # of a layer's activations of one block


@dataclass(frozen=True)
class Score:
    """Measures of a network on a dataset.

    Parameters
    ----------
    samples : int
    cost : float
        Mean data cost, without penalty; of a regression that of the standardised targets, as in training.
    accuracy : float or None
        Share of samples that are right; None for a regression.
    confusion : ndarray of int64 [C, C] or None
        Rows true, columns predicted; None without classes, and of more than `hdl.confusion.MOST_CLASSES`.
    r2 : float or None
        Share of the targets' variance that a regression explains, over all outputs; None for classes.
    bad : int
        Records skipped.
    rmse : float, list of float or None
        Root of a regression's mean squared error, in the targets' unit; of several outputs one each.
    mistakes : list of (true, predicted, count)
        The most frequent ones, by the classes' numbers, where there are too many for a matrix.
    """

    samples: int
    cost: float
    accuracy: float | None
    confusion: NDArray[np.int64] | None
    r2: float | None = None
    bad: int = 0
    rmse: float | list[float] | None = None
    mistakes: list[tuple[int, int, int]] = field(default_factory=list)


class Model:
    """A version of a table, ready to use.

    Parameters
    ----------
    table : str
        Its folder.
    version : int, optional
        None: the best by validation, else the last.
    threads : int
    device : {'cpu', 'cuda', 'cuda:N', 'auto'}

    Raises
    ------
    TableError
    Unavailable
        There is no such GPU to use.

    Examples
    --------
    >>> model = Model("digits")  # doctest: +SKIP
    >>> model.evaluate(hdl.data.open_source("digits.csv")).accuracy  # doctest: +SKIP
    0.97
    """

    def __init__(self, table: str, version: int | None = None, threads: int = 1, device: str = "cpu"):
        stored, self.path = Table(table), str(table)
        zero = stored.read(0)
        self.version: Version = stored.read(stored.best() if version is None else version)
        self.about: dict[str, Any] = zero.about
        self.spec = spec.parse(self.version.spec)
        self.schema = Schema.from_parts(zero.about["schema"], zero.schema)
        if self.spec.model != "mlp" or self.spec.finetune != "classify":  # a layer of a stack that has labels has none
            outputs = self.schema.inputs if self.spec.model != "mlp" else self.spec.widths[-1]
            self.schema = replace(
                self.schema, encoding="none", classes=(), outputs=outputs, target_mean=None, target_deviation=None
            )
        self.w = self.version.weights.w
        self.below = layers_below(self.spec, stored)
        self._backend = device if device == "reference" else devices.resolve(device)
        self._threads = threads
        self.ops = operations(self.spec, self._make, self.below)

    @property
    def reading(self) -> dict[str, Any]:
        """Options of reading that the model was trained with and that hold for all data that it sees."""
        as_said = self.about.get("options") or {}
        as_found = self.about.get("settled") or as_said
        return {name: as_said[name] for name in AS_SAID if as_said.get(name)} | {
            name: as_found[name] for name in AS_FOUND if as_found.get(name)
        }

    @property
    def measurable(self) -> bool:
        """Tell whether the network's answers have a cost: not if it ends with codes."""
        return self.spec.model != "mlp" or self.spec.finetune != "none"

    def evaluate(self, source: Source) -> Score:
        """Measure cost, accuracy and confusion on a labelled dataset, in one pass; no labels where the model has none.

        Raises
        ------
        DataError
            The data has no labels, no samples, or others than the model's.
        SpecError
            The network is no more than the layers of a stack.
        """
        if not self.measurable:
            raise SpecError("the network only makes codes, and they have no cost: measure one of its layers' tables")
        schema, bad, total = self.schema, Bad(source.options.max_bad_records), Result()
        confusion = Confusion(len(schema.classes)) if schema.classes else None
        sums = np.zeros((3, schema.outputs))  # squared error; targets, from where training's mean is; their squares
        origin = np.zeros(schema.outputs) if schema.target_mean is None else schema.target_mean
        for block in self._blocks(source, bad):
            y = None
            if schema.encoding != "none":
                if block.y is None:
                    raise DataError("the data has no labels, which evaluation needs", **block.where(0))
                y, good = schema.encode(block.y, block.where, bad)
                block, y = block.keep(good), y[good]
            out, measured = self._forward(block, y)
            if not (good := _finite(out, block, bad)).all():
                y = None if y is None else y[good]
                out, measured = self._forward(block.keep(good), y)
            total += measured
            if y is None:
                continue
            if confusion is not None:
                confusion.add(_codes(y), self._answer(out))
            else:
                out, wide = (schema.in_units(values.astype(np.float64)) for values in (out, y))
                offset = wide - origin
                sums += (np.square(out - wide).sum(axis=0), offset.sum(axis=0), np.square(offset).sum(axis=0))
        if not total.samples:
            raise DataError("no samples to evaluate on", source.paths[0] if source.paths else None)
        n, regression = total.samples, self.spec.loss == "squared" or schema.encoding == "none"
        accuracy = None if regression else total.correct / n  # of several labels a sample, all must be right
        if confusion is not None:  # one class a sample: the largest output decides, whatever the loss
            accuracy = confusion.correct / n
        r2 = rmse = None
        if regression and confusion is None and schema.encoding != "none":
            spread = (sums[2] - np.square(sums[1]) / n).sum()
            r2 = float(1 - sums[0].sum() / spread) if spread > 0 else None
            each = np.sqrt(sums[0] / n).tolist()
            rmse = each[0] if len(each) == 1 else each
        matrix, mistakes = (confusion.matrix, confusion.mistakes()) if confusion is not None else (None, [])
        return Score(n, total.cost / n, accuracy, matrix, r2, bad.count, rmse, mistakes)

    def predict(self, source: Source, bad: Bad | None = None) -> Iterator[Answers]:
        """Give the answers in input order, some records at a time; those that have none go to `bad`.

        A record has no answer if it cannot be read, or if its answer is not finite, as it is far from what the network
        was trained on.

        Raises
        ------
        DataError
            More records have none than `bad` allows (default: as the options do).
        """
        names = as_array(self.schema.classes) if self.schema.classes else None
        bad = Bad(source.options.max_bad_records) if bad is None else bad
        for part in self._records(source, bad):
            found = np.empty((0, self.outputs), np.float32)
            if len(part.block):
                found, _ = self._forward(part.block, None)
            good = _finite(found, part.block, bad)
            out = part.spread(self.schema.in_units(found[good]), good)
            labels = None if names is None else names[self._answer(out)]
            yield Answers(out, labels, part.there(good), part.kept(source.kept_schema))

    def encoder(self, layer: int | None = None) -> codes.Encoder:
        """Make the encoder from samples to codes: see `hdl.models.codes`.

        Raises
        ------
        SpecError
            There is no such layer.
        """
        return codes.Encoder(self.spec, self.w, self._make, layer, self.below)

    def encode(
        self, source: Source, layer: int | None = None, bad: Bad | None = None, label_kept: bool = False
    ) -> Iterator[Coded]:
        """Give the codes of a hidden layer in input order, some records at a time; those that have none go to `bad`.

        Parameters
        ----------
        label_kept : bool
            The first column that is carried over is the label: see `hdl.answers.open_for_codes`.

        Raises
        ------
        SpecError
            There is no such layer.
        DataError
            As of `predict`.
        """
        encoder = self.encoder(layer)
        bad = Bad(source.options.max_bad_records) if bad is None else bad
        for part in self._records(source, bad):
            found = np.empty((0, encoder.width), np.float32)
            if len(part.block):
                found = encoder(self._samples(part.block, None))
            good, y, kept = _finite(found, part.block, bad), part.block.y, part.kept(source.kept_schema)
            labels: Any = None if y is None or y.ndim > 1 else part.spread(y[good], good)
            if label_kept:
                labels, kept = answers.label_of(kept)
            yield Coded(part.spread(found[good], good), labels, part.there(good), kept)

    @property
    def outputs(self) -> int:
        """Number of the network's outputs."""
        return self.spec.widths[-1] if self.spec.model == "mlp" else self.schema.outputs

    def _make(self, spec: Spec) -> Operations:
        return ops.make(spec, self._backend, self._threads)

    def _blocks(self, source: Source, bad: Bad) -> Iterator[Block]:
        """Read blocks of features as the core takes them, with one row at least."""
        for splits in source.splits(1):
            for block in source.read(splits, bad):
                block = fitting(block, self.schema, bad)
                yield from answers.cut(block, self._rows)

    @property
    def _rows(self) -> int:
        """Number of samples whose activations are held at a time."""
        return max(1, OUT_BYTES // (4 * max(self.spec.widths)))

    def _records(self, source: Source, bad: Bad) -> Iterator[Records]:
        """Read all records in their order, some at a time, those without a sample among them."""

        def prepared(block: Block) -> Block:
            return fitting(block, self.schema, bad) if len(block) else block

        for splits in source.splits(1):
            for split in splits:
                yield from answers.records(map(prepared, source.numbered(FileSplit(*split), bad)), self._rows)

    def _samples(self, block: Block, y: NDArray | None) -> Samples:
        """Make samples of a block of features as the core takes them."""
        return Samples(block.x, y, self.schema.scale, self.schema.shift)

    def _forward(self, block: Block, y: NDArray | None) -> tuple[NDArray[np.float32], Result]:
        return self.ops.forward(self.w, self._samples(block, y))

    def _answer(self, out: NDArray) -> NDArray[np.int64]:
        """Return class numbers [n] from outputs [n, O]."""
        return (out[:, 0] > 0.5).astype(np.int64) if out.shape[1] == 1 else out.argmax(axis=1)


def _finite(out: NDArray, block: Block, bad: Bad) -> NDArray[np.bool_]:
    """Tell which rows of outputs [n, O] are finite; the others are given to `bad`."""
    good = np.isfinite(out).all(axis=1)
    for i in np.flatnonzero(~good):
        bad.add(DataError("the network's answer is not finite", **block.where(int(i))))
    return good


def operations(spec: Spec, make: codes.Make, below: Sequence[Layer]) -> Operations:
    """Make a network's operations on raw data, through the layers below it; an unrolled stack aims at that data."""
    own = make(spec)
    if below:
        return StackedInput(own, [(make(layer), w) for layer, w in below])
    return ReconstructionTarget(own) if spec.model == "mlp" and spec.finetune == "reconstruct" else own


def layers_below(network: Spec, table: Table) -> list[Layer]:
    """Read the layers below a network that is a layer of a stack above the first, from its table's common file.

    Raises
    ------
    TableError
    """
    if network.layer < 2:
        return []
    fields, tensors = table.common()
    return [(spec.parse(layer), tensors[f"w{number}"]) for number, layer in enumerate(fields["layers"])]


def _codes(y: NDArray) -> NDArray[np.int64]:
    """Return class numbers [n] from encoded labels: numbers already, one-hot rows, or one column of 0 and 1."""
    if y.ndim == 1:
        return y.astype(np.int64)
    return y[:, 0].astype(np.int64) if y.shape[1] == 1 else y.argmax(axis=1)
