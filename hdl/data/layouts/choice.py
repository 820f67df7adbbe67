"""Chooses label and features of a table of typed columns, by flags, by a model, or by names and types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hdl.arrow import pa
from hdl.data.columns import Look, choose, trained
from hdl.data.layouts import cells as kinds
from hdl.data.layouts.cells import File
from hdl.data.names import some
from hdl.data.options import Options
from hdl.data.parquet_file import label_type
from hdl.data.tabular.arrow import kind_of
from hdl.data.tabular.frame import Column
from hdl.data.tabular.kinds import Decision, Feature, Field, decide
from hdl.errors import DataError

WIDEST = 65536  # numbers of a vector that are expanded
FEW = 20  # first values of a column that are looked at, where names do not say which one is the label


@dataclass(frozen=True)
class Known:
    """Holds what is known of a table before it is read.

    Attributes
    ----------
    types : dict of str to DataType
    widths : dict of str to int
        Numbers of each vector.
    odd : dict of str to str
        Columns that cannot be read, and why.
    first : File
    path : str
        For errors.
    values : function of a column's name
        Its first values.
    """

    types: dict[str, pa.DataType]
    widths: dict[str, int]
    odd: dict[str, str]
    first: File
    path: str
    values: Callable[[str], pa.Array]

    def there(self, name: str, flag: str) -> str:
        """Give a column's name, or refuse it."""
        if name not in self.types:
            raise DataError(f"{flag} {name}: no such column; the table has {some([*self.types])}", self.path)
        return name


@dataclass
class Choice:
    """Holds the columns that were chosen: see `hdl.data.base.Source`, and `decide` for the pins."""

    label: list[str]
    features: list[Feature]
    by: str = ""
    places: list[int] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    pins: tuple[str, ...] = ()


def with_roles(options: Options, first: File) -> Options:
    """Give the options that a file itself says which columns are label, weights and offset, where no flag does."""
    said = {name: role for name, role in first.roles.items() if not getattr(options, name)}
    if not options.labelled:
        said.pop("label", None)
    return Options.make(options, **said) if said else options


def choose_columns(known: Known, options: Options, schema: Any, labels: bool) -> Choice:
    """Choose label and features.

    Raises
    ------
    DataError
        A flag names a column that is not there; the label is not clear; a column of the model's is missing.
    """
    if schema is not None and schema.names:
        by = "flag" if options.label else "model"
        return Choice(_label_of_model(known, options, schema, labels), _as_in_training(known, schema), by)
    first, names = known.first, [*known.types]
    index = {names.index(name): why for name, why in first.index.items() if name in names}
    texts = [i for i, kind in enumerate(known.types.values()) if label_type(kind) == "text"]
    look = Look(first.twice, index, texts, lambda i: known.values(names[i]).slice(0, FEW).to_pylist())
    choice = choose(names, len(names), options, known.path, schema, look, labels)
    taken = {i: "label" for i in choice.labels}
    for role, name in (("weights", options.weights), ("offset", options.offset)):
        if name is not None:
            taken[names.index(known.there(name, f"--{role}"))] = role
    decision = _decide(known, [i for i in choice.features if i not in taken], options, taken)
    left_out = [f"{names[i]}: {index[i]}" for i in choice.left_out if i in index] + decision.left_out
    label = [names[i] for i in choice.labels]
    by = "own file" if label and [*label] == first.roles.get("label") else choice.by or ""
    return Choice(label, decision.features, by, choice.places, left_out, decision.pins)


def _decide(known: Known, features: Sequence[int], options: Options, taken: dict[int, str]) -> Decision:
    """Decide by flags, or by what the file says, or by types; truth values among numbers alone are 0 and 1."""
    if known.first.pins and not options.columns:
        options = Options.make(options, columns=known.first.pins)
    fields = [_field(known, name) for name in known.types]
    decision = decide(fields, features, options, known.path, taken)
    truth = [i for i, kind in enumerate(known.types.values()) if pa.types.is_boolean(kind)]
    if truth and all(_is_number(each, truth) for each in decision.features):
        fields = [each._replace(kind="number") if i in truth else each for i, each in enumerate(fields)]
        decision = decide(fields, features, options, known.path, taken)
    return decision


def _is_number(feature: Feature, truth: Sequence[int]) -> bool:
    """Tell whether a feature is a number, or a truth value that nobody called a category."""
    return feature.column.kind == "number" or (feature.at in truth and feature.column.by == "type")


def _field(known: Known, name: str) -> Field:
    """Say what is known of a column by its type."""
    kind = known.types[name]
    if why := known.odd.get(name):
        return Field(name, None, why)
    if kinds.is_vector(kind):
        length = known.widths.get(name)
        if length is None:
            return Field(name, None, "lists of several lengths, or none in the first rows")
        if length > WIDEST:
            return Field(name, None, f"vectors of {length:,} numbers; at most {WIDEST:,} are read")
        return Field(name, "number", width=length)
    found = kind_of(kind)
    if found is None:
        what = "bytes that are no text" if kinds.is_bytes(kind) else "nested"
        return Field(name, None, f"{what} ({kind})")
    return Field(name, found)


def _label_of_model(known: Known, options: Options, schema: Any, labels: bool) -> list[str]:
    """Find the label: the one that is asked for; else the model's, where it is there."""
    names = [*known.types]
    if {*schema.names} <= {*names}:
        choice = choose(names, len(names), options, known.path, schema, Look(known.first.twice), labels)
        return [names[i] for i in choice.labels]
    if not options.labelled or not labels:
        return []
    if options.label:
        return [known.there(name, "--label") for name in options.label]
    return [*schema.label] if all(name in known.types for name in schema.label) else []


def _as_in_training(known: Known, schema: Any) -> list[Feature]:
    """Find the model's columns by their names; of a vector `x` those called `x[0]`, `x[1]`, …"""
    wanted = trained(schema) or [Column(name) for name in schema.names]
    at = {name: i for i, name in enumerate(known.types)}
    out, absent, vectors = [], [], set[str]()
    expanded = {f"{name}[{j}]": (name, width) for name, width in known.widths.items() for j in range(width)}
    for column in wanted:
        if column.name in known.types:
            out.append(Feature(at[column.name], column))
        elif column.name in expanded:
            name, width = expanded[column.name]
            if name not in vectors:
                out.append(Feature(at[name], column._replace(name=name), width))
            vectors.add(name)
        else:
            absent.append(column.name)
    if absent:
        raise DataError(f"columns {some(absent)} of the model's training data are missing", known.path)
    if schema.columns is None and [c.name for feature in out for c in feature.columns] != [c.name for c in wanted]:
        raise DataError("vectors of other lengths than in the model's training data", known.path)
    return out


def check_labels(known: Known, labels: Sequence[str]) -> None:
    """Refuse labels of types that can be none."""
    for name in labels:
        kind = known.types[name]
        held = label_type(kind)
        if len(labels) > 1 and held not in ("number", "boolean"):
            what = f"column {name!r} is {kind}; expected numbers in every column but the label"
            raise DataError(f"{what} (several labels are targets)", known.path)
        if held is None:
            what = f"label column {name!r} is {kind}; expected numbers or text (--label names another column)"
            raise DataError(what, known.path)
