"""Schema of the data of a model: inputs, classes, scaling. Fitted once, stored with the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from hdl.data.block import Bad, Block
from hdl.data.labels import Meanings
from hdl.data.tabular.encoders import Encodings
from hdl.data.tabular.frame import Frame
from hdl.errors import DataError
from hdl.ops import losses

_TENSORS = {  # fields that are stored as tensors: their type, and the field that is their length, or has it
    "scale": ("float32", "inputs"),
    "shift": ("float32", "inputs"),
    "center": ("float64", "inputs"),
    "spread": ("float64", "inputs"),
    "constants": ("float64", "inputs"),
    "target_mean": ("float64", "outputs"),
    "target_deviation": ("float64", "outputs"),
    "class_weights": ("float64", "classes"),
}


@dataclass(frozen=True)
class Schema:
    """Facts that a model knows of its data.

    Attributes
    ----------
    inputs, outputs : int
    encoding : {'index', 'binary', 'onehot', 'value', 'targets', 'none'}
        What `encode` makes of labels: int32 [n] class numbers; float32 [n, 1], 0 or 1; one-hot rows [n, O]; real
        values [n, 1]; targets [n, O]; the model needs none, and the files' are passed over.
    classes : tuple of int, float, bool or str
        Sorted; class number k is `classes[k]`. Empty for regression.
    loss : str
        What fits the labels, where the spec says nothing.
    scale, shift : float32 [I] or None
        The net sees x·scale + shift. None: nothing to do.
    rule : dict
        The scaling rule that was used: name and constant; of a table with encodings see `hdl.data.tabular.fitting`.
    kind : {'uint8', 'float32', 'sparse', 'mixed'}
        Of the encoded features; `mixed` has categories.
    samples : int
        Training samples seen, validation included.
    image : (height, width, channels) or None
    names, targets, label : names of features, of several label columns, and of the label columns in the files
    format : str
    bad : int
        Records skipped.
    reading : dict
        What was found out about the files, and by what: see `Source.reading`.
    center, spread : float64 [I] or None
        Features are replaced by (x − center)/spread in float64 before they are rounded to float32 and scaled; where it
        is not needed by 0 and 1. None: by no feature.
    constants : float64 [I] or None
        What features of scale 0 were in the training data, where that is not 0.
    target_mean, target_deviation : float64 [O] or None
        Of a regression: the net's targets are (y − mean)/deviation. None: as they are.
    class_weights : float64 [C] or None
        What a sample of each class counts. None: 1.
    columns : dict or None
        The encodings of a table's columns as plain values: see `encodings`. None: the features are numbers that are all
        there, which scale and shift bring to the net.
    """

    inputs: int
    outputs: int
    encoding: str
    classes: tuple[Any, ...] = ()
    loss: str = "softmax"
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    rule: dict[str, Any] = field(default_factory=dict)
    kind: str = "float32"
    samples: int = 0
    image: tuple[int, int, int] | None = None
    names: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None
    label: tuple[str, ...] = ()
    format: str = ""
    bad: int = 0
    reading: dict[str, Any] = field(default_factory=dict)
    center: np.ndarray | None = None
    spread: np.ndarray | None = None
    constants: np.ndarray | None = None
    target_mean: np.ndarray | None = None
    target_deviation: np.ndarray | None = None
    class_weights: np.ndarray | None = None
    columns: dict[str, Any] | None = None

    @cached_property
    def encodings(self) -> Encodings | None:
        """The encodings of a table's columns, ready for use; None without any."""
        return None if self.columns is None else Encodings.from_plain(self.columns)

    @property
    def input_names(self) -> tuple[str, ...] | None:
        """Names of the net's inputs, such as `age`, `age is missing` and `colour=red`; None without names."""
        return self.names if self.encodings is None else self.encodings.names

    def encode(self, y: np.ndarray, where: Any = None, bad: Bad | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Encode raw labels of a block as the core takes them.

        Parameters
        ----------
        y : as in `Block`
        where : function of a row number, optional
            Place of a row, for errors.

        Returns
        -------
        ndarray of int32 [n] or float32 [n, O], and bool [n]
            Labels, and which rows are good; bad ones were given to `bad`.

        Raises
        ------
        DataError
            A label is not a class, or not a number.
        """
        bad, good = bad or Bad(), np.ones(len(y), bool)

        def refuse(i: Any, message: str) -> None:
            good[i] = False
            bad.add(DataError(message, **(where(int(i)) if where else {})))

        if y.ndim == 2 and y.shape[1] != (len(self.classes) or self.outputs):
            message = f"{y.shape[1]} target columns, expected {len(self.classes) or self.outputs}"
            raise DataError(message, **(where(0) if where and len(y) else {}))
        if y.ndim == 2 and self.classes:
            for i in np.flatnonzero(~(((y == 0) | (y == 1)).all(axis=1) & (y.sum(axis=1) == 1))):
                refuse(i, f"targets {y[i].tolist()[:20]}; expected one 1 and else 0")
            codes = y.argmax(axis=1)
        elif self.classes:
            distinct, inverse = _distinct(y)
            codes = np.array([self._meanings.code(raw) for raw in distinct], np.int64)[inverse]
            for i in np.flatnonzero(codes < 0):
                raw = distinct[inverse[i]]
                refuse(i, f"label {raw!r} is not one of the {len(self.classes)} classes {listed(self.classes)}")
        else:
            return self._encode_values(y, good, refuse), good
        codes = np.where(good, codes, 0)
        if self.encoding == "index":
            return codes.astype(np.int32), good
        if self.encoding == "binary":
            return codes.astype(np.float32)[:, None], good
        return np.eye(len(self.classes), dtype=np.float32)[codes], good

    def _encode_values(self, y: np.ndarray, good: np.ndarray, refuse: Any) -> np.ndarray:
        """Make numbers the net's targets, float32 [n, O]."""
        wide = np.zeros((len(y), self.outputs))
        try:
            wide[:] = y.reshape(len(y), -1).astype(np.float64)
        except ValueError:
            for row, raw in enumerate(y.tolist()):
                try:
                    wide[row] = float(raw)
                except ValueError:
                    refuse(row, f"label {raw!r} is not a number; the model's labels are")
        for i in np.flatnonzero(good & ~losses.taken(self.loss, wide).all(axis=1)):
            refuse(i, f"label {y[i : i + 1].tolist()[0]!r}; {losses.takes(self.loss)}")
        if self.target_mean is not None:
            wide = (wide - self.target_mean) / self.target_deviation
        with np.errstate(over="ignore"):
            out = wide.astype(np.float32)
        for i in np.flatnonzero(good & ~np.isfinite(out).all(axis=1)):
            refuse(i, f"label {y[i : i + 1].tolist()[0]!r}; expected a finite float32 number")
        return out

    @cached_property
    def _meanings(self) -> Meanings:
        return Meanings(self.classes)

    def in_units(self, out: np.ndarray) -> np.ndarray:
        """Give a regression's answers [n, O] the targets' unit: float64 where they were standardised."""
        if self.target_mean is None:
            return out
        return out * self.target_deviation + self.target_mean

    def unscaled(self, x: np.ndarray) -> np.ndarray:
        """Give the net's inputs [n, I] the data's own unit; features that never changed in training stay so.

        Of a table's inputs, numbers that are scaled along a line; the others stay as they are.
        """
        if self.encodings is not None:
            return self.encodings.unscaled(x)
        if self.shift is not None:
            x = x - self.shift
        if self.scale is not None:
            x = x / np.where(self.scale == 0, 1, self.scale)
        if self.center is not None:
            x = x * self.spread + self.center
        return x if self.constants is None else x + self.constants

    def check(self, block: Block) -> None:
        """Refuses a block whose columns are not those of the model; sparse ones may be fewer."""
        if self.encodings is not None:
            self.encodings.check(block.x, block.where)
            return
        if isinstance(block.x, Frame):
            what = next(
                f"{column.name!r} of kind {column.kind}" for column in block.x.columns if column.kind != "number"
            )
            place = block.where(0) if len(block) else {}
            raise DataError(f"column {what}, expected numbers alone as in the model's training data", **place)
        width = block.x.shape[1]
        if width != self.inputs and not hasattr(block.x, "indptr"):
            place = block.where(0) if len(block) else {}
            raise DataError(f"{width} features, expected {self.inputs} as in the model's training data", **place)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Split the schema into plain values for JSON, and tensors."""
        plain = {key: value for key, value in asdict(self).items() if key not in _TENSORS}
        tensors = {key: getattr(self, key) for key in _TENSORS if getattr(self, key) is not None}
        return plain, tensors

    @classmethod
    def from_parts(cls, plain: dict[str, Any], tensors: dict[str, np.ndarray]) -> Schema:
        """Rebuild a schema from the parts that `to_parts` made, from JSON's lists too.

        Raises
        ------
        ValueError
            A field is unknown, or a tensor has another type or length than it should have.
        """
        if unknown := (set(plain) | set(tensors)) - {item.name for item in fields(cls)}:
            raise ValueError(f"a schema with unknown fields {sorted(unknown)}")
        plain = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
        schema = cls(**{**plain, **tensors})
        for name, tensor in tensors.items():
            dtype, width = _TENSORS[name]
            size = len(schema.classes) if width == "classes" else getattr(schema, width)
            if tensor.shape != (size,) or tensor.dtype != dtype:
                raise ValueError(f"schema {name}: {tensor.dtype} {tensor.shape}, expected {dtype} ({size},)")
        if schema.encodings is not None and schema.encodings.inputs != schema.inputs:
            raise ValueError(f"schema columns: {schema.encodings.inputs} inputs, expected {schema.inputs}")
        return schema


def _distinct(y: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """Find the different values of labels [n], and each label's number among them."""
    if y.dtype != object:
        distinct, inverse = np.unique(y, return_inverse=True)
        return distinct.tolist(), inverse
    numbers = {value: number for number, value in enumerate(set(y.tolist()))}
    return list(numbers), np.array([numbers[value] for value in y.tolist()], np.int64)


def listed(values: tuple[Any, ...], most: int = 20) -> str:
    """Name the first few values for a message."""
    text = ", ".join(map(repr, values[:most]))
    return text + (", …" if len(values) > most else "")
