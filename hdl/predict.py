"""A trained network in use: measured on a dataset, or asked for its answers, a block at a time.

Letters: n samples, O outputs, C classes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import answers, devices, ops, passes, spec, thresholds
from hdl.answers import Answers, Coded, Records
from hdl.data import Bad, Block, FileSplit, Schema, Source, fitting, weights
from hdl.data.labels import as_array
from hdl.errors import DataError
from hdl.evaluation import Score
from hdl.models import codes
from hdl.models.stack import Layer
from hdl.ops import Operations, Result, Samples
from hdl.ops.transformed import ReconstructionTarget, StackedInput
from hdl.spec import Spec
from hdl.table import Table

# Options of reading that a model remembers: what the user said of columns, and how text was found to be written.
AS_SAID = ("columns", "features", "ignore", "weights", "offset")
AS_FOUND = ("na_values", "decimal", "encoding", "comment")
OUT_BYTES = 32 << 20  # of a layer's activations of one block


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
    isa : {'avx512', 'avx2', 'generic'}, optional
        Kernels of the CPU; None for the best that it runs.

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

    def __init__(
        self, table: str, version: int | None = None, threads: int = 1, device: str = "cpu", isa: str | None = None
    ):
        stored, self.path = Table(table), str(table)
        zero, self.version = stored.with_zero("best" if version is None else version)
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
        self._threads, self._isa = threads, isa
        self.ops = operations(self.spec, self._make, self.below)

    @property
    def reading(self) -> dict[str, Any]:
        """Options of reading that the model was trained with and that hold for all data that it sees."""
        as_said = self.about.get("options") or {}
        as_found = self.about.get("settled") or as_said
        own = (self.schema.reading or {}).get("own") or {}
        return (
            own
            | {name: as_said[name] for name in AS_SAID if as_said.get(name)}
            | {name: as_found[name] for name in AS_FOUND if as_found.get(name)}
        )

    @property
    def measurable(self) -> bool:
        """Tell whether the network's answers have a cost: not if it ends with codes."""
        return self.spec.model != "mlp" or self.spec.finetune != "none"

    def evaluate(self, source: Source, threshold: float | None = None) -> Score:
        """Measure a labelled dataset, in one pass over its parts; no labels where the model has none.

        `hdl.measuring.measure` does the same with several processes, or on a cluster, and gives the same score.

        Parameters
        ----------
        source : Source
        threshold : float, optional
            Of two classes: the score from which on the second is answered, for accuracy and confusion.

        Raises
        ------
        DataError
            The data has no labels, no samples, or others than the model's.
        SpecError
            The network is no more than the layers of a stack.
        """
        data = source.paths[0] if source.paths else ""
        return passes.score(self, passes.whole(self, source), data, source.options.weights, threshold)

    def predict(
        self, source: Source, bad: Bad | None = None, threshold: float | str | None = None
    ) -> Iterator[Answers]:
        """Give the answers in input order, some records at a time; those that have none go to `bad`.

        A record has no answer if it cannot be read, or if its answer is not finite, as it is far from what the network
        was trained on.

        Parameters
        ----------
        source : Source
        bad : Bad, optional
            Where records without an answer are counted; None: as many as the options allow.
        threshold : float or {'f1', 'mcc', 'balanced'}, optional
            Of two classes: the probability from which on the second is answered; a name: what was best for that
            measure on the samples that the training held out. None: the more probable class.

        Raises
        ------
        DataError
            More records have none than `bad` allows.
        SpecError
            There is no such threshold, or the model has no two classes: when it is called, before the first answer.
        """
        known = None if threshold is None else thresholds.find(self, threshold).value
        return self._predict(source, Bad(source.options.max_bad_records) if bad is None else bad, known)

    def _predict(self, source: Source, bad: Bad, threshold: float | None) -> Iterator[Answers]:
        names = as_array(self.schema.classes) if self.schema.classes else None
        for part in self._records(source, bad):
            found = np.empty((0, self.outputs), np.float32)
            if len(part.block):
                found, _ = self._forward(part.block, None)
            good = _finite(found, part.block, bad, self.schema)
            out, there = part.spread(self.schema.in_units(found[good]), good), part.there(good)
            labels: Any = None if names is None else names[self._answer(out, threshold)]
            if labels is not None and not there.all():
                labels = np.ma.array(labels, mask=~there)
            yield Answers(out, labels, there, part.kept(source.kept_schema))

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
            good, y, kept = _finite(found, part.block, bad, self.schema), part.block.y, part.kept(source.kept_schema)
            labels: Any = None if y is None or y.ndim > 1 else part.spread(y[good], good)
            if label_kept:
                labels, kept = answers.label_of(kept)
            yield Coded(part.spread(found[good], good), labels, part.there(good), kept)

    def to_torch(self, logits: bool = False) -> Any:
        """Make a `torch.nn.Sequential` that answers as the model does, within float32.

        It takes raw features float32 [N, I]: scaling is folded into its first layer, the unit of targets into its last.

        Parameters
        ----------
        logits : bool
            Without the output function, as PyTorch's losses want it.

        Raises
        ------
        SpecError
            The model is no single perceptron on numbers; `hdl export` writes it as ONNX.
        Unavailable
            PyTorch is not installed.
        """
        return importlib.import_module("hdl.foreign.living").to_torch(self, logits)

    def to_keras(self) -> Any:
        """Make a `keras.Sequential` that answers as the model does, within float32: see `to_torch`."""
        return importlib.import_module("hdl.foreign.living").to_keras(self)

    def to_sklearn(self) -> Any:
        """Make a fitted `sklearn.neural_network.MLPClassifier` or `MLPRegressor`, within float32: see `to_torch`."""
        return importlib.import_module("hdl.foreign.living").to_sklearn(self)

    @property
    def outputs(self) -> int:
        """Number of the network's outputs."""
        return self.spec.widths[-1] if self.spec.model == "mlp" else self.schema.outputs

    def _make(self, spec: Spec) -> Operations:
        return ops.make(spec, self._backend, self._threads, self._isa)

    def _blocks(self, source: Source, bad: Bad) -> Iterator[Block]:
        """Read blocks of features as the core takes them, with one row at least."""
        for splits in source.splits(1):
            for block in source.read(splits, bad):
                yield from answers.cut(self._fitted(block, bad), self._rows)

    def finite(self, out: NDArray, block: Block, bad: Bad) -> NDArray[np.bool_]:
        """Tell which rows of outputs [n, O] are finite; the others are given to `bad`."""
        return _finite(out, block, bad, self.schema)

    @property
    def _rows(self) -> int:
        """Number of samples whose activations are held at a time."""
        return max(1, OUT_BYTES // (4 * max(self.spec.widths)))

    def _records(self, source: Source, bad: Bad) -> Iterator[Records]:
        """Read all records in their order, some at a time, those without a sample among them."""

        def prepared(block: Block) -> Block:
            return self._fitted(block, bad) if len(block) else block

        for splits in source.splits(1):
            for split in splits:
                yield from answers.records(map(prepared, source.numbered(FileSplit(*split), bad)), self._rows)

    def _samples(self, block: Block, y: NDArray | None) -> Samples:
        """Make samples of a block of features as the core takes them."""
        weight = weights.of_samples(block.weight, y, None)
        offset = weights.offsets(block.offset, self.schema)
        return Samples(block.x, y, self.schema.scale, self.schema.shift, weight, offset)

    def _fitted(self, block: Block, bad: Bad) -> Block:
        """Give a block the features that the core takes, without rows that it cannot take; those go to `bad`."""
        block = fitting(block, self.schema, bad)
        return block.keep(weights.good(block, self.schema, bad))

    def _forward(self, block: Block, y: NDArray | None) -> tuple[NDArray[np.float32], Result]:
        offset = self.reading.get("offset")
        if offset and block.offset is None:
            raise DataError(
                f"the data has no column {offset}; the model was trained with it as the offset (--offset), which is "
                "added to its output",
                **block.where(0),
            )
        return self.ops.forward(self.w, self._samples(block, y))

    def _answer(self, out: NDArray, threshold: float | None = None) -> NDArray[np.int64]:
        """Return class numbers [n] from outputs [n, O]."""
        if threshold is not None:
            return (out[:, -1].astype(np.float64) >= threshold).astype(np.int64)
        return (out[:, 0] > 0.5).astype(np.int64) if out.shape[1] == 1 else out.argmax(axis=1)


def _finite(out: NDArray, block: Block, bad: Bad, schema: Schema) -> NDArray[np.bool_]:
    """Tell which rows of outputs [n, O] are finite; the others are given to `bad`."""
    good = np.isfinite(out).all(axis=1)
    for i in np.flatnonzero(~good):
        what = "the network's answer is not finite"
        if schema.encodings is None and isinstance(block.x, np.ndarray) and np.isnan(block.x[i : i + 1]).any():
            at = int(np.flatnonzero(np.isnan(block.x[i].ravel()))[0])
            name = repr(schema.names[at]) if schema.names else at + 1
            what = f"feature {name} is missing, and no value was in the training data; expected a number"
        bad.add(DataError(what, **block.where(int(i))))
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
