"""What a model knows of its data: inputs, classes, scaling. Fitted once, stored with the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from hdl.data.base import Bad, Block
from hdl.data.labels import Meanings, canonical, classes_of, is_plain_number
from hdl.data.scaling import NOISE, fit_scale
from hdl.data.summary import Labels, Summary
from hdl.errors import DataError, SpecError
from hdl.models import stack
from hdl.spec import Spec

FEW = 20  # whole-number labels are classes if they are at most this many,
SHARE = 10  # or at most 1,000 with this many samples each on average


_TENSORS = {  # fields that are stored as tensors: their type, and the field that is their length
    "scale": ("float32", "inputs"),
    "shift": ("float32", "inputs"),
    "center": ("float64", "inputs"),
    "spread": ("float64", "inputs"),
    "constants": ("float64", "inputs"),
    "target_mean": ("float64", "outputs"),
    "target_deviation": ("float64", "outputs"),
}


@dataclass(frozen=True)
class Schema:
    """What a model knows of its data.

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
        The scaling rule that was used: name and constant.
    kind : {'uint8', 'float32', 'sparse'}
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

    def encode(self, y: np.ndarray, where: Any = None, bad: Bad | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Raw labels of a block as the core takes them.

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
            known = Meanings(self.classes)
            distinct, inverse = _distinct(y)
            codes = np.array([known.code(raw) for raw in distinct], np.int64)[inverse]
            for i in np.flatnonzero(codes < 0):
                raw = distinct[inverse[i]]
                refuse(i, f"label {raw!r} is not one of the {len(self.classes)} classes {_listed(self.classes)}")
        else:
            return self._encode_values(y, good, refuse), good
        codes = np.where(good, codes, 0)
        if self.encoding == "index":
            return codes.astype(np.int32), good
        if self.encoding == "binary":
            return codes.astype(np.float32)[:, None], good
        return np.eye(len(self.classes), dtype=np.float32)[codes], good

    def _encode_values(self, y: np.ndarray, good: np.ndarray, refuse: Any) -> np.ndarray:
        """Numbers as the net's targets, float32 [n, O]."""
        wide = np.zeros((len(y), self.outputs))
        try:
            wide[:] = y.reshape(len(y), -1).astype(np.float64)
        except ValueError:
            for row, raw in enumerate(y.tolist()):
                try:
                    wide[row] = float(raw)
                except ValueError:
                    refuse(row, f"label {raw!r} is not a number; the model's labels are")
        if self.target_mean is not None:
            wide = (wide - self.target_mean) / self.target_deviation
        with np.errstate(over="ignore"):
            out = wide.astype(np.float32)
        for i in np.flatnonzero(good & ~np.isfinite(out).all(axis=1)):
            refuse(i, f"label {y[i : i + 1].tolist()[0]!r}; expected a finite float32 number")
        return out

    def in_units(self, out: np.ndarray) -> np.ndarray:
        """A regression's answers [n, O] in the targets' unit: float64 where they were standardised."""
        if self.target_mean is None:
            return out
        return out * self.target_deviation + self.target_mean

    def unscaled(self, x: np.ndarray) -> np.ndarray:
        """The net's inputs [n, I] in the data's own unit; features that never changed in training are as they were."""
        if self.shift is not None:
            x = x - self.shift
        if self.scale is not None:
            x = x / np.where(self.scale == 0, 1, self.scale)
        if self.center is not None:
            x = x * self.spread + self.center
        return x if self.constants is None else x + self.constants

    def check(self, block: Block) -> None:
        """Refuses a block whose features are not as many as the model's; sparse ones may be fewer."""
        width = block.x.shape[1]
        if width != self.inputs and not hasattr(block.x, "indptr"):
            place = block.where(0) if len(block) else {}
            raise DataError(f"{width} features, expected {self.inputs} as in the model's training data", **place)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain values for JSON, and tensors."""
        plain = {key: value for key, value in asdict(self).items() if key not in _TENSORS}
        tensors = {key: getattr(self, key) for key in _TENSORS if getattr(self, key) is not None}
        return plain, tensors

    @classmethod
    def from_parts(cls, plain: dict[str, Any], tensors: dict[str, np.ndarray]) -> Schema:
        """The inverse of `to_parts`, from JSON's lists too.

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
            size = getattr(schema, width)
            if tensor.shape != (size,) or tensor.dtype != dtype:
                raise ValueError(f"schema {name}: {tensor.dtype} {tensor.shape}, expected {dtype} ({size},)")
        return schema


def _distinct(y: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """The different values of labels [n], and each label's number among them."""
    if y.dtype != object:
        distinct, inverse = np.unique(y, return_inverse=True)
        return distinct.tolist(), inverse
    numbers = {value: number for number, value in enumerate(set(y.tolist()))}
    return list(numbers), np.array([numbers[value] for value in y.tolist()], np.int64)


def _listed(values: tuple[Any, ...], most: int = 20) -> str:
    text = ", ".join(map(repr, values[:most]))
    return text + (", …" if len(values) > most else "")


def fit(summary: Summary, spec: Spec) -> Schema:
    """The schema of a dataset.

    Parameters
    ----------
    summary : Summary
        Of all shards.
    spec : Spec
        Its `scale`, and where given `loss` and the ends of `net`, decide with the labels.

    Raises
    ------
    DataError
        No samples; more bad records than the dataset may have; labels that no loss fits.
    SpecError
        The spec contradicts the data.
    """
    if summary.bad > summary.limit:
        raise Bad(summary.limit, summary.bad, [*summary.places]).overflow()
    if not summary.samples:
        listed = "".join(f"\n  {place}" for place in summary.places)
        raise DataError(f"the dataset has no samples, expected at least one{listed and '; skipped:'}{listed}")
    inputs = (spec.net and spec.net[0]) or summary.features
    if stack.labelled(spec):
        encoding, classes, outputs, loss = _labels(summary, spec)
    else:
        encoding, classes, outputs, loss = "none", (), inputs, "squared"
    unseen = summary.kind == "sparse" and inputs > summary.features  # columns that no training sample fills
    if inputs != summary.features and not unseen:
        raise SpecError(f"net starts with {inputs}, but the data has {summary.features} features")
    if inputs == 0:
        raise DataError("the data has no feature")
    scaling = fit_scale(summary, spec.scale, inputs, stack.units(spec))
    mean, deviation = _target_unit(summary, encoding, loss, spec)
    meta, tup = summary.meta, lambda value: tuple(value) if value else None
    image = tup(meta.get("image"))
    return Schema(
        inputs, outputs, encoding, classes, loss, scaling.scale, scaling.shift, scaling.rule, summary.kind,
        summary.samples, image, tup(meta.get("names")), tup(meta.get("targets")), tuple(meta.get("label") or ()),
        meta.get("format", ""), summary.bad, dict(meta.get("reading") or {}), scaling.center, scaling.spread,
        scaling.constants, mean, deviation,
    )  # fmt: skip


def _target_unit(summary: Summary, encoding: str, loss: str, spec: Spec) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Mean and deviation of a regression's targets, float64 [O]; None for classes."""
    labels = summary.labels
    if encoding not in ("value", "targets") or (spec.loss or loss) != "squared" or labels.mean is None:
        return None, None
    return target_unit(labels)


def target_unit(labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of targets, float64 [O]; the magnitude in place of a deviation of 0."""
    mean, deviation = np.array(labels.mean), np.array(labels.norm) / np.sqrt(labels.samples)
    magnitude = np.abs(mean)
    unchanging = deviation <= NOISE * magnitude
    return mean, np.where(unchanging, np.where(magnitude > 0, magnitude, 1.0), deviation)


def _labels(summary: Summary, spec: Spec) -> tuple[str, tuple[Any, ...], int, str]:
    """Encoding, classes, outputs and the loss that fits."""
    labels, end = summary.labels, spec.net[-1] if spec.net else 0
    if labels.width == 0:
        hint = "" if spec.model == "mlp" else "; with finetune reconstruct or none it needs none"
        raise DataError(f"the data has no labels, and {spec.model} needs them to train{hint}")
    if labels.width > 1:
        width = labels.width
        if end not in (0, width):
            raise SpecError(f"net ends with {end}, but the data has {width} target columns")
        if labels.onehot and spec.loss != "squared":
            names = summary.meta.get("targets") or range(width)
            columns = tuple(map(canonical, names)) if all(map(is_plain_number, map(str, names))) else tuple(names)
            columns = columns if len(set(columns)) == width else tuple(range(width))
            return ("onehot" if spec.loss == "sigmoid" else "index"), columns, width, spec.loss or "softmax"
        if spec.loss == "softmax":
            raise DataError("softmax needs targets with one 1 a row and else 0; the data has others")
        return "targets", (), width, spec.loss or ("sigmoid" if labels.binary else "squared")
    typed = summary.label_type
    numeric = labels.numeric and typed not in ("text", "boolean")
    classes = None if labels.values is None else classes_of(labels.values, typed == "text")
    if spec.loss == "squared" and numeric and end in (0, 1):
        return "value", (), 1, "squared"
    if spec.loss is None and numeric and not _are_classes(summary, classes):
        if end > 1:
            raise SpecError(f"net ends with {end}, but the labels are real numbers: 1 output, or give a loss")
        return "value", (), 1, "squared"
    if classes is None:
        kind = "numbers" if numeric else "texts"
        raise DataError(f"the labels are more than 10000 different {kind}; too many for classes")
    count = len(classes)
    if count < 2:
        raise DataError(f"every label is {classes[0]!r}; expected at least 2 classes")
    if spec.loss == "sigmoid" and end == 1 and count == 2:
        return "binary", classes, 1, "sigmoid"
    if end not in (0, count):
        raise SpecError(f"net ends with {end}, but the data has {count} classes: {_listed(classes)}")
    return ("index" if spec.loss in (None, "softmax") else "onehot"), classes, count, spec.loss or "softmax"


def _are_classes(summary: Summary, classes: tuple[Any, ...] | None) -> bool:
    """Whether numbers as labels name classes rather than measure something."""
    if classes is None or not summary.labels.whole:
        return False
    return len(classes) <= FEW or (len(classes) <= 1000 and SHARE * len(classes) <= summary.samples)


def resolve(spec: Spec, schema: Schema) -> Spec:
    """The spec with the net's ends, the loss and the mini-batch filled in from the data.

    Without a net: one hidden layer of 64 units, 128 from 256 inputs on. Without a mini-batch: the whole shard for a
    line search, 32 samples below 20,000 samples (small data needs the steps), else 100.

    Examples
    --------
    >>> resolve(Spec(net="0-8-0"), Schema(4, 3, "index", (0, 1, 2))).net
    (4, 8, 3)
    """
    codes = 128 if schema.inputs >= 256 else 64
    ends = stack.labelled(spec) or spec.model == "autoencoder"  # else the last width is that of codes
    net = spec.net or ((0, codes, 0) if ends else (0, codes))
    needed = {"starts": (net[0], schema.inputs)} | ({"ends": (net[-1], schema.outputs)} if ends else {})
    for end, (given, found) in needed.items():
        if given not in (0, found):
            raise SpecError(f"net {end} with {given}, but the data needs {found}")
    if not ends and not net[-1]:
        raise SpecError(f"net {'-'.join(map(str, net))}: the last width is that of the codes; expected at least 1")
    net = (schema.inputs, *net[1:-1], schema.outputs if ends else net[-1])
    batch = spec.batch or (0 if spec.optimizer.line_search else 32 if schema.samples < 20_000 else 100)
    return spec.with_(net=net, loss=spec.loss or schema.loss, batch=batch)
