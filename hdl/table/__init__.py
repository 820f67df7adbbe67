"""The weight table: the versioned weights of one model in a folder, local or on HDFS; one file a version.

`v00000012.safetensors` holds the tensors `w`, `state/<name>` and, at version 0, `schema/<name>`. Its header holds the
spec, the round, the run's id, the parent version, the metrics of the last rounds, the SHA-256 of the file with those
before (`hdl.metrics_log`: thinning loses none, and a version costs the same after ten rounds or ten thousand), and a
SHA-256 over all of it. A version appears whole or not at all, and never over another one. Numbers may have gaps, rows
not.

Thinning keeps version 0, the best by validation of those that are there, the last one, and the `keep` before the last.
Which is the best the spec's metric decides, in tables without one the cost.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from hdl import fs, wire
from hdl import metrics_log as metrics
from hdl.errors import DeadlineError, LoginError, OutputError, TableError, VersionExists
from hdl.metrics_log import MetricsLog, best
from hdl.table import version as version_file
from hdl.table.version import Version
from hdl.wire import Tensors, WireError

__all__ = ["Table", "Version", "best", "layers"]

_NAME = re.compile(r"v(\d{8})\.safetensors")
T = TypeVar("T")
_COMMON = "common.safetensors"


class Table:
    """The table in a folder.

    Parameters
    ----------
    path : str
        The folder; `publish` makes it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from hdl.wire import Weights
    >>> table = Table(tempfile.mkdtemp())
    >>> table.publish(Version(0, Weights(0, np.zeros(3, np.float32)), {}, "run"))
    >>> table.latest(), table.read().weights.w.tolist()
    (0, [0.0, 0.0, 0.0])
    """

    def __init__(self, path: str):
        self.path = str(path)
        # The rows of the last version published with a list, and the same as a log.
        self._encoded: tuple[Sequence[dict[str, Any]], MetricsLog] = ([], MetricsLog())

    def file(self, number: int) -> str:
        """The path of a version."""
        return fs.join(self.path, f"v{number:08d}.safetensors")

    @property
    def common_file(self) -> str:
        """The path of the file that `publish_common` writes."""
        return fs.join(self.path, _COMMON)

    def numbers(self) -> list[int]:
        """Lists the versions that are there, ascending; none if the folder is not."""
        if not fs.isdir(self.path):
            return []
        return sorted(int(match[1]) for match in map(_NAME.fullmatch, fs.list(self.path)) if match)

    def row_files(self) -> list[str]:
        """Lists the paths of the files of rows: see `hdl.metrics_log`."""
        return metrics.names(self.path)

    def latest(self) -> int | None:
        """Reads the last version's number; None for an empty table.

        Raises
        ------
        TableError
            The last version's file is damaged, cut short, or not this table's; an earlier version is never taken in
            its place silently.
        """
        return self.header()["number"] if self.numbers() else None

    def header(self, number: int | None = None) -> dict[str, Any]:
        """Reads a version's fields (default: the last version's), without its tensors.

        Returns
        -------
        dict
            The fields of the file, but for `rows`: a `MetricsLog` that reads its files when asked for.

        Raises
        ------
        TableError
            There is no such version, or its file is damaged.
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
            kind, fields = wire.header(start, total)
            version_file.check_fields(number, kind, fields)
            return fields | {"rows": version_file.rows_of(number, fields, self.path)}
        except (OSError, WireError) as error:
            raise self._damaged(number, error) from None

    def read(self, number: int | None = None) -> Version:
        """Reads a version (default: the last one) and checks its SHA-256.

        Raises
        ------
        TableError
            There is no such version, or its file is damaged.
        """
        if number is None:
            return self._newest(self.read)
        number = self._number(number)
        try:
            with fs.open(self.file(number)) as file:
                return version_file.decode(number, file.read(), self.path)
        except (OSError, WireError) as error:
            raise self._damaged(number, error) from None

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
        version.check_finite(self.path)
        self._make()
        rows = self._log_of(version.rows)
        filed, filed_sha256 = rows.file(self.path)  # before the version that leaves them out
        path = self.file(version.number)
        try:
            fs.publish(path, version_file.encode(version, filed, filed_sha256, rows.tail()))
        except FileExistsError:
            raise VersionExists(f"{path}: another driver has published version {version.number}") from None
        except OSError as error:
            said = error if isinstance(error, OutputError) else f"{path}: cannot be written: {error}"
            raise TableError(f"{said}; the versions before it are whole") from None

    def rows(self) -> MetricsLog:
        """Reads the metrics of every round so far, from the last version on; equal to a list of them."""
        return self.header()["rows"]

    def best(self) -> int:
        """Finds the best version of those that are there by the metric that the spec names, or the validation cost: the
        earliest of equals. Without validation, or where the metric was never defined, the last one."""
        fields = self.header()
        number = best(fields["rows"], self.numbers())
        return fields["number"] if number is None else number

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
        kept = {0, best(self.rows() if rows is None else rows, numbers), *numbers[-1 - keep :]}
        removed = [number for number in numbers if number not in kept]
        for number in removed:
            with suppress(FileNotFoundError):
                fs.remove(self.file(number))
        return removed

    def publish_common(self, fields: Mapping[str, Any], tensors: Tensors, private: bool = False) -> None:
        """Stores what all rounds share beside the spec, unless it is there already.

        In genetic mode that is the samples on which all candidates are measured; of a stack's layer, the layers below.
        """
        self._make()
        content = wire.pack("common", {**fields, "sha256": version_file.digest(fields, tensors)}, tensors)
        with suppress(FileExistsError):  # a run that died here before made the same ones
            fs.publish(self.common_file, content, private=private)

    def common(self) -> tuple[dict[str, Any], Tensors]:
        """Reads the fields and tensors that `publish_common` stored.

        Raises
        ------
        TableError
            The file is missing or damaged.
        """
        path = self.common_file
        try:
            with fs.open(path) as file:
                kind, fields, tensors = wire.unpack(file.read())
        except (OSError, WireError) as error:
            raise TableError(f"{path}: {error}") from None
        if kind != "common":
            raise TableError(f"{path}: holds {kind}; expected what all rounds have in common")
        if fields.pop("sha256", None) != version_file.digest(fields, tensors):
            raise TableError(f"{path}: its SHA-256 is not the one in its header")
        return fields, tensors

    def _make(self) -> None:
        try:
            fs.mkdir(self.path)
        except OutputError as error:
            raise TableError(str(error)) from None
        except (LoginError, DeadlineError):
            raise
        except OSError as error:
            raise TableError(f"{self.path}: cannot be made a folder: {error.strerror or error}") from None

    def _newest(self, read: Callable[[int], T]) -> T:
        """Reads the last version; if a training thins it away meanwhile, there is a later one, which is read."""
        while True:
            number = self._number(None)
            try:
                return read(number)
            except TableError:
                if number in self.numbers():
                    raise

    def _number(self, number: int | None) -> int:
        """Checks that a version is there; None is the last one."""
        numbers = self.numbers()
        if not numbers:
            raise TableError(f"{self.path}: no weight table here; expected files such as v00000000.safetensors")
        if number is not None and number not in numbers:
            raise TableError(f"{self.path}: no version {number}; there are {', '.join(map(str, numbers))}")
        return numbers[-1] if number is None else number

    def _log_of(self, rows: Sequence[dict[str, Any]]) -> MetricsLog:
        """Makes a log of rows; if a list continues the one published before, only its new rows are encoded."""
        if isinstance(rows, MetricsLog):
            return rows
        before, log = self._encoded
        continues = len(before) <= len(rows) and all(map(operator.is_, before, rows))
        self._encoded = rows, (log.then(*rows[len(before) :]) if continues else MetricsLog(rows))
        return self._encoded[1]

    def _damaged(self, number: int, reason: object) -> TableError:
        earlier = [n for n in self.numbers() if n < number]
        hint = f"; without this file, training resumes from version {earlier[-1]}" if earlier else ""
        return TableError(f"{self.file(number)}: {reason}{hint}")


def layers(table: str) -> list[Table]:
    """Lists the tables of a stack's layers that have begun, from the data upwards; none for a network without layers
    of its own."""
    begun: list[Table] = []
    while (layer := Table(f"{table.rstrip('/')}/layer{len(begun) + 1}")).latest() is not None:
        begun.append(layer)
    return begun
