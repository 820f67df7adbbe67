"""A fit and what it has made, as messages of `hdl.wire`: plain fields and tensors, of which nothing is unpickled.

Samples are a file of their own, whose name says what is in it: fits on the same samples share it.

Letters: N samples, I features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hdl import spec as specs
from hdl import wire
from hdl.data import features
from hdl.errors import NonFinite
from hdl.fitting.pace import Pace
from hdl.fitting.rounds import Limits, Trained
from hdl.fitting.score import Score
from hdl.ops import Samples
from hdl.spec import Spec
from hdl.wire import Weights

ORDER, SAMPLES, MADE = "fit", "samples", "made"
_FAILURES = {kind.__name__: kind for kind in (NonFinite, ValueError)}  # a training's own, which its estimator explains
_TOLD = ("told", "measured")  # of limits: functions
_RESULTS = ("curve", "scores", "exhausted", "warning")  # of what was trained, beside its weights
_PARTS = ("y", "scale", "shift", "weight", "offset")  # of samples, beside their features


@dataclass(frozen=True, eq=False)
class Order:
    """Asks for a fit.

    Parameters
    ----------
    spec : Spec
        Filled in.
    weights : Weights
        To start from.
    train, held : str
        Files of the samples to train on, and of those held out; empty: none are.
    limits : Limits
        Without anybody who is told.
    platform : str
        That computes, since another gives other bytes: see `hdl.runners.platform`.
    """

    spec: Spec
    weights: Weights
    train: str
    held: str
    limits: Limits
    platform: str

    def pack(self) -> bytes:
        """Pack as a message; `unpack` reads it."""
        fields = {
            "spec": self.spec.to_json(),
            "train": self.train,
            "held": self.held,
            "platform": self.platform,
            "limits": _plain({name: value for name, value in asdict(self.limits).items() if name not in _TOLD}),
        }
        return wire.pack(ORDER, fields | {"round": self.weights.round}, _tensors(self.weights))

    @classmethod
    def unpack(cls, message: wire.Buffer) -> Order:
        """Read what `pack` gave."""
        fields, tensors = _read(message, ORDER)
        limits = dict(fields["limits"])
        for name, kind in (("score", Score), ("pace", Pace)):
            limits[name] = limits[name] and kind(**limits[name])
        weights = _weights(fields["round"], tensors)
        return cls(specs.parse(fields["spec"]), weights, fields["train"], fields["held"], Limits(**limits),
                   fields["platform"])  # fmt: skip

    def at(self, places: Sequence[str]) -> Order:
        """Return the order with its files of samples in other places."""
        return replace(self, train=places[0], held=places[1] if self.held else "")


@dataclass(frozen=True, eq=False)
class Made:
    """What a fit has made.

    Parameters
    ----------
    trained : Trained or Exception
        How it failed, where that is its own doing.
    pace : Pace, optional
        At the end.
    """

    trained: Trained | Exception
    pace: Pace | None = None

    def pack(self) -> bytes:
        """Pack as a message; `unpack` reads it."""
        one = self.trained
        if isinstance(one, Exception):
            return wire.pack(MADE, {"failure": type(one).__name__, "message": str(one)})
        own = {name: getattr(one, name) for name in _RESULTS}
        pace = self.pace and _plain(asdict(self.pace))
        return wire.pack(MADE, {**own, "round": one.weights.round, "pace": pace}, _tensors(one.weights))

    @classmethod
    def unpack(cls, message: wire.Buffer) -> Made:
        """Read what `pack` gave."""
        fields, tensors = _read(message, MADE)
        if "failure" in fields:
            return cls(_FAILURES[fields["failure"]](fields["message"]))
        own = [fields[name] for name in _RESULTS]
        return cls(Trained(_weights(fields["round"], tensors), *own), fields["pace"] and Pace(**fields["pace"]))

    @classmethod
    def failed(cls, error: Exception) -> Made:
        """Make the result of a fit that fails by its own; another error is raised.

        Raises
        ------
        Exception
        """
        if type(error) not in _FAILURES.values():
            raise error
        return cls(error)


def samples_message(samples: Samples) -> list[wire.Buffer]:
    """Pack samples as the pieces of a message."""
    x = samples.x
    tensors = features.to_tensors(x) | {name: getattr(samples, name) for name in _PARTS}
    own = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    return wire.parts(SAMPLES, {"columns": x.shape[1]}, own)


def read_samples(message: wire.Buffer) -> Samples:
    """Read samples, which are views of the message."""
    fields, tensors = _read(message, SAMPLES)
    return Samples(features.from_tensors(tensors, fields["columns"]), **{name: tensors.get(name) for name in _PARTS})


def name_of(pieces: Iterable[wire.Buffer]) -> str:
    """Name a file by what is in it."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return f"{SAMPLES}-{digest.hexdigest()}"


def _read(message: wire.Buffer, wanted: str) -> tuple[dict[str, Any], wire.Tensors]:
    kind, fields, tensors = wire.unpack(message)
    if kind != wanted:
        raise wire.WireError(f"a message of kind {kind[:40]!r}; expected {wanted}")
    return fields, tensors


def _tensors(weights: Weights) -> wire.Tensors:
    return {"w": weights.w, **{f"state/{name}": tensor for name, tensor in weights.state.items()}}


def _weights(number: int, tensors: wire.Tensors) -> Weights:
    state = {name.partition("/")[2]: tensor for name, tensor in tensors.items() if name.startswith("state/")}
    return Weights(number, tensors["w"].copy(), {name: tensor.copy() for name, tensor in state.items()})


def _plain(value: Any) -> Any:
    """Give numbers of NumPy's, as parameters may be, as Python's."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value.item() if hasattr(value, "item") else value
