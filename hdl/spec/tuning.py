"""The part of a spec that says how a network is fine-tuned: what of it is trained, and how fast."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from hdl.spec.parts import Fraction, NonNegative, Part, Positive

ALL_BUT_LAST = "all but last"
TABLES, HEAD = "embeddings", "head"


class Tuning(Part):
    """The fine-tuning of a network that starts from learned weights.

    Layers are named by their numbers from 1, by ranges of these (`1-3`), by the names layer1, layer2, …, `head` for the
    last one and `embeddings` for the tables of embedded categories, by globs of names (`layer*`), or as `all but last`.

    Parameters
    ----------
    freeze : tuple of str
        Layers that stay as they are, to the bit.
    lr : dict of str to float
        Factors of the learning rate of some layers; the others have 1.
    layer_decay : float
        The learning rate of each layer is this times that of the layer above it (Howard & Ruder 2018 and Clark et al.
        2020 have such rates); of embeddings, this times the first layer's.
    l2_sp : float
        l2_sp/2·|w − w⁰|² is added to the mean cost (Li et al. 2018, equation 2), where w⁰ are the weights that training
        starts from, and 0 for weights that are new; biases and embeddings are exempt.
    head : {'keep', 'new'}
        `new`: the last layer is not taken from the starting network, and begins as any layer does.
    add_classes : bool
        Whether classes that the starting network does not know are added behind those that it has.
    """

    freeze: tuple[str, ...] = ()
    lr: dict[str, Positive] = Field(default_factory=dict)
    layer_decay: Fraction = 1.0
    l2_sp: NonNegative = 0.0
    head: Literal["keep", "new"] = "keep"
    add_classes: Annotated[bool, Field(strict=False)] = False

    @field_validator("freeze", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        items = value.split(",") if isinstance(value, str) else value
        return tuple(_term(each) for each in items) if isinstance(items, (list, tuple)) else items

    @field_validator("lr", mode="before")
    @classmethod
    def _paired(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = pairs(value)
        return {_term(name): factor for name, factor in value.items()} if isinstance(value, dict) else value

    @property
    def starts(self) -> bool:
        """Tells whether it needs a network to start from."""
        return self.head == "new" or self.add_classes

    @property
    def paced(self) -> bool:
        """Tells whether layers that are trained have learning rates of their own."""
        return bool(self.lr) or self.layer_decay != 1

    def factors(self, layers: int, tables: bool = False) -> tuple[float, ...]:
        """Compute the factors of the learning rate: of the tables, then of each layer; 0 for what is frozen.

        Parameters
        ----------
        layers : int
            L, those with weights.
        tables : bool
            Whether categories are embedded.

        Raises
        ------
        ValueError
            No layer has such a name, a layer has two factors, or nothing is left to train.
        """
        found = [self.layer_decay ** (layers - number) for number in range(layers + 1)]
        given: dict[int, str] = {}
        for term, factor in self.lr.items():
            for number in chosen(term, layers, tables, "lr"):
                if number in given:
                    raise ValueError(
                        f"tuning.lr: {name_of(number)} is meant by {given[number]} and by {term}; expected once"
                    )
                given[number] = term
                found[number] *= factor
        for term in self.freeze:
            for number in chosen(term, layers, tables, "freeze"):
                found[number] = 0.0
        if not any(found[0 if tables else 1 :]):
            raise ValueError(
                f"tuning.freeze: given {','.join(self.freeze)}, which are all {layers} layers; one must be trained"
            )
        return tuple(found)


def chosen(term: str, layers: int, tables: bool, field: str) -> Iterable[int]:
    """List the layers, from 1, and 0 for tables, that a term means, in rising order.

    Raises
    ------
    ValueError
        It means none.
    """
    if term == ALL_BUT_LAST:
        return range(0 if tables else 1, layers)
    if match := re.fullmatch(r"(\d+)(?:-(\d+))?", term):
        first, last = int(match[1]), int(match[2] or match[1])
        if 1 <= first <= last <= layers:
            return range(first, last + 1)
    names = {0: [TABLES]} if tables else {}
    names |= {number: [f"layer{number}", str(number)] for number in range(1, layers + 1)}
    names[layers] = [*names[layers], HEAD]
    if found := [number for number, own in names.items() if any(fnmatchcase(name, term) for name in own)]:
        return found
    known = ", ".join([*([TABLES] if tables else []), f"1 to {layers} or layer1 to layer{layers}", HEAD, ALL_BUT_LAST])
    raise ValueError(f"tuning.{field}: no layer is called {term!r}; expected {known}, or a glob of names")


def name_of(number: int) -> str:
    """Name a layer by its number."""
    return f"layer{number}" if number else TABLES


def pairs(text: str) -> dict[str, Any]:
    """Parse `1=0.1,head=2`.

    Raises
    ------
    ValueError
    """
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, sign, value = (each.strip() for each in part.rpartition("="))
        if not sign or name in found:
            raise ValueError(f"{text!r}: expected each layer once as LAYER=FACTOR, such as 1=0.1,head=2")
        found[name] = value
    return found


def _term(value: Any) -> str:
    """Write a layer's name, a number too, as a text; `all-but-last` is the same as with blanks."""
    text = str(value).strip()
    return ALL_BUT_LAST if text.replace("-", " ") == ALL_BUT_LAST else text


def check(spec: Any) -> None:
    """Refuse fine-tuning that a model or its optimiser cannot have, with a ValueError."""
    tuning = spec.tuning
    if tuning == Tuning():
        return
    if spec.model in ("autoencoder", "rbm"):
        raise ValueError(f"tuning: {spec.model} is one layer, which is trained as a whole; expected mlp or a stack")
    if tuning.add_classes and tuning.head == "new":
        raise ValueError("tuning.add_classes keeps the last layer's rows, and head new draws all of them (given both)")
    if spec.optimizer.line_search and tuning.paced:
        raise ValueError(
            f"tuning: {spec.optimizer.name} searches along one line for all weights, and layers have no rates of their "
            "own; expected a rule of mini-batches, such as adam, or freeze"
        )
    if spec.net is not None and spec.finetune == "classify":
        tuning.factors(len(spec.net) - 1, bool(spec.embedding or spec.embeddings))
