"""Starting from a network that has learned: its layers and classes in a new training's first weights and schema.

A driver reads the network once, before version 0, which then has all of it: neither workers nor a resumed run look for
it again. A master on YARN that cannot see where it lies is given a copy beside the table.

Letters: P parameters, H units below the last layer, O outputs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl import data, foreign, fs, models, wire
from hdl import spec as specs
from hdl.data import Schema, Summary
from hdl.data.labels import Meanings
from hdl.data.schema import listed
from hdl.errors import DataError, SpecError, TableError
from hdl.ops import layout
from hdl.spec import Scale, Spec
from hdl.table import Table

if TYPE_CHECKING:
    from hdl.runners.base import Job

# What a network is, beside its widths: a training that starts from it has the same.
_NETWORK = ("model", "activation", "leak", "members", "embedding")
_OUTPUT = ("loss", "delta", "quantile", "power")  # the same too, but for a new head
SUFFIX = ".hdl"  # of a network's copy beside a table
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
    classes : tuple or None
        Of a network of another library that says what its outputs stand for.
    unsaid : tuple of str
        Fields of the spec that the file of another library does not say.
    """

    spec: Spec
    w: NDArray[np.float32]
    schema: Schema | None = None
    path: str = ""
    classes: tuple[Any, ...] | None = None
    unsaid: tuple[str, ...] = ()


def read(path: str) -> Start:
    """Read the network that a training starts from.

    Parameters
    ----------
    path : str
        A weight table, whose best version is taken; another library's file (`hdl.foreign`); or a copy that `staged`
        made.

    Raises
    ------
    TableError
        It is none of them.
    Damaged
        Its bytes are not those that were written.
    DataError, Unavailable
        Another library's file cannot be read.
    """
    if path.endswith(SUFFIX):
        with fs.open(path) as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest()[:32] not in path:
            raise TableError(f"{path}: not the bytes that were written there; begin the training anew")
        _, fields, tensors = wire.unpack(content)
        schema = Schema.from_parts(fields["schema"], {k: v for k, v in tensors.items() if k != "w"})
        classes = None if fields["classes"] is None else tuple(fields["classes"])
        known = schema if fields["known"] else None
        return Start(specs.parse(fields["spec"]), tensors["w"], known, fields["path"], classes, tuple(fields["unsaid"]))
    if foreign.is_foreign(path):
        return _foreign(foreign.read(path))
    table = Table(path)
    if not fs.isdir(path) or table.latest() is None:
        raise TableError(
            f"--init-from {path}: expected the folder of a weight table, as hdl train --out makes it, or a file "
            f"{', '.join(foreign.SUFFIXES)}"
        )
    zero, version = table.with_zero("best")
    schema = Schema.from_parts(zero.about["schema"], zero.schema)
    return Start(specs.parse(version.spec), version.weights.w, schema, path)


def _foreign(net: foreign.Network) -> Start:
    """Describe the network of another library as a spec and flat weights."""
    said = {"activation": net.activation, "loss": net.loss}
    given: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    spec = Spec(net=net.widths, leak=net.leak, scale=Scale(name="none"), **given)
    unsaid = ("activation",) if net.activation is None and len(net.weights) > 1 else ()
    return Start(spec, net.flat(), None, net.path, net.classes, unsaid)


def staged(job: Job) -> Job:
    """Copy the network that a job starts from beside its table, if another machine could not read it where it lies."""
    if not job.init_from or job.resume or fs.is_remote(job.init_from):
        return job
    start = read(job.init_from)
    known = start.schema is not None
    fields, tensors = (start.schema or Schema(0, 0, "none")).to_parts()
    whole = {"spec": start.spec.to_json(), "schema": fields, "known": known, "path": start.path}
    whole |= {"classes": None if start.classes is None else list(start.classes), "unsaid": list(start.unsaid)}
    content = wire.pack("start", whole, {"w": start.w, **tensors})
    name = f"start-{hashlib.sha256(content).hexdigest()[:32]}{SUFFIX}"
    path = fs.join(job.table, name)
    if not fs.exists(path):
        fs.mkdir(job.table)
        fs.publish(path, bytes(content))
    return replace(job, init_from=path)


def network(start: Start, head: str = "keep") -> dict[str, Any]:
    """Give the fields of a spec that the network decides, for a spec that leaves them open.

    Parameters
    ----------
    head : {'keep', 'new'}
        Of the new spec's tuning: a new head has its own loss.
    """
    names = (*_NETWORK, *(_OUTPUT if head == "keep" else ()), *(_DATA if start.schema else ("scale",)))
    names = tuple(name for name in names if name not in start.unsaid)
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
        if name in start.unsaid:
            if name not in spec.model_fields_set:
                raise SpecError(f"{name}: {start.path} does not say which its hidden layers have; --{name} names it")
            continue
        if has is None:
            continue
        if given not in (None, has) and not (name == "leak" and spec.activation != "leaky_relu"):
            raise SpecError(f"{name}: {start.path} has {has}, given {given}; a network goes on with its own")
    given, has = spec.net and spec.net[1:-1], start.spec.widths[1:-1]
    if given is not None and given != has:
        raise SpecError(
            f"net {'-'.join(map(str, spec.widths))}: {start.path} has hidden widths {'-'.join(map(str, has))}, and "
            "another network cannot start from its weights; leave --net out"
        )


def about(start: Start) -> dict[str, Any]:
    """Tell what a training started from, for version 0."""
    digest = hashlib.sha256(np.ascontiguousarray(start.w).tobytes()).hexdigest()
    return {"path": start.path, "signature": digest, "net": list(start.spec.widths)}


def fitted(start: Start, summary: Summary, spec: Spec) -> tuple[Spec, Schema]:
    """Fit the schema of a dataset on which a network goes on: inputs are what they were to it. Gives the spec too, with
    what the network decides.

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
        return foreign.fitted(spec, data.fit(summary, spec), start.spec.widths, keep, summary)
    known = old.classes if keep else ()
    if known and summary.labels.width == 1 and summary.labels.values is not None:
        summary = replace(summary, labels=_with_classes(summary, known))
    schema = _features(start, data.fit(summary, spec), old)
    if not keep:
        return spec, schema
    if known:
        return spec, _classes(start, schema, spec)
    return spec, replace(schema, target_mean=old.target_mean, target_deviation=old.target_deviation)


def weights(start: Start, spec: Spec, schema: Schema | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make the first weights [P] of a spec that is filled in, and those that L2-SP pulls to.

    Layers are the network's. What it has not, a new head or the weights into new classes, begins as in a network that
    starts from nothing, and is pulled to 0.

    Raises
    ------
    SpecError
        The network has other widths.
    """
    if start.schema is None and schema is not None and spec.tuning.head == "keep":
        start = replace(start, w=foreign.in_units(start.w, start.spec.widths, start.classes, schema, start.path))
    w = models.initial(spec)
    anchor = np.zeros_like(w)
    new, old = layout.of(spec), layout.of(start.spec)
    if spec.model != "mlp":
        if old.size != new.size:
            raise SpecError(_other(start, spec))
        w[:] = anchor[:] = start.w
        return w, anchor
    count = len(spec.widths) - 1
    mine, pulled, given = new.tables(w), new.tables(anchor), old.tables(start.w)
    if [each.shape for each in mine] != [each.shape for each in given]:
        raise SpecError(_other(start, spec))
    for a, b, each in zip(mine, pulled, given, strict=True):
        a[:] = b[:] = each
    if len(old.split(start.w)) != len(new.split(w)):
        raise SpecError(_other(start, spec))
    layers = zip(new.split(w), new.split(anchor), old.split(start.w), strict=True)
    for number, triple in enumerate(layers, 1):
        last = not number % count
        if last and spec.tuning.head == "new":
            continue
        for a, b, each in zip(*triple, strict=True):
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
        raise DataError(
            f"feature {at} is {given!r}; that of {start.path} is {has!r}: expected its columns in its order"
        )
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
