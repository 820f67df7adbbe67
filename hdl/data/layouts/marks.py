"""Marks the rows of a table that are held out of training: by a column that says so, or by a condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from hdl.arrow import pa, pc
from hdl.data.holdout import COLUMN, FOLDS, WHERE
from hdl.data.labels import is_plain_number
from hdl.data.layouts.filtering import check, family, mask
from hdl.data.layouts.where import Condition, Test, columns, parse
from hdl.data.names import some
from hdl.errors import DataError, SpecError

# What a column of text that alone says what is held out may hold.
TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
TRAINING = ("train", "training", "is_train", "is_training", "in_train")  # names by which 1 would mean the others


class Mark:
    """A rule of `Options.held` for one table.

    Parameters
    ----------
    rule : sequence of str
    text : bool
        Columns are text whose type is not known.

    Attributes
    ----------
    columns : list of str
        That rows are marked by.
    """

    def __init__(self, rule: Sequence[str], text: bool = False):
        self.rule, self.text = tuple(rule), text
        self.truth = rule[0] == COLUMN and len(rule) == 2
        self.condition: Condition | None = None
        if rule[0] == WHERE:
            try:
                self.condition = parse(rule[1])
            except SpecError as error:
                raise SpecError(_told(error)) from None
        elif not self.truth:
            value: Any = rule[2]
            if text and is_plain_number(value):
                value = Decimal(value)
            elif text and value.lower() in ("true", "false"):
                value = value.lower() == "true"
            self.condition = Test(rule[1], "=", (value,), 1)
        self.columns = [rule[1]] if self.condition is None else columns(self.condition)
        if self.truth and rule[1].lower() in TRAINING:
            what = f"validation: column {rule[1]!r} is called as what is trained on, so that 1 may mean either"
            raise SpecError(f"{what}; --validation column:{rule[1]}=0 holds out the rows where it is 0")

    def check(self, types: Mapping[str, pa.DataType], path: str) -> None:
        """Refuse a rule on columns that are not there, or with values that they cannot have.

        Raises
        ------
        DataError, SpecError
        """
        if self.rule[0] == COLUMN:
            name = self.rule[1]
            if name not in types:
                raise DataError(f"validation: there is no column {name!r}; there are {some([*types])}", path)
            held = family(types[name])
            if self.truth and not self.text and held not in ("truth", "number", "text"):
                what = f"validation: column {name!r} is {types[name]}; expected truth values or 0 and 1"
                raise DataError(f"{what} (--validation column:{name}=VALUE names what is held out)", path)
            if self.truth:
                return
        assert self.condition is not None, "a rule with a condition"
        try:
            check(self.condition, types, self.rule[1] if self.rule[0] == WHERE else "=".join(self.rule[1:]))
        except SpecError as error:
            raise SpecError(_told(error)) from None

    def check_names(self, types: Mapping[str, pa.DataType], path: str) -> None:
        """Refuse a rule on columns that are not there, where only names are known."""
        for name in self.columns:
            if name not in types:
                raise DataError(f"validation: there is no column {name!r}; there are {some([*types])}", path)

    def rows(
        self, column: Callable[[str], pa.Array], n: int, where: Callable[[int], dict[str, Any]] | None = None
    ) -> np.ndarray:
        """Tell which rows are held out, bool [n].

        Parameters
        ----------
        column : function of a column's name
            Its values [n].
        where : function of a row, optional
            Its place, for errors.

        Raises
        ------
        DataError
            A row does not say whether it is held out.
        """
        if not n:
            return np.zeros(0, bool)
        if not self.truth:
            assert self.condition is not None, "a rule with a condition"
            return mask(self.condition, column)
        name = self.rule[1]
        found = truth(column(name))
        if found.null_count:
            i = int(np.flatnonzero(np.asarray(found.is_null()))[0])
            value = column(name)[i].as_py()
            missing = value is None or value != value or (isinstance(value, str) and not value.strip())
            held = "is missing" if missing else f"is {value!r}"
            what = f"column {name!r} {held}; a column that alone says what is held out holds truth values, or 0 and 1"
            hint = f" (--validation column:{name}=VALUE names the value that is held out)"
            raise DataError(what + hint, **(where(i) if where else {}))
        return found.to_numpy(zero_copy_only=False)


def truth(values: pa.Array) -> pa.Array:
    """Read truth values, 0 and 1, or text that says one of these; null where it is none."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_boolean(values.type):
        return values
    if family(values.type) == "number":
        values = values.cast(pa.float64(), safe=False)
        one = pc.equal(values, 1.0)
        return pc.if_else(pc.or_(one, pc.equal(values, 0.0)), one, pa.scalar(None, pa.bool_()))
    if family(values.type) != "text":
        return pa.nulls(len(values), pa.bool_())
    text = pc.utf8_lower(pc.utf8_trim_whitespace(values.cast(pa.string())))
    known = pa.array([TRUTH.get(value) for value in pc.unique(text).to_pylist()], pa.bool_())
    return known.take(pc.index_in(text, pc.unique(text)))


def of(rule: Sequence[str], text: bool = False) -> Mark | None:
    """Make the mark of a rule that looks at columns; None of others."""
    return Mark(rule, text) if rule and rule[0] != FOLDS else None


def _told(error: SpecError) -> str:
    return str(error).replace("where: ", "validation: ", 1)
