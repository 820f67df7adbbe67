"""Tables of typed columns: Parquet, ORC, Avro and JSON lines differ in how a file is described and its batches read.

Columns of several files are those of all of them, by name: what a file has not is missing there, and types are widened
to what holds all values. Keys of folders are columns as well.
"""

from __future__ import annotations

import base64
import json
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from hdl.arrow import pa
from hdl.data.base import BLOCK_BYTES, FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.layouts import cells as kinds
from hdl.data.layouts import marks
from hdl.data.layouts.cells import Cell, File
from hdl.data.layouts.choice import Known, check_labels, choose_columns, with_roles
from hdl.data.layouts.drift import unify
from hdl.data.layouts.filtering import Range, check, mask, outcomes
from hdl.data.layouts.keys import constants, of_keys, prune
from hdl.data.layouts.lying import Lying
from hdl.data.layouts.rows import Rows
from hdl.data.layouts.where import Condition, columns, parse
from hdl.data.names import describe_repeats, some
from hdl.data.options import Options
from hdl.data.parquet_file import label_type
from hdl.data.tabular.kinds import Feature
from hdl.errors import DataError

LOOK = 1000  # first rows that are looked at
FEW_ROWS = 32  # at least so many at once, unless they are large: a batch has its cost for each column
THREADS = 8  # that read what files say of themselves, where there are many


class Batch(NamedTuple):
    """Holds some rows of a file.

    Attributes
    ----------
    first : int
        Number of the first one in the file, from 0.
    rows : int
    columns : mapping of int to Array [rows]
        By their place in the file.
    numbers : int64 [rows] or None
        Of each row among the records here, bad ones too; None: there are none.
    records : int or None
        How many records there are, bad ones too; None: as many as rows.
    where : function of a row, or None
        Its place; None: by its number in the file.
    """

    first: int
    rows: int
    columns: Mapping[int, pa.Array]
    numbers: np.ndarray | None = None
    records: int | None = None
    where: Callable[[int], dict[str, Any]] | None = None


class Table(Source):
    """One sample a row, columns by name.

    Parameters
    ----------
    lying : Lying, optional
        How the files lie; None: just as files.
    """

    unit = "record"  # what errors count in a file
    look = LOOK  # first rows that are looked at, in the unit of splits

    def __init__(
        self, paths: list[str], options: Options, schema: Any = None, labels: bool = True, lying: Lying | None = None
    ):
        super().__init__(paths, options)
        self.schema, self.lying = schema, lying or Lying(paths)
        self._files: dict[str, File] = {}
        self.features: list[Feature] = []
        self._pins: tuple[str, ...] = ()
        self.odd: dict[str, str] = {}  # columns that cannot be read, and why
        self.condition: Condition | None = parse(options.where) if options.where else None
        self.records = self.condition is None
        self.mark = marks.of(options.held)
        found = json.loads(options.found) if options.found else {}
        self.paths = prune(paths, self.lying, self.condition, options.where or "")
        self.left_out = [*self.lying.left_out]
        if found.get("types"):
            held = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(found["types"])))
            self.types, drift = dict(zip(held.names, held.types, strict=True)), [*found["drift"]]
        else:
            self.types, drift = self._unified()
        self.widths: dict[str, int] = found["widths"] if "widths" in found else self._widths()
        self._drift = drift
        if self.condition is not None:
            check(self.condition, self.types, options.where or "")
        if self.mark is not None:
            self.mark.check(self.types, self.paths[0])
        self.reading = {**self.lying.reading, "files": len(self.paths)}
        if drift:
            self.reading["drift"] = drift
        if self.condition is not None:
            self.reading["where"] = options.where
        if len(self.paths) < len(self.lying.paths):
            gone, whole = len(self.lying.paths) - len(self.paths), len(self.lying.paths)
            self.reading["pruned"] = f"{gone:,} of {whole:,} files, by their keys"
        self._choose(labels)
        self._lengths: list[int] | None = None

    # Files

    @abstractmethod
    def _describe(self, path: str) -> File:
        """Describe a file by what it says of itself."""

    @abstractmethod
    def _batches(self, file: File, start: int, length: int, needed: Sequence[Cell], bad: Bad) -> Iterator[Batch]:
        """Read the needed columns of the rows [start, start + length) of a file, some rows at a time."""

    def _file(self, path: str) -> File:
        """Describe a file, its columns by the table's names."""
        if path not in self._files:
            self._files[path] = self._named(self._describe(path))
        return self._files[path]

    def _named(self, file: File) -> File:
        """Give columns the names that the table's log has for them."""
        lying = self.lying
        renamed = {}
        for cell in file.cells.values():
            name = cell.name
            if lying.ids is not None and cell.number is not None:
                top = lying.ids.get(cell.number)
                name = "" if top is None else ".".join((top, *cell.steps))
            elif lying.names is not None:
                name = lying.names.get(name, "")
            if name and (lying.schema is None or name.partition(".")[0] in lying.schema or name in lying.schema):
                renamed[name] = cell
        file.cells = renamed
        return file

    def lengths(self) -> list[int]:
        """Count the rows of each file."""
        if self._lengths is None:
            self._describe_all()
            self._lengths = [self._file(path).rows for path in self.paths]
        return self._lengths

    def _describe_all(self) -> None:
        missing = [path for path in self.paths if path not in self._files]
        if len(missing) > THREADS:
            with ThreadPoolExecutor(THREADS) as pool:
                for path, file in zip(missing, pool.map(self._describe, missing), strict=True):
                    self._files[path] = self._named(file)

    def _constants(self, path: str, file: File) -> dict[str, Any]:
        """Give the values of a file's keys; of a table with a log only those that are no columns of the file."""
        return constants(self.lying, path, file.cells if self.lying.schema is not None else ())

    def _known(self, path: str, file: File) -> Callable[[str], Range | None]:
        """Tell what is known of a file's columns without reading it."""
        held = self._constants(path, file)
        absent = Range(None, None, True)
        return lambda name: of_keys(held)(name) if name in held or name in file.cells else absent

    def _unified(self) -> tuple[dict[str, pa.DataType], list[str]]:
        self._describe_all()
        said = [entry.partition(":")[0] for entry in self.options.columns if "ignore" in entry]
        files = [self._file(path) for path in self.paths]
        return unify(files, self.lying, {*self.options.ignore, *said})

    def _widths(self) -> dict[str, int]:
        """Find lengths of vectors, and bytes that are text, among the first rows; the types of the latter change."""
        widths = {}
        for name, kind in self.types.items():
            if kinds.is_vector(kind):
                length = kinds.width(kind, self._first.get(name, pa.nulls(0, kind)))
                if length is not None:
                    widths[name] = length
            elif kinds.is_bytes(kind) and kinds.are_texts(self._first.get(name)):
                self.types[name] = pa.string()
        return widths

    @cached_property
    def _first(self) -> dict[str, pa.Array]:
        """Read the first rows of the first file that has any."""
        for path in self.paths:
            file = self._file(path)
            if not file.rows:
                continue
            there = {name: cell for name, cell in file.cells.items() if name in self.types and name not in self.odd}
            for batch in self._batches(file, 0, min(self.look, file.rows), [*there.values()], Bad(sys.maxsize)):
                found = {name: kinds.take(batch.columns, cell) for name, cell in there.items()}
                count = max(map(len, found.values()), default=0)
                for name, value in self._constants(path, file).items():
                    found[name] = pa.array([value] * count, self.types[name])
                return {name: values.slice(0, LOOK) for name, values in found.items()}
        return {}

    # Columns

    def _choose(self, labels: bool) -> None:
        """Choose labels and features, and what else is read."""
        first = self._file(self.paths[0])
        said, self.options = self.options, with_roles(self.options, first)
        own = {name: getattr(self.options, name) for name in ("weights", "offset") if not getattr(said, name)}
        if any(own.values()):  # the files say so themselves: data that a model of theirs sees has them too
            self.reading["own"] = {name: column for name, column in own.items() if column}
        known = Known(self.types, self.widths, self.odd, first, self.paths[0], lambda name: self._first[name])
        choice = choose_columns(known, self.options, self.schema, labels)
        self.label, self.labels = choice.label, choice.label if labels else []
        self.targets = choice.label if len(choice.label) > 1 else None
        self.left_out += choice.left_out
        self._pins, self.features = choice.pins, choice.features
        if choice.label:
            typed = label_type(self.types[choice.label[0]])
            self.reading |= {"label_by": choice.by, "label_at": choice.places, "label_type": typed}
        if first.twice:
            self.reading["duplicates"] = describe_repeats([*self.types], first.twice)
        alone = len(self.features) == 1 and self.features[0].width is not None
        self.columns = None if alone else [column for feature in self.features for column in feature.columns]
        self.names = None if alone else [column.name for column in self.columns or ()]
        if keep := self.options.keep:
            self.kept_schema = pa.schema([(known.there(name, "--keep"), self.types[name]) for name in keep])
        check_labels(known, self.labels)
        for file in self._files.values():
            self._labelled(file)
        self.rows = Rows(self.types, self.features, self.labels, self.columns is not None, self.options)

    def _labelled(self, file: File) -> File:
        """Refuse a file without the labels, whose rows would all be without one."""
        keys = self.lying.keys.get(file.path, {})
        absent = [name for name in self.labels if name not in file.cells and name not in keys]
        if absent and self.lying.schema is None:
            first = next((path for path, other in self._files.items() if absent[0] in other.cells), self.paths[0])
            raise DataError(f"columns {some(absent)} of {first} are missing", file.path)
        return file

    def settled(self) -> Options:
        """Give the options that say what was found: types, lengths, kinds, the label and the table's version."""
        held = pa.schema([*self.types.items()]).serialize().to_pybytes()
        found = {
            "snapshot": self.lying.snapshot, "types": base64.b64encode(held).decode(), "widths": self.widths,
            "drift": self._drift,
        }  # fmt: skip
        pins = self._pins or self.options.columns
        return Options.make(self.options, found=json.dumps(found), columns=pins, label=tuple(self.label))

    # Rows

    def _needed(self) -> list[str]:
        options = self.options
        names, wanted = [*self.types], [*self.labels, *options.keep]
        wanted += [names[feature.at] for feature in self.features]
        wanted += [name for name in (options.weights, options.offset) if name is not None]
        wanted += columns(self.condition) if self.condition is not None else []
        wanted += self.mark.columns if self.mark is not None else []
        return list(dict.fromkeys(name for name in wanted if name in self.types))

    def _size(self) -> int:
        """Count the rows that are read at a time."""
        width = 4 * max(1, sum(feature.width or 1 for feature in self.features))
        return max(1, BLOCK_BYTES // width, min(FEW_ROWS, 16 * BLOCK_BYTES // width))

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        path, start, length = split
        file, needed = self._labelled(self._file(path)), self._needed()
        constants = self._constants(path, file)
        there = [file.cells[name] for name in needed if name in file.cells and name not in constants]
        condition = self.condition
        if condition is not None and outcomes(condition, self._known(path, file)) == {True}:
            condition = None  # all rows meet it
        seen = 0
        for batch in self._batches(file, start, length, there, bad):
            count, rows = batch.rows, np.arange(batch.rows)
            numbers = rows if batch.numbers is None else batch.numbers
            records = count if batch.records is None else batch.records
            held: Mapping[int, pa.Array] = batch.columns
            if condition is not None:
                met = mask(condition, partial(self._cell, file, held, n=count, constants=constants))
                passed = np.cumsum(~met)
                rows = np.flatnonzero(met)
                numbers, records = (numbers - passed)[rows], records - int(passed[-1] if count else 0)
                held = {at: column.take(pa.array(rows)) for at, column in held.items()}

            def cell(name: str, n: int = len(rows), held: Mapping[int, pa.Array] = held) -> pa.Array:
                return self._cell(file, held, name, n=n, constants=constants)

            def where(i: int, batch: Batch = batch, rows: np.ndarray = rows) -> dict[str, Any]:
                row = int(rows[i])
                return batch.where(row) if batch.where else {"path": f"{path} {self.unit} {batch.first + row + 1}"}

            block = self.rows.block(cell, seen + numbers, where, bad, seen + records)
            if self.mark is not None:
                marked, left = self.mark.rows(cell, len(rows), where), np.asarray(block.rows)
                block = replace(block, held=marked[np.searchsorted(seen + numbers, left)])
            yield block
            seen += records

    def _cell(
        self, file: File, batch: Mapping[int, pa.Array], name: str, *, n: int, constants: Mapping[str, Any]
    ) -> pa.Array:
        """Give a column of a batch of n rows as the table has it."""
        kind = self.types[name]
        if name in constants:
            return pa.array([constants[name]], kind).take(pa.array(np.zeros(n, np.int64)))
        if name not in file.cells:
            return kinds.missing(n, kind)
        return kinds.cast(kinds.take(batch, file.cells[name]), kind)
