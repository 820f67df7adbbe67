"""Answers of several workers in one message, as relays pass them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hdl.wire import Buffer
from hdl.yarn.protocol import Answers, Done, joined_seconds

FIELDS = "gpu", "code", "samples", "found", "spilled"  # of `Done`, that are columns of `Answers`

Labelled = list[tuple[Any, Sequence[Buffer]]]  # results of several workers: of each [place, name], and its content


@dataclass
class Collection:
    """Collects the answers to one command, and keeps those that were sent, as whoever had them may be gone.

    Attributes
    ----------
    command_id : int
    places : set of int
        Who has answered.
    sent : list
        Answers and results, in the order in which they were sent.
    """

    command_id: int
    places: set[int] = field(default_factory=set)
    sent: list[tuple[Answers, Labelled]] = field(default_factory=list)
    _answers: list[Answers] = field(default_factory=list)
    _results: Labelled = field(default_factory=list)

    def add(self, answers: Answers, results: Labelled) -> None:
        """Add answers that are to be sent, with the results that came with them."""
        self._answers.append(replace(answers, bundle=None))
        self._results += results
        self.places.update(answers.places)

    def take(self) -> tuple[Answers, Labelled] | None:
        """Take what is to be sent, answers as one; None if nothing is."""
        if not self._answers:
            return None
        taken = joined(self._answers), self._results
        self._answers, self._results = [], []
        return taken


def of(done: Done, place: int) -> Answers:
    """Make the answers of one worker, at a place in the tree of relays.

    Examples
    --------
    >>> of(Done(3, 1, found=2, seconds={"compute": 0.5, "load": 0.1}), 4).columns
    {'found': [2]}
    """
    values = {name: [getattr(done, name)] for name in FIELDS if getattr(done, name) is not None}
    seconds = dict(done.seconds or {})
    compute = [round(seconds.pop("compute"), 6)] if "compute" in seconds else []
    row = done.row if place == 0 else None  # it is the same for all
    return Answers(done.command_id, done.generation, [place], compute, seconds, values, row)


def joined(answers: Sequence[Answers]) -> Answers:
    """Join answers to one; a value that some lack is None."""
    if len(answers) == 1:
        return answers[0]
    first = answers[0]

    columns: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for each in answers for name in each.columns):
        columns[name] = [value for each in answers for value in each.columns.get(name) or [None] * len(each.places)]
    return Answers(
        first.command_id,
        first.generation,
        [place for each in answers for place in each.places],
        [value for each in answers for value in each.compute],
        joined_seconds(each.seconds for each in answers),
        columns,
        next((each.row for each in answers if each.row is not None), None),
    )
