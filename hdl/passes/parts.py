"""The parts of a dataset that a pass goes over, and what it found in some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hdl import fs, sync, wire
from hdl.data import Bad, FileSplit, Source
from hdl.data.base import numbered
from hdl.data.block import PLACES
from hdl.errors import HdlError, WorkerError

PART_BYTES = 32 << 20  # of files, for one part
MOST_PARTS = 1024
MESSAGE = "partial"


def cut(source: Source) -> list[list[FileSplit]]:
    """Cut a dataset into parts, by its files alone: never by a runner, by workers or by blocks on disk.

    A part is 32 MiB, or a file where the files are numbered as parts are and smaller.
    """
    return source.splits(count(source))


def count(source: Source) -> int:
    """Count the parts that `cut` makes: more workers have nothing to do."""
    files, needed = len(source.paths), _needed(source)
    return files if needed < files <= MOST_PARTS and numbered(source.paths, files) else needed


def workers(source: Source, cores: int) -> int:
    """Count the processes that pay on a machine with so many cores: one where the data is small."""
    return min(cores, _needed(source))


def _needed(source: Source) -> int:
    size = sum(fs.size(path) for path in source.paths if fs.exists(path))  # arrays in memory have no file
    return min(MOST_PARTS, max(1, -(-size // PART_BYTES)))


@dataclass(frozen=True)
class Pass:
    """Says what is to be found out about a dataset with the help of a table's network.

    Parameters
    ----------
    kind : {'evaluate', 'permute', 'vary'}
    table : str
        Its folder, as those know it who do the work.
    version : int
    parts : int
        Of the dataset.
    platform : str
        That all compute with: see `hdl.runners.platform`; empty: each with the best that it has.
    fields : dict
        Plain values that the kind needs.
    tensors : dict of ndarray
    """

    kind: str
    table: str
    version: int
    parts: int
    platform: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    tensors: wire.Tensors = field(default_factory=dict)

    def pack(self, **changed: Any) -> bytes:
        """Pack the pass as a message, some of its fields changed."""
        own = {name: value for name, value in vars(self).items() if name != "tensors"} | changed
        return wire.pack("pass", own, self.tensors)

    def of_kind(self, kind: str, fields: dict[str, Any], tensors: wire.Tensors | None = None) -> Pass:
        """Ask something else of the same parts, with the same network."""
        return replace(self, kind=kind, fields=fields, tensors=tensors or {})

    @classmethod
    def unpack(cls, message: wire.Buffer) -> Pass:
        """Read a pass: the inverse of `pack`."""
        _, fields, tensors = wire.unpack(message)
        return cls(**fields, tensors=tensors)


@dataclass(frozen=True, eq=False)
class Partial:
    """Holds what a pass has found in the parts [lo, hi) of a dataset, which are a node of the fixed tree.

    Parameters
    ----------
    lo, hi : int
        The first part, and the one after the last.
    of : int
        Number of all parts.
    bad : Bad
        Counts of records that are no samples, and the first places of bad ones.
    values : dict
        By name, values with `join`, `to_parts` and `from_parts`.
    """

    lo: int
    hi: int
    of: int
    bad: Bad
    values: dict[str, Any]

    def join(self, other: Partial) -> Partial:
        """Join siblings of the tree; neither changes."""
        a, b = (self, other) if self.lo < other.lo else (other, self)
        values = {name: value.join(b.values[name]) for name, value in a.values.items()}
        return Partial(a.lo, b.hi, a.of, joined_counts(a.bad, b.bad), values)

    def pack(self) -> list[wire.Buffer]:
        """Pack as the pieces of a message, from which `read` makes it again."""
        plain: dict[str, Any] = {}
        tensors: wire.Tensors = {}
        for name, value in self.values.items():
            plain[name], own = value.to_parts()
            tensors |= {f"{name}/{key}": tensor for key, tensor in own.items()}
        fields = {"lo": self.lo, "hi": self.hi, "of": self.of, "bad": asdict(self.bad), "values": plain}
        return wire.parts(MESSAGE, fields, tensors)


Make = Callable[[str, dict[str, Any], wire.Tensors], Any]  # makes a value of its name and the parts of `to_parts`


def read(message: wire.Buffer, make: Make) -> Partial:
    """Read a partial result of a message.

    Raises
    ------
    WireError
        The message is damaged, or of another kind.
    """
    kind, fields, tensors = wire.unpack(message)
    if kind != MESSAGE:
        raise wire.WireError(f"a message of kind {kind[:40]!r}; expected {MESSAGE}")
    try:
        values = {
            name: make(name, plain, {key.removeprefix(f"{name}/"): tensor for key, tensor in tensors.items()
                                     if key.startswith(f"{name}/")})
            for name, plain in fields["values"].items()
        }  # fmt: skip
        given = fields["bad"]
        unseen = {str(name): int(number) for name, number in given["unseen"].items()}
        bad = Bad(**given | {"places": [str(place) for place in given["places"]], "unseen": unseen})
        return Partial(int(fields["lo"]), int(fields["hi"]), int(fields["of"]), bad, values)
    except HdlError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise wire.WireError(f"a damaged {MESSAGE} message: {type(error).__name__} {error}") from None


def joined_counts(a: Bad, b: Bad) -> Bad:
    """Add the counts of bad records and of rows left out; the first places stay."""
    counts = {name: getattr(a, name) + getattr(b, name) for name in ("count", "unlabelled", "dropped")}
    unseen = {name: a.unseen.get(name, 0) + b.unseen.get(name, 0) for name in (*a.unseen, *b.unseen)}
    return Bad(limit=a.limit, places=[*a.places, *b.places][:PLACES], unseen=unseen, **counts)


def join_siblings(partials: Iterable[Partial]) -> list[Partial]:
    """Join all that are siblings of the tree; what is there twice is dropped."""
    partials = list(partials)
    return sync.join_nodes(partials, partials[0].of, Partial.join) if partials else []


def complete(found: Sequence[Partial | wire.Buffer], make: Make) -> Partial:
    """Join what was found in all parts of a dataset, as values or as messages, in any order and as often as it comes.

    Messages are read one after the other, so that few of their values are held at a time.

    Raises
    ------
    WorkerError
        Nothing came of some parts.
    DataError
        All parts together have more bad records than the dataset may have.
    """
    held: list[Partial] = []
    for item in sorted(found, key=_first):
        held = join_siblings([*held, item if isinstance(item, Partial) else read(item, make)])
    if len(held) != 1 or (held[0].lo, held[0].hi) != (0, held[0].of):
        there = ", ".join(f"[{node.lo}, {node.hi}) of {node.of}" for node in held) or "nothing"
        raise WorkerError(f"expected what was found in all parts of the data; there is: {there}")
    bad = held[0].bad
    if bad.count > bad.limit:
        raise bad.overflow()
    return held[0]


def with_lost(found: Sequence[Partial | wire.Buffer], lost: Bad, make: Make) -> list[Partial]:
    """Add the counts of records that were lost before the parts were read, by whoever wrote these for the workers."""
    whole = complete(found, make)
    return [replace(whole, bad=joined_counts(lost, whole.bad))]


def _first(item: Partial | wire.Buffer) -> tuple[int, int]:
    fields: Mapping[str, Any] = vars(item) if isinstance(item, Partial) else wire.header(item, len(item))[1]
    return fields["lo"], -fields["hi"]
