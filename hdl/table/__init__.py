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

import errno
import operator
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from hdl import fs, wire
from hdl import metrics_log as metrics
from hdl.errors import Damaged, DeadlineError, Fenced, LoginError, OutputError, TableError, VersionExists
from hdl.metrics_log import MetricsLog, best
from hdl.table import names, owner, zero
from hdl.table import version as version_file
from hdl.table.owner import Owner
from hdl.table.version import Version
from hdl.wire import Tensors, WireError

__all__ = ["Table", "Version", "best", "epochs", "layers"]

T = TypeVar("T")


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
        self.owner: Owner | None = None  # this object's own claim
        self._seen: Owner | None = None  # whose files were read last, if there is no claim
        self._follows: tuple[int, str] | None = None  # number and signature of the version published last
        self._zero_run: str | None = None  # of a table without an owner
        self._lost = False  # version 0 was not there, or damaged, when it was read last: its copy is read

    @property
    def run(self) -> str:
        """The id of the run that this object has claimed the table for; empty without a claim."""
        return self.owner.run if self.owner else ""

    def file(self, number: int) -> str:
        """The path of a version, whether it is there or not; of a version 0 that is lost its copy's."""
        path = fs.join(self.path, names.version(number, self._tag()))
        return zero.both(path)[1] if number == 0 and self._lost else path

    @property
    def common_file(self) -> str:
        """The path of the file that `publish_common` writes."""
        return fs.join(self.path, names.common(self._tag()))

    def numbers(self) -> list[int]:
        """Lists the versions that are there, ascending; none if the folder is not."""
        return sorted(self._files())

    def row_files(self) -> list[str]:
        """Lists the paths of the files of rows: see `hdl.metrics_log`."""
        return metrics.names(self.path)

    def latest(self) -> int | None:
        """Finds the last version's number, without reading it; None for an empty table."""
        return max(self._files(), default=None)

    def header(self, number: int | None = None) -> dict[str, Any]:
        """Reads a version's fields (default: the last version's), without its tensors.

        Returns
        -------
        dict
            The fields of the file, but for `rows`: a `MetricsLog` that reads its files when asked for.

        Raises
        ------
        TableError
            There is no such version, it is of another run than the table, or its file is damaged.
        """
        return self._reading(number, self._header)

    def read(self, number: int | None = None) -> Version:
        """Reads a version (default: the last one) and checks its SHA-256.

        Raises
        ------
        Damaged
            Its file is damaged, cut short, or another version's; an earlier version is never taken in its place.
        TableError
            There is no such version, it is of another run than the table, or it cannot be read.
        """
        return self._reading(number, self._read)

    def with_zero(self, which: int | str = "best") -> tuple[Version, Version]:
        """Reads version 0 and another one, both of one run though another may take the table over meanwhile.

        Parameters
        ----------
        which : int, 'best' or 'last'

        Raises
        ------
        TableError
        """
        while True:
            number = self.best() if which == "best" else None if which == "last" else int(which)
            zero, version = self.read(0), self.read(number)
            if zero.run == version.run:
                return zero, version

    def last_whole(self) -> tuple[Version, list[Damaged]]:
        """Reads the last version that is not damaged; and what is wrong with those after it, the last one first.

        Raises
        ------
        TableError
            There is no whole version.
        """
        wrong: list[Damaged] = []
        for number in reversed(self.numbers()):
            try:
                return self.read(number), wrong
            except Damaged as error:
                wrong.append(error)
        if not wrong:
            raise TableError(_no_table(self.path))
        raise Damaged(f"{self.path}: all {len(wrong)} versions are damaged; the last one, {wrong[0]}")

    def claim(self, base: Version | None = None, seen: int | None = None) -> None:
        """Takes the table over for this object, which alone may publish from then on: see `hdl.table.owner`.

        Parameters
        ----------
        base : Version, optional
            That the run goes on from: it and those before it stay, later ones do not. None: an empty table of a new
            run.
        seen : int, optional
            Epoch of the owner by which the caller has decided; None: whoever owns the table now.

        Raises
        ------
        Fenced
            Another run has claimed the table since; nothing was changed.
        TableError
            The folder cannot be written.
        """
        self._make()
        inherited, rescued = {}, {}
        if base is not None:
            listed = fs.list(self.path)
            before = owner.last(self.path, listed)
            seen = (before.epoch if before else 0) if seen is None else seen
            counting = [(name, known) for name in listed if (known := names.parse(name)) and not known.temporary]
            tag = before.tag if before else _only_tag(self.path, counting)
            inherited = {
                name.replace(f".{tag}.", ".") if tag else name: name
                for name, known in counting
                if known.tag == tag and known.number <= base.number
            }
            plain = names.version(base.number)
            inherited.setdefault(plain, names.version(base.number, tag))
            rescued = {plain: lambda: self._content(base)}
            self._follows = base.number, base.signature
        self.owner = owner.take(self.path, base.run if base else uuid.uuid4().hex, seen, inherited, rescued)
        owner.sweep(self.path, self.owner, all_rows=base is None)
        if base is not None:
            zero.mend(fs.join(self.path, names.version(0, self.owner.tag)))
            self._lost = False

    def empty(self) -> None:
        """Removes all versions, whoever owns them; an owner that is still at work stops when it looks."""
        now = owner.take(self.path, "")
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
            The table has another owner by now; what was written does not count.
        TableError
            The folder cannot be written; the versions before are whole.
        """
        version.check_finite(self.path)
        own = self._ours()
        path = fs.join(self.path, names.version(version.number, own.tag if own else ""))
        try:
            fs.publish(path, content := self._content(version))
            if version.number == 0:
                zero.keep(path, content)
        except FileExistsError:
            raise VersionExists(f"{path}: another driver has published version {version.number}") from None
        except OSError as error:
            said = error if isinstance(error, OutputError) else f"{path}: cannot be written: {error}"
            raise TableError(f"{said}; the versions before it are whole") from None
        self._follows = version.number, version.signature
        if own:  # what is written counts only if the claim holds after it
            owner.check(self.path, own)

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

    def common(self) -> tuple[dict[str, Any], Tensors]:
        """Reads the fields and tensors that `publish_common` stored.

        Raises
        ------
        TableError
            The file is missing or damaged.
        """
        while True:
            path = self.common_file
            try:
                with fs.open(path) as file:
                    kind, fields, tensors = wire.unpack(file.read())
                break
            except (OSError, WireError) as error:
                if path == self.common_file:  # else another run has taken the table over meanwhile
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

    def _files(self) -> dict[int, str]:
        """Lists the versions that count: their numbers and the names of their files."""
        return self._look()[1]

    def _look(self) -> tuple[Owner | None, dict[int, str]]:
        """Looks up who owns the table, and the versions that count."""
        listed = fs.list(self.path) if fs.isdir(self.path) else []
        self._seen = own = self.owner or owner.last(self.path, listed)
        counting = [(name, known) for name in listed if (known := names.parse(name)) and not known.temporary]
        tag = own.tag if own else _only_tag(self.path, counting)
        files = {known.number: name for name, known in counting if known.kind == "version" and known.tag == tag}
        if 0 not in files and (copy := names.copy(tag)) in listed:
            files[0] = copy
        return own, files

    def _tag(self) -> str:
        """Looks up the tag of the files that count."""
        if self.owner:
            return self.owner.tag
        own, files = self._look()
        known = names.parse(next(iter(files.values()), ""))
        return own.tag if own else known.tag if known else ""

    def _ours(self) -> Owner | None:
        """Finds whose files we may add to: of our claim, or of whom we read; refuses if that is the past."""
        if self.owner is None:
            self._make()
            if self._seen is None:
                self._look()
        if own := self.owner or self._seen:
            owner.check(self.path, own)
        return own

    def _reading(self, number: int | None, read: Callable[[str, int, Owner | None], T]) -> T:
        """Reads a version, None: the last one. If it is thinned away meanwhile, or another run takes the table over,
        there is another one, which is read."""
        while True:
            own, files = self._look()
            if not files:
                raise TableError(_no_table(self.path))
            if number is not None and number not in files:
                listed = ", ".join(map(str, sorted(files)))
                raise TableError(f"{self.path}: no version {number}; there are {listed}")
            chosen = max(files) if number is None else number
            path = fs.join(self.path, files[chosen])
            try:
                return self._or_copy(path, own, read) if chosen == 0 else read(path, chosen, own)
            except (LoginError, DeadlineError):
                raise
            except (OSError, WireError) as error:
                now, there = self._look()
                if now == own and chosen in there:
                    if isinstance(error, TableError):
                        raise
                    if isinstance(error, (PermissionError, ConnectionError, TimeoutError)):
                        raise TableError(f"{path}: {error}") from None
                    earlier = [n for n in there if n < chosen]
                    hint = f"; without this file, training resumes from version {max(earlier)}" if earlier else ""
                    raise Damaged(f"{path}: {error}{hint}") from None

    def _or_copy(self, path: str, own: Owner | None, read: Callable[[str, int, Owner | None], T]) -> T:
        """Reads version 0, or where that is lost its copy, and says so."""
        first, copy = zero.both(path)
        try:
            if path == copy:
                raise FileNotFoundError(errno.ENOENT, "is not there", first)
            return read(path, 0, own)
        except (TableError, LoginError, DeadlineError, PermissionError, ConnectionError, TimeoutError):
            raise
        except (OSError, WireError) as error:
            try:
                found = read(copy, 0, own)
            except (OSError, WireError):
                raise error from None
            if not self._lost:
                zero.told(first, error)
            self._lost = True
            return found

    def _header(self, path: str, number: int, own: Owner | None) -> dict[str, Any]:
        total = fs.size(path)
        with fs.open(path) as file:
            start = file.read(8)
            start += file.read(wire.header_size(start, total))
        kind, fields = wire.header(start, total)
        version_file.check_fields(number, kind, fields)
        self._check_run(path, number, fields["run"], own)
        return fields | {"rows": version_file.rows_of(number, fields, self.path)}

    def _read(self, path: str, number: int, own: Owner | None) -> Version:
        with fs.open(path) as file:
            version = version_file.decode(number, file.read(), self.path)
        self._check_run(path, number, version.run, own)
        return version

    def _check_run(self, path: str, number: int, run: str, own: Owner | None) -> None:
        """Refuses a version of another run than the table: an hdl that knew no owners may have mixed them."""
        expected = own.run if own else run
        if not own and number:
            if self._zero_run is None and 0 in self._files():
                self._zero_run = self.header(0)["run"]
            expected = self._zero_run or run
        if expected and run != expected:
            raise TableError(
                f"{path}: of run {run[:12]}, and the table is run {expected[:12]}'s: two runs have written to one table; "
                f"hdl repair {self.path} shows which versions are whose, and keeps one run's"
            )

    def _content(self, version: Version) -> bytes:
        """Writes a version as the content of its file, and before that the rows that it leaves to files of their own."""
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


def _only_tag(folder: str, counting: Sequence[tuple[str, names.Name]]) -> str:
    """Finds the tag of the versions in a folder without an owner, such as a copy of a table's versions."""
    tags = sorted({known.tag for _, known in counting if known.kind in ("version", "copy")})
    if len(tags) > 1:
        raise TableError(
            f"{folder}: versions of several runs ({', '.join(tag or 'one without a tag' for tag in tags)}) and no owner's "
            f"file that says which count; hdl repair {folder} shows which are whose, and keeps one run's"
        )
    return tags[0] if tags else ""


def _no_table(folder: str) -> str:
    return f"{folder}: no weight table here; expected files such as v00000000.safetensors"


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
