"""What is read of a weight table: the versions of its owner, each of the owner's run and whole, and what they share."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from hdl import fs, wire
from hdl import metrics_log as metrics
from hdl.errors import Damaged, DeadlineError, LoginError, TableError
from hdl.metrics_log import MetricsLog, best
from hdl.table import names, owner, zero
from hdl.table import version as version_file
from hdl.table.owner import Owner
from hdl.table.version import Version
from hdl.wire import Tensors, WireError

T = TypeVar("T")


class Stored:
    """The table in a folder, as it is read.

    Parameters
    ----------
    path : str
        The folder.
    """

    def __init__(self, path: str):
        self.path = str(path)
        self.owner: Owner | None = None  # this object's own claim
        self._seen: list[Owner | None] = []  # whose files were looked at first, if there is no claim
        self._zero_run: str | None = None  # of a table without an owner
        self._lost = False  # version 0 was not there, or damaged, when it was read last: its copy is read

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
            own = self._look()[0]
            number = self.best() if which == "best" else None if which == "last" else int(which)
            try:
                first, version = self.read(0), self.read(number)
            except TableError:
                now, there = self._look()
                if now == own and (which != "best" or not there or number in there):
                    raise
                continue  # it was thinned away meanwhile, or another run has the table
            if first.run == version.run:
                return first, version
            if self._look()[0] == own:
                raise TableError(
                    f"{self.path}: version 0 is of run {first.run[:12]} and version {version.number} of run "
                    f"{version.run[:12]}; hdl repair {self.path} shows which are whose, and keeps one run's"
                )

    def last_header(self) -> dict[str, Any]:
        """Reads the fields of the last version whose header is whole.

        Raises
        ------
        TableError
            There is none.
        """
        numbers = self.numbers()
        for number in reversed(numbers[1:]):
            with suppress(Damaged):
                return self.header(number)
        return self.header(numbers[0] if numbers else None)

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
                return self._reading(number, self._read, hinted=False), wrong
            except Damaged as error:
                wrong.append(error)
        if not wrong:
            raise TableError(_no_table(self.path))
        raise Damaged(f"{self.path}: all {len(wrong)} versions are damaged; the last one, {wrong[0]}")

    def rows(self) -> MetricsLog:
        """Reads the metrics of every round so far, from the last version on; equal to a list of them."""
        return self.header()["rows"]

    def best(self) -> int:
        """Finds the best version of those that are there by the metric that the spec names, or the validation cost: the
        earliest of equals. Without validation, or where the metric was never defined, the last one."""
        fields = self.header()
        number = best(fields["rows"], self.numbers())
        return fields["number"] if number is None else number

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

    def _files(self) -> dict[int, str]:
        """Lists the versions that count: their numbers and the names of their files."""
        return self._look()[1]

    def _look(self) -> tuple[Owner | None, dict[int, str]]:
        """Looks up who owns the table, and the versions that count."""
        listed = fs.list(self.path) if fs.isdir(self.path) else []
        counting = [(name, known) for name in listed if (known := names.parse(name)) and not known.temporary]
        try:
            own = self.owner or owner.last(self.path, listed)
        except TableError:
            if counting:
                raise
            own = None  # there is nothing that could be anybody's, as in a grid's folder: who claims it next has it
        self._seen = self._seen or [own]
        tag = own.tag if own else only_tag(self.path, counting)
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

    def _reading(self, number: int | None, read: Callable[[str, int, Owner | None], T], hinted: bool = True) -> T:
        """Reads a version, None: the last one. If it is thinned away meanwhile, or another run takes the table over,
        there is another one, which is read. Of a damaged one the error has a hint what helps."""
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
                    again = hinted and 0 < chosen == max(there)
                    hint = "; hdl train --resume makes it again, from the last version that is whole" if again else ""
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
                f"{path}: of run {run[:12]}, and the table is run {expected[:12]}'s: two runs have written to "
                f"one table; hdl repair {self.path} shows which versions are whose, and keeps one run's"
            )


def only_tag(folder: str, counting: Sequence[tuple[str, names.Name]]) -> str:
    """Finds the tag of the versions in a folder without an owner, such as a copy of a table's versions."""
    tags = sorted({known.tag for _, known in counting if known.kind in ("version", "copy")})
    if len(tags) > 1:
        raise TableError(
            f"{folder}: versions of several runs ({', '.join(tag or 'one without a tag' for tag in tags)}) and no "
            f"owner's file that says which count; hdl repair {folder} shows which are whose, and keeps one run's"
        )
    return tags[0] if tags else ""


_SEVERAL = ("grid.json", "search.json", "folds.json")  # what says which tables lie in the folders below


def _no_table(folder: str) -> str:
    several = next((name for name in _SEVERAL if fs.exists(fs.join(folder, name))), "")
    what = f"{several} lists those in the folders below" if several else "expected files such as v00000000.safetensors"
    return f"{folder}: no weight table here; {what}"
