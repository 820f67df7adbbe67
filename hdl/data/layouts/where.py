"""Parses a filter on columns, such as ``dt >= 2024-01-01 and country = 'DE'``: SQL's conditions, without any `eval`.

or      ::=  and ("or" and)*
and     ::=  not ("and" not)*
not     ::=  "not" not | "(" or ")" | test
test    ::=  column ("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") literal  |  literal … column
          |  column ["not"] "in" "(" literal ("," literal)* ")"
          |  column ["not"] "between" literal "and" literal
          |  column ["not"] "like" 'text with % and _'
          |  column "is" ["not"] "null"
          |  column                                             (of truth values)
column  ::=  name | "quoted name" | `quoted name`
literal ::=  number | 'text' | date, with a time or without | "true" | "false"
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from hdl.errors import SpecError

Literal = bool | Decimal | str | date  # a datetime is a date: naive, in UTC
_DATE = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:\d{2})?)?"
_TOKENS = re.compile(
    rf"\s*(?:(?P<date>{_DATE})(?![\w-])|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])"
    r"|'(?P<text>(?:[^']|'')*)'|\"(?P<quoted>(?:[^\"]|\"\")+)\"|`(?P<ticked>[^`]+)`"
    r"|(?P<word>[^\W\d][\w.]*(?:\[\d+\])?)|(?P<mark><=|>=|<>|!=|==|[=<>(),]))"
)
_WORDS = ("and", "or", "not", "in", "is", "null", "between", "like", "true", "false")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}


@dataclass(frozen=True)
class Test:
    """Compares a column with literals.

    Attributes
    ----------
    column : str
    operator : {'=', '!=', '<', '<=', '>', '>=', 'in', 'like', 'null', 'true'}
    values : tuple of bool, Decimal, str, date or datetime
    at : int
        Place of the column in the filter, from 1.
    """

    column: str
    operator: str
    values: tuple[Literal, ...] = ()
    at: int = 0


@dataclass(frozen=True)
class Join:
    """Joins conditions by ``and``, ``or`` or, of one, ``not``; in SQL's logic of three values."""

    operator: str
    parts: tuple[Condition, ...]


Condition = Test | Join


def columns(condition: Condition) -> list[str]:
    """List the columns that a condition names, each once, in their order.

    Examples
    --------
    >>> columns(parse("a = 1 and (b is null or not a < 2)"))
    ['a', 'b']
    """
    return list(dict.fromkeys(test.column for test in tests(condition)))


def tests(condition: Condition) -> Iterator[Test]:
    """Give the tests that a condition is made of."""
    if isinstance(condition, Test):
        yield condition
    else:
        for part in condition.parts:
            yield from tests(part)


def parse(text: str) -> Condition:
    """Parse a filter.

    Raises
    ------
    SpecError
        It is none; with the place where it ceases to be one.

    Examples
    --------
    >>> parse("age >= 18")
    Test(column='age', operator='>=', values=(Decimal('18'),), at=1)
    """
    return _Parser(text).whole()


def failure(text: str, at: int, what: str) -> SpecError:
    """Make the error of a filter that is wrong at a place, from 1."""
    return SpecError(f"where: {what}, at character {at} of {text!r}")


class _Token(NamedTuple):
    kind: str  # date, number, text, name, word (in lower case) or mark; end
    value: Any
    at: int


class _Parser:
    """Descends through the grammar above; `here` is the token that comes next."""

    def __init__(self, text: str):
        self.text = text
        self.tokens = [*self._tokens()]
        self.next = 0

    def _tokens(self) -> Iterator[_Token]:
        at, end = 0, len(self.text.rstrip())
        while at < end:
            match = _TOKENS.match(self.text, at)
            start = at + len(self.text[at:]) - len(self.text[at:].lstrip()) + 1
            if not match:
                raise failure(self.text, start, f"{self.text[start - 1 : start + 19]!r} is no column, value or sign")
            kind, at = str(match.lastgroup), match.end()
            value: Any = match[kind]
            if kind == "word" and value.lower() in _WORDS:
                yield _Token("word", value.lower(), start)
            elif kind in ("word", "quoted", "ticked"):
                yield _Token("name", value.replace('""', '"') if kind == "quoted" else value, start)
            elif kind == "mark":
                yield _Token("mark", {"==": "=", "<>": "!="}.get(value, value), start)
            else:
                yield _Token(kind, self._literal(kind, value, start), start)
        yield _Token("end", "", end + 1)

    def _literal(self, kind: str, text: str, at: int) -> Literal:
        if kind == "text":
            return text.replace("''", "'")
        if kind == "number":
            return Decimal(text)
        try:
            return moment(text)
        except ValueError as error:
            raise failure(self.text, at, f"{text} is no date ({error})") from None

    @property
    def here(self) -> _Token:
        return self.tokens[self.next]

    def wrong(self, expected: str, token: _Token | None = None) -> SpecError:
        token = token or self.here
        found = "the end" if token.kind == "end" else f"{self.text[token.at - 1 : token.at + 19].split()[0]!r}"
        return failure(self.text, token.at, f"{found}; expected {expected}")

    def take(self, kind: str, value: Any = None) -> _Token | None:
        """Take the next token if it is of this kind and value."""
        token = self.here
        if token.kind != kind or (value is not None and token.value != value):
            return None
        self.next += 1
        return token

    def need(self, kind: str, value: str) -> None:
        if not self.take(kind, value):
            raise self.wrong(repr(value))

    def whole(self) -> Condition:
        try:
            condition = self.some("or")
        except RecursionError:
            raise failure(self.text, self.here.at, "brackets within brackets, too many") from None
        if self.here.kind != "end":
            raise self.wrong("'and', 'or' or the end")
        return condition

    def some(self, operator: str) -> Condition:
        """Parse conditions that are joined by `operator`, of which ``and`` binds more closely."""
        parts = [self.some("and") if operator == "or" else self.negated()]
        while self.take("word", operator):
            parts.append(self.some("and") if operator == "or" else self.negated())
        return parts[0] if len(parts) == 1 else Join(operator, tuple(parts))

    def negated(self) -> Condition:
        if self.take("word", "not"):
            return Join("not", (self.negated(),))
        if self.take("mark", "("):
            condition = self.some("or")
            self.need("mark", ")")
            return condition
        return self.test()

    def test(self) -> Condition:
        if not (name := self.take("name")):
            value = self.literal("a column or a value")
            mark = self.operator()
            if not mark or not (name := self.take("name")):
                raise self.wrong("a column" if mark else "a comparison, as in 5 < age")
            return Test(name.value, _MIRRORED[mark], (value,), name.at)
        if mark := self.operator():
            if self.here.kind == "name":
                what = "a value; columns are not compared with each other, and text is in 'quotes'"
                raise self.wrong(what)
            return Test(name.value, mark, (self.literal("a value"),), name.at)
        if self.take("word", "is"):
            negated = self.take("word", "not")
            self.need("word", "null")
            return _unless(negated, Test(name.value, "null", (), name.at))
        negated = self.take("word", "not")
        if self.take("word", "in"):
            self.need("mark", "(")
            values = [self.literal("a value")]
            while self.take("mark", ","):
                values.append(self.literal("a value"))
            self.need("mark", ")")
            return _unless(negated, Test(name.value, "in", tuple(values), name.at))
        if self.take("word", "between"):
            low = Test(name.value, ">=", (self.literal("a value"),), name.at)
            self.need("word", "and")
            return _unless(negated, Join("and", (low, Test(name.value, "<=", (self.literal("a value"),), name.at))))
        if self.take("word", "like"):
            pattern = self.take("text")
            if not pattern:
                raise self.wrong("a pattern in 'quotes'")
            return _unless(negated, Test(name.value, "like", (pattern.value,), name.at))
        if negated:
            raise self.wrong("'in', 'between' or 'like'")
        return Test(name.value, "true", (), name.at)

    def operator(self) -> str | None:
        token = self.here
        if token.kind == "mark" and token.value in _MIRRORED:
            self.next += 1
            return token.value
        return None

    def literal(self, expected: str) -> Literal:
        token = self.here
        if token.kind in ("date", "number", "text") or (token.kind == "word" and token.value in ("true", "false")):
            self.next += 1
            return token.value == "true" if token.kind == "word" else token.value
        if token.kind == "word" and token.value == "null":
            raise self.wrong("a value; a missing one is found by 'is null'")
        raise self.wrong(expected)


def _unless(negated: Any, condition: Condition) -> Condition:
    return Join("not", (condition,)) if negated else condition


def moment(text: str) -> date:
    """Read a date, or a naive datetime in UTC, as ISO 8601 writes them.

    Raises
    ------
    ValueError
        The text is neither.
    """
    if len(text) == 10:
        return date.fromisoformat(text)
    there = datetime.fromisoformat(text)
    return there.astimezone(UTC).replace(tzinfo=None) if there.tzinfo else there
