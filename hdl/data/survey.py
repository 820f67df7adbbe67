"""Looks at many files and picks the samples of one format; the others are left out and told."""

from __future__ import annotations

import re

from hdl import fs
from hdl.data.formats import BINARY, HEAD, TABLES, TEXT, WORDS, Seen, listed, look
from hdl.data.leftout import LeftOut
from hdl.data.options import Options
from hdl.data.pairing import PAIR_Y
from hdl.errors import DataError

_NOTHING = ("empty", "gone")
_NUMBERS = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\d+")  # Spark's names have such identifiers
FEW = 32  # files whose names differ in numbers only: of more, only the first one's format is looked at


def survey(paths: list[str], options: Options) -> list[Seen]:
    """Finds each file's format; of many whose names differ in numbers only, the first one's speaks for the others."""
    family: dict[str, list[str]] = {}
    for path in paths:
        family.setdefault(_NUMBERS.sub("0", path.rsplit("/", 1)[-1]), []).append(path)
    seen: dict[str, Seen] = {}
    for members in family.values():
        like: Seen | None = None
        for path in members:
            if like is None or len(members) <= FEW:
                item = look(path, options.delimiter)
                like = like or (item if item.format not in ("empty", "gone") else None)
            else:
                size = fs.size(path)
                item = Seen(path, size, like.format if size else "empty", like.shape)
            seen[path] = item
    return [seen[path] for path in paths]


def of_one_format(seen: list[Seen], path: str, options: Options, left: LeftOut) -> tuple[list[Seen], str]:
    """Picks the files that are samples, all of one format; the others are left out.

    Raises
    ------
    DataError
        There is none; or there are samples of two formats.
    """
    live = [item for item in seen if item.format not in _NOTHING]
    for item in seen:
        if item.format in _NOTHING:
            left.add(WORDS[item.format], item.name)
    if seen and not live:
        raise DataError("the file is empty, expected samples", seen[0].path)
    kept, format = _asked(live, options) if options.format else _guessed(live, path)
    if not kept:
        images = ", or one folder of images for each class" if any(item.format == "image" for item in live) else ""
        wanted = f"format {options.format}" if options.format else f"samples{images}"
        raise DataError(f"the folder holds {listed(live)}; expected files of {wanted}{left}", path)
    chosen = {item.path for item in kept}
    for item in live:
        if item.path not in chosen:
            left.add(f"{WORDS[item.format]} beside {format} files", item.name)
    return kept, format


def _asked(live: list[Seen], options: Options) -> tuple[list[Seen], str]:
    """Picks the files of the format that was asked for: of text, any text if none looks like it."""
    format = options.format or ""
    texts = [item for item in live if item.format in (*TEXT, "list", "prose", "structured")]
    if format == "pair":
        return texts, format
    return [item for item in live if item.format == format] or (texts if format in TEXT else []), format


def _guessed(live: list[Seen], path: str) -> tuple[list[Seen], str]:
    present = [format for format in BINARY if any(item.format == format for item in live)]
    tables = [item for item in live if item.format in TEXT]
    if len(present) == 1:  # a large text beside them, or one that is called a table, may be meant as well
        tables = [item for item in tables if item.suffix in TABLES or item.size > HEAD]
    if any(item.format != "json" for item in tables) or present:  # beside tables it is a text about them
        tables = [item for item in tables if item.format != "json" or item.suffix in TABLES or item.size > HEAD]
    present += sorted({item.format for item in tables})
    if len(present) > 1:
        rivals = [item for item in live if item.format in BINARY] + tables
        flags = " or ".join(f"--format {format}" for format in present)
        what = f"samples of {len(present)} formats: {listed(rivals)}; expected one: give {flags}, or name the files"
        raise DataError(what + " by a glob", path)
    if present and present[0] in BINARY:
        return [item for item in live if item.format == present[0]], present[0]
    if present:
        suffixes = {item.suffix for item in tables}

        def belongs(item: Seen) -> bool:
            if item.format not in ("list", "prose", "structured"):
                return item.format == present[0]
            return item.suffix in suffixes or (item.format == "list" and bool(PAIR_Y.search(item.name)))

        return [item for item in live if belongs(item)], present[0]
    for kind in ("list", "prose"):  # the reader says what is wrong with them
        texts = [item for item in live if item.format == kind]
        if texts and not any(item.format == "image" for item in live):
            return texts, "csv"
    return [], ""
