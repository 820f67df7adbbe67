"""The checks of a resumed training: its spec, data and device must be those of the table, but for what may change."""

from __future__ import annotations

from typing import Any

from hdl import fs
from hdl import spec as specs
from hdl.data import FileSplit, Options
from hdl.errors import DataError, SpecError, TableError
from hdl.spec import Spec
from hdl.table import Version

# Fields of the spec that a resumed run may change: none of them decides the weights of the rounds that are done.
CHANGEABLE = ("epochs", "keep", "patience")


def same_spec(stored: Spec, given: Spec | None, done: int) -> Spec:
    """Takes the stored spec, with the fields that may change from the given spec.

    Parameters
    ----------
    stored : Spec
        The table's, filled in.
    given : Spec or None
        The user's; None takes the stored one.
    done : int
        Rounds that the table has.

    Raises
    ------
    SpecError
        The given spec differs in a field that may not change, or asks for epochs that the rounds done do not allow.
    """
    if given is None:
        return stored
    old, new = stored.model_dump(), given.model_dump()
    for path in given.auto:
        _take(path.split("."), old, new)
    new["auto"] = old["auto"]
    # A field that the user left to the data agrees with the stored one, which was filled in from the data.
    for name in ("loss", "net", "batch", "metric"):
        if new[name] is None:
            new[name] = old[name]
    if len(new["net"]) == len(old["net"]):
        new["net"] = tuple(b or a for a, b in zip(old["net"], new["net"], strict=True))
    wrong = [name for name in old if name not in CHANGEABLE and old[name] != new[name]]
    if wrong:
        listed = "; ".join(f"{name} was {old[name]}, given {new[name]}" for name in wrong)
        raise SpecError(f"the table was made with another spec: {listed}")
    every = stored.sync.every
    ends_early = stored.sync.mode != "gradient" and stored.sync.unit == "epochs" and stored.epochs % every
    if ends_early and done >= stored.epochs // every + 1 and new["epochs"] > stored.epochs:
        raise SpecError(
            f"epochs: the table's last round was cut short at epoch {stored.epochs}, between two merges of {every} "
            f"epochs; a longer training would have gone on. Start a new table for {new['epochs']} epochs"
        )
    return stored.with_(**{name: new[name] for name in CHANGEABLE})


def _take(path: list[str], source: dict[str, Any], target: dict[str, Any]) -> None:
    """Takes one field from another spec's, by its path."""
    *parts, last = path
    for name in parts:
        source, target = source[name], target[name]
    target[last] = source[last]


def stored_spec(zero: Version, given: Spec | None) -> Spec:
    """Reads the spec of the training that made version 0; if that is a layer's, the whole stack's, which is checked
    as by `same_spec`."""
    spec = specs.parse(zero.about.get("stack", zero.spec))
    return same_spec(spec, given, 0) if "stack" in zero.about else spec


def same_device(about: dict[str, Any], device: str, table: str) -> None:
    """Refuses a device of another class than that of version 0, which would not give the same bytes.

    Raises
    ------
    TableError
    """
    made, asked = about["device"], device.partition(":")[0]
    if asked not in (made, "auto"):
        raise TableError(
            f"{table}: made on {made}; {asked} would not give the same bytes: --device {made} goes on with it"
        )


def options(about: dict[str, Any], given: Options) -> Options:
    """Gives the options to open the data with: as it was found by then, such as an older version of a Delta table."""
    settled = about.get("settled")
    return Options.make(settled) if settled and Options.make(about["options"]) == given else given


def same_data(about: dict[str, Any], splits: list[list[FileSplit]], path: str, options: Options, table: str) -> None:
    """Refuses a dataset whose files' names or lengths, or options of reading, are not those of version 0.

    Raises
    ------
    DataError
        Files have other names or lengths.
    SpecError
        The options differ.
    """
    old, new = _files(about["cuts"]), _files(splits)
    if old != new:
        paths = sorted({path for path, _ in set(old.items()) ^ set(new.items())})
        first = paths[0]
        raise DataError(
            f"{path}: not the data that {table} was trained on: {first} had length {old.get(first, 'none')}, "
            f"now {new.get(first, 'none')} ({len(paths)} files differ)"
        )
    if Options.make(about["options"]) != options:
        raise SpecError(f"the table was made with other options of reading: {about['options']}")


def same_validation(about: dict[str, Any], splits: list[list[FileSplit]], path: str, table: str) -> None:
    """Refuses validation data whose files' names or lengths are not those of version 0.

    Raises
    ------
    DataError
    """
    stored = about.get("validation")
    old, new = _files(stored["cuts"] if stored else ()), _files(splits)
    if old != new:
        first = min(path for path, _ in set(old.items()) ^ set(new.items()))
        raise DataError(
            f"{path}: not the data that {table} was validated on: {first} had length {old.get(first, 'none')}, "
            f"now {new.get(first, 'none')}"
        )


def _files(splits: Any) -> dict[str, int]:
    """Adds up the length of each file in the splits of all shards, in the unit of its splits."""
    files: dict[str, int] = {}
    for splits_of_shard in splits:
        for path, _, length in splits_of_shard:
            path = fs.plain(path)  # file:///a and /a are one file
            files[path] = files.get(path, 0) + length
    return files
