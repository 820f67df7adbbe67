"""The weight table: the versioned weights of one model in a folder, local or on HDFS; one file a version.

`v00000012.safetensors` holds the tensors `w`, `state/<name>` and, at version 0, `schema/<name>`. Its header holds the
spec, the round, the run's id, the parent version, the metrics of the last rounds, what leads to those of the rounds
before (`hdl.metrics_log`: thinning loses none, and a version costs the same after ten rounds or ten thousand), and a
SHA-256 over all of it. A version appears whole or not at all, and never over another one. Numbers may have gaps, rows
not.

Which versions stay: version 0, the best by validation cost of those that are there, the last one, and the `keep` before
the last; `thin` removes the others.
"""

from __future__ import annotations

import hashlib
import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from hdl import fs, wire
from hdl import metrics_log as metrics
from hdl.errors import NonFinite, OutputError, TableError, VersionExists
from hdl.metrics_log import CHUNK, MetricsLog, best
from hdl.wire import Tensors, Weights

_NAME = re.compile(r"v(\d{8})\.safetensors")
T = TypeVar("T")
_COMMON = "common.safetensors"


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
        Metrics of the versions 1 .. number, one row each: see `hdl.driver`. `Rows`, not a list, keeps them cheap.
    about : dict
        Version 0: data, options, splits, schema, instruction set, device. Later ones: empty.
    schema : dict of ndarray
        Version 0: the schema's tensors. Later ones: empty.
    """

    number: int
    weights: Weights
    spec: dict[str, Any]
    run: str
    parent: int | None = None
    rows: Sequence[dict[str, Any]] = field(default_factory=MetricsLog)
    about: dict[str, Any] = field(default_factory=dict)
    schema: Tensors = field(default_factory=dict)

    @cached_property
    def signature(self) -> str:
        """SHA-256 of `w` alone: what runs are compared by."""
        return wire.sha256(self.weights.w)


class Table:
    """The table in a folder.

    Parameters
    ----------
    path : str
        The folder; `publish` makes it.

    Examples
    --------
    >>> import tempfile
    >>> table = Table(tempfile.mkdtemp())
    >>> table.publish(Version(0, Weights(0, np.zeros(3, np.float32)), {}, "run"))
    >>> table.latest(), table.read().weights.w.tolist()
    (0, [0.0, 0.0, 0.0])
    """

    def __init__(self, path: str):
        self.path = str(path)
        self._list: tuple[Sequence[dict[str, Any]], MetricsLog] = (
            [],
            MetricsLog(),
        )  # of the last version whose rows were a list

    def file(self, number: int) -> str:
        """The path of a version."""
        return fs.join(self.path, f"v{number:08d}.safetensors")

    @property
    def common_file(self) -> str:
        """The path of the samples on which all genetic candidates are measured."""
        return fs.join(self.path, _COMMON)

    def numbers(self) -> list[int]:
        """The versions that are there, ascending; none if the folder is not."""
        if not fs.isdir(self.path):
            return []
        return sorted(int(match[1]) for match in map(_NAME.fullmatch, fs.list(self.path)) if match)

    def row_files(self) -> list[str]:
        """The paths of the files of rows: see `hdl.metrics_log`."""
        return metrics.names(self.path)

    def latest(self) -> int | None:
        """The last version's number; None for an empty table.

        Raises
        ------
        TableError
            That file is damaged, cut short, or not this table's; earlier ones are never taken in its place silently.
        """
        return self.header()["number"] if self.numbers() else None

    def header(self, number: int | None = None) -> dict[str, Any]:
        """A version's fields (default: the last version's), without its tensors; `rows` are read when asked for.

        Raises
        ------
        TableError
        """
        if number is None:
            return self._newest(self.header)
        number = self._number(number)
        path = self.file(number)
        try:
            total = fs.size(path)
            with fs.open(path) as file:
                start = file.read(8)
                start += file.read(wire.header_size(start, total))
            fields = self._checked(number, *wire.header(start, total))
        except (OSError, wire.WireError) as error:
            raise self._wrong(number, error) from None
        return fields | {"rows": self._rows(number, fields)}

    def read(self, number: int | None = None) -> Version:
        """A version (default: the last one), its SHA-256 checked.

        Raises
        ------
        TableError
        """
        if number is None:
            return self._newest(self.read)
        number = self._number(number)
        try:
            with fs.open(self.file(number)) as file:
                kind, fields, tensors = wire.unpack(file.read())
        except (OSError, wire.WireError) as error:
            raise self._wrong(number, error) from None
        self._checked(number, kind, fields)
        found, expected = _digest(fields, tensors), fields["sha256"]
        if found != expected:
            raise self._wrong(number, f"its SHA-256 is {found}, its header says {expected}")
        parts: dict[str, Tensors] = {"state": {}, "schema": {}}
        for name, tensor in tensors.items():
            if name != "w":
                group, _, own = name.partition("/")
                parts.setdefault(group, {})[own] = tensor
        weights = Weights(fields["round"], tensors["w"], parts["state"])
        rest = {name: fields[name] for name in ("spec", "run", "parent", "about")}
        return Version(number, weights, rows=self._rows(number, fields), schema=parts["schema"], **rest)

    def publish(self, version: Version) -> None:
        """Adds a version.

        Raises
        ------
        NonFinite
            A weight, or a vector of the state as long as the weights, is not finite; nothing was written.
        VersionExists
            Another driver was first; its file is untouched.
        TableError
            The folder cannot be written; the versions before are whole.
        """
        weights = version.weights
        for name, tensor in {"w": weights.w, **weights.state}.items():
            vectors = tensor.dtype == np.float32 and tensor.shape[-1:] == weights.w.shape
            if vectors and not np.isfinite(tensor).all():
                raise NonFinite(f"{self.path}: {name} of version {version.number} is not finite; a smaller lr may help")
        tensors = {"w": weights.w}
        tensors |= {f"state/{name}": tensor for name, tensor in weights.state.items()}
        tensors |= {f"schema/{name}": tensor for name, tensor in version.schema.items()}
        names = ("number", "spec", "run", "parent", "about", "signature")
        fields = {name: getattr(version, name) for name in names} | {"round": weights.round}
        self._make()
        rows = self._listed(version.rows)
        fields["filed"], fields["filed_sha256"] = rows.file(self.path)  # before the version that leaves them out
        fields["rows"] = rows.tail()
        fields["sha256"] = _digest(fields, tensors)
        path = self.file(version.number)
        try:
            fs.publish(path, wire.pack("version", fields, tensors))
        except FileExistsError:
            raise VersionExists(f"{path}: another driver has published version {version.number}") from None
        except OSError as error:
            said = error if isinstance(error, OutputError) else f"{path}: cannot be written: {error}"
            raise TableError(f"{said}; the versions before it are whole") from None

    def rows(self) -> MetricsLog:
        """The metrics of every round so far, from the last version on; equal to a list of them."""
        return self.header()["rows"]

    def best(self) -> int:
        """Of the versions that are there the one with the lowest validation cost, the earliest of equals; without
        validation the last one."""
        fields = self.header()
        found = best(fields["rows"], self.numbers())
        return fields["number"] if found is None else found

    def thin(self, keep: int, rows: Sequence[dict[str, Any]] | None = None) -> list[int]:
        """Removes all versions but 0, the best, the last, and the `keep` before it.

        Parameters
        ----------
        keep : int
        rows : sequence of dict, optional
            The last version's, if the caller has them.

        Returns
        -------
        list of int
            The removed ones.
        """
        numbers = self.numbers()
        stay = {0, best(self.rows() if rows is None else rows, numbers), *numbers[-1 - keep :]}
        gone = [number for number in numbers if number not in stay]
        for number in gone:
            with suppress(FileNotFoundError):
                fs.remove(self.file(number))
        return gone

    def publish_common(self, fields: Mapping[str, Any], tensors: Tensors) -> None:
        """Stores what all rounds share beside the spec: samples on which all genetic candidates are measured, or the
        layers below a layer; what is there already stays."""
        self._make()
        content = wire.pack("common", {**fields, "sha256": _digest(fields, tensors)}, tensors)
        with suppress(FileExistsError):  # a run that died here before made the same ones
            fs.publish(self.common_file, content)

    def common(self) -> tuple[dict[str, Any], Tensors]:
        """The fields and tensors that `publish_common` stored."""
        path = self.common_file
        try:
            with fs.open(path) as file:
                kind, fields, tensors = wire.unpack(file.read())
        except (OSError, wire.WireError) as error:
            raise TableError(f"{path}: {error}") from None
        if kind != "common":
            raise TableError(f"{path}: holds {kind}; expected what all rounds have in common")
        if fields.pop("sha256", None) != _digest(fields, tensors):
            raise TableError(f"{path}: its SHA-256 is not the one in its header")
        return fields, tensors

    def _make(self) -> None:
        try:
            fs.mkdir(self.path)
        except OutputError as error:
            raise TableError(str(error)) from None
        except OSError as error:
            raise TableError(f"{self.path}: cannot be made a folder: {error}") from None

    def _newest(self, look: Callable[[int], T]) -> T:
        """The last version; one that a training thins away meanwhile is not missed, as there is a later one."""
        while True:
            number = self._number(None)
            try:
                return look(number)
            except TableError:
                if number in self.numbers():
                    raise

    def _number(self, number: int | None) -> int:
        numbers = self.numbers()
        if not numbers:
            raise TableError(f"{self.path}: no weight table here; expected files such as v00000000.safetensors")
        if number is not None and number not in numbers:
            raise TableError(f"{self.path}: no version {number}; there are {', '.join(map(str, numbers))}")
        return numbers[-1] if number is None else number

    def _checked(self, number: int, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        expected = {"number": int, "round": int, "run": str, "spec": dict, "rows": str, "about": dict, "sha256": str}
        for name, type_ in expected.items():
            if kind != "version" or not isinstance(fields.get(name), type_):
                raise self._wrong(number, f"not a version of a weight table but {kind[:40]!r}, or without {name}")
        if fields["number"] != number:
            raise self._wrong(number, f"holds version {fields['number']}")
        return fields

    def _listed(self, rows: Sequence[dict[str, Any]]) -> MetricsLog:
        """Rows as `Rows`; of a list that goes on where the last one ended only what is new is encoded and filed."""
        if isinstance(rows, MetricsLog):
            return rows
        before, known = self._list
        goes_on = len(before) <= len(rows) and all(map(operator.is_, before, rows))
        self._list = rows, (known.then(*rows[len(before) :]) if goes_on else MetricsLog(rows))
        return self._list[1]

    def _rows(self, number: int, fields: dict[str, Any]) -> MetricsLog:
        count, digest = fields.get("filed", 0), fields.get("filed_sha256", "")
        try:
            tail = [json.loads(line) for line in fields["rows"].split("\n") if line]
            told = isinstance(count, int) and 0 <= count <= number and count % CHUNK == 0 and isinstance(digest, str)
            if not told or (count and not re.fullmatch("[0-9a-f]{64}", digest)):
                raise ValueError(f"{str(count)[:20]} rows in files, of which the last is {str(digest)[:70]!r}")
        except ValueError as error:
            raise self._wrong(number, f"its rows of metrics are damaged: {error}") from None
        return MetricsLog.stored(self.path, count, digest, tail)

    def _wrong(self, number: int, what: object) -> TableError:
        earlier = [n for n in self.numbers() if n < number]
        hint = f"; without this file, training resumes from version {earlier[-1]}" if earlier else ""
        return TableError(f"{self.file(number)}: {what}{hint}")


def layers(table: str) -> list[Table]:
    """The tables of a stack's layers that have begun, from the data upwards; none of any other network."""
    found: list[Table] = []
    while (layer := Table(f"{table.rstrip('/')}/layer{len(found) + 1}")).latest() is not None:
        found.append(layer)
    return found


def _digest(fields: Mapping[str, Any], tensors: Tensors) -> str:
    """SHA-256 over the fields and, in the order of names, each tensor's name, type, shape and SHA-256."""
    plain = {name: value for name, value in fields.items() if name != "sha256"}
    whole = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        whole.update(f"\n{name} {tensor.dtype.str} {list(tensor.shape)} {wire.sha256(tensor)}".encode())
    return whole.hexdigest()
