"""`--log csv:FILE`: a line a round, its columns named in the first one.

Empty cells are what was not measured. The last column is the id of the run: by it a resumed training knows its own
file. A line is written when all of it is known, which with validation is one round later.
"""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from hdl import fs
from hdl.errors import OutputError, SpecError
from hdl.loggers.base import Point, Training, Writer
from hdl.outputs import replacing

FIRST, LAST = ("round", "time", "cost", "accuracy", "learning_rate", "seconds"), "run"


class CsvFile(Writer):
    """Writes a CSV file; arguments as those of `Writer`."""

    _row: Mapping[str, str] = {}  # of the round that is not complete; never changed

    def check(self, runs: Mapping[str, str | None], overwrite: bool) -> None:
        if fs.is_remote(self.target):
            raise SpecError(f"--log {self.shown}: expected a file of this machine, to which lines can be added")
        for part, run in runs.items():
            path = self._path(part)
            if not path.parent.is_dir():
                raise SpecError(f"--log {self.shown}: there is no folder {path.parent}")
            if path.is_dir():
                raise SpecError(f"--log {self.shown}: is a folder; expected the name of a file")
            if path.exists() and not os.access(path, os.W_OK):
                raise OutputError(f"--log {self.shown}: {path} may not be written to")
            if path.exists() and not _regular(path):  # a pipe, a terminal
                continue
            self.check_folder(path.parent)
            columns, lines = _read(path)
            self._check_ours(path, columns, lines, None if overwrite else run or "", overwrite)

    def _check_ours(
        self, path: Path, columns: Sequence[str], lines: Sequence[Sequence[str]], run: str | None, replace: bool
    ) -> None:
        """Refuses a file that is no log, or another run's; `run` None means any."""
        if columns and (columns[:1] != ["round"] or columns[-1:] != [LAST]):
            raise SpecError(f"--log {self.shown}: {path} holds something else than a log of rounds; give another name")
        others = {line[-1] for line in lines if line} - {run}
        if others and not replace:
            raise SpecError(f"--log {self.shown}: {path} holds the log of another training; give another name")

    def begin(self, training: Training, overwrite: bool) -> Mapping[str, int]:
        self._run, self._validated = training.run, training.validated
        self._file = self._path(training.part)
        self._columns, lines = _read(self._file) if _regular(self._file) else ([], [])
        if any(line[-1] != training.run for line in lines):
            self._check_ours(self._file, self._columns, lines, training.run, overwrite)
            self._columns, lines = [], []
            self._replace(lines)
        if lines and self._partial(dict(zip(self._columns, lines[-1], strict=True))):
            lines = lines[:-1]  # it was stopped before this round was measured
            self._replace(lines)
        elif self._columns and not self._file.read_bytes().endswith(b"\n"):
            self._replace(lines)
        last = max((int(line[0]) for line in lines), default=-1)
        if self._row and int(self._row["round"]) <= last:  # it was written by the try that failed
            self._row = {}
        return dict.fromkeys(self._columns, last) if lines else {}

    def write(self, points: Sequence[Point]) -> None:
        complete, row = [], dict(self._row)
        for point in points:
            if row and int(row["round"]) != point.step:
                complete.append(row)
                row = {}
            when = datetime.fromtimestamp(point.time, UTC).isoformat(timespec="milliseconds")
            row = {"round": str(point.step), "time": when} | row  # when the round was over, not its validation
            row |= {name: repr(value) for name, value in point.values.items()}
            if not self._validated:
                complete.append(row)
                row = {}
        # A last round that is not complete says which columns there will be.
        self._add(complete, {name for point in points for name in point.values})
        self._row = row

    def end(self, state: str) -> None:
        if self._row:
            self._add([self._row], set())
            self._row = {}

    def _add(self, rows: Sequence[Mapping[str, str]], names: set[str]) -> None:
        """Adds lines; if there are new columns, the file is written anew."""
        names = names.union(*rows) - {*FIRST, *self._columns, LAST}
        if rows and (names or not self._columns):
            lines = [dict(zip(self._columns, line, strict=True)) for line in _read(self._file)[1]] if names else []
            self._columns = [*(self._columns[:-1] or FIRST), *sorted(names), LAST]
            self._replace([[line.get(name, "") for name in self._columns] for line in lines])
        if rows:
            _append(self._file, ([{**row, LAST: self._run}.get(name, "") for name in self._columns] for row in rows))

    def _replace(self, lines: Sequence[Sequence[str]]) -> None:
        """Writes the file anew: its columns and lines."""
        content = _text([self._columns, *lines]) if self._columns else ""
        if not _regular(self._file) and self._file.exists():  # a pipe, a terminal
            _append(self._file, [self._columns, *lines])
            return
        with replacing(self._file) as file:
            file.write(content.encode())

    def _partial(self, row: Mapping[str, str]) -> bool:
        """Tells whether a line misses the validation that others of its file have."""
        measured = [name for name in row if name.startswith("val_")]
        return self._validated and bool(measured) and not any(row[name] for name in measured)

    def _path(self, part: str) -> Path:
        """Names the file of a part: rounds.layer1.csv beside rounds.csv."""
        path = Path(fs.plain(self.target))
        return path.with_name(f"{path.stem}.{part.replace('/', '.')}{path.suffix}") if part else path


def _regular(path: Path) -> bool:
    return path.exists() and stat.S_ISREG(path.stat().st_mode)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Reads columns and whole lines of a file; a last line that was cut by the end of a process is left out."""
    if not _regular(path):
        return [], []
    text = path.read_bytes().decode("utf-8", "replace")
    rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    columns = rows[0] if rows else []
    return columns, [row for row in rows[1:] if len(row) == len(columns) and row[0].isdecimal()]


def _text(rows: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _append(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Adds lines to a file, which are on disk when this returns."""
    with open(path, "ab") as file:
        file.write(_text(rows).encode())
        file.flush()
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            os.fsync(file.fileno())
