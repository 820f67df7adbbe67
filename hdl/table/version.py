"""One version of the weight table, and its file: a message with the weights' tensors, whose fields say where they
came from and hold a SHA-256 over everything in it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hdl import wire
from hdl.errors import NonFinite
from hdl.metrics import METRICS
from hdl.metrics_log import CHUNK, COST, MetricsLog
from hdl.metrics_log.chunks import rows_in
from hdl.wire import Buffer, Tensors, Weights, WireError

_FIELDS = {"number": int, "round": int, "run": str, "spec": dict, "rows": str, "about": dict, "sha256": str}


@dataclass(frozen=True, eq=False)
class Version:
    """One version of the weights and where it came from.

    Parameters
    ----------
    number : int
        Names the file; each is its parent's plus one.
    weights : Weights
    spec : dict
        `Spec.model_dump(mode="json")`, everything filled in.
    run : str
        Id of the run that began the table; a resumed run goes on under it.
    parent : int or None
    rows : sequence of dict
        Metrics of the versions 1 .. number, one row each: see `hdl.driver`. A `MetricsLog`, unlike a list, is not
        encoded anew at each version.
    about : dict
        Version 0: data, options, splits, schema, platform, device. Later ones: empty.
    schema : dict of ndarray
        Version 0: the schema's tensors. Later ones: empty.
    follows : (int, str), optional
        Number and signature of the version that the run published before; None of the first, and of older tables.
    """

    number: int
    weights: Weights
    spec: dict[str, Any]
    run: str
    parent: int | None = None
    rows: Sequence[dict[str, Any]] = field(default_factory=MetricsLog)
    about: dict[str, Any] = field(default_factory=dict)
    schema: Tensors = field(default_factory=dict)
    follows: tuple[int, str] | None = None

    @cached_property
    def signature(self) -> str:
        """SHA-256 of `w` alone, by which tests compare runs."""
        return wire.sha256(self.weights.w)

    def check_finite(self, table: str) -> None:
        """Refuses weights, and vectors of the state that are as long, with a number that is not finite.

        Raises
        ------
        NonFinite
            Names the table, the vector and the version.
        """
        w = self.weights.w
        for name, tensor in {"w": w, **self.weights.state}.items():
            is_vector = tensor.dtype == np.float32 and tensor.shape[-1:] == w.shape
            if is_vector and not np.isfinite(tensor).all():
                raise NonFinite(f"{table}: {name} of version {self.number} is not finite; a smaller lr may help")


def encode(version: Version, filed: int, filed_sha256: str, tail: str, follows: tuple[int, str] | None = None) -> bytes:
    """Writes a version as the content of its file.

    Parameters
    ----------
    version : Version
    filed : int
        Rows of metrics that are in files of their own: see `hdl.metrics_log`.
    filed_sha256 : str
        SHA-256 of the last of these files.
    tail : str
        The other rows, a line of JSON each.
    follows : (int, str), optional
        Number and signature of the version that the run has published before.
    """
    weights = version.weights
    tensors = {"w": weights.w}
    tensors |= {f"state/{name}": tensor for name, tensor in weights.state.items()}
    tensors |= {f"schema/{name}": tensor for name, tensor in version.schema.items()}
    names = ("number", "spec", "run", "parent", "about", "signature")
    fields = {name: getattr(version, name) for name in names} | {"round": weights.round}
    fields |= {"filed": filed, "filed_sha256": filed_sha256, "rows": tail}
    if follows is not None:
        fields["follows"] = [*follows]
    fields["sha256"] = digest(fields, tensors)
    return wire.pack("version", fields, tensors)


def decode(number: int, data: Buffer, folder: str) -> Version:
    """Reads version `number` from its file's content, and checks its SHA-256; rows in files are read when asked for.

    Raises
    ------
    WireError
        The content is damaged, cut short, or another version's.
    """
    kind, fields, tensors = wire.unpack(data)
    check_fields(number, kind, fields)
    computed, expected = digest(fields, tensors), fields["sha256"]
    if computed != expected:
        raise WireError(f"its SHA-256 is {computed}, its header says {expected}")
    groups: dict[str, Tensors] = {"state": {}, "schema": {}}
    for name, tensor in tensors.items():
        if name != "w":
            group, _, short = name.partition("/")
            groups.setdefault(group, {})[short] = tensor
    w = tensors.get("w")
    if w is None or w.dtype != np.float32 or w.ndim != 1:
        raise WireError("without weights w, float32 [P]")
    weights = Weights(fields["round"], w, groups["state"])
    plain: dict[str, Any] = {name: fields.get(name) for name in ("spec", "run", "parent", "about")}
    follows = tuple(fields["follows"]) if fields.get("follows") else None
    return Version(
        number, weights, rows=rows_of(number, fields, folder), schema=groups["schema"], follows=follows, **plain
    )


def check_fields(number: int, kind: str, fields: Mapping[str, Any]) -> None:
    """Checks that a message's kind and fields are those of version `number`.

    Raises
    ------
    WireError
    """
    for name, type_ in _FIELDS.items():
        if kind != "version" or not isinstance(fields.get(name), type_):
            raise WireError(f"not a version of a weight table but {kind[:40]!r}, or without {name}")
    if fields["number"] != number:
        raise WireError(f"holds version {str(fields['number'])[:40]}")
    parent, follows = fields.get("parent"), fields.get("follows")
    if not (parent is None or wire.is_count(parent)) or not wire.is_count(fields["round"]):
        raise WireError(f"made of version {str(parent)[:40]} in round {str(fields['round'])[:40]}; expected counts")
    if follows and not (isinstance(follows, list) and [type(each) for each in follows] == [int, str]):
        raise WireError(f"follows {str(follows)[:80]}; expected a version's number and its SHA-256")


def rows_of(number: int, fields: Mapping[str, Any], folder: str) -> MetricsLog:
    """Gathers the metrics of the rounds before version `number`: those in its fields, and those in files of `folder`.

    Raises
    ------
    WireError
        The fields do not say which files, or hold no rows.
    """
    count, sha256 = fields.get("filed", 0), fields.get("filed_sha256", "")
    try:
        tail = rows_in(line for line in fields["rows"].split("\n") if line)
        is_count = isinstance(count, int) and 0 <= count <= number and count % CHUNK == 0 and isinstance(sha256, str)
        if not is_count or (count and not re.fullmatch("[0-9a-f]{64}", sha256)):
            raise ValueError(f"{str(count)[:20]} rows in files, of which the last is {str(sha256)[:70]!r}")
    except ValueError as error:
        raise WireError(f"its rows of metrics are damaged: {error}") from None
    metric = fields["spec"].get("metric") or COST  # tables of before have none
    if not isinstance(metric, str) or metric not in METRICS:
        raise WireError(f"its versions are compared by {str(metric)[:40]!r}, which this hdl does not measure")
    return MetricsLog.stored(folder, count, sha256, tail, metric)


def digest(fields: Mapping[str, Any], tensors: Tensors) -> str:
    """Computes the SHA-256 over the fields and, in the order of names, each tensor's name, type, shape and SHA-256."""
    plain = {name: value for name, value in fields.items() if name != "sha256"}
    total = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"\n{name} {tensor.dtype.str} {list(tensor.shape)} {wire.sha256(tensor)}".encode())
    return total.hexdigest()
