"""Kinds of a table's columns: by their types, by their first cells, or as flags say; and which ones are features."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from hdl.data.base import Options
from hdl.data.names import some
from hdl.data.tabular.cells import MISSING, Dialect
from hdl.data.tabular.flags import IGNORE, KINDS, Wish, parse
from hdl.data.tabular.frame import Column
from hdl.data.tabular.looks import Finding, find, has_point
from hdl.errors import DataError

_GLOB = re.compile(r"[*?\[]")
MOST = 20  # columns that a message lists


class Field(NamedTuple):
    """Says what is known of one column of a table before it is read.

    Attributes
    ----------
    name : str
        Its name, or its number where the table has no names.
    kind : str or None
        By its type: number, category or date; None: it is text of a text format, or cannot be a feature.
    reason : str
        Why it cannot be a feature; else empty.
    values : sequence of str, optional
        Its first cells without blanks around them, of a text format.
    width : int, optional
        It is a vector of so many numbers.
    """

    name: str
    kind: str | None = None
    reason: str = ""
    values: Sequence[str] | None = None
    width: int | None = None


class Feature(NamedTuple):
    """Holds a column that is a feature: its number in the table, what it is, and how its cells are written."""

    at: int
    column: Column
    width: int | None = None
    dialect: Dialect = Dialect()

    @property
    def columns(self) -> list[Column]:
        """The columns of a frame that it makes: of a vector as many as it is wide."""
        if self.width is None:
            return [self.column]
        return [self.column._replace(name=f"{self.column.name}[{j}]") for j in range(self.width)]


@dataclass
class Decision:
    """Holds what was decided of the columns of a table.

    Attributes
    ----------
    features : list of Feature
        In the order of the table, or of the model.
    left_out : list of str
        Columns that are no features, each with the reason.
    notes : list of str
        How cells are written that are not read as they stand.
    pins : tuple of str
        `Options.columns` that say all of this again.
    label_kind : str or None
        What flags say of the label.
    """

    features: list[Feature] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pins: tuple[str, ...] = ()
    label_kind: str | None = None

    @property
    def columns(self) -> list[Column]:
        """The columns of a frame of the table's rows."""
        return [column for feature in self.features for column in feature.columns]


def decide(
    fields: Sequence[Field], features: Sequence[int], options: Options, path: str, taken: Mapping[int, str] | None = None,
    schema: Any = None, decimal: str | None = None, point: bool = False,
) -> Decision:  # fmt: skip
    """Decide which columns of a table are features, of which kind, and how their cells are written.

    Parameters
    ----------
    fields : sequence of Field
        Of all columns of the table.
    features : sequence of int
        The columns that may be features: see `hdl.data.columns.choose`; of a model's data its columns in its order.
    taken : mapping of int to str, optional
        Columns that are the label, weights or offset, and what each of them is.
    schema : Schema, optional
        Of the model that will see the data: its kinds are the columns'.
    decimal : {'.', ','}, optional
        The decimal mark of text, where it is known.
    point : bool
        Whether it is known that a comma in a number of text parts thousands.

    Raises
    ------
    DataError
        A flag names a column that is not there; columns cannot be read without a flag (all are named at once); no
        column is left.
    """
    return _Deciding(fields, options, path, taken or {}, schema, decimal, point).decide(features)


def trained(schema: Any) -> list[Column] | None:
    """List the columns of the table that a model was trained on; None if they were numbers without a record."""
    raw = getattr(schema, "raw", None)
    if raw is not None:
        return [*raw]
    plain = getattr(schema, "columns", None)
    if not plain:
        return None
    return [Column(column["name"], column["kind"], column.get("by", "type")) for column in plain["columns"]]


class _Deciding:
    """Decides: see `decide`."""

    def __init__(
        self, fields: Sequence[Field], options: Options, path: str, taken: Mapping[int, str], schema: Any,
        decimal: str | None, point: bool,
    ):  # fmt: skip
        self.fields, self.options, self.path, self.taken, self.schema = fields, options, path, taken, schema
        self.at = {item.name: i for i, item in enumerate(fields)}
        self.missing = (*MISSING, *(token.strip() for token in options.na_values))
        self.decimal = decimal or options.decimal or "."
        self.point = point or options.decimal is not None
        self.wishes = {i: wish for wish in parse(options.columns) for i in self._named(wish.name)}
        if schema is None:
            self._refuse_unknown()

    def _named(self, name: str) -> list[int]:
        """Find a column by its name, or by its number, from 0, or negative from the end."""
        if name in self.at:
            return [self.at[name]]
        if re.fullmatch(r"[+-]?[0-9]{1,9}", name) and -len(self.fields) <= int(name) < len(self.fields):
            return [int(name) % len(self.fields)]
        return []

    def _refuse_unknown(self) -> None:
        unknown = [f"--columns {wish}" for wish in parse(self.options.columns) if not self._named(wish.name)]
        for flag, entries in (("features", self.options.features), ("ignore", self.options.ignore)):
            unknown += [f"--{flag} {entry}" for entry in entries if entry not in KINDS and not self._matching(entry)]
        if unknown:
            names = [item.name for item in self.fields]
            there = f"columns {some(names)}" if not all(map(str.isdecimal, names)) else f"{len(names)} columns"
            raise DataError(f"{some(unknown)}: no such column; the table has {there}", self.path)

    def _matching(self, entry: str) -> list[int]:
        """Find the columns that an entry of `--features` or `--ignore` names: by name, number or glob."""
        named = self._named(entry)
        if named or not _GLOB.search(entry):
            return named
        return [i for i, item in enumerate(self.fields) if fnmatchcase(item.name, entry)]

    def decide(self, features: Sequence[int]) -> Decision:
        out = Decision()
        known = trained(self.schema)
        for i, wish in self.wishes.items():
            if self.taken.get(i) == "label":
                out.label_kind = wish.kind
        if known is not None or (self.schema is not None and self.schema.names):
            self._as_in_training(features, known, out)
        else:
            self._by_flags_and_looks(features, out)
            if not out.features:
                reasons = "".join(f"\n  {line}" for line in out.left_out[:MOST])
                raise DataError(f"no column is left that could be a feature{reasons}", self.path)
        left = [f"{self.fields[i].name}:{IGNORE}" for i in range(len(self.fields)) if i not in self.taken]
        pins = {pin.rpartition(":")[0]: pin for pin in left}
        for feature in out.features:
            column = feature.column
            pins[self.fields[feature.at].name] = str(
                Wish(self.fields[feature.at].name, column.kind, feature.dialect.details(column.kind), column.by)
            )
        out.pins = tuple(pins.values())
        return out

    def _as_in_training(self, features: Sequence[int], known: Sequence[Column] | None, out: Decision) -> None:
        """Give columns the kinds that they had in training."""
        known = known or [Column(self.fields[i].name) for i in features]
        problems = []
        for i, column in zip(features, known, strict=True):
            wish = self.wishes.get(i)
            found = self._look(
                i, column.kind, wish, (self.schema.reading or {}).get("dialects", {}).get(column.name, ())
            )
            problems += [(i, found)] if found.problem else []
            out.notes += self._notes(i, found)
            out.features.append(Feature(i, column, None, found.dialect))
        self._refuse(problems)

    def _by_flags_and_looks(self, features: Sequence[int], out: Decision) -> None:
        wanted = {i for entry in self.options.features for i in self._matching(entry)}
        kinds = [{entry for entry in entries if entry in KINDS and not self._matching(entry)}
                 for entries in (self.options.features, self.options.ignore)]  # fmt: skip
        ignored = {i: entry for entry in self.options.ignore for i in self._matching(entry)}
        problems: list[tuple[int, Finding]] = []
        for i in features:
            item, wish = self.fields[i], self.wishes.get(i)
            if i in ignored or (wish and wish.kind == IGNORE):
                if not wish or wish.by == "flag":
                    out.left_out.append(f"{self.called(i)}: as {'--ignore' if i in ignored else '--columns'} says")
                continue
            if self.options.features and i not in wanted and not kinds[0]:
                out.left_out.append(f"{self.called(i)}: not among --features")
                continue
            if item.reason and (wish is None or item.kind is None):
                out.left_out.append(f"{self.called(i)}: {item.reason}")
                continue
            kind = wish.kind if wish else item.kind
            found = self._look(i, kind, wish, ()) if item.width is None else Finding("number", Dialect())
            by = (wish.by if wish else "values" if item.values is not None else "type") or "type"
            if found.kind is None:
                mend = f"--columns {item.name}:number or --columns {item.name}:category reads it"
                out.left_out.append(f"{self.called(i)}: empty in the first rows ({mend})")
            elif self.options.features and i not in wanted and found.kind not in kinds[0]:
                out.left_out.append(f"{self.called(i)}: not among --features")
            elif found.kind in kinds[1]:
                out.left_out.append(f"{self.called(i)}: a {found.kind}, as --ignore says")
            elif found.problem:
                problems.append((i, found))
            else:
                out.notes += self._notes(i, found)
                out.features.append(Feature(i, Column(item.name, found.kind, by), item.width, found.dialect))
        self._refuse(problems)

    def _look(self, i: int, kind: str | None, wish: Wish | None, before: Sequence[str]) -> Finding:
        """Find kind and dialect of a column; what was found out already is not looked for again."""
        details = wish.details if wish else tuple(before)
        usual = Dialect.of(details, self.decimal, self.missing)
        values = self.fields[i].values
        if values is None or (wish is not None and wish.by != "flag"):
            return Finding(kind, usual)
        found = find(values, usual, kind, self.point)
        if found.problem and before and kind == "date" and not found.dialect.order:
            return replace(found, problem="")
        return found

    def _notes(self, i: int, found: Finding) -> list[str]:
        return [f"{self.called(i)}: {note.replace('{}', self.fields[i].name)}" for note in found.notes]

    def called(self, i: int) -> str:
        """Name a column for people."""
        name = self.fields[i].name
        return f"column {i + 1}" if name == str(i) else f"column {i + 1} ({name!r})"

    def _refuse(self, problems: Sequence[tuple[int, Finding]]) -> None:
        """Raise an error that names all columns that cannot be read without a flag."""
        if not problems:
            return
        listed = []
        for i, found in problems[:MOST]:
            flags = list_of(flag.replace("{}", quoted(self.fields[i].name)) for flag in found.flags)
            listed.append(f"{self.called(i)}: {found.problem}; {flags} decides")
        if len(problems) == 1:
            raise DataError(listed[0], self.path)
        more = [f"and {len(problems) - MOST} more"] if len(problems) > MOST else []
        what = f"{len(problems)} columns cannot be read without a flag:"
        raise DataError("\n  ".join([what, *listed, *more]), self.path)


def quoted(name: str) -> str:
    """Quote a name for a command line, if it needs that."""
    return name if re.fullmatch(r"[\w.-]+", name) else "'" + name.replace("'", "'\\''") + "'"


def list_of(words: Iterable[str]) -> str:
    """Join some words by commas and a last `or`."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
