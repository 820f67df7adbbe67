"""Tables of text in folders that are called by their keys, and those of which a filter picks rows."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np

from hdl.arrow import pa, pc
from hdl.data.base import FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.columns import trained
from hdl.data.delimited import Delimited
from hdl.data.layouts import marks
from hdl.data.layouts.filtering import check, mask, outcomes
from hdl.data.layouts.keys import constants, of_keys, prune
from hdl.data.layouts.lying import Lying
from hdl.data.layouts.where import columns, parse, tests
from hdl.data.options import Options
from hdl.data.tabular import cells
from hdl.data.tabular.arrow import canonical, kind_of
from hdl.data.tabular.flags import parse as parse_kinds
from hdl.data.tabular.frame import Column, Frame, date_type, value_type
from hdl.data.tabular.kinds import IGNORE
from hdl.errors import DataError


class Keyed(Source):
    """Adds the keys of folders to what `Delimited` reads, as columns behind its own, and drops rows by a filter.

    Parameters
    ----------
    lying : Lying, optional
        None: the files have no keys, and there is a filter.
    """

    format = "csv"
    records = False

    def __init__(
        self, paths: list[str], options: Options, schema: Any = None, labels: bool = True, lying: Lying | None = None
    ):
        self.lying = lying or Lying(paths)
        if options.found:
            held = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(json.loads(options.found)["types"])))
            self.lying.types = dict(zip(held.names, held.types, strict=True))
        self.condition = parse(options.where) if options.where else None
        super().__init__(prune(paths, self.lying, self.condition, options.where or ""), options)
        self.schema = schema
        self.mark = marks.of(options.held, text=True)
        named = columns(self.condition) if self.condition is not None else []
        named += self.mark.columns if self.mark is not None else []
        asked = [name for name in (*options.keep, *named) if name not in self.lying.types]
        self.inner = self._open(tuple(dict.fromkeys(asked)), labels)
        self.left_out = [*self.lying.left_out, *self.inner.left_out]
        self._of_keys = self._key_columns()
        self._choose(labels)
        self._check(named)
        self.reading = {**self.inner.reading, **self.lying.reading, "files": len(self.paths)}
        if self.condition is not None:
            self.reading["where"] = options.where
        if len(self.paths) < len(self.lying.paths):
            gone, whole = len(self.lying.paths) - len(self.paths), len(self.lying.paths)
            self.reading["pruned"] = f"{gone:,} of {whole:,} files, by their keys"

    def _open(self, asked: tuple[str, ...], labels: bool) -> Delimited:
        """Open the files, with the columns that are carried over or filtered by."""
        schema = self._inner_schema()
        try:
            return Delimited(self.paths, self._inner_options(asked), schema, labels)
        except DataError:
            if asked == self.options.keep or (self.condition is None and self.mark is None):
                raise
            keep = tuple(name for name in self.options.keep if name not in self.lying.types)
            plain = Options.make(self._inner_options(keep), ignore=(), columns=())
            titles = Delimited(self.paths, plain, schema, labels).titles
            there = {name: pa.string() for name in (*titles, *self.lying.types)}
            if self.condition is not None:
                check(self.condition, there, self.options.where or "", names=True)
            if self.mark is not None:
                self.mark.check_names(there, self.paths[0])
            raise

    def _inner_options(self, keep: tuple[str, ...]) -> Options:
        """Give the options of the files themselves, which know nothing of keys."""
        options, keys = self.options, self.lying.types
        self._label_keys = [name for name in options.label if name in keys]
        if self._label_keys and len(options.label) > 1:
            raise DataError("several labels, and one of them is a key of folders; expected it alone", self.paths[0])
        own = {
            name: tuple(entry for entry in getattr(options, name) if entry.partition(":")[0] not in keys)
            for name in ("columns", "features", "ignore")
        }
        if options.features and not own["features"]:
            raise DataError("--features names keys of folders alone; expected a column of the files too", self.paths[0])
        for name in (options.weights, options.offset):
            if name in keys:
                raise DataError(
                    f"{name!r} is a key of folders; expected weights and offset in the files", self.paths[0]
                )
        label = {"label": (), "labelled": False} if self._label_keys else {}
        return options.make(options, where=None, held=(), found=None, keep=keep, **own, **label)

    def _inner_schema(self) -> Any:
        """Give the model's schema without the columns that are keys here."""
        schema, keys = self.schema, self.lying.types
        if schema is None:
            return None
        names = [name for name in schema.names if name not in keys] if schema.names else schema.names
        plain = schema.columns
        if plain:
            plain = {**plain, "columns": [each for each in plain["columns"] if each["name"] not in keys]}
        return replace(schema, names=names, columns=plain)

    def _key_columns(self) -> list[Column]:
        """Decide which keys are features, and of which kind: by the model, by flags, or by their values."""
        options, out = self.options, []
        if self.schema is not None:
            known = {column.name: column for column in trained(self.schema) or ()}
            return [known[name] for name in self.lying.types if name in known]
        wishes = {wish.name: wish for wish in parse_kinds(options.columns)}
        for name, kind in self.lying.types.items():
            wish = wishes.get(name)
            held = wish.kind if wish else str(kind_of(kind))
            if name in self._label_keys:
                continue
            if held == IGNORE or _named(name, held, options.ignore):
                self.left_out.append(f"the key {name}: as a flag says")
            elif options.features and not _named(name, held, options.features):
                self.left_out.append(f"the key {name}: not among --features")
            else:
                out.append(Column(name, held, wish.by if wish else "values"))
        return out

    def _choose(self, labels: bool) -> None:
        inner = self.inner
        self.label, self.targets = inner.label, inner.targets
        if self._label_keys:
            self.label = self._label_keys
            inner.reading |= {"label_by": "flag", "label_at": [], "label_type": self._label_type()}
        self._y = self._label_keys[0] if self._label_keys and labels else None
        own = [Column(name) for name in inner.names or ()] if inner.columns is None else inner.columns
        self.columns = [*own, *self._of_keys]
        if self.schema is not None and (order := trained(self.schema)):
            at = {column.name: column for column in self.columns}
            self.columns = [at[column.name] for column in order]
        self.names = [column.name for column in self.columns] if inner.names or self._of_keys else None
        self._plain = all(column.kind == "number" for column in self.columns)

    def _label_type(self) -> str:
        kind = self.lying.types[self._label_keys[0]]
        if kind == date_type():
            raise DataError(f"the key {self._label_keys[0]!r} is a date, which is no label", self.paths[0])
        return "text" if pa.types.is_string(kind) else "number"

    def _check(self, named: list[str]) -> None:
        """Refuse a filter on what is not there; say of which types its columns are."""
        self.types: dict[str, pa.DataType] = dict(self.lying.types)
        options, inner = self.options, self.inner
        self._dialects = {wish.name: wish.details for wish in parse_kinds(inner.pins)}
        self._marked = dict(self.types)  # a column may be compared in two ways: by the filter, and by what is held out
        held = {column.name: value_type(column.kind) for column in inner.columns or ()}
        if self.condition is not None:
            there = self._meanings(self.condition, self.types, held)
            check(self.condition, there, options.where or "")
        if self.mark is not None:
            there = self._meanings(self.mark.condition, self._marked, held)
            self.mark.check(there, self.paths[0])
        if options.keep:
            own = inner.kept_schema
            fields = [(name, self.lying.types.get(name) or own.field(name).type) for name in options.keep]
            self.kept_schema = pa.schema(fields)

    def _meanings(self, condition: Any, types: dict[str, pa.DataType], held: Mapping[str, Any]) -> dict[str, Any]:
        """Add the types by which a condition compares columns; return those of all columns."""
        for test in tests(condition) if condition is not None else ():
            if test.column not in types:
                types[test.column] = _meant(test.operator, test.values, held.get(test.column))
        return {name: types.get(name, pa.string()) for name in (*self.inner.titles, *self.lying.types)}

    def lengths(self) -> list[int]:
        return self.inner.lengths()

    def splits(self, shards: int) -> list[list[FileSplit]]:
        return self.inner.splits(shards)

    def settled(self) -> Options:
        """Give the options that say what was found: those of the files, and the kinds of keys."""
        found, options = self.inner.settled(), self.options
        types = base64.b64encode(pa.schema([*self.lying.types.items()]).serialize().to_pybytes()).decode()
        pins = [f"{column.name}:{column.kind} by values" for column in self._of_keys if column.by == "values"]
        flags = [entry for entry in options.columns if entry.partition(":")[0] in self.lying.types]
        return options.make(
            found, where=options.where, held=options.held, keep=options.keep,
            features=options.features, ignore=options.ignore,
            columns=(*found.columns, *flags, *pins), label=tuple(self.label), labelled=options.labelled,
            found=json.dumps({"types": types}),
        )  # fmt: skip

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        held = constants(self.lying, split.path)
        condition, gone = self.condition, 0
        if condition is not None and outcomes(condition, of_keys(held)) == {True}:
            condition = None
        for block in self.inner.numbered(split, bad):
            lost = block.lost
            if lost is not None:
                lost = (lost[0] - gone, self._kept(lost[1], held)) if self.options.keep else None
            if condition is not None and len(block):
                met = mask(condition, partial(self._cell, block=block, held=held, types=self.types))
                if lost is not None:  # rows that are filtered out are no records, and have no numbers
                    gaps = np.asarray(block.rows)[~met] - gone
                    lost = lost[0] - np.searchsorted(gaps, lost[0]), lost[1]
                before = gone + np.cumsum(~met)
                gone = int(before[-1])
                block = replace(block, rows=block.rows - before).keep(met, lose=False)
            if self.mark is not None and len(block):
                cell = partial(self._cell, block=block, held=held, types=self._marked)
                block = replace(block, held=self.mark.rows(cell, len(block), block.where))
            seen = int(block.seen or 0) - gone
            block = self._keyed(block, held, bad) if len(block) else Block.none(seen)
            yield replace(block, seen=seen, lost=lost)

    def _kept(self, batch: pa.RecordBatch, held: Mapping[str, Any]) -> pa.RecordBatch:
        """Give the columns that predictions carry over, keys among them, of rows of one file."""
        arrays = [
            _constant(held[name], self.lying.types[name], len(batch)) if name in held else batch.column(name)
            for name in self.options.keep
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.kept_schema)

    def _cell(self, name: str, block: Block, held: Mapping[str, Any], types: Mapping[str, pa.DataType]) -> pa.Array:
        """Give a column that the filter names, or the rule of what is held out, as what it is compared as."""
        kind = types.get(name, pa.string())
        if name in held:
            return _constant(held[name], kind, len(block))
        text = block.kept.column(name)
        missing = (*cells.MISSING, *self.options.na_values)
        dialect = cells.Dialect.of(self._dialects.get(name, ()), self.options.decimal or ".", missing)
        if kind == pa.float64():
            return pa.array(cells.numbers(text, dialect)[0], from_pandas=True)
        if kind == date_type():
            return cells.dates(text, dialect)[0]
        levels = cells.categories(text, missing).cast(pa.string())
        return pc.equal(levels, "true") if kind == pa.bool_() else levels

    def _keyed(self, block: Block, held: Mapping[str, Any], bad: Bad) -> Block:
        """Add the keys to a block of one file's rows."""
        n, y = len(block), block.y
        kept = self._kept(block.kept, held) if self.options.keep else None
        if self._y is not None:
            value = held[self._y]
            if value is None:
                bad.unlabelled += n
                return Block.none(int(block.seen or 0))
            y = np.array([value] * n, object if isinstance(value, str) else None)
        x = block.x
        if self._of_keys or self.schema is not None:
            x = self._features(block, held)
        return replace(block, x=x, y=y, kept=kept)

    def _features(self, block: Block, held: Mapping[str, Any]) -> Any:
        own, n = self.inner.columns, len(block)
        found: dict[str, Any] = {}
        for column in self._of_keys:
            found[column.name] = canonical(_constant(held[column.name], self.lying.types[column.name], n), column.kind)
        if isinstance(block.x, Frame):
            found |= {column.name: block.x[column.name] for column in own or ()}
        else:
            names = [column.name for column in own] if own is not None else self.inner.names or ()
            found |= {name: block.x[:, j] for j, name in enumerate(names)}
        columns = self.columns or ()
        dense = [found[column.name] for column in columns if column.kind == "number"]
        x = np.column_stack(dense) if dense else np.empty((n, 0))
        others = tuple(found[column.name] for column in columns if column.kind != "number")
        return x if self._plain else Frame(x, others, tuple(columns))


def _constant(value: Any, kind: pa.DataType, n: int) -> pa.Array:
    return pa.array([value], kind).take(pa.array(np.zeros(n, np.int64)))


def _named(name: str, kind: str, entries: tuple[str, ...]) -> bool:
    return any(entry in (name, kind) or fnmatchcase(name, entry) for entry in entries)


def _meant(operator: str, values: tuple[Any, ...], held: pa.DataType | None) -> pa.DataType:
    """Choose how a column of text is compared: as its kind; of no feature, or of a category, as the literals are."""
    if operator == "true" or any(isinstance(value, bool) for value in values):
        return pa.bool_()
    if held not in (None, pa.string()) or not values or any(isinstance(value, str) for value in values):
        return held or pa.string()
    if all(isinstance(value, Decimal) for value in values):
        return pa.float64()
    return date_type() if all(isinstance(value, date) for value in values) else pa.string()
