"""The weight table: the versioned weights of one model in a folder, local or on HDFS; one file a version.

`v00000012.safetensors` holds the tensors `w`, `state/<name>` and, at version 0, `schema/<name>`. Its header holds the
spec, the round, the run's id, the parent version, the SHA-256 of the weights published before, the metrics of the last
rounds, the SHA-256 of the file with those before (`hdl.metrics_log`: thinning loses none, and a version costs the same
after ten rounds or ten thousand), and a SHA-256 over all of it. A version appears whole or not at all, and never over
another one. Numbers may have gaps, rows not.

Of several runs that write to a folder one owns the table (`hdl.table.owner`), and only its files count: a run claims
the table before it writes, and its files' names tell its claim, as in `v00000012.3-1f0a9c2e77b4.safetensors`.

Thinning keeps version 0, the best by validation of those that are there, the last one, and the `keep` before the last.
Which is the best the spec's metric decides, in tables without one the cost.
"""

from __future__ import annotations

import operator
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from hdl import fs, temporary, wire
from hdl.errors import DeadlineError, Fenced, HdlError, LoginError, OutputError, TableError, VersionExists
from hdl.metrics_log import MetricsLog, best
from hdl.table import names, owner, zero
from hdl.table import version as version_file
from hdl.table.owner import Owner
from hdl.table.stored import Stored
from hdl.table.version import Version
from hdl.wire import Tensors

__all__ = ["Table", "Version", "best", "epochs", "layers"]


class Table(Stored):
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
        super().__init__(path)
        # The rows of the last version published with a list, and the same as a log.
        self._encoded: tuple[Sequence[dict[str, Any]], MetricsLog] = ([], MetricsLog())
        self._follows: tuple[int, str] | None = None  # number and signature of the version published last

    @property
    def run(self) -> str:
        """The id of the run that this object has claimed the table for; empty without a claim."""
        return self.owner.run if self.owner else ""

    def claim(self, base: Version | None = None, seen: int | None = None, run: str = "") -> None:
        """Takes the table over for this object, which alone may publish from then on: see `hdl.table.owner`.

        Parameters
        ----------
        base : Version, optional
            That the run goes on from: it and those before it stay, later ones do not. None: an empty table of a new
            run.
        seen : int, optional
            Epoch of the owner by which the caller has decided; None: whoever owns the table now.
        run : str
            Id of a new run, where the caller has made one.

        Raises
        ------
        Fenced
            Another run has claimed the table since; nothing was changed.
        TableError
            The folder cannot be written.
        """
        self._make()
        run = base.run if base else run or uuid.uuid4().hex
        inherited, rest = ({}, {}) if base is None else self._inheritance(base)
        rescued = {} if base is None else {names.version(base.number): lambda: self._content(base)}
        self.owner = own = owner.take(self.path, run, seen, inherited, rescued)
        self._follows = (base.number, base.signature) if base else None
        for plain, name in rest.items():  # those that were kept beside the others; an earlier owner may thin them still
            with suppress(OSError):
                fs.rename(fs.join(self.path, name), fs.join(self.path, names.tagged(plain, own.tag)))
        owner.sweep(self.path, own, all_rows=base is None)
        if base is not None:
            zero.mend(fs.join(self.path, names.version(0, own.tag)))
            self._lost = False

    def _inheritance(self, base: Version) -> tuple[dict[str, str], dict[str, str]]:
        """Lists what a run that goes on from a version takes over: each file's name without a tag, and its name.

        Those that no run can do without are copied before the claim: version 0, the best, the last and what all rounds
        have in common. The others get their new names after it.
        """
        own, files = self._look()
        numbers = [number for number in files if number <= base.number]
        foremost = best(base.rows, numbers)
        needed = {0, base.number} | ({foremost} if foremost is not None else set())
        tag = own.tag if own else self._tag()
        first = {names.version(number): files.get(number, names.version(number, tag)) for number in needed & {*numbers}}
        if first.get(names.version(0)) == names.copy(tag):  # it is lost; `zero.mend` makes it of its copy
            del first[names.version(0)]
        first.setdefault(names.version(base.number), names.version(base.number, tag))
        for named in names.common, names.copy:
            if fs.exists(fs.join(self.path, named(tag))):
                first[named()] = named(tag)
        return first, {names.version(number): files[number] for number in {*numbers} - needed}

    def begin(self) -> None:
        """Makes the folder of a new table and makes sure that files can be written there, before any is.

        Raises
        ------
        TableError
        """
        self._make()
        probe = fs.join(self.path, temporary.name("begun"))
        try:  # a folder, as a file would have to be closed
            fs.mkdir(probe)
            fs.remove(probe)
        except HdlError:
            raise
        except OSError as error:
            raise TableError(f"{self.path}: cannot be written: {error}") from None

    def empty(self, seen: int | None = None) -> None:
        """Removes all versions, whoever owns them; an owner that is still at work stops when it looks.

        Parameters
        ----------
        seen : int, optional
            As of `claim`.

        Raises
        ------
        Fenced
            Another run has claimed the table since; nothing was changed.
        """
        now = owner.take(self.path, "", seen)
        owner.sweep(self.path, now, all_rows=True)

    def publish(self, version: Version) -> None:
        """Adds a version. Without a claim it goes to the owner whose versions were read, exclusively by its number.

        Raises
        ------
        NonFinite
            A weight, or a vector of the state as long as the weights, is not finite; nothing was written.
        VersionExists
            Another driver was first; its file is untouched.
        Fenced
            The table has another owner by now; what was written did not count, and was removed.
        TableError
            The folder cannot be written; the versions before are whole.
        """
        version.check_finite(self.path)
        own = self._ours()
        tag = own.tag if own else ""
        written = [names.version(version.number, tag), *([] if version.number else [names.copy(tag)])]
        path = fs.join(self.path, written[0])
        try:
            content = self._content(version)
            for name in written:
                try:
                    fs.publish(fs.join(self.path, name), content)
                except FileExistsError:
                    if self.owner is None:
                        raise
                    owner.set_aside(self.path, [name], self.owner)  # of a run before it, which has slept until just now
                    fs.publish(fs.join(self.path, name), content)
        except FileExistsError:
            raise VersionExists(f"{path}: another driver has published version {version.number}") from None
        except TableError:
            raise
        except OSError as error:
            owner.check(self.path, own)  # whose folder it is by now may have removed what was half written
            said = error if isinstance(error, OutputError) else f"{path}: cannot be written: {error}"
            raise TableError(f"{said}; the versions before it are whole") from None
        self._follows = version.number, version.signature
        try:
            owner.check(self.path, own)  # what was written counts only if the claim holds after it
        except Fenced:
            owner.take_back(self.path, written, tag)
            raise

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
        files = self._files()
        numbers = sorted(files)
        kept = {0, best(self.rows() if rows is None else rows, numbers), *numbers[-1 - keep :]}
        removed = [number for number in numbers if number not in kept]
        for number in removed:
            with suppress(FileNotFoundError):
                fs.remove(fs.join(self.path, files[number]))
        return removed

    def publish_common(self, fields: Mapping[str, Any], tensors: Tensors, private: bool = False) -> None:
        """Stores what all rounds share beside the spec, unless it is there already.

        In genetic mode that is the samples on which all candidates are measured; of a stack's layer, the layers below.
        """
        own = self._ours()
        content = wire.pack("common", {**fields, "sha256": version_file.digest(fields, tensors)}, tensors)
        with suppress(FileExistsError):  # a run that died here before made the same ones
            fs.publish(fs.join(self.path, names.common(own.tag if own else "")), content, private=private)

    def _make(self) -> None:
        try:
            fs.mkdir(self.path)
        except OutputError as error:
            raise TableError(str(error)) from None
        except (LoginError, DeadlineError):
            raise
        except OSError as error:
            raise TableError(f"{self.path}: cannot be made a folder: {error.strerror or error}") from None

    def _ours(self) -> Owner | None:
        """Finds whose files we may add to: of our claim, or of whom we read; refuses if that is the past."""
        if self.owner is None:
            self._make()
            if not self._seen:
                self._look()
        own = self.owner or self._seen[0]
        owner.check(self.path, own)
        return own

    def _content(self, version: Version) -> bytes:
        """Writes a version as the content of its file, and first the rows that it leaves to files of their own."""
        rows = self._log_of(version.rows)
        filed, filed_sha256 = rows.file(self.path)
        follows = self._follows if self._follows and self._follows[0] < version.number else version.follows
        return version_file.encode(version, filed, filed_sha256, rows.tail(), follows)

    def _log_of(self, rows: Sequence[dict[str, Any]]) -> MetricsLog:
        """Makes a log of rows; if a list continues the one published before, only its new rows are encoded."""
        if isinstance(rows, MetricsLog):
            return rows
        before, log = self._encoded
        continues = len(before) <= len(rows) and all(map(operator.is_, before, rows))
        self._encoded = rows, (log.then(*rows[len(before) :]) if continues else MetricsLog(rows))
        return self._encoded[1]


def layers(table: str) -> list[Table]:
    """Lists the tables of a stack's layers that have begun, from the data upwards; none for a network without layers
    of its own."""
    begun: list[Table] = []
    while (layer := Table(f"{table.rstrip('/')}/layer{len(begun) + 1}")).latest() is not None:
        begun.append(layer)
    return begun


def epochs(table: str) -> dict[str, int]:
    """Looks up the epochs of the owners of a table and of its layers' tables, by their folders."""
    found, path = {table: owner.epoch_of(table)}, f"{table.rstrip('/')}/layer1"
    while fs.isdir(path):
        found[path] = owner.epoch_of(path)
        path = f"{table.rstrip('/')}/layer{len(found)}"
    return found
