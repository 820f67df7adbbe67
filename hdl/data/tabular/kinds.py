"""Kinds of a table's columns: by their types, by their first cells, or as flags say; and which ones are features."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from hdl.data.columns import trained
from hdl.data.names import flag_of, some
from hdl.data.options import Options
from hdl.data.tabular.cells import MISSING, PLAIN, Dialect
from hdl.data.tabular.flags import IGNORE, KINDS, Wish, parse
from hdl.data.tabular.frame import Column
from hdl.data.tabular.sniffer import OTHER_KIND, Finding, find
from hdl.errors import DataError

_GLOB = re.compile(r"[*?\[]")
_ELEMENT = re.compile(r"\[\d+\]$")
_VECTOR = Finding("number", PLAIN)
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
    dialect: Dialect = PLAIN

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
    fields: Sequence[Field], features: Sequence[int], options: Options, path: str,
    taken: Mapping[int, str] | None = None, schema: Any = None, decimal: str | None = None, point: bool = False,
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
        kinds = {item.at: item for item in out.features}
        for i, item in enumerate(self.fields):
            if i in kinds:
                column, dialect = kinds[i].column, kinds[i].dialect
                out.pins += (str(Wish(item.name, column.kind, dialect.details(column.kind), column.by, True)),)
            elif i not in self.taken:
                out.pins += (str(Wish(item.name, IGNORE, by="values", settled=True)),)
        return out

    def _as_in_training(self, features: Sequence[int], known: Sequence[Column] | None, out: Decision) -> None:
        """Give columns the kinds that they had in training."""
        known = known or [Column(self.fields[i].name) for i in features]
        dialects = self._of_training().get("dialects") or {}
        problems = []
        for i, width, column in self._places(features, known):
            item, wish = self.fields[i], self.wishes.get(i)
            found = self._look(i, column.kind, wish, dialects.get(column.name, ())) if width is None else _VECTOR
            if found.problem:  # the column's kind, and that it is used, are the model's
                flags = tuple(flag for flag in found.flags if flag not in OTHER_KIND)
                problems.append((i, replace(found, flags=flags)))
            out.notes += self._notes(i, found)
            name = column.name if width is None else item.name
            out.features.append(Feature(i, column._replace(name=name), width, found.dialect))
        self._refuse(problems)

    def _of_training(self) -> dict[str, Any]:
        """Get what was found out about the table that the model was trained on."""
        return (getattr(self.schema, "reading", None) or {}).get("table") or {}

    def _places(self, features: Sequence[int], known: Sequence[Column]) -> Iterator[tuple[int, int | None, Column]]:
        """Find the columns of training in this table by their names, or by their numbers where names are missing."""
        bases = [_ELEMENT.sub("", column.name) for column in known]
        if all(column.name in self.at or base in self.at for column, base in zip(known, bases, strict=True)):
            vectors = set()
            for column, base in zip(known, bases, strict=True):
                i = self.at.get(column.name, -1)
                if i >= 0:
                    yield i, None, column
                elif base not in vectors:
                    vectors.add(base)
                    yield self.at[base], bases.count(base), column
            return
        numbers = self._of_training().get("at") or [*range(len(known))]
        taken = self._of_training().get("taken") or []
        ranks = [number - sum(other < number for other in taken) for number in numbers]
        if len(ranks) != len(known) or max(ranks, default=0) >= len(features):
            wanted = self._of_training().get("width") or len(known)
            what = f"{len(self.fields)} columns, expected {wanted} as in the model's training data"
            raise DataError(f"{what} (a header finds them by name)", self.path)
        for rank, column in zip(ranks, known, strict=True):
            yield features[rank], None, column

    def _by_flags_and_looks(self, features: Sequence[int], out: Decision) -> None:
        wanted = {i for entry in self.options.features for i in self._matching(entry)}
        kinds = [{entry for entry in entries if entry in KINDS and not self._matching(entry)}
                 for entries in (self.options.features, self.options.ignore)]  # fmt: skip
        ignored = {i: entry for entry in self.options.ignore for i in self._matching(entry)}
        problems: list[tuple[int, Finding]] = []
        for i in features:
            item, wish = self.fields[i], self.wishes.get(i)
            if i in ignored or (wish and wish.kind == IGNORE):
                if not wish or not wish.settled:
                    out.left_out.append(f"{self.called(i)}: as {'--ignore' if i in ignored else '--columns'} says")
                continue
            if self.options.features and i not in wanted and not kinds[0]:
                out.left_out.append(f"{self.called(i)}: not among --features")
                continue
            if item.reason and (wish is None or item.kind is None):
                out.left_out.append(f"{self.called(i)}: {item.reason}")
                continue
            kind = wish.kind if wish else item.kind
            found = self._look(i, kind, wish, ()) if item.width is None else _VECTOR
            by = (wish.by if wish else "values" if item.values is not None else "type") or "type"
            if found.kind is None:
                mend = flag_of("--columns {}:number or --columns {}:category reads it", item.name)
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
        if values is None or (wish is not None and wish.settled):
            return Finding(kind, usual)
        found = find(values, usual, kind, self.point, self.schema is not None)
        if found.problem and before and kind == "date" and not found.dialect.order:
            return replace(found, problem="")
        return found

    def _notes(self, i: int, found: Finding) -> list[str]:
        return [f"{self.called(i)}: {flag_of(note, self.fields[i].name)}" for note in found.notes]

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
            flags = " or ".join(flag_of(flag, self.fields[i].name) for flag in found.flags)
            count = " (flags count from 0)" if self.fields[i].name == str(i) else ""
            listed.append(f"{self.called(i)}: {found.problem}" + (f"; {flags} decides{count}" if flags else ""))
        if len(problems) == 1:
            raise DataError(listed[0], self.path)
        more = [f"and {len(problems) - MOST} more"] if len(problems) > MOST else []
        what = f"{len(problems)} columns cannot be read without a flag:"
        raise DataError("\n  ".join([what, *listed, *more]), self.path)
