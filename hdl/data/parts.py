"""Parts (training, test, validation) and pairs (features, labels), as files' names tell."""

from __future__ import annotations

import re

from hdl.data.formats import Seen, some
from hdl.data.pairing import matched, roles
from hdl.data.streams import head
from hdl.errors import DataError

Pairs = list[tuple[str, str | None]]

# The parts that files of one folder may belong to, by their names.
_PARTS = {
    "train": re.compile(r"(^|[^a-z])(train(ing)?|tra|tr)([^a-z]|$)", re.I),
    "test": re.compile(r"(^|[^a-z])(test(ing)?|tes|t10k|te)([^a-z]|$)|\.t(\.|$)", re.I),
    "val": re.compile(r"(^|[^a-z])(val(id(ation)?)?|dev)([^a-z]|$)", re.I),
}
_DATA = re.compile(r"\.data(\.|$)", re.I)  # adult.data beside adult.test
NAMES = {"train": "training", "test": "test", "val": "validation"}
_MARK = re.compile(r"[._-]?(test|t|val)(?=[._-]|$)", re.I)  # a9a and a9a.t, digits.csv and digits_test.csv


def split_parts(files: list[Seen], path: str) -> dict[str, list[Seen]]:
    """Sorts files by part, as their names tell; all of them are the training part unless names tell parts apart.

    Raises
    ------
    DataError
        Some files are called the test part, and it is not told what the others are.
    """
    parts: dict[str, list[Seen]] = {"train": [], "test": [], "val": []}
    rest: list[Seen] = []
    for item in files:
        part = next((part for part, pattern in _PARTS.items() if pattern.search(item.name)), None)
        part = part or ("train" if _DATA.search(item.name) else None)
        (parts[part] if part else rest).append(item)
    marked = [*parts["test"], *parts["val"]]
    if not marked or (not parts["train"] and not rest and not (parts["test"] and parts["val"])):
        return {"train": files, "test": [], "val": []}
    siblings = {_MARK.sub("", item.name) for item in marked}  # a9a of a9a.t
    if not parts["train"] and siblings == {item.name for item in rest}:
        return {**parts, "train": rest}
    if rest:
        what = f"{some([item.name for item in marked], 3)} by name belongs to another part, and nothing says whether "
        what += f"{some([item.name for item in rest], 3)} belongs to the training part"
        raise DataError(f"{what}; name the training samples by themselves, or by a glob", path)
    return parts


def part_of_folder(name: str) -> str | None:
    """Finds the part that a folder's whole name says it is."""
    return next((part for part, pattern in _PARTS.items() if pattern.fullmatch(name)), None)


def pairs(files: list[Seen], format: str, path: str) -> Pairs:
    """Joins files of features with files of labels, if that is what their names say.

    Raises
    ------
    DataError
        Names say that there are both, and not which belong together.
    """
    said = roles([item.name for item in files])
    xs, ys = ([item for item, role in zip(files, said, strict=True) if role == own] for own in ("features", "labels"))
    if format == "idx" and len(files) == 2 and not (xs and ys):  # as their headers tell
        dims = [head(item.path, 4)[3] for item in files]
        if 1 in dims and max(dims) > 1:
            return [(files[dims.index(max(dims))].path, files[dims.index(1)].path)]
    if format in ("npz", "parquet", "libsvm") or not xs or not ys:
        return [(item.path, None) for item in files]
    if len(xs) == len(ys) and len(xs) + len(ys) == len(files):
        if len(xs) == 1:
            return [(xs[0].path, ys[0].path)]
        if (found := matched([item.name for item in xs], [item.name for item in ys])) is not None:
            return [(xs[i].path, ys[j].path) for i, j in found]
    elif format == "csv":
        return [(item.path, None) for item in files]
    rest = [item for item in files if item not in xs and item not in ys]
    what = f"features ({some([item.name for item in xs], 3)}), labels ({some([item.name for item in ys], 3)})"
    what += f" and {some([item.name for item in rest], 3)}" if rest else ""
    raise DataError(f"{what}: nothing says which belong together; name them as X,Y", path)


def check_shapes(files: list[Seen], path: str) -> None:
    """Refuses tables with other numbers of columns, or other delimiters, in one folder."""
    shapes: dict[tuple[str, int], list[str]] = {}
    for item in files:
        if item.shape:
            shapes.setdefault(item.shape, []).append(item.name)
    if len(shapes) > 1:
        kinds = "; ".join(
            f"{some(names, 3)} with {width} columns parted by {mark!r}" for (mark, width), names in shapes.items()
        )
        raise DataError(f"tables of different columns: {kinds}; name those that are meant by a glob", path)
