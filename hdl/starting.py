"""Starting from a network that has learned: its layers and classes in a new training's first weights and schema.

Letters: P parameters, H units below the last layer, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import data, models
from hdl.data import Schema, Summary
from hdl.data.labels import Meanings
from hdl.data.schema import listed
from hdl.errors import DataError, SpecError
from hdl.ops import layout
from hdl.spec import Spec

# What a network is, beside its widths: a training that starts from it has the same.
_NETWORK = ("model", "activation", "leak", "members", "embedding")
_OUTPUT = ("loss", "delta", "quantile", "power")  # the same too, but for a new head
_DATA = ("preprocessing",)  # taken over with the schema, of which it is told


@dataclass(frozen=True)
class Start:
    """Describes the network that a training starts from.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in.
    w : float32 [P]
    schema : Schema or None
        What it knows of its data; None of a network of another library.
    path : str
        Of its file or table, for messages.
    """

    spec: Spec
    w: NDArray[np.float32]
    schema: Schema | None = None
    path: str = ""


def network(start: Start, head: str = "keep") -> dict[str, Any]:
    """Give the fields of a spec that the network decides, for a spec that leaves them open.

    Parameters
    ----------
    head : {'keep', 'new'}
        Of the new spec's tuning: a new head has its own loss.
    """
    names = (*_NETWORK, *(_OUTPUT if head == "keep" else ()), *(_DATA if start.schema else ()))
    dump = start.spec.model_dump(mode="json")
    return {"net": (0, *start.spec.widths[1:-1], 0)} | {name: dump[name] for name in names}


def check(start: Start | None, spec: Spec) -> None:
    """Refuse a spec that cannot start from a network, or needs one and has none.

    Raises
    ------
    SpecError
    """
    tuning = spec.tuning
    if start is None:
        if tuning.starts:
            what = "head new" if tuning.head == "new" else "add_classes"
            raise SpecError(f"tuning.{what}: there is no network to start from; --init-from names one")
        return
    if spec.model != start.spec.model:
        raise SpecError(f"model: {start.path} is of model {start.spec.model}; given {spec.model}")
    if tuning.starts and spec.model != "mlp":
        raise SpecError(f"tuning: {start.path} is of model {spec.model}, which has no classes; expected mlp")
    for name in ("activation", "leak", "members", *(("loss",) if tuning.head == "keep" else ())):
        given, has = getattr(spec, name), getattr(start.spec, name)
        if given not in (None, has) and not (name == "leak" and spec.activation != "leaky_relu"):
            raise SpecError(f"{name}: {start.path} has {has}, given {given}; a network goes on with its own")
    given, has = spec.net and spec.net[1:-1], start.spec.widths[1:-1]
    if given is not None and given != has:
        raise SpecError(
            f"net {'-'.join(map(str, spec.widths))}: {start.path} has hidden widths {'-'.join(map(str, has))}, and "
            "another network cannot start from its weights; leave --net out"
        )


def fitted(start: Start, summary: Summary, spec: Spec) -> Schema:
    """Fit the schema of a dataset on which a network goes on: inputs are what they were to it.

    Of the network's schema are columns, scaling and, unless the head is new, the classes in their order, or a
    regression's unit. With `tuning.add_classes` classes that the data has beside these come behind them, sorted.

    Raises
    ------
    DataError
        The data has other features, or classes that are not to be added.
    SpecError
        The spec contradicts the network or the data.
    """
    old, keep = start.schema, spec.tuning.head == "keep"
    check(start, spec)
    if spec.net is None:
        spec = spec.with_(net=(0, *start.spec.widths[1:-1], 0))
    if keep and spec.loss is None:
        spec = spec.with_(loss=start.spec.loss)
    if old is None:
        return data.fit(summary, spec)
    known = old.classes if keep else ()
    if known and summary.labels.width == 1 and summary.labels.values is not None:
        summary = replace(summary, labels=_with_classes(summary, known))
    schema = _features(start, data.fit(summary, spec), old)
    if not keep:
        return schema
    if known:
        return _classes(start, schema, spec)
    return replace(schema, target_mean=old.target_mean, target_deviation=old.target_deviation)


def weights(start: Start, spec: Spec, schema: Schema) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make the first weights [P] of a spec that is filled in, and those that L2-SP pulls to.

    Layers are the network's. What it has not, a new head or the weights into new classes, begins as in a network that
    starts from nothing, and is pulled to 0.

    Raises
    ------
    SpecError
        The network has other widths.
    """
    w = models.initial(spec)
    anchor = np.zeros_like(w)
    new, old = layout.of(spec), layout.of(start.spec)
    if spec.model != "mlp":
        if old.size != new.size:
            raise SpecError(_other(start, spec))
        w[:] = anchor[:] = start.w
        return w, anchor
    count = len(spec.widths) - 1
    tables = [(new.tables(w), new.tables(anchor), old.tables(start.w))]
    for mine, pulled, given in tables:
        if [each.shape for each in mine] != [each.shape for each in given]:
            raise SpecError(_other(start, spec))
        for a, b, each in zip(mine, pulled, given, strict=True):
            a[:] = b[:] = each
    layers = zip(new.split(w), new.split(anchor), old.split(start.w), strict=False)
    if len(old.split(start.w)) != len(new.split(w)):
        raise SpecError(_other(start, spec))
    for number, (mine, pulled, given) in enumerate(layers, 1):
        last = not number % count
        if last and spec.tuning.head == "new":
            continue
        for a, b, each in zip(mine, pulled, given, strict=True):
            outputs = each.shape[-1]
            wider = last and spec.tuning.add_classes and a.shape[-1] >= outputs
            if a.shape[:-1] != each.shape[:-1] or not (wider or a.shape[-1] == outputs):
                raise SpecError(_other(start, spec))
            a[..., :outputs] = b[..., :outputs] = each
    return w, anchor


def _other(start: Start, spec: Spec) -> str:
    old, new = ("-".join(map(str, each.widths)) for each in (start.spec, spec))
    hint = "; --head new has a last layer of its own" if start.spec.widths[:-1] == spec.widths[:-1] else ""
    return f"net {new}: {start.path} has {old}, and its weights do not fit{hint}"


def _with_classes(summary: Summary, known: tuple[Any, ...]) -> Any:
    """Add classes of which the data may have no sample to those that its labels name, as the data writes them."""
    labels = summary.labels
    own = Meanings(tuple(labels.values or ()))
    missing = [value for value in known if own.code(value) < 0]
    texts = any(isinstance(value, str) for value in labels.values or ())
    named = [str(value) if texts and not isinstance(value, str) else value for value in missing]
    counts = {**dict(zip(labels.values or (), labels.counts or (), strict=True)), **dict.fromkeys(named, 0)}
    values = sorted(counts, key=lambda value: (isinstance(value, str), value))
    return replace(labels, values=tuple(values), counts=tuple(counts[value] for value in values))


def _features(start: Start, schema: Schema, old: Schema) -> Schema:
    """Take over what the network knows of features."""
    if schema.inputs != old.inputs and old.columns is None:
        raise DataError(f"{schema.inputs} features; {start.path} expects {old.inputs}")
    if old.columns is None and schema.names and old.names and schema.names != old.names:
        pairs = zip(schema.names, old.names, strict=False)
        at, (given, has) = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
        raise DataError(f"feature {at} is {given!r}; that of {start.path} is {has!r}: expected its columns in its order")
    names = ("inputs", "kind", "scale", "shift", "rule", "center", "spread", "constants", "columns", "image")
    return replace(schema, names=old.names or schema.names, **{name: getattr(old, name) for name in names})


def _classes(start: Start, schema: Schema, spec: Spec) -> Schema:
    """Put the network's classes first, in their order, and others behind them."""
    old = start.schema
    assert old is not None
    mine, known = Meanings(schema.classes), Meanings(old.classes)
    added = [value for value in schema.classes if known.code(value) < 0]
    if added and not spec.tuning.add_classes:
        raise DataError(
            f"label {added[0]!r} is not one of the {len(old.classes)} classes of {start.path}: {listed(old.classes)}; "
            "--add-classes adds it to them, --head new begins with the data's own"
        )
    if added and old.outputs != len(old.classes):
        raise SpecError(
            f"tuning.add_classes: {start.path} has one output for its two classes, to which none can be added; "
            "expected --head new, or a network with loss softmax"
        )
    factors = schema.class_weights
    if factors is not None:
        order = [mine.code(value) for value in (*old.classes, *added)]
        factors = factors[order]
    # Added classes are written as the network's are: as texts beside texts.
    texts = any(isinstance(value, str) for value in old.classes)
    added = [str(value) if texts else value for value in added]
    classes, outputs = (*old.classes, *added), old.outputs + len(added)
    return replace(schema, classes=classes, outputs=outputs, encoding=old.encoding, class_weights=factors)
