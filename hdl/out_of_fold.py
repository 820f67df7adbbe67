"""Answers to all rows of a cross-validation, each by the network that has not seen it, and their measures.

Letters: n rows of a block, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from hdl import answers, data, evaluation
from hdl.arrow import pa
from hdl.data import Bad, Block, Options, weights
from hdl.data.holdout import Folds
from hdl.data.labels import as_array
from hdl.errors import DataError
from hdl.evaluation import Score
from hdl.folds import Cut, Fold, Found, summarise, values_of, with_column
from hdl.metrics import Measures
from hdl.ops import Samples, losses
from hdl.predict import Model
from hdl.prediction_files import columns
from hdl.prediction_writer import Writer

OOF = "oof.parquet"  # in the folder of a cross-validation
ROWS = 8192  # that are answered at a time


def answer(path: str, cut: Cut, networks: Sequence[Model], file: BinaryIO | None = None, suffix: str = ".csv") -> Found:
    """Give every row its answer by the network that has not seen it, in one pass, and measure them.

    Parameters
    ----------
    path : str
        The data.
    cut : Cut
    networks : sequence of Model
        One a fold.
    file : binary file, optional
        Takes a line a row, in the rows' order: its fold, the answered class, and the outputs. A row without a label, or
        that cannot be read, is in no fold and has none.
    suffix : {'.csv', '.parquet'}

    Raises
    ------
    DataError
        A row cannot be read, beyond what the options allow.
    """
    passing = _Pass(path, cut, networks)
    kept = pa.schema([("fold", pa.string() if cut.column else pa.int64())])
    writer = None
    if file is not None:
        first = networks[0]
        dtype = np.float32 if first.schema.target_mean is None else np.float64
        writer = Writer(file, suffix, columns(first), list(first.schema.classes) or None, False, dtype, kept)
    for out, there, numbers in passing.parts():
        if writer is not None:
            names = cut.values if cut.column else range(1, cut.folds + 1)
            said = pa.array([names[number] if number >= 0 else None for number in numbers.tolist()], kept.field(0).type)
            shown, labels = passing.shown(out, there)
            writer.write(shown, labels, there, pa.record_batch([said], schema=kept))
    if writer is not None:
        writer.close()
    return passing.found()


class _Pass:
    """Reads the data once, and has each row answered by its own network."""

    def __init__(self, path: str, cut: Cut, networks: Sequence[Model]):
        self.cut, self.networks, self.path = cut, networks, path
        first = networks[0]
        self.schema, self.spec = first.schema, first.spec
        if any(model.schema.classes != self.schema.classes for model in networks):
            raise DataError(
                "the folds' networks know different classes; expected each class in two folds or more", path
            )
        about = first.about
        options = Options.make(about.get("settled") or about["options"], held=())
        self.source = data.open_source(path, options) if cut.column is None else with_column(path, options, cut.column)
        self.bad = Bad(self.source.options.max_bad_records)
        self.measures = [evaluation.begin(model.schema, model.spec) for model in networks]
        self.whole = evaluation.begin(self.schema, self.spec)
        self.records = self.answered = 0

    def parts(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Give the answers to some records at a time: outputs [n, O], which are there [n], and each one's fold [n]."""
        for shard, splits in enumerate(self.source.splits(self.spec.shards)):
            dealt = None if self.cut.column else Folds(self.cut.count, self.spec.seed, shard)
            for split in splits:
                blocks = (self._dealt(block, dealt) for block in self.source.numbered(split, self.bad))
                for part in answers.records(blocks, ROWS):
                    width = self.networks[0].outputs
                    out, numbers = np.full((part.n, width), np.nan), np.full(part.n, -1)
                    if len(part.block):
                        numbers[part.places] = part.block.held
                        for fold in sorted({*numbers[part.places].tolist()}):
                            self._answer(fold, part, out)
                    there = np.isfinite(out).all(axis=1)
                    self.records += part.n
                    self.answered += int(there.sum())
                    yield out, there, numbers

    def _dealt(self, block: Block, dealt: Folds | None) -> Block:
        """Put the number of each row's fold where otherwise is told whether it is held out."""
        if not len(block):
            return block
        if dealt is not None:
            return replace(block, held=dealt.deal(block.y, len(block)))
        at = {value: number for number, value in enumerate(self.cut.values)}
        column = self.cut.column or ""
        return replace(block, held=np.array([at.get(value or "", -1) for value in values_of(block, column)]))

    def _answer(self, fold: int, part: answers.Records, out: np.ndarray) -> None:
        """Have the rows of one fold answered: fills their rows of `out`, and measures them."""
        if fold < 0:
            return
        model, own = self.networks[fold], np.flatnonzero(np.asarray(part.block.held) == fold)
        schema = model.schema
        block = part.block.take(own, lambda i: part.block.where(int(own[i])))
        block = data.fitting(replace(block, rows=part.places[own], kept=None), schema, self.bad)
        block = block.keep(weights.good(block, schema, self.bad))
        y = None
        if schema.encoding != "none":
            if block.y is None:
                raise DataError("the data has no labels, which evaluation needs", self.path)
            y, good = schema.encode(block.y, block.where, self.bad)
            block, y = block.keep(good), y[good]
        if not len(block):
            return
        weight = weights.of_samples(block.weight, y, None)
        offset = weights.offsets(block.offset, schema)
        found, result = model.ops.forward(model.w, Samples(block.x, y, schema.scale, schema.shift, weight, offset))
        out[block.rows] = schema.in_units(found)
        self.measures[fold].add(found, y, weight, result)
        if schema.target_mean is not None and self.schema.target_mean is not None and y is not None:
            # Each fold's targets are standardised by the others' rows; together they are measured by the first one's.
            ratio = losses.unit(model.spec, schema.target_deviation) / losses.unit(
                self.spec, self.schema.target_deviation
            )
            found, y = (self._in_first(schema.in_units(values.astype(np.float64))) for values in (found, y))
            result = replace(result, cost=result.cost * ratio)
        self.whole.add(found, y, weight, result)

    def _in_first(self, values: np.ndarray) -> np.ndarray:
        """Standardise targets or answers [n, O] as the first fold's network does."""
        return ((values - self.schema.target_mean) / self.schema.target_deviation).astype(np.float32)

    def shown(self, out: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, Any]:
        """Give outputs and labels as `hdl predict` writes them."""
        labels: Any = None
        if self.schema.classes:
            filled = np.where(there[:, None], out, 0.0)
            codes = (filled[:, 0] > 0.5).astype(np.int64) if out.shape[1] == 1 else filled.argmax(axis=1)
            labels = np.ma.array(as_array(self.schema.classes)[codes], mask=~there)
            if out.shape[1] == 1:
                out = np.hstack([1 - out, out])
        return out, labels

    def found(self) -> Found:
        """Make what was found of all rows."""
        folds = []
        for number, (model, measures) in enumerate(zip(self.networks, self.measures, strict=True), 1):
            value = self.cut.values[number - 1] if self.cut.column else str(number)
            score = _score(measures, model, self.bad)
            version = model.version
            folds.append(
                Fold(number, value, model.path, version.number, version.signature, score.samples, score.metrics)
            )
        mean, spread = summarise([each.metrics for each in folds])
        score = _score(self.whole, self.networks[0], self.bad)
        return Found(folds, mean, spread, score, self.records, self.records - self.answered, [*self.bad.places])


def _score(measures: Measures, model: Model, bad: Bad) -> Score:
    if not measures.samples:
        raise DataError(f"{model.path}: no row of the fold can be measured")
    return evaluation.score(measures, model.schema, model.spec, bad)
